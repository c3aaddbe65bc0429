"""Two radiographs in, four bones out.

Example:
    From files::

        from XRayTo3DLib.reconstruction.reconstruct import reconstruct

        knee = reconstruct("ap.dcm", "lateral.dcm")
        print(knee.surfaces[Bone.FEMUR].volume)

    From arrays, with all that a header would say::

        knee = reconstruct(
            ap_pixels, lateral_pixels, side=Side.LEFT, spacing=0.2, sid=1100, sod=1000
        )
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.centres import stated_centres
from XRayTo3DLib.imaging.geometry import BiplanarGeometry
from XRayTo3DLib.imaging.pair import check_pair, read_pair
from XRayTo3DLib.imaging.radiograph import Origin, Radiograph, Side, Sourced, View
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.checking import check_films as look_at_films
from XRayTo3DLib.reconstruction.finding_geometry import pixels_between
from XRayTo3DLib.reconstruction.flexion_seen import flexion_on_lateral, seems_bent
from XRayTo3DLib.reconstruction.placing import as_stated, leaning, place
from XRayTo3DLib.reconstruction.result import Reconstruction, StyledFilms
from XRayTo3DLib.reconstruction.seeing import RightKnee, see
from XRayTo3DLib.reconstruction.silhouettes import remembering
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.weights import Model, load_model
from XRayTo3DLib.style.style_weights import StyleModel, load_style
from XRayTo3DLib.style.translate import translate

Film = str | Path | Radiograph | NDArray[np.generic]


def reconstruct(
    ap: Film,
    lateral: Film,
    *,
    side: Side | None = None,
    spacing: float | tuple[float, float] | None = None,
    sid: float | None = None,
    sod: float | None = None,
    angle: float = 90.0,
    ap_centre: tuple[float, float] | None = None,
    lateral_centre: tuple[float, float] | None = None,
    ap_lean: float | None = None,
    lateral_lean: float | None = None,
    check_films: bool = True,
    accept_any: bool = False,
    find_joint: bool = True,
    search: bool | None = None,
    style: str | Path | None = None,
    refine: bool | None = None,
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> Reconstruction:
    """Reconstruct femur, tibia, patella and fibula from a frontal and a lateral radiograph.

    Args:
        ap: frontal film: a path, a :class:`Radiograph`, or an array ``(rows, columns)`` in which
            bone is bright and which is upright as :class:`Radiograph` says.
        lateral: lateral film of the same knee, likewise.
        side: which knee; overrides what files say, needed for arrays.
        spacing: mm between pixels at the detector, for both; needed for arrays.
        sid: source–image distance, mm, for both; needed for arrays.
        sod: source–object distance, mm, for both; needed for arrays.
        angle: degrees between the views.
        ap_centre: pixel (row, column) of the middle of the joint on the upright frontal film;
            unless given, the middle of the film, or where the joint is found.
        lateral_centre: the same on the lateral.
        ap_lean: degrees by which the leg leans to the right of the upright frontal film; unless
            given, none, or what is found.
        lateral_lean: the same on the lateral.
        check_films: whether the films are looked at first: what they are assumed to be is put
            right, what they are stated to be and do not look like is warned of, and what is no
            knee is refused, see :mod:`XRayTo3DLib.reconstruction.checking`.
        accept_any: whether what is no knee is warned of instead.
        find_joint: whether the joint is looked for on films on which nobody says where it is; it
            is moved to where it is found only if it is well off the middle, or higher on one film
            than on the other. False where the geometry is known, as of a calibrated machine.
        search: whether then the whole of each film is searched for the knee, its lean and, where
            nobody knows it, its scale; by default where a film shows much more than a knee or
            nobody knows its scale. Elsewhere the lean is measured where the joint is, and counts
            if it is well beyond people's own, unless this is False; see
            :mod:`XRayTo3DLib.reconstruction.placing`.
        style: weights by which the films' style is translated before the network sees them.
        refine: whether geometry and bones are corrected until the bones' outlines agree with both
            films, see :mod:`XRayTo3DLib.reconstruction.refinement`; takes some seconds more. By
            default where the lateral film shows a bent knee, as frontal films are mostly taken of
            straight ones.
        weights: of the network that reconstructs: a file, or the name of weights that come with the
            program. Films are recognised, and the joint is found, by those shipped whatever these
            are.
        device: where the network runs.
        progress: told of every stage; may raise to cancel.

    Returns:
        The bones in the patient's frame, RAS mm, origin at the isocentre.

    Raises:
        XRayTo3DError: bad input, said in one sentence.
    """
    clock = _Stages(progress)
    with clock("Reading"):
        frontal, sagittal = _as_pair(ap, lateral, side, spacing, sid, sod)
        centres = stated_centres(frontal, sagittal, ap_centre, lateral_centre)
        geometry = as_stated(frontal, sagittal, angle, centres)
        leans = (ap_lean, lateral_lean)
    with clock("Loading the network"):
        model = load_model(weights)
        # What tells a knee and finds it was fitted to the silhouettes of the shipped network.
        recogniser = load_model()
        if refine:
            _needs_silhouettes(model)
    with remembering():
        if check_films:
            with clock("Checking the films"):
                pair = look_at_films(frontal, sagittal, recogniser, accept_any=accept_any)
                frontal, sagittal = pair.films
                centres = stated_centres(*pair.films, *pair.pixels_now(ap_centre, lateral_centre))
                leans = pair.leans_now(ap_lean, lateral_lean)
                geometry = as_stated(frontal, sagittal, angle, centres)
        if find_joint:
            with clock("Finding the joint"):
                placed = place(recogniser, frontal, sagittal, angle, centres, search, leans)
                frontal, sagittal = placed.frontal, placed.lateral
                geometry, centres = placed.geometry, placed.centres
        else:
            geometry = leaning(geometry, leans)
    where = torch.device(device)
    knee = RightKnee.of(frontal, sagittal, geometry, model.network.settings)
    styled = None
    if style is not None:
        with clock("Translating the films"):
            knee, styled = _styled(knee, load_style(style), geometry)
    grid = model.network.settings.output_grid
    with clock("Network"):
        probabilities, silhouettes = see(model, knee, where)
    with clock("Surfaces"):
        surfaces = extract_surfaces(probabilities, grid)
    fit, sentences = None, centres.warnings
    automatic = refine is None
    if automatic:
        refine = seems_bent(flexion_on_lateral(silhouettes, model.network.settings))
    if refine and surfaces:
        with clock("Refining"):
            # Importing the optimisers takes half a second that only refinement should cost.
            from XRayTo3DLib.reconstruction.refining import refined

            better = refined(
                model, knee, probabilities, surfaces, silhouettes, where, progress=progress
            )
            probabilities, surfaces = better.probabilities, better.surfaces
            fit = replace(better.fit, automatic=automatic)
            sentences += better.warnings
            knee = replace(knee, geometry=better.geometry)
            geometry = better.geometry
    if frontal.side.value is Side.LEFT:
        probabilities = np.ascontiguousarray(probabilities[..., ::-1])
        surfaces = {bone: surface.mirrored() for bone, surface in surfaces.items()}
        geometry = knee.geometry.mirrored()
    return Reconstruction(
        probabilities=probabilities,
        grid=grid,
        surfaces=surfaces,
        side=frontal.side.value,
        frontal=frontal,
        lateral=sagittal,
        geometry=geometry,
        centres=centres,
        model=model.identity,
        fit=fit,
        styled=styled,
        seconds=clock.seconds,
        warnings=(*sentences, *_missing(surfaces)),
    )


def _styled(
    knee: RightKnee, style: StyleModel, geometry: BiplanarGeometry
) -> tuple[RightKnee, StyledFilms]:
    """The knee on translated films, and a preview of both films of the geometry."""
    translated = replace(knee, translation=partial(translate, model=style))
    before, after = (seen.inputs()[0][0].numpy() for seen in (knee, translated))
    detectors = BiplanarGeometry(*knee.detectors)
    if knee.geometry is not geometry:  # a left knee
        detectors = BiplanarGeometry(*(view.mirrored() for view in detectors.views))
    pairs = zip(detectors.views, geometry.views, strict=True)
    affines = np.stack([pixels_between(*pair) for pair in pairs])
    return translated, StyledFilms(style.name, style.sha256, before, after, affines)


def _needs_silhouettes(model: Model) -> None:
    if not model.network.settings.silhouettes:
        raise XRayTo3DError(
            f"The weights {model.identity.name} estimate no silhouettes, by which a result is "
            "refined; use others, or do without --refine."
        )


class _Stages:
    """Tells the progress of each stage and keeps how long it took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._progress(name, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[name.lower()] = time.perf_counter() - started
        self._progress(name, 1.0)


def _as_pair(
    ap: Film,
    lateral: Film,
    side: Side | None,
    spacing: float | tuple[float, float] | None,
    sid: float | None,
    sod: float | None,
) -> tuple[Radiograph, Radiograph]:
    if isinstance(ap, (str, Path)) and isinstance(lateral, (str, Path)):
        frontal, sagittal, suspicions = read_pair(
            ap, lateral, side=side, spacing=spacing, sid=sid, sod=sod
        )
        for sentence in suspicions:
            frontal = frontal.with_warning(sentence)
        return frontal, sagittal
    frontal = _as_radiograph(ap, View.AP, side, spacing, sid, sod)
    sagittal = _as_radiograph(lateral, View.LATERAL, side, spacing, sid, sod)
    for sentence in check_pair(frontal, sagittal):
        frontal = frontal.with_warning(sentence)
    return frontal, sagittal


def _as_radiograph(
    film: Film,
    view: View,
    side: Side | None,
    spacing: float | tuple[float, float] | None,
    sid: float | None,
    sod: float | None,
) -> Radiograph:
    if isinstance(film, Radiograph):
        given = {"side": side, "sid": sid, "sod": sod, "spacing": _both(spacing)}
        said = {
            name: Sourced(value, Origin.USER) for name, value in given.items() if value is not None
        }
        return replace(film, **said)  # type: ignore[arg-type]
    if not isinstance(film, np.ndarray):
        raise XRayTo3DError("Give both films alike: two paths, or two arrays or radiographs.")
    both = _both(spacing)
    if side is None or both is None or sid is None or sod is None:
        raise XRayTo3DError("Films given as arrays need side, spacing, sid and sod.")
    if film.ndim != 2 or min(film.shape) < 2 or not np.isfinite(film).all():
        raise XRayTo3DError(
            f"The {view.value} film must be a finite array of two dimensions; its shape is "
            f"{film.shape}."
        )
    user = Origin.USER
    across = "L" if view is not View.LATERAL else ("P" if side is Side.RIGHT else "A")
    return Radiograph(
        pixels=film.astype(np.float32),
        spacing=Sourced(both, user),
        sid=Sourced(float(sid), user),
        sod=Sourced(float(sod), user),
        view=Sourced(view, Origin.ASSUMED, "given as such a film"),
        side=Sourced(side, user),
        orientation=Sourced((across, "F"), Origin.ASSUMED, "arrays are upright"),
        inverted=Sourced(False, Origin.ASSUMED, "in arrays bone is bright"),
    )


def _both(spacing: float | tuple[float, float] | None) -> tuple[float, float] | None:
    if spacing is None or isinstance(spacing, tuple):
        return spacing
    return float(spacing), float(spacing)


def _missing(surfaces: dict[Bone, Surface]) -> Iterator[str]:
    for bone in Bone:
        if bone not in surfaces:
            yield (
                f"No {bone.key} was found; check that both films show the whole joint and that "
                "side, views and centre are right."
            )
