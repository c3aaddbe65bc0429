"""What was done, with what, on which assumptions: the report of a reconstruction."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.geometry import ViewGeometry
from XRayTo3DLib.imaging.radiograph import Radiograph, Sourced
from XRayTo3DLib.reconstruction.checked_film import CheckedFilm
from XRayTo3DLib.reconstruction.finding_geometry import lean_in
from XRayTo3DLib.reconstruction.outlines import Outlines, agreement, outlines_of
from XRayTo3DLib.reconstruction.result import Fit, Reconstruction, StyledFilms
from XRayTo3DLib.reconstruction.uncertainty import expected_error, surface_deviations
from XRayTo3DLib.resources import shipped_digest

NOT_FOR_CLINICAL_USE = "Not for clinical use"

_PACKAGES = {"xrayto3d": "XRayTo3D", "torch": "torch", "vtk": "vtk", "simpleitk": "SimpleITK"}
_DECIMALS = 4


def build_report(
    reconstruction: Reconstruction, *, frame: str = "LPS", outlines: Outlines | None = None
) -> dict[str, Any]:
    """The report as JSON-able values: lengths in mm, volumes in mm³ and cm³, times in seconds.

    Of the input it names the files, without their folders, and nothing of the patient. All that
    differs between two runs on the same films stands under ``seconds``.

    Args:
        reconstruction: what to report.
        frame: ``"LPS"`` or ``"RAS"``, in which the surfaces were written.
        outlines: of :func:`outlines_of`, when the caller has them already.
    """
    outlines = outlines_of(reconstruction) if outlines is None else outlines
    return {
        "notice": NOT_FOR_CLINICAL_USE,
        "versions": _versions(),
        "weights": {
            "name": reconstruction.model.name,
            "sha256": reconstruction.model.sha256,
            "licence": reconstruction.model.licence,
        },
        "side": reconstruction.side.value,
        "surfaces": {"frame": frame, "unit": "mm", "origin": "isocentre"},
        "field_of_view": {
            "frame": "RAS",
            "centre_mm": list(reconstruction.grid.centre),
            "size_mm": [n * reconstruction.grid.spacing for n in reconstruction.grid.shape[::-1]],
            "voxel_mm": reconstruction.grid.spacing,
        },
        "views": {
            name: _view(film, view, centre)
            for name, film, view, centre in zip(
                ("frontal", "lateral"),
                (reconstruction.frontal, reconstruction.lateral),
                reconstruction.geometry.views,
                (reconstruction.centres.frontal, reconstruction.centres.lateral),
                strict=True,
            )
        },
        "angle_between_views_degrees": round(reconstruction.geometry.angle, _DECIMALS),
        "bones": _bones(reconstruction, outlines),
        "style": _style(reconstruction.styled),
        "refinement": _fit(reconstruction.fit),
        "seconds": _seconds(reconstruction.seconds),
        "warnings": list(all_warnings(reconstruction)),
    }


def all_warnings(reconstruction: Reconstruction) -> tuple[str, ...]:
    """Sentences of the reconstruction and of its films, each once, in that order."""
    films = (reconstruction.frontal, reconstruction.lateral)
    sentences = (*reconstruction.warnings, *(line for film in films for line in film.warnings))
    return tuple(dict.fromkeys(sentences))


def cut_sides(labels: np.ndarray, bone: Bone) -> tuple[str, ...]:
    """The sides of the field of view at which the bone goes on: its voxels touch that face.

    Args:
        labels: ``(z, y, x)``.
        bone: which bone.
    """
    mask = labels == bone
    faces = {
        "inferior": mask[0],
        "superior": mask[-1],
        "posterior": mask[:, 0],
        "anterior": mask[:, -1],
        "left": mask[:, :, 0],
        "right": mask[:, :, -1],
    }
    return tuple(name for name, face in faces.items() if face.any())


def _versions() -> dict[str, str | None]:
    found = {key: _version(package) for key, package in _PACKAGES.items()}
    return {"xrayto3d": found["xrayto3d"], "python": platform.python_version(), **found}


def _version(package: str) -> str | None:
    """The installed version; None where a package has none, as the program run from a checkout."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _view(film: Radiograph, view: ViewGeometry, centre: Sourced[Pixel]) -> dict[str, Any]:
    return {
        "file": film.path.name if film.path else None,
        "size_pixels": {"rows": film.pixels.shape[0], "columns": film.pixels.shape[1]},
        "view": _sourced(film.view, film.view.value.value),
        "side": _sourced(film.side, film.side.value.value),
        "spacing_mm": _sourced(film.spacing, list(film.spacing.value)),
        "sid_mm": _sourced(film.sid, film.sid.value),
        "sod_mm": _sourced(film.sod, film.sod.value),
        "magnification": round(film.magnification, _DECIMALS),
        "orientation_in_file": _sourced(film.orientation, list(film.orientation.value)),
        "bone_dark_in_file": _sourced(film.inverted, film.inverted.value),
        "recognition": _recognition(film),
        "joint_pixel": _sourced(centre, _rounded(np.array(centre.value))),
        "leg_leans_right_degrees": round(lean_in(view), 1),
        "geometry_ras_mm": {
            "source": _rounded(view.source),
            "first_pixel": _rounded(view.first_pixel),
            "row_step": _rounded(view.row_step),
            "column_step": _rounded(view.column_step),
        },
    }


def _recognition(film: Radiograph) -> dict[str, Any] | None:
    """What the film looked like, as it was read; None where nobody looked."""
    if not isinstance(film, CheckedFilm) or film.recognition is None:
        return None
    seen = film.recognition
    return {
        "is_knee": seen.is_knee,
        "view": seen.view.value,
        "side": seen.side.value if seen.side else None,
        "mirrored": seen.mirrored,
        "upside_down": seen.upside_down,
        "inverted": seen.inverted,
        "confidence": {fact: round(value, _DECIMALS) for fact, value in seen.confidence.items()},
        "metal_mm2": _optional(film.metal),
        "cast": film.cast,
    }


def _sourced(fact: Sourced[Any], value: Any) -> dict[str, Any]:
    return {"value": value, "origin": fact.origin.value, "note": fact.note}


def _bones(reconstruction: Reconstruction, outlines: Outlines) -> dict[str, Any]:
    labels = reconstruction.labels
    errors = _expected_errors(reconstruction)
    facts: dict[str, Any] = {bone.key: {"found": False} for bone in Bone}
    for bone, surface in reconstruction.surfaces.items():
        facts[bone.key] = {
            "found": True,
            **_size(surface),
            "cut_by_field_of_view": list(cut_sides(labels, bone)),
            "expected_error_mm": errors.get(bone),
            "outline_agreement": {
                name: _optional(agreement(film, contours))
                for name, film, contours in zip(
                    ("frontal", "lateral"),
                    (reconstruction.frontal, reconstruction.lateral),
                    outlines[bone],
                    strict=True,
                )
            },
        }
    return facts


def _expected_errors(reconstruction: Reconstruction) -> dict[Bone, float]:
    """mm; none of another model than that of which it was measured how sure it may be of itself."""
    if reconstruction.model.sha256 != shipped_digest():
        return {}
    deviations = surface_deviations(
        reconstruction.surfaces, reconstruction.probabilities, reconstruction.grid
    )
    return {bone: round(expected_error(each), 2) for bone, each in deviations.items()}


def _style(styled: StyledFilms | None) -> dict[str, str] | None:
    return None if styled is None else {"weights": styled.name, "sha256": styled.sha256}


def _fit(fit: Fit | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    before, after = (None if np.isnan(mm) else round(mm, 3) for mm in (fit.before, fit.after))
    return {
        "outline_error_before_mm": before,
        "outline_error_mm": after,
        "stopped": fit.stopped,
        "more_flexion_on_lateral_degrees": round(fit.flexion, 1) + 0.0,  # never -0.0
        "why": "the lateral film shows a bent knee" if fit.automatic else "asked for",
        "flexion_on_lateral_degrees": _optional(fit.flexion_shown, 1),
    }


def _size(surface: Surface) -> dict[str, Any]:
    return {
        "volume_mm3": round(surface.volume, 1),
        "volume_cm3": round(surface.volume / 1000, 2),
        "bounding_box_ras_mm": {
            "from": _rounded(surface.vertices.min(axis=0)),
            "to": _rounded(surface.vertices.max(axis=0)),
        },
    }


def _seconds(stages: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage and ``total``, which is their sum unless it was measured."""
    rounded = {stage: round(value, _DECIMALS) for stage, value in stages.items()}
    return {**rounded, "total": rounded.get("total", round(sum(stages.values()), _DECIMALS))}


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), _DECIMALS) for value in values]


def _optional(value: float | None, decimals: int = _DECIMALS) -> float | None:
    return None if value is None else round(value, decimals)
