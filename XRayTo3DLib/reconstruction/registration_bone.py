"""A bone of a shape and intensity model, deformed and seen on a detector, differentiably.

Shape moves voxels: the template's attenuation is pulled back through the displacement that the
modes give every place. Pose moves rays: sources and pixels are taken into the bone's own frame, so
that one projector serves all.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.intensity_model import IntensityModel
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.grid import VolumeGrid
from XRayTo3DLib.imaging.projector import line_integrals
from XRayTo3DLib.reconstruction.registration_pose import correction

_FIELD_STEP = 2
"""Voxels of the model for one place at which displacement is worked out; it is smooth."""

_NARROWEST = 2.0
_WIDENING = 0.4
"""mm over which displacement of the surface is averaged on it, and what each mm off it adds."""

_NEAR_JOINT = 60.0
"""mm from the joint line within which the middle of a bone is taken: about it, turn and shift are
seen apart on the films."""


class DeformingBone:
    """One bone's volume for any coefficients, and its radiograph in any pose.

    Args:
        model: of the bone.
        reduce: model's voxels that are averaged along each axis: 1 or 2.
    """

    def __init__(self, model: IntensityModel, reduce: int = 1) -> None:
        self.model = model
        volumes = torch.from_numpy(np.concatenate([model.mean[None], model.modes]))
        self._volumes = F.avg_pool3d(volumes[:, None], reduce)[:, 0] if reduce > 1 else volumes
        z, y, x = self._volumes.shape[1:]
        self.grid = VolumeGrid((z, y, x), model.grid.spacing * reduce, model.grid.centre)
        self._fields = _mode_fields(model, self.grid, max(1, _FIELD_STEP // reduce))
        voxels = np.stack(np.meshgrid(*map(np.arange, self.grid.shape), indexing="ij"), axis=-1)
        self._places = torch.from_numpy(voxels).float()
        low, high = np.zeros(3), np.array(self.grid.shape) - 1.0
        corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
        self._corners = torch.from_numpy(self.grid.to_ras(corners)).float()
        points = model.shape.mean[np.abs(model.shape.mean[:, 2]) < _NEAR_JOINT]
        self.middle = 0.5 * (points.min(axis=0) + points.max(axis=0))

    @property
    def bone(self) -> Bone:
        """Which bone."""
        return self.model.bone

    @property
    def shape_count(self) -> int:
        """Number of shape coefficients."""
        return len(self._fields)

    @property
    def density_count(self) -> int:
        """Number of density coefficients."""
        return len(self._volumes) - 1

    def volume(self, shape: Tensor, density: Tensor) -> Tensor:
        """Attenuation above muscle, 1/mm, ``(z, y, x)`` on ``grid``.

        Args:
            shape: ``(shape_count,)`` standard deviations.
            density: ``(density_count,)`` standard deviations.
        """
        template = self._volumes[0] + torch.tensordot(density, self._volumes[1:], dims=1)
        if not shape.requires_grad and not bool(shape.any()):
            return template  # the mean shape
        displaced = torch.tensordot(shape, self._fields, dims=1) / self.grid.spacing
        # A place p came from q with q + u(q) = p: two steps of q = p − u(q) from q = p.
        there = self._sampled(displaced, self._places - displaced.movedim(0, -1))
        origin = self._places - there.movedim(0, -1)
        return self._sampled(template[None], origin)[0]

    def _sampled(self, values: Tensor, places: Tensor) -> Tensor:
        """Values ``(C, z, y, x)`` at fractional voxels ``(z, y, x, 3)``; zero outside."""
        scale = places.new_tensor([2.0 / (size - 1) for size in self.grid.shape])
        positions = (places * scale - 1.0).flip(-1)[None]
        return F.grid_sample(values[None], positions, align_corners=True)[0]

    def radiograph(
        self, volume: Tensor, numbers: Tensor, start: np.ndarray, view: ViewGeometry
    ) -> Tensor:
        """Line integrals of a volume of this bone in a pose, ``(rows, columns)``.

        Args:
            volume: ``(z, y, x)``, as :meth:`volume` gives it.
            numbers: ``(7,)`` pose, see :func:`correction`.
            start: 4×4 similarity that the pose comes before.
            view: source and detector, RAS mm.
        """
        turn, shift, growth = correction(numbers)
        middle = torch.from_numpy(self.middle).float()
        rows, columns = self._block(turn, shift, growth, middle, start, view)
        picture = volume.new_zeros(view.shape)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return picture
        pixels = view.pixel_positions()[rows, columns].reshape(-1, 3)
        back = np.linalg.inv(start)
        ends = np.concatenate([view.source[None], pixels]) @ back[:3, :3].T + back[:3, 3]
        own = torch.from_numpy(ends).float() - middle - shift
        own = own @ turn / growth + middle
        source = own[:1].expand(len(pixels), 3)
        integrals = line_integrals(volume[None], self.grid, source, own[1:])[0]
        size = growth * float(np.cbrt(np.linalg.det(start[:3, :3])))
        seen = (integrals * size).reshape(rows.stop - rows.start, -1)
        rest_rows, rest_columns = view.shape[0] - rows.stop, view.shape[1] - columns.stop
        return F.pad(seen, (columns.start, rest_columns, rows.start, rest_rows))

    def _block(
        self,
        turn: Tensor,
        shift: Tensor,
        growth: Tensor,
        middle: Tensor,
        start: np.ndarray,
        view: ViewGeometry,
    ) -> tuple[slice, slice]:
        """Rows and columns whose rays may meet the grid."""
        with torch.no_grad():
            moved = growth * (self._corners - middle) @ turn.T + middle + shift
        world = moved.double().numpy() @ start[:3, :3].T + start[:3, 3]
        pixels = view.project(world)
        low = np.clip(np.floor(pixels.min(axis=0)), 0, view.shape).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, view.shape).astype(int)
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def surface(self, shape: Tensor) -> Surface:
        """The surface of these coefficients, in the model's frame."""
        return self.model.shape.reconstructed(shape.detach().double().cpu().numpy())


def _mode_fields(model: IntensityModel, grid: VolumeGrid, step: int) -> Tensor:
    """What each mode displaces every voxel by, ``(K, 3, z, y, x)`` mm along z, y and x.

    Places off the surface move as the surface near them does on average (kernel regression), over
    a width that grows with the distance: what lies in the middle moves with all sides.
    """
    sizes = [-(-size // step) for size in grid.shape]
    coarse = VolumeGrid(
        (sizes[0], sizes[1], sizes[2]),
        grid.spacing * step,
        # Voxels of the coarse grid begin where those of the fine one do.
        tuple(
            grid.first
            + 0.5 * grid.spacing * (step - 1)
            + 0.5 * grid.spacing * step * (np.array(sizes[::-1]) - 1)
        ),
    )
    index = np.stack(np.meshgrid(*map(np.arange, coarse.shape), indexing="ij"), axis=-1)
    places = torch.from_numpy(coarse.to_ras(index.reshape(-1, 3))).float()
    within = (
        np.abs(model.shape.mean[:, 2] - grid.centre[2]) < 0.5 * grid.shape[0] * grid.spacing + 20
    )
    points = torch.from_numpy(model.shape.mean[within]).float()
    modes = torch.from_numpy(model.shape.modes[:, within]).float()
    values = modes.flip(-1).permute(1, 0, 2).reshape(len(points), -1)
    found = torch.empty(len(places), values.shape[1])
    for part in torch.arange(len(places)).split(2048):
        away = torch.cdist(places[part], points)
        nearest = away.amin(dim=1, keepdim=True)
        width = _NARROWEST + _WIDENING * nearest
        weight = torch.exp(-0.5 * (away**2 - nearest**2) / width**2)
        found[part] = weight @ values / weight.sum(dim=1, keepdim=True)
    fields = found.T.reshape(len(modes) * 3, 1, *coarse.shape)
    fine = F.interpolate(fields, scale_factor=float(step), mode="trilinear", align_corners=False)
    z, y, x = grid.shape
    return fine[:, 0, :z, :y, :x].reshape(len(modes), 3, z, y, x).contiguous()
