"""What silhouettes of a knee measure, and how much each kind of misfit counts.

Written by Testing/benchmarks/fit_recognition.py with the weights knee-encode64, from 120
simulated films of training people and 100 pictures of anything but knees.
"""

from __future__ import annotations

import numpy as np

from XRayTo3DLib.reconstruction.recognition_score import FEATURES, GROUPS, Scoring

_FEATURES = {
    # feature: middle and spread on a frontal film, middle and spread on a lateral one
    "area of femur": (8.32, 0.2, 8.094, 0.2),
    "area of tibia": (8.089, 0.2, 7.933, 0.2),
    "area of patella": (7.126, 0.2, 6.439, 0.2278),
    "area of fibula": (6.533, 0.2, 6.49, 0.2),
    "solidity of femur": (0.9493, 0.05, 0.9681, 0.05),
    "solidity of tibia": (0.9261, 0.05, 0.9427, 0.05),
    "solidity of patella": (0.977, 0.05, 0.9289, 0.05),
    "solidity of fibula": (0.8575, 0.05609, 0.8172, 0.05253),
    "femur sideways": (3.176, 5, -5.743, 5),
    "tibia sideways": (-4.512, 5, 2.884, 6.419),
    "patella sideways": (-9.821, 6.526, -44.63, 7.83),
    "patella up": (29.46, 8.579, 29.91, 11.16),
    "fibula sideways": (-29.68, 5.984, 28.8, 10.98),
    "fibula up": (-33.89, 5, -35.17, 5),
    "patella on femur": (0.9878, 0.1, 0.01691, 0.1),
    "fibula on tibia": (0.4876, 0.384, 0.1694, 0.3168),
    "parting": (0.01479, 0.02, 0.01827, 0.02),
    "doubt of femur": (0.01185, 0.03, 0.0185, 0.03),
    "doubt of tibia": (0.01769, 0.03, 0.01711, 0.03),
    "doubt of patella": (0.04357, 0.03, 0.02441, 0.03),
    "doubt of fibula": (0.044, 0.03, 0.04193, 0.03),
    "edge of femur": (-3.162, 0.5605, -3.566, 0.5466),
    "edge of tibia": (-3.397, 0.6242, -3.517, 0.4594),
}

_WEIGHTS = {
    "area": 0.2784,
    "solidity": 1.02,
    "place": 1.629,
    "overlap": 0.211,
    "parting": 0.2729,
    "doubt": 2.033,
    "edge": 0.1671,
}

_TABLE = np.array([_FEATURES[name] for name in FEATURES], dtype=float)

SHIPPED = Scoring(
    middles=_TABLE[:, [0, 2]].T,
    spreads=_TABLE[:, [1, 3]].T,
    weights=np.array([_WEIGHTS[name] for name in GROUPS]),
    no_knee=-8.594,
)
