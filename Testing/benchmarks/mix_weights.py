"""Weights whose films' network lies between those before and after a training.

    python Testing/benchmarks/mix_weights.py BEFORE AFTER OUTPUT [--share 0.5]

See XRayTo3DLib/training/mixing.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from XRayTo3DLib.training.mixing import mix_films  # noqa: E402


def main(
    before: Path,
    after: Path,
    output: Path,
    share: Annotated[float, typer.Option(help="Of the weights after the training, 0-1.")] = 0.5,
) -> None:
    """Mix the films' networks of two files of weights."""
    mix_films(before, after, share, output)


if __name__ == "__main__":
    typer.run(main)
