"""Seconds that networks take by themselves, one after the other in turns.

    python Testing/benchmarks/network_times.py knee-encode64 knee-paper128 knee-small96 --threads 4

What else a computer does then slows all of them alike. Networks are files of weights, or names of
those that come with the program; the first is what the others are compared with.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.imaging.geometry import geometry_of  # noqa: E402
from XRayTo3DLib.imaging.pair import read_pair  # noqa: E402
from XRayTo3DLib.reconstruction.seeing import RightKnee  # noqa: E402
from XRayTo3DLib.reconstruction.weights import Model, load_model  # noqa: E402
from XRayTo3DLib.resources import resource_path  # noqa: E402


def main(
    networks: Annotated[list[str], typer.Argument(help="Weights, or their names.")],
    threads: Annotated[int, typer.Option(help="Of the processor.")] = 4,
    turns: Annotated[int, typer.Option(help="How often each is measured.")] = 12,
) -> None:
    """Print the median and the range of each, and its share of the first one's median."""
    torch.set_num_threads(threads)
    models = {name: load_model(name) for name in networks}
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(turns + 1):
        for name, model in models.items():
            taken = seconds_of(model)
            if turn:  # the first warms up
                seconds[name].append(taken)
    first = median(seconds[networks[0]])
    for name, taken in seconds.items():
        middle = median(taken)
        print(
            f"{name}: {middle:.3f} s ({min(taken):.3f} to {max(taken):.3f}), {middle / first:.2f}"
        )


@torch.inference_mode()
def seconds_of(model: Model) -> float:
    """From the sample films on the network's detectors to probabilities of classes."""
    films = [resource_path("SampleData", f"knee_{view}.dcm") for view in ("ap", "lateral")]
    frontal, lateral, _ = read_pair(*films)
    geometry = geometry_of(frontal, lateral)
    seen = RightKnee.of(frontal, lateral, geometry, model.network.settings).inputs()
    started = time.perf_counter()
    model.network(*seen).softmax(dim=1)
    return time.perf_counter() - started


if __name__ == "__main__":
    typer.run(main)
