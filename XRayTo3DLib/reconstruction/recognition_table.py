"""What silhouettes of a knee measure, and how much each kind of misfit counts.

Written by Testing/benchmarks/fit_recognition.py with the weights knee-encode64, from 220
simulated films of training people and 100 pictures of anything but knees.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring

_FEATURES = {
    # feature: middle and spread on a frontal film, middle and spread on a lateral one
    "area of femur": (8.236, 0.2, 8.005, 0.2),
    "area of tibia": (8.011, 0.2, 7.889, 0.2),
    "area of patella": (7.001, 0.2266, 6.343, 0.2473),
    "area of fibula": (6.456, 0.2, 6.405, 0.2),
    "solidity of femur": (0.9482, 0.05, 0.9715, 0.05),
    "solidity of tibia": (0.926, 0.05, 0.9485, 0.05),
    "solidity of patella": (0.9921, 0.05, 0.9644, 0.05),
    "solidity of fibula": (0.8766, 0.05785, 0.8566, 0.05318),
    "femur sideways": (1.749, 5, -5.86, 5),
    "tibia sideways": (-3.247, 5, 1.781, 5.151),
    "patella sideways": (-9.131, 5.997, -42.69, 6.691),
    "patella up": (30.57, 7.397, 31.07, 9.884),
    "fibula sideways": (-29.63, 7.941, 25.39, 7.876),
    "fibula up": (-34.27, 5, -34.98, 5),
    "patella on femur": (0.9884, 0.1, 0.00807, 0.1),
    "fibula on tibia": (0.4176, 0.2906, 0.197, 0.3004),
    "parting": (0.01271, 0.02, 0.0145, 0.02),
    "doubt of femur": (0.01144, 0.03, 0.01512, 0.03),
    "doubt of tibia": (0.01425, 0.03, 0.01493, 0.03),
    "doubt of patella": (0.03825, 0.03, 0.01823, 0.03),
    "doubt of fibula": (0.03559, 0.03, 0.04198, 0.03),
    "edge of femur": (-3.114, 0.5203, -3.443, 0.3346),
    "edge of tibia": (-3.228, 0.5986, -3.428, 0.4239),
}

_WEIGHTS = {
    "area": 0.2322,
    "solidity": 1.162,
    "place": 1.109,
    "overlap": 0.6727,
    "parting": 0.3367,
    "doubt": 3.077,
    "edge": 0.2218,
}

_TABLE = np.array([_FEATURES[name] for name in FEATURES], dtype=float)

SHIPPED = Scoring(
    middles=_TABLE[:, [0, 2]].T,
    spreads=_TABLE[:, [1, 3]].T,
    weights=np.array([_WEIGHTS[name] for name in GROUPS]),
    no_knee=-8.632,
)
