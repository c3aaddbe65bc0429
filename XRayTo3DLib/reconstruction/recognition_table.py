"""What silhouettes of a knee measure, and how much each kind of misfit counts.

Written by Testing/benchmarks/fit_recognition.py with the weights knee-finder64, from 60
simulated films of training people and 48 pictures of anything but knees.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring

_FEATURES = {
    # feature: middle and spread on a frontal film, middle and spread on a lateral one
    "area of femur": (8.249, 0.2, 8.054, 0.2),
    "area of tibia": (8.076, 0.2, 7.877, 0.2004),
    "area of patella": (7.073, 0.2, 6.391, 0.2795),
    "area of fibula": (6.506, 0.2, 6.488, 0.2),
    "solidity of femur": (0.9435, 0.05, 0.9581, 0.05),
    "solidity of tibia": (0.9312, 0.05, 0.9386, 0.05),
    "solidity of patella": (0.9737, 0.05, 0.9053, 0.05305),
    "solidity of fibula": (0.8322, 0.07132, 0.8197, 0.09407),
    "femur sideways": (2.803, 5, -5.942, 5),
    "tibia sideways": (-3.452, 5, 3.24, 5.49),
    "patella sideways": (-8.028, 5, -43.27, 6.316),
    "patella up": (33.03, 8.452, 33.59, 10.09),
    "fibula sideways": (-26.96, 11.89, 29.1, 13.47),
    "fibula up": (-32.71, 5, -34.49, 5),
    "patella on femur": (0.9598, 0.1394, 0.06378, 0.1),
    "fibula on tibia": (0.473, 0.4613, 0.1982, 0.3666),
    "parting": (0.01242, 0.02, 0.01264, 0.02),
    "doubt of femur": (0.01548, 0.03, 0.02088, 0.03),
    "doubt of tibia": (0.01793, 0.03, 0.01817, 0.03),
    "doubt of patella": (0.0426, 0.03, 0.02488, 0.03),
    "doubt of fibula": (0.04569, 0.03, 0.0425, 0.03),
    "edge of femur": (-3.169, 0.5029, -3.594, 0.5153),
    "edge of tibia": (-3.302, 0.4132, -3.435, 0.5668),
}

_WEIGHTS = {
    "area": 0.183,
    "solidity": 1.024,
    "place": 1.089,
    "overlap": 0.02,
    "parting": 0.525,
    "doubt": 3.226,
    "edge": 0.231,
}

_TABLE = np.array([_FEATURES[name] for name in FEATURES], dtype=float)

SHIPPED = Scoring(
    middles=_TABLE[:, [0, 2]].T,
    spreads=_TABLE[:, [1, 3]].T,
    weights=np.array([_WEIGHTS[name] for name in GROUPS]),
    no_knee=-9.055,
)
