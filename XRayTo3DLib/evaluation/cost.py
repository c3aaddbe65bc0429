"""What a network costs on this computer: parameters, operations, seconds, memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = """
import json, sys, time
started = time.perf_counter()
import torch
from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.reconstruction.reconstruct import reconstruct
from XRayTo3DLib.reconstruction.seeing import RightKnee
from XRayTo3DLib.reconstruction.weights import load_model
from XRayTo3DLib.resources import resource_path
weights, threads, repeats = sys.argv[1] or None, int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
model = load_model(weights)
ready = time.perf_counter() - started
films = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]
options = {"weights": weights, "refine": False, "accept_any": True}
runs = [reconstruct(*films, **options) for _ in range(repeats)]
with open("/proc/self/status") as file:
    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
knee = runs[0]
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count
def small_convolution(image, weight, *_, out_shape, **__):  # see reconstruction/layers.py
    return conv_flop_count(image, weight, out_shape)
counted = {torch.ops.aten.mkldnn_convolution: small_convolution}
seen = RightKnee.of(knee.frontal, knee.lateral, knee.geometry, model.network.settings).inputs()
with FlopCounterMode(display=False, custom_mapping=counted) as counter, torch.inference_mode():
    model.network(*seen)
print(json.dumps({
    "parameters": sum(p.numel() for p in model.network.parameters()),
    "operations": counter.get_total_flops(),
    "ready": ready,
    "stages": [run.seconds for run in runs],
    "peak": peak / 1024,
}))
"""


@dataclass(frozen=True)
class Cost:
    """Of one reconstruction of the sample films, without refinement.

    Networks by which no knee is recognised are measured as well.

    Attributes:
        parameters: of the network.
        operations: floating-point operations of the network (a multiplication and an addition
            are two), as PyTorch counts them.
        ready: s from the start of Python until the weights are loaded.
        stages: s of each stage, median of the repetitions after the first.
        peak_mb: MB of memory at most (Linux; the high-water mark of the process).
    """

    parameters: int
    operations: int
    ready: float
    stages: dict[str, float]
    peak_mb: float

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


def measure_cost(weights: Path | None, threads: int, repeats: int = 6) -> Cost:
    """Measure in a process of its own, so that nothing else is counted.

    Args:
        weights: file; those shipped by default.
        threads: of the processor.
        repeats: reconstructions; the first warms up.
    """
    command = [sys.executable, "-c", _PROGRAM, str(weights or ""), str(threads), str(repeats)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    runs = found["stages"][1:]
    middle = len(runs) // 2
    stages = {name: sorted(run[name] for run in runs)[middle] for name in runs[0]}
    return Cost(found["parameters"], found["operations"], found["ready"], stages, found["peak"])
