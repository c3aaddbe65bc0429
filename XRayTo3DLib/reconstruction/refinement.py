"""Refinement at test time: what is reconstructed is made to agree with both films.

Two things keep the outlines of reconstructed bones off a film: the films do not stand as they are
said to, and each bone is a little misplaced. Both are corrected at once. On the films stand the
networks' own silhouettes; on the bones, the rims that each source sees. Least squares bring the
rims onto the borders of the silhouettes: an iterated closest point method (Besl and McKay, IEEE
PAMI 14(2), 1992) that finds the rims anew from round to round and takes distances from a field, as
Lavallée and Szeliski (IEEE PAMI 17(4), 1995) do who match surfaces to their projections.

One of three things is looked for, see :class:`Freedom`: that the lateral film stood otherwise
against the frontal, that the knee was moved between the films, or neither. How probable each is, a
cost says that is comparable between them. In all of them the networks may have misplaced the knee
as a whole and each bone a little. Gauge: the frontal film stands where it is said to.

What it is good for: where films stand otherwise than they are said to, a network works out a
compromise. A fit sees only what the compromise left, a half of the error or less; the network run
again with what is found does better, see :mod:`XRayTo3DLib.reconstruction.refining`. The motions of
bones make outlines agree; where the films stand as they are said to, they do not make surfaces
more accurate than a network's, whose errors are of shape.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.flexion_between import Between
from XRayTo3DLib.reconstruction.refine_fit import Scene, Search
from XRayTo3DLib.reconstruction.refine_motion import Freedom

STAGE = "Refining"

_SAME = 1e-6
"""Relative; a detector made from a film's differs by rounding alone."""


@dataclass(frozen=True)
class Refinement:
    """Surfaces and geometry that agree with the films, or those given where none agree better.

    Attributes:
        surfaces: of the bones, RAS mm.
        geometry: of the films.
        motions: 4×4 by which each surface was moved, RAS mm to RAS mm.
        between: motions of the bones from the frontal to the lateral film.
        before: mean distance from the outlines of the surfaces to the borders of the silhouettes,
            mm at the isocentre, at the start; NaN where no outline meets a silhouette.
        after: the same of what is returned, never greater.
        cost: twice the negative logarithm of the probability of what is returned, but for a
            constant that is the same for the same silhouettes.
        seconds: wall time.
        stopped: why it ended: ``settled``, ``rounds`` (the most were done), ``time limit``, ``no
            evidence`` (nothing to compare) or ``no better`` (the start is returned).
    """

    surfaces: dict[Bone, Surface]
    geometry: BiplanarGeometry
    motions: dict[Bone, np.ndarray]
    between: Between
    before: float
    after: float
    cost: float
    seconds: float
    stopped: str


def refine(
    surfaces: Mapping[Bone, Surface],
    geometry: BiplanarGeometry,
    silhouettes: Tensor,
    detectors: tuple[ViewGeometry, ViewGeometry],
    *,
    freedom: Freedom = Freedom.FILMS,
    between: Between | None = None,
    field_of_view: float = 153.6,
    time_limit: float = 8.0,
    progress: Progress = silent,
) -> Refinement:
    """Correct geometry and bones so that the bones' outlines agree with both films.

    Of the lateral film: its height, a turn in its plane, its magnification. Of shin and patella: a
    turn about the flexion axis and a shift, between the films. Of the knee and of each bone: a
    shift, a turn and a growth. All are held near zero by normal priors. The result never agrees
    less with the silhouettes than what was given.

    Args:
        surfaces: closed surfaces, RAS mm.
        geometry: of the films; what lies beyond a film's border is not looked at.
        silhouettes: ``(2, 4, rows, columns)``, 0–1, of the bones in label order on the frontal and
            on the lateral film.
        detectors: on which the silhouettes are, in the planes of the films.
        freedom: what is looked for besides misplaced bones.
        between: motions from the frontal to the lateral film, as far as they are known.
        field_of_view: mm a side of the cube about the isocentre in which surfaces were made and at
            whose faces they are cut off.
        time_limit: seconds, for the corrections; that the agreement is measured takes some tenths
            of a second in any case.
        progress: told of every round; may raise to cancel.

    Raises:
        XRayTo3DError: silhouettes and detectors do not fit each other or the films.
    """
    return explanations(
        surfaces,
        geometry,
        silhouettes,
        detectors,
        (freedom,),
        between=between,
        field_of_view=field_of_view,
        time_limit=time_limit,
        progress=progress,
    )[freedom]


def explanations(
    surfaces: Mapping[Bone, Surface],
    geometry: BiplanarGeometry,
    silhouettes: Tensor,
    detectors: tuple[ViewGeometry, ViewGeometry],
    freedoms: Sequence[Freedom],
    *,
    between: Between | None = None,
    field_of_view: float = 153.6,
    time_limit: float = 8.0,
    progress: Progress = silent,
) -> dict[Freedom, Refinement]:
    """What :func:`refine` finds with each freedom, faster than one by one.

    Args, raises: as :func:`refine`; the time limit is that of all together.
    """
    started = time.perf_counter()
    _check(silhouettes, detectors, geometry)
    progress(STAGE, 0.0)
    estimated = silhouettes.detach().double().cpu().numpy()
    known = between or Between()
    scene = Scene(surfaces, geometry, estimated, detectors, field_of_view, known)
    found = {}
    for number, freedom in enumerate(freedoms):
        first = number / len(freedoms)

        def tell(fraction: float, first: float = first) -> None:
            progress(STAGE, first + fraction / len(freedoms))

        since = time.perf_counter()
        search = Search(scene, freedom, started + time_limit)
        stopped = search.run(tell)
        motions = {bone: search.best.motions.get(bone, np.eye(4)) for bone in surfaces}
        found[freedom] = Refinement(
            surfaces={
                bone: surface.transformed(motions[bone]) if bone in search.best.motions else surface
                for bone, surface in surfaces.items()
            },
            geometry=search.best.corrected(geometry),
            motions=motions,
            between=search.best.between,
            before=search.before,
            after=search.after,
            cost=search.cost,
            seconds=time.perf_counter() - (since if number else started),
            stopped=stopped,
        )
    progress(STAGE, 1.0)
    return found


def _check(
    silhouettes: Tensor, detectors: tuple[ViewGeometry, ViewGeometry], geometry: BiplanarGeometry
) -> None:
    for name, detector, film in zip(("frontal", "lateral"), detectors, geometry.views, strict=True):
        expected = (2, CLASS_COUNT - 1, *detector.shape)
        if tuple(silhouettes.shape) != expected:
            raise XRayTo3DError(
                f"The silhouettes have the shape {tuple(silhouettes.shape)}, but the {name} "
                f"detector needs {expected}; give one of each bone on each film."
            )
        if not (
            np.allclose(detector.source, film.source, atol=_SAME * film.sid)
            and np.allclose(detector.normal, film.normal, atol=_SAME)
            and np.isclose(detector.sid, film.sid, rtol=_SAME)
        ):
            raise XRayTo3DError(
                f"The {name} detector does not lie in the plane of the {name} film; make it with "
                "ViewGeometry.resampled."
            )
    if not bool(silhouettes.isfinite().all()):
        raise XRayTo3DError(
            "The silhouettes hold NaN or infinity; check the radiographs and the weights."
        )
