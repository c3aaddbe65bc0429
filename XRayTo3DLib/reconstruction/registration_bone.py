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

_ROUGH_FIELD_STEP, _ROUGH_POINTS = 3, 4
"""The same where it need not be exact, and of how many points of the surface one is looked at."""

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
        rough: whether some tenths of a millimetre of displacement do not matter: takes a tenth of
            the time to set up.
        reach: mm above and below the joint line beyond which the bone is left out.
    """

    def __init__(
        self,
        model: IntensityModel,
        reduce: int = 1,
        *,
        rough: bool = False,
        reach: float = np.inf,
    ) -> None:
        self.model = model
        planes, grid = _within(model.grid, reach)
        volumes = torch.from_numpy(np.concatenate([model.mean[None], model.modes])[:, planes])
        self._volumes = F.avg_pool3d(volumes[:, None], reduce)[:, 0] if reduce > 1 else volumes
        z, y, x = self._volumes.shape[1:]
        self.grid = VolumeGrid((z, y, x), grid.spacing * reduce, grid.centre)
        step, every = (_ROUGH_FIELD_STEP, _ROUGH_POINTS) if rough else (_FIELD_STEP, 1)
        self._fields = _mode_fields(model, self.grid, max(1, step // reduce), every)
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
        there = self._sampled(displaced[None], self._places - displaced.movedim(0, -1)[None])
        origin = self._places - there.movedim(1, -1)
        return self._sampled(template[None, None], origin)[0, 0]

    def _sampled(self, values: Tensor, places: Tensor) -> Tensor:
        """Values ``(N, C, z, y, x)`` at fractional voxels ``(N, z, y, x, 3)``; zero outside."""
        scale = places.new_tensor([2.0 / (size - 1) for size in self.grid.shape])
        positions = (places * scale - 1.0).flip(-1)
        return F.grid_sample(values, positions, align_corners=True)

    def volume_near(self, shape: Tensor) -> Tensor:
        """As :meth:`volume` at mean density, faster and good enough near the mean shape.

        With one step back from each place instead of two.
        """
        return self._sampled(self._volumes[None, :1], self._origins(shape))[0, 0]

    @torch.no_grad()
    def volume_slopes(self, shape: Tensor) -> Tensor:
        """By how much a unit of each coefficient changes :meth:`volume_near`.

        Args:
            shape: ``(shape_count,)`` standard deviations.

        Returns:
            ``(shape_count, z, y, x)``, 1/mm.
        """
        origins = self._origins(shape).requires_grad_()
        with torch.enable_grad():
            total = self._sampled(self._volumes[None, :1], origins).sum()
        # Each voxel has an origin of its own, so that the sum's gradient is that of each.
        (gradient,) = torch.autograd.grad(total, origins)
        slopes = torch.zeros_like(self._fields[:, 0])
        for axis in range(3):
            slopes.addcmul_(self._fields[:, axis], gradient[0, ..., axis], value=-1.0)
        return slopes / self.grid.spacing

    def _origins(self, shape: Tensor) -> Tensor:
        """From where each voxel's attenuation comes, ``(1, z, y, x, 3)`` voxels, by one step."""
        displaced = torch.tensordot(shape, self._fields, dims=1) / self.grid.spacing
        return (self._places - displaced.movedim(0, -1))[None]

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
        still = torch.eye(4, dtype=torch.float64)[None, :3]
        return self.radiographs(volume[None], numbers[None], start, view, still)[0, 0]

    def radiographs(
        self,
        volumes: Tensor,
        numbers: Tensor,
        start: np.ndarray,
        view: ViewGeometry,
        motions: Tensor,
    ) -> Tensor:
        """Line integrals of volumes of this bone in poses, each before a view that was moved.

        Args:
            volumes: ``(C, z, y, x)``.
            numbers: ``(N, 7)`` poses, see :func:`correction`.
            start: 4×4 similarity that the poses come before.
            view: source and detector, RAS mm.
            motions: ``(N, 3, 4)`` float64, rigid, of both, RAS mm.

        Returns:
            ``(C, N, rows, columns)``.
        """
        turn, shift, growth = correction(numbers)
        middle = torch.from_numpy(self.middle).float()
        rows, columns = self._block(turn, shift, growth, middle, start, view, motions)
        height, width = view.shape
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return volumes.new_zeros(len(volumes), len(numbers), height, width)
        pixels = view.pixel_positions()[rows, columns].reshape(-1, 3)
        back = torch.from_numpy(np.linalg.inv(start))
        ends = torch.from_numpy(np.concatenate([view.source[None], pixels]))
        ends = ends @ motions[..., :3].mT + motions[:, None, :, 3]
        own = (ends @ back[:3, :3].T + back[:3, 3]).float() - middle - shift[:, None]
        own = own @ turn / growth[:, None, None] + middle
        first, last = own[:, :1].expand(-1, len(pixels), 3), own[:, 1:]
        integrals = line_integrals(volumes, self.grid, first.reshape(-1, 3), last.reshape(-1, 3))
        size = growth * float(np.cbrt(np.linalg.det(start[:3, :3])))
        block = (rows.stop - rows.start, columns.stop - columns.start)
        seen = integrals.reshape(len(volumes), len(numbers), *block) * size[:, None, None]
        return F.pad(seen, (columns.start, width - columns.stop, rows.start, height - rows.stop))

    def _block(
        self,
        turn: Tensor,
        shift: Tensor,
        growth: Tensor,
        middle: Tensor,
        start: np.ndarray,
        view: ViewGeometry,
        motions: Tensor,
    ) -> tuple[slice, slice]:
        """Rows and columns whose rays may meet the grid."""
        with torch.no_grad():
            grown = growth[:, None, None] * (self._corners - middle)
            moved = (grown @ turn.mT + middle + shift[:, None]).double().numpy()
            of_view = motions.detach().numpy()
        world = moved @ start[:3, :3].T + start[:3, 3]
        # A view that is moved one way sees what a still one sees of bones moved the other way.
        seen = (world - of_view[:, None, :, 3]) @ of_view[..., :3]
        pixels = view.project(seen.reshape(-1, 3))
        low = np.clip(np.floor(pixels.min(axis=0)), 0, view.shape).astype(int)
        high = np.clip(np.ceil(pixels.max(axis=0)) + 1, 0, view.shape).astype(int)
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def surface(self, shape: Tensor) -> Surface:
        """The surface of these coefficients, in the model's frame."""
        return self.model.shape.reconstructed(shape.detach().double().cpu().numpy())


def _within(grid: VolumeGrid, reach: float) -> tuple[slice, VolumeGrid]:
    """An even number of planes of a grid that are not far from the joint line, and their grid."""
    heights = grid.first[2] + grid.spacing * np.arange(grid.shape[0])
    near = np.flatnonzero(np.abs(heights) <= reach)
    first, stop = int(near[0]), int(near[-1]) + 1
    stop -= (stop - first) % 2
    middle = float(heights[[first, stop - 1]].mean())
    shape = (stop - first, *grid.shape[1:])
    return slice(first, stop), VolumeGrid(shape, grid.spacing, (*grid.centre[:2], middle))


def _mode_fields(model: IntensityModel, grid: VolumeGrid, step: int, every: int) -> Tensor:
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
    points = torch.from_numpy(model.shape.mean[within][::every]).float()
    modes = torch.from_numpy(model.shape.modes[:, within][:, ::every]).float()
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
