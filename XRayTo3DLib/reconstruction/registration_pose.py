"""Where a bone of a model lies: a start, and a motion and growth that correct it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.geometry import MIRROR
from XRayTo3DLib.imaging.radiograph import Side

POSE_NUMBERS = 7
"""Shift along RAS x, y and z, turn about them, growth."""

POSE_SCALES = (5.0, 5.0, 5.0, 5.0, 5.0, 5.0, 0.04)
"""mm, degrees and a share that one unit of each number is worth."""

Start = Mapping[Bone, np.ndarray]
"""4×4 similarity of each bone, from the frame of its model to the right knee's world, RAS mm."""


def default_start() -> dict[Bone, np.ndarray]:
    """The mean knee, its joint at the isocentre."""
    return {bone: np.eye(4) for bone in Bone}


def turn_matrix(radians: Tensor) -> Tensor:
    """Rotations ``(..., 3, 3)`` about axes ``(..., 3)`` by their lengths, differentiable at 0."""
    x, y, z = radians.unbind(-1)
    nought = torch.zeros_like(x)
    across = torch.stack([nought, -z, y, z, nought, -x, -y, x, nought], dim=-1)
    return torch.linalg.matrix_exp(across.unflatten(-1, (3, 3)))


def correction(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rotation ``(..., 3, 3)``, shift ``(..., 3)`` mm and growth ``(...)``, a factor.

    Args:
        numbers: ``(..., 7)`` of a pose, in units of :data:`POSE_SCALES`.
    """
    values = numbers * numbers.new_tensor(POSE_SCALES)
    return turn_matrix(torch.deg2rad(values[..., 3:6])), values[..., :3], torch.exp(values[..., 6])


def pose_matrix(numbers: Tensor, middle: np.ndarray, start: np.ndarray) -> np.ndarray:
    """4×4 from the model's frame to the world.

    Args:
        numbers: ``(7,)``, in units of :data:`POSE_SCALES`.
        middle: RAS mm ``(3,)`` in the model's frame about which the bone turns and grows.
        start: 4×4 that the correction comes before.
    """
    turn, shift, growth = (part.detach().double().cpu().numpy() for part in correction(numbers))
    matrix = np.eye(4)
    matrix[:3, :3] = growth * turn
    matrix[:3, 3] = middle + shift - matrix[:3, :3] @ middle
    return start @ matrix


def read_start(path: str | Path, side: Side) -> dict[Bone, np.ndarray]:
    """The start that a JSON file holds: for each bone by name a 4×4 matrix, RAS mm.

    A matrix moves the mean bone of the patient's own side into the patient's world (origin at the
    isocentre); bones that are not named start where the mean knee has them.

    Raises:
        InputFileError: the file is missing, is no such file, or a matrix is no similarity.
    """
    path = Path(path)
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        start = {Bone[name.upper()]: np.array(rows, dtype=float) for name, rows in entries.items()}
    except OSError as error:
        raise InputFileError(path, "cannot be read; check --start.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(
            path, "is no start: it must map names of bones to 4×4 matrices, as JSON."
        ) from error
    for bone, matrix in start.items():
        if not _is_similarity(matrix):
            raise InputFileError(
                path,
                f"the matrix of the {bone.key} is not a 4×4 rotation with shift and one positive "
                "scale; correct it.",
            )
    if side is Side.LEFT:
        start = {bone: mirrored_start(matrix) for bone, matrix in start.items()}
    return {**default_start(), **start}


def mirrored_start(matrix: np.ndarray) -> np.ndarray:
    """The same placing of the mirrored bone in the mirrored world."""
    flip = np.eye(4)
    flip[:3, :3] = MIRROR
    return flip @ matrix @ flip


def _is_similarity(matrix: np.ndarray) -> bool:
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        return False
    squared = matrix[:3, :3].T @ matrix[:3, :3]
    size = float(np.trace(squared) / 3.0)
    return (
        size > 1e-6
        and bool(np.allclose(squared, size * np.eye(3), atol=1e-3 * size))
        and np.linalg.det(matrix[:3, :3]) > 0
        and bool(np.allclose(matrix[3], (0, 0, 0, 1)))
    )
