"""A radiograph of bone surfaces made with gVirtualXRay: film that the training never sees.

The anatomy around the bones (:mod:`XRayTo3DLib.evaluation.gvxr_leg`), the ray tracing and the
attenuation coefficients (gVirtualXRay and its xraylib), the beam, the scatter, the detector and the
processing of the film are all apart from the simulator that makes the training's film, so that the
result of a network on it says something about film that is foreign to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.ndimage import gaussian_filter

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.evaluation.gvxr_leg import LegShape, leg_surfaces
from XRayTo3DLib.evaluation.gvxr_paths import mass_attenuation, path_lengths
from XRayTo3DLib.imaging.geometry import ViewGeometry

Range = tuple[float, float]


class Manufacturer(str, Enum):
    """Whose processing turns exposure into the picture that is shown."""

    A = "A"
    """A film-like characteristic curve, little else."""
    B = "B"
    """A wide latitude and hard edge enhancement."""
    C = "C"
    """Multi-scale: large differences compressed, details raised."""


@dataclass(frozen=True)
class ForeignFilmSettings:
    """From where to where each property of a film is drawn, uniformly; equal ends fix it.

    Attributes:
        tube_voltage: kV, peak.
        aluminium: total filtration, mm Al.
        soft_tissue: from the bones to the skin, mm.
        fat: subcutaneous fat, mm.
        cortex: thickness of the femur's cortex at the shaft, mm.
        subchondral: thickness of the bone's shell at the joint, mm.
        cortical_density: g/cm³.
        trabecular_bone: share of the volume of spongy bone that is bone, the rest is marrow.
        trabecular_texture: relative spread of that share as seen through the bone.
        scatter_ratio: scattered over primary radiation behind the thickest part of the leg.
        scatter_spread: standard deviation of the scattered radiation at the detector, mm.
        focal_spot: full width at half maximum, mm.
        detector_blur: standard deviation at the detector, mm.
        quanta: X-ray quanta that the open beam leaves in a square millimetre of the detector.
        electronic_noise: standard deviation, as a share of the open beam.
        manufacturers: those to draw from.
    """

    tube_voltage: Range = (60.0, 75.0)
    aluminium: Range = (2.5, 4.5)
    soft_tissue: Range = (15.0, 32.0)
    fat: Range = (4.0, 14.0)
    cortex: Range = (3.0, 5.5)
    subchondral: Range = (0.8, 1.6)
    cortical_density: Range = (1.75, 2.0)
    trabecular_bone: Range = (0.08, 0.22)
    trabecular_texture: Range = (0.03, 0.12)
    scatter_ratio: Range = (0.15, 0.9)
    scatter_spread: Range = (18.0, 45.0)
    focal_spot: Range = (0.6, 1.3)
    detector_blur: Range = (0.08, 0.3)
    quanta: Range = (2e4, 2e5)
    electronic_noise: Range = (1e-4, 1e-3)
    manufacturers: tuple[Manufacturer, ...] = tuple(Manufacturer)


def gvxr_film(
    bones: dict[Bone, Surface],
    geometry: ViewGeometry,
    settings: ForeignFilmSettings | None = None,
    seed: int = 0,
) -> np.ndarray:
    """A radiograph of a leg with these bones.

    Two views with the same seed show the same leg on the same machine.

    Args:
        bones: closed surfaces, faces outwards, RAS mm, the joint near the isocentre and the leg
            along z.
        geometry: source and detector.
        settings: what to draw from.
        seed: of everything that is drawn.

    Returns:
        ``(rows, columns)`` float32 in [0, 1], bone bright.

    Raises:
        XRayTo3DError: there is no bone, or gVirtualXRay cannot be used.
    """
    if not bones:
        raise XRayTo3DError("A film needs at least one bone; none was given.")
    settings = settings or ForeignFilmSettings()
    generator = np.random.default_rng(seed)
    shape = LegShape(
        cortex=generator.uniform(*settings.cortex),
        subchondral=generator.uniform(*settings.subchondral),
        soft_tissue=generator.uniform(*settings.soft_tissue),
        fat=generator.uniform(*settings.fat),
    )
    leg = leg_surfaces(bones, shape, generator)
    texture = 1 + generator.uniform(*settings.trabecular_texture) * _texture(geometry, generator)
    thickness = _thickness_of_tissues(path_lengths(leg, geometry), list(bones), texture)
    exposure = _exposure(thickness, settings, generator)
    exposure = _detected(exposure, thickness, geometry, settings, generator)
    manufacturer = settings.manufacturers[generator.integers(len(settings.manufacturers))]
    return _processed(exposure, thickness, manufacturer, geometry, generator).astype(np.float32)


# --- Tissues ------------------------------------------------------------------------------------

_ELEMENTS = {
    # Shares of mass: ICRU Report 44 (1989), appendix A.
    "muscle": {"H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "S": 0.003, "K": 0.004},
    "fat": {"H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "S": 0.001, "Na": 0.001},
    "marrow": {"H": 0.115, "C": 0.644, "N": 0.007, "O": 0.231, "S": 0.001, "Na": 0.001},
    "spongy marrow": {"H": 0.110, "C": 0.529, "N": 0.021, "O": 0.335, "S": 0.002, "K": 0.001},
    "cortical": {"H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "P": 0.103, "Ca": 0.225},
}
_DENSITY = {"muscle": 1.05, "fat": 0.95, "marrow": 0.98, "spongy marrow": 1.0}
"""g/cm³, same source."""


def _thickness_of_tissues(
    paths: dict[str, np.ndarray], bones: list[Bone], texture: np.ndarray
) -> dict[str, np.ndarray]:
    """mm of each tissue along each ray; ``"spongy"`` is spongy bone, trabeculae and marrow.

    A ray that meets a nested surface runs less far in the outer tissue. Rounding, and surfaces that
    touch, can leave a trace below zero.
    """
    bone = sum(paths[each.key] for each in bones)
    inside = sum(paths[f"{each.key}/inside"] for each in bones)
    canal = sum(paths[f"{each.key}/canal"] for each in bones if f"{each.key}/canal" in paths)
    canal = np.minimum(canal, inside)
    strands = np.minimum(paths["strands"], np.maximum(paths["muscle"] - bone, 0))
    thickness = {
        "fat": paths["skin"] - paths["muscle"] + strands,
        "muscle": paths["muscle"] - bone - strands,
        "cortical": bone - inside,
        "spongy": inside - canal,
        "marrow": canal + np.zeros_like(inside),
    }
    thickness = {tissue: np.maximum(length, 0) for tissue, length in thickness.items()}
    thickness["texture"] = texture
    return thickness


def _texture(geometry: ViewGeometry, generator: np.random.Generator) -> np.ndarray:
    """Trabeculae as a film shows them: noise between 0.5 and 3 mm, drawn out along the leg."""
    row, column = geometry.spacing
    noise = generator.standard_normal(geometry.shape)
    fine = gaussian_filter(noise, (0.9 / row, 0.4 / column))
    texture = fine - gaussian_filter(fine, (3.0 / row, 1.5 / column))
    return texture / texture.std()


# --- Beam ---------------------------------------------------------------------------------------

_BIN = 2.0
"""keV."""


def _exposure(
    thickness: dict[str, np.ndarray], settings: ForeignFilmSettings, generator: np.random.Generator
) -> np.ndarray:
    """Energy that the primary beam leaves in the detector, 1 in the open beam."""
    energies, weights = _spectrum(
        generator.uniform(*settings.tube_voltage), generator.uniform(*settings.aluminium)
    )
    cortical_density = generator.uniform(*settings.cortical_density)
    share = generator.uniform(*settings.trabecular_bone)
    trabecular = np.clip(share * thickness["texture"], 0, 1) * thickness["spongy"]
    masses = {  # g/cm² of what attenuates
        "muscle": _DENSITY["muscle"] * thickness["muscle"],
        "fat": _DENSITY["fat"] * thickness["fat"],
        "marrow": _DENSITY["marrow"] * thickness["marrow"],
        "spongy marrow": _DENSITY["spongy marrow"] * (thickness["spongy"] - trabecular),
        "cortical": cortical_density * (thickness["cortical"] + trabecular),
    }
    coefficients = {tissue: _attenuation(_ELEMENTS[tissue], energies) for tissue in masses}
    exposure = np.zeros_like(thickness["muscle"], dtype=np.float32)
    for k, weight in enumerate(weights):
        exponent = sum(
            (0.1 * coefficients[tissue][k] * mass).astype(np.float32)
            for tissue, mass in masses.items()
        )
        exposure += np.float32(weight) * np.exp(-exponent)
    return exposure.astype(float)


def _spectrum(tube_voltage: float, aluminium: float) -> tuple[np.ndarray, np.ndarray]:
    """Energies (keV) and the share that each has in what the open beam leaves in the detector.

    Kramers' law behind aluminium; below 70 kV tungsten's K lines play no part. The detector is
    0.5 mm of caesium iodide that integrates energy.
    """
    energies = np.arange(15.0, tube_voltage, _BIN)
    photons = tube_voltage / energies - 1.0
    filtered = photons * np.exp(-0.1 * aluminium * 2.699 * _attenuation({"Al": 1.0}, energies))
    iodide = {"Cs": 0.5115, "I": 0.4885}
    absorbed = 1 - np.exp(-0.05 * 4.51 * _attenuation(iodide, energies))
    weights = filtered * absorbed * energies
    return energies, weights / weights.sum()


def _attenuation(elements: dict[str, float], energies: np.ndarray) -> np.ndarray:
    """cm²/g of a mixture, given by the elements' shares of mass, at ``energies`` keV."""
    return sum(
        (
            share * mass_attenuation(element, tuple(energies.tolist()))
            for element, share in elements.items()
        ),
        start=np.zeros(len(energies)),
    )


# --- Detector -----------------------------------------------------------------------------------


def _detected(
    primary: np.ndarray,
    thickness: dict[str, np.ndarray],
    geometry: ViewGeometry,
    settings: ForeignFilmSettings,
    generator: np.random.Generator,
) -> np.ndarray:
    """Exposure with scatter, focal spot, quantum noise, detector blur and electronic noise."""
    spacing = np.array(geometry.spacing)
    tissue = np.sum(
        [thickness[name] for name in ("fat", "muscle", "cortical", "spongy", "marrow")], axis=0
    )
    spread = generator.uniform(*settings.scatter_spread) / spacing
    # What has gone out of the beam comes back widely spread; thick parts scatter most.
    scattered = gaussian_filter(primary * tissue / max(tissue.max(), 1.0), spread, mode="nearest")
    exposure = primary + generator.uniform(*settings.scatter_ratio) * scattered

    magnified = (geometry.sid - geometry.sod) / geometry.sod
    penumbra = generator.uniform(*settings.focal_spot) / 2.355 * magnified / spacing
    exposure = gaussian_filter(exposure, penumbra, mode="nearest")

    quanta = np.exp(generator.uniform(*np.log(settings.quanta))) * spacing.prod()
    noisy = generator.poisson(np.maximum(exposure, 0) * quanta) / quanta
    blur = generator.uniform(*settings.detector_blur) / spacing
    blurred = gaussian_filter(noisy.astype(float), blur, mode="nearest")
    electronic = generator.uniform(*settings.electronic_noise)
    return blurred + electronic * generator.standard_normal(blurred.shape)


# --- Processing ---------------------------------------------------------------------------------


def _processed(
    exposure: np.ndarray,
    thickness: dict[str, np.ndarray],
    manufacturer: Manufacturer,
    geometry: ViewGeometry,
    generator: np.random.Generator,
) -> np.ndarray:
    """What the console shows, in [0, 1].

    The window is found where the beam passed through the leg, as a console does.
    """
    opacity = -np.log(np.clip(exposure, 1e-4, None))
    leg = thickness["muscle"] > 0
    seen = opacity[leg] if leg.any() else opacity.ravel()
    low, high = np.percentile(seen, [2.0, 99.7])
    scaled = (opacity - low) / max(high - low, 1e-6)
    pixel = float(np.mean(geometry.spacing))
    curve = {Manufacturer.A: _curve_a, Manufacturer.B: _curve_b, Manufacturer.C: _curve_c}
    return np.clip(curve[manufacturer](scaled, pixel, generator), 0.0, 1.0)


def _curve_a(scaled: np.ndarray, pixel: float, generator: np.random.Generator) -> np.ndarray:
    """A sigmoid between toe and shoulder, like film's characteristic curve."""
    steepness, middle = generator.uniform(3.5, 6.0), generator.uniform(0.35, 0.55)
    low, high = (1 / (1 + np.exp(-steepness * (end - middle))) for end in (-0.15, 1.05))
    return (1 / (1 + np.exp(-steepness * (scaled - middle))) - low) / (high - low)


def _curve_b(scaled: np.ndarray, pixel: float, generator: np.random.Generator) -> np.ndarray:
    """Nearly linear in opacity, edges enhanced by unsharp masking."""
    radius, amount = generator.uniform(0.8, 2.5), generator.uniform(0.4, 1.2)
    sharp = scaled + amount * (scaled - gaussian_filter(scaled, radius / pixel, mode="nearest"))
    return np.clip(0.08 + 0.85 * sharp, 0, None) ** generator.uniform(0.75, 1.2)


def _curve_c(scaled: np.ndarray, pixel: float, generator: np.random.Generator) -> np.ndarray:
    """Bands of detail about 1 to 30 mm wide, the coarse ones lowered and the fine ones raised."""
    gain = generator.uniform(1.1, 1.5)
    fall = generator.uniform(0.8, 0.95)
    rest, result = np.clip(scaled, -0.4, 1.2), np.zeros_like(scaled)
    for width in (0.7, 1.5, 3.0, 6.0, 12.0, 24.0):
        coarse = gaussian_filter(rest, width / pixel, mode="nearest")
        band = rest - coarse
        # Saturating the band keeps strong edges from ringing.
        result += gain * 0.25 * np.tanh(band / 0.25)
        rest, gain = coarse, gain * fall
    toned = result + 0.75 * rest + 0.1
    return np.clip(toned, 0, None) ** generator.uniform(0.8, 1.1)
