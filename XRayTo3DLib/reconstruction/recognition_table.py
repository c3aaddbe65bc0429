"""What silhouettes of a knee measure, and how much each kind of misfit counts.

Written by Testing/benchmarks/fit_recognition.py with the weights films2, from 120
simulated films of training people and 100 pictures of anything but knees.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring

_FEATURES = {
    # feature: middle and spread on a frontal film, middle and spread on a lateral one
    "area of femur": (8.239, 0.2, 8.034, 0.2),
    "area of tibia": (8.023, 0.2, 7.884, 0.2),
    "area of patella": (7.03, 0.2358, 6.375, 0.2783),
    "area of fibula": (6.445, 0.2, 6.412, 0.2266),
    "solidity of femur": (0.9466, 0.05, 0.9706, 0.05),
    "solidity of tibia": (0.9243, 0.05, 0.9514, 0.05),
    "solidity of patella": (0.9908, 0.05, 0.9644, 0.05),
    "solidity of fibula": (0.8761, 0.05691, 0.8558, 0.06381),
    "femur sideways": (1.836, 5, -5.801, 5),
    "tibia sideways": (-2.796, 5, 2.732, 5.752),
    "patella sideways": (-6.972, 6.534, -41.48, 5.83),
    "patella up": (29.41, 7.921, 29.63, 10.35),
    "fibula sideways": (-29.48, 5.787, 27.21, 7.894),
    "fibula up": (-33.33, 5, -34.36, 5),
    "patella on femur": (0.9892, 0.1, 0.01099, 0.1),
    "fibula on tibia": (0.387, 0.2498, 0.2556, 0.2939),
    "parting": (0.01186, 0.02, 0.01499, 0.02),
    "doubt of femur": (0.01144, 0.03, 0.01528, 0.03),
    "doubt of tibia": (0.01517, 0.03, 0.01521, 0.03),
    "doubt of patella": (0.04004, 0.03, 0.01887, 0.03),
    "doubt of fibula": (0.03366, 0.03, 0.03974, 0.03),
    "edge of femur": (-3.194, 0.622, -3.565, 0.4093),
    "edge of tibia": (-3.382, 0.6564, -3.575, 0.3759),
}

_WEIGHTS = {
    "area": 0.4713,
    "solidity": 1.464,
    "place": 0.6554,
    "overlap": 0.5298,
    "parting": 0,
    "doubt": 2.442,
    "edge": 0.09364,
}

_TABLE = np.array([_FEATURES[name] for name in FEATURES], dtype=float)

SHIPPED = Scoring(
    middles=_TABLE[:, [0, 2]].T,
    spreads=_TABLE[:, [1, 3]].T,
    weights=np.array([_WEIGHTS[name] for name in GROUPS]),
    no_knee=-7.702,
)
