"""Random knees of nobody: real bones, recombined, deformed, bent and placed anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.deformation import SmoothField
from XRayTo3DLib.anatomy.joint import JointPose, bend, joint_gaps
from XRayTo3DLib.anatomy.knee import Knee, condyle_box, rotation
from XRayTo3DLib.anatomy.lone_femora import laid_alike
from XRayTo3DLib.anatomy.morphing import Morph
from XRayTo3DLib.anatomy.osteophytes import HIGHEST_GRADE, NARROWING, with_osteophytes
from XRayTo3DLib.anatomy.shape_model import ShapeModel
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side

_CENTRES = {
    Bone.FEMUR: np.array([0.0, -10.0, 20.0]),
    Bone.TIBIA: np.array([0.0, -10.0, -20.0]),
    Bone.PATELLA: np.array([0.0, 30.0, 30.0]),
    Bone.FIBULA: np.array([25.0, -25.0, -25.0]),
}
"""Fixed points of each bone's own scaling, so that growing bones stay in their places, mm."""


@dataclass(frozen=True)
class KneeVariation:
    """How much generated knees differ from the ones they come from (standard deviations).

    Attributes:
        size: share by which the whole knee is scaled (uniform within ±1.7 of these).
        scale: share by which each bone is scaled along each axis.
        arrangement: mm by which a slow field (90 mm) moves all bones together.
        shape: mm by which a field of 35 mm moves the surface of each bone.
        detail: mm by which a field of 12 mm moves the surface of each bone.
        flexion: degrees, largest of a one-sided distribution.
        varus: degrees.
        axial: degrees of shin rotation, and of the patella's tilt.
        patella: mm by which the patella slides.
        gap: mm by which the joint gap changes.
        leg_turn: degrees by which the whole leg is turned about its long axis, z.
        leg_lean: degrees by which it leans, about x and about y: on the films, in their plane.
        placing: mm by which the joint is off the isocentre.
        femur_swap: probability that the femur comes from another person.
        arthritis: probability of osteophytes, and of a joint that is narrower by 0.4 mm a grade.
        morph: probability that a bone goes some way towards another shape of its model, if there
            are models.
    """

    size: float = 0.08
    scale: float = 0.035
    arrangement: float = 2.0
    shape: float = 1.6
    detail: float = 0.5
    flexion: float = 35.0
    varus: float = 2.0
    axial: float = 4.0
    patella: float = 4.0
    gap: float = 0.7
    leg_turn: float = 5.0
    leg_lean: float = 4.0
    placing: float = 6.0
    femur_swap: float = 0.6
    arthritis: float = 0.25
    morph: float = 0.8

    @classmethod
    def none(cls) -> KneeVariation:
        """The knees as they are."""
        return cls(**dict.fromkeys(cls.__dataclass_fields__, 0.0))

    @classmethod
    def placing_only(cls) -> KneeVariation:
        """Real shapes, turned and placed as a patient would lie (for evaluation)."""
        return replace(cls.none(), leg_turn=3.0, leg_lean=1.5, placing=4.0)


class KneeGenerator:
    """Draws knees from a population.

    Args:
        knees: what to draw from, aligned; complete knees and single femora.
        variation: how far to go from them.
        models: of the shapes of bones, for shapes between and beyond those of the knees.

    Raises:
        XRayTo3DError: no complete knee is among them.
    """

    def __init__(
        self,
        knees: list[Knee],
        variation: KneeVariation | None = None,
        models: Mapping[Bone, ShapeModel] | None = None,
    ) -> None:
        right = [knee if knee.side is Side.RIGHT else knee.mirrored() for knee in knees]
        self._bases = [knee for knee in right if knee.is_complete]
        self._variation = variation or KneeVariation()
        if not self._bases:
            raise XRayTo3DError("No knee among the bones has all four bones; add one.")
        self._femora = _femora(right, self._bases[0].surfaces[Bone.FEMUR])
        self._morphs = [Morph(model) for model in (models or {}).values()]
        self._gaps = {knee.name: joint_gaps(knee) for knee in self._bases}

    def __call__(self, seed: int, base: int | None = None) -> Knee:
        """The right knee of this seed: the same call gives the same knee.

        Args:
            seed: any non-negative integer.
            base: which complete knee to start from; drawn when left out.
        """
        rng = _draws(seed)
        vary = self._variation
        knee = self._drawn_base(rng) if base is None else self._bases[base]
        gaps = {
            bone: max(gap, 1.0 if bone is Bone.PATELLA else 0.5)
            for bone, gap in self._gaps[knee.name].items()
        }
        knee = _morphed(knee, self._morphs, vary, np.random.default_rng([seed, 9]))
        if rng.random() < vary.femur_swap:
            knee = _with_femur(knee, self._femora[int(rng.integers(len(self._femora)))])
        knee = _deformed(knee, vary, rng)
        pose = _random_pose(vary, rng)
        knee, pose = _arthritic(knee, pose, vary, np.random.default_rng([seed, 8]))
        if pose != JointPose():
            knee = bend(knee, pose, gaps)
        # A bent leg lies on the table with thigh and shin to either side of the long axis.
        knee = knee.transformed(rotation("x", pose.flexion * rng.uniform(0.1, 0.6)))
        return _placed(replace(knee, name=f"generated_{seed}", person="nobody"), vary, rng)

    def base_of(self, seed: int) -> Knee:
        """The complete knee that the knee of this seed starts from."""
        return self._drawn_base(_draws(seed))

    def _drawn_base(self, rng: np.random.Generator) -> Knee:
        return self._bases[int(rng.integers(len(self._bases)))]


def _draws(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 7])


def _femora(knees: list[Knee], reference: Surface) -> list[Surface]:
    """Of every knee, and of those that have nothing else, laid as the others lie."""
    femora = [
        knee.surfaces[Bone.FEMUR]
        if knee.is_complete
        else laid_alike(knee.surfaces[Bone.FEMUR], reference)
        for knee in knees
        if Bone.FEMUR in knee.surfaces
    ]
    return [femur for femur in femora if femur is not None]


def _with_femur(knee: Knee, femur: Surface) -> Knee:
    """Another person's femur, scaled and moved until its condyles stand where the old ones did."""
    old, new = (condyle_box(s.vertices) for s in (knee.surfaces[Bone.FEMUR], femur))
    scale = (old[1, 0] - old[0, 0]) / (new[1, 0] - new[0, 0])
    lowest_old = knee.surfaces[Bone.FEMUR].vertices[:, 2].min()
    lowest_new = femur.vertices[:, 2].min()
    anchor_old = np.array([old[:, 0].mean(), old[0, 1], lowest_old])
    anchor_new = np.array([new[:, 0].mean(), new[0, 1], lowest_new])
    matrix = np.diag([scale, scale, scale, 1.0])
    matrix[:3, 3] = anchor_old - scale * anchor_new
    return replace(knee, surfaces={**knee.surfaces, Bone.FEMUR: femur.transformed(matrix)})


def _morphed(
    knee: Knee, morphs: list[Morph], vary: KneeVariation, rng: np.random.Generator
) -> Knee:
    """Some bones on their way towards other shapes of their models."""
    chosen = [morph for morph in morphs if rng.random() < vary.morph]
    changed = {morph.bone: morph(knee, rng) for morph in chosen}
    return replace(knee, surfaces={**knee.surfaces, **changed})


def _deformed(knee: Knee, vary: KneeVariation, rng: np.random.Generator) -> Knee:
    """Size, arrangement and the shape of each bone changed at random."""
    size = np.exp(rng.uniform(-1.7, 1.7) * vary.size)
    arrangement = SmoothField(rng, 90.0, vary.arrangement)
    surfaces = {}
    for bone in Bone:
        vertices, centre = knee.surfaces[bone].vertices, _CENTRES[bone]
        scale = np.exp(rng.normal(0.0, 1.0, 3) * vary.scale)
        shape = SmoothField(rng, 35.0, vary.shape * rng.uniform(0.3, 1.3))
        detail = SmoothField(rng, 12.0, vary.detail * rng.uniform(0.0, 1.3), features=96)
        moved = centre + (vertices - centre) * scale
        moved = moved + arrangement(vertices) + shape(vertices) + detail(vertices)
        surfaces[bone] = Surface(moved * size, knee.surfaces[bone].faces)
    return replace(knee, surfaces=surfaces)


def _arthritic(
    knee: Knee, pose: JointPose, vary: KneeVariation, rng: np.random.Generator
) -> tuple[Knee, JointPose]:
    """Some knees with osteophytes of a random grade, and their pose with a narrower joint."""
    if rng.random() >= vary.arthritis:
        return knee, pose
    grade = int(rng.integers(1, HIGHEST_GRADE + 1))
    narrower = replace(pose, gap_change=pose.gap_change - NARROWING * grade)
    return with_osteophytes(knee, grade, rng), narrower


def _random_pose(vary: KneeVariation, rng: np.random.Generator) -> JointPose:
    if not any((vary.flexion, vary.varus, vary.axial, vary.patella, vary.gap)):
        return JointPose()
    return JointPose(
        flexion=vary.flexion * rng.beta(1.0, 2.5) - 0.08 * vary.flexion,
        varus=rng.normal(0.0, 1.0) * vary.varus,
        axial=rng.normal(0.0, 1.0) * vary.axial,
        patella_follow=rng.uniform(0.45, 0.75),
        patella_shift=(rng.normal() * 0.6 * vary.patella, rng.normal() * vary.patella),
        patella_tilt=rng.normal() * vary.axial,
        gap_change=rng.normal() * vary.gap,
    )


def _placed(knee: Knee, vary: KneeVariation, rng: np.random.Generator) -> Knee:
    """The whole leg turned a little and moved off the isocentre."""
    angles = rng.normal(0.0, 1.0, 3) * (vary.leg_lean, vary.leg_lean, vary.leg_turn)
    matrix = rotation("z", angles[2]) @ rotation("y", angles[1]) @ rotation("x", angles[0])
    matrix[:3, 3] = rng.normal(0.0, 1.0, 3) * vary.placing
    return knee.transformed(matrix)
