"""What knees of people measure on films, for want of better knowledge of the one at hand.

Written by ``python Testing/benchmarks/finding_benchmark.py population BONES``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Population:
    """Means and standard deviations over people, of right knees as they are placed for films.

    Attributes:
        width: mm, greatest width of the condyles on a frontal film, their depth on a lateral one.
        width_sd: of it.
        femur_bias: degrees by which the shaft's middles near the joint lean further to the right of
            the picture than the shaft further away, which is the anatomical axis.
        femur_bias_sd: of it.
        tibia_bias: the same of the tibia.
        tibia_bias_sd: of it.
        femur_lean: degrees by which the femur's anatomical axis leans to the right.
        tibia_lean: the tibia's.
        down: mm from the foot of the femur (:func:`condylar_middle`) to the isocentre, down along
            the femur's axis.
        right: the same to the right, across it.
    """

    width: float
    width_sd: float
    femur_bias: float
    femur_bias_sd: float
    tibia_bias: float
    tibia_bias_sd: float
    femur_lean: float
    tibia_lean: float
    down: float
    right: float


POPULATION = {
    False: Population(  # frontal; 21 people, 4 of them with a whole knee
        width=82.75,
        width_sd=5.55,
        femur_bias=-0.78,
        femur_bias_sd=1.80,
        tibia_bias=1.33,
        tibia_bias_sd=3.32,
        femur_lean=-5.76,
        tibia_lean=0.26,
        down=-4.92,
        right=-2.64,
    ),
    True: Population(  # lateral; 21 people, 4 of them with a whole knee
        width=63.89,
        width_sd=3.99,
        femur_bias=-6.61,
        femur_bias_sd=1.60,
        tibia_bias=0.90,
        tibia_bias_sd=3.35,
        femur_lean=-2.63,
        tibia_lean=-2.10,
        down=-2.94,
        right=-9.86,
    ),
}
"""By whether the film is a lateral one."""
