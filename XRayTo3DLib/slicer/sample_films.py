"""The radiographs that come with the program."""

from __future__ import annotations

from XRayTo3DLib.imaging.radiograph import View

SAMPLES = {View.AP: "knee_ap.dcm", View.LATERAL: "knee_lateral.dcm"}
"""Their files, below the resources' SampleData."""
