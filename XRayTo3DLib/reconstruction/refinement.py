"""Refinement at test time: what is reconstructed is made to agree with both films.

Two things keep the outlines of reconstructed bones off a film: the films do not stand as they are
said to, and each bone is a little misplaced. Both are corrected at once. On the films stand the
networks' own silhouettes; on the bones, the rims that each source sees. Least squares bring the
rims onto the borders of the silhouettes: an iterated closest point method (Besl and McKay, IEEE
PAMI 14(2), 1992) that finds the rims anew from round to round and takes distances from a field, as
Lavallée and Szeliski (IEEE PAMI 17(4), 1995) do who match surfaces to their projections.

Gauge: a motion of all bones together is not told from one of both films. The bones as a whole stay
where they are; what they have in common is put down to the films. See
:func:`XRayTo3DLib.reconstruction.refine_motion.scales`.

What it is good for: where films stand otherwise than they are said to, a network works out a
compromise. The corrected geometry comes about half the way to the truth, and the network run again
with it does better. The motions of bones make outlines agree; where the films stand as they are
said to, they do not make surfaces more accurate than a network's, whose errors are of shape.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from XRayTo3DLib.anatomy.bones import CLASS_COUNT, Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.refine_fit import Scene, Search

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
        before: mean distance from the outlines of the surfaces to the borders of the silhouettes,
            mm at the isocentre, at the start; NaN where no outline meets a silhouette.
        after: the same of what is returned, never greater.
        seconds: wall time.
        stopped: why it ended: ``settled``, ``rounds`` (the most were done), ``time limit``, ``no
            evidence`` (nothing to compare) or ``no better`` (the start is returned).
    """

    surfaces: dict[Bone, Surface]
    geometry: BiplanarGeometry
    motions: dict[Bone, np.ndarray]
    before: float
    after: float
    seconds: float
    stopped: str


def refine(
    surfaces: Mapping[Bone, Surface],
    geometry: BiplanarGeometry,
    silhouettes: Tensor,
    detectors: tuple[ViewGeometry, ViewGeometry],
    *,
    field_of_view: float = 153.6,
    known_geometry: bool = False,
    time_limit: float = 8.0,
    progress: Progress = silent,
) -> Refinement:
    """Correct geometry and bones so that the bones' outlines agree with both films.

    Of each film: a shift and a turn in its plane, its magnification, and the angle by which source
    and detector are turned about the leg's long axis; so the angle between the films changes, and
    the patient's frame stays with the bones. Of each bone: a shift, a turn and a growth. All are
    held near zero by normal priors. The result never agrees less with the silhouettes than what
    was given.

    Args:
        surfaces: closed surfaces, RAS mm.
        geometry: of the films; what lies beyond a film's border is not looked at.
        silhouettes: ``(2, 4, rows, columns)``, 0–1, of the bones in label order on the frontal and
            on the lateral film.
        detectors: on which the silhouettes are, in the planes of the films.
        field_of_view: mm a side of the cube about the isocentre in which surfaces were made and at
            whose faces they are cut off.
        known_geometry: whether the films stand where they are said to, as those of a calibrated
            machine; then only bones move.
        time_limit: seconds, for the corrections; that the agreement is measured takes some tenths
            of a second in any case.
        progress: told of every round; may raise to cancel.

    Raises:
        XRayTo3DError: silhouettes and detectors do not fit each other or the films.
    """
    started = time.perf_counter()
    _check(silhouettes, detectors, geometry)
    progress(STAGE, 0.0)
    estimated = silhouettes.detach().double().cpu().numpy()
    scene = Scene(surfaces, geometry, estimated, detectors, field_of_view)
    search = Search(scene, known_geometry, started + time_limit)
    stopped = search.run(lambda fraction: progress(STAGE, fraction))
    motions = {bone: search.best.motions.get(bone, np.eye(4)) for bone in surfaces}
    progress(STAGE, 1.0)
    return Refinement(
        surfaces={
            bone: surface.transformed(motions[bone]) if bone in search.best.motions else surface
            for bone, surface in surfaces.items()
        },
        geometry=search.best.corrected(geometry),
        motions=motions,
        before=search.before,
        after=search.after,
        seconds=time.perf_counter() - started,
        stopped=stopped,
    )


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
