"""``xrayto3d rerender``: a density volume seen from elsewhere, in another light, or altered."""

from __future__ import annotations

from contextlib import nullcontext
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np

    from XRayTo3DLib.anatomy.bones import Bone
    from XRayTo3DLib.imaging.film_settings import FilmSettings
    from XRayTo3DLib.tomography.rerender import Renderer, Window
    from XRayTo3DLib.tomography.segments import SegmentedDensity
    from XRayTo3DLib.tomography.viewpoint import OrbitCamera

_STAND = "Viewpoint and machine"
_LIGHT = "Beam and tone"
_ANATOMY = "Anatomy (needs --segments)"
_PICTURES = "More pictures"
_STEREO_ANGLE = 6.0


class BoneOption(str, Enum):
    """The values of ``--without`` and ``--colour``."""

    FEMUR = "femur"
    TIBIA = "tibia"
    PATELLA = "patella"
    FIBULA = "fibula"


def parse_point(text: str) -> tuple[float, float, float]:
    """``"R,A,S"`` as three numbers, mm."""
    try:
        right, front, up = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not R,A,S, as in 0,10,-5.") from None
    return right, front, up


def parse_motion(text: str) -> tuple[str, tuple[float, ...]]:
    """``"BONE=R,A,S"`` or ``"BONE=R,A,S,X,Y,Z"`` as the bone's name and its numbers."""
    name, _, numbers = text.partition("=")
    try:
        values = tuple(float(part) for part in numbers.split(","))
        if len(values) not in (3, 6):
            raise ValueError
        return BoneOption(name.strip().lower()).value, values
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not BONE=R,A,S or BONE=R,A,S,X,Y,Z, as in patella=0,8,0."
        ) from None


def _option(what: str, panel: str, unit: str | None = None, **more: Any) -> Any:
    return typer.Option(help=what, metavar=unit, rich_help_panel=panel, **more)


def rerender(
    density: Annotated[
        Path,
        typer.Argument(
            help="Density volume or CT in Hounsfield units: NRRD, NIfTI, MHA or a DICOM folder."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="A .png file, or a folder for view.png and the others."
        ),
    ],
    turn: Annotated[
        float,
        _option(
            "About the leg's long axis, counter-clockwise from above; 0 is AP, 90 the lateral of "
            "a right knee, -90 that of a left, degrees.",
            _STAND,
            "DEG",
        ),
    ] = 0.0,
    elevation: Annotated[
        float, _option("By which the tube is raised and tilted down, degrees.", _STAND, "DEG")
    ] = 0.0,
    sid: Annotated[
        float | None, _option("Source to image (detector), mm (default: 1000).", _STAND, "MM")
    ] = None,
    sod: Annotated[
        float | None,
        _option("Source to object (point looked at), mm (default: SID - 100).", _STAND, "MM"),
    ] = None,
    magnification: Annotated[
        float | None, _option("SID / SOD, in place of --sod.", _STAND, "RATIO")
    ] = None,
    about: Annotated[
        Any,
        _option(
            "Point looked at, RAS mm (default: middle of the volume).",
            _STAND,
            "R,A,S",
            parser=parse_point,
        ),
    ] = None,
    detector: Annotated[
        float | None,
        _option("Side of the square detector, mm (default: as the volume is high).", _STAND, "MM"),
    ] = None,
    size: Annotated[int, _option("Pixels a side.", _STAND, "PIXELS")] = 512,
    kvp: Annotated[float, _option("Peak tube voltage, kV, 40-120.", _LIGHT, "KV")] = 65.0,
    filtration: Annotated[float, _option("Total filtration, mm of aluminium.", _LIGHT, "MM")] = 2.7,
    kev: Annotated[
        float | None,
        _option(
            "Photon energy of a beam of one energy, keV, 15-150; no --kvp then.", _LIGHT, "KEV"
        ),
    ] = None,
    exposure: Annotated[
        float | None,
        _option(
            "Photons counted per mm² of the open detector; few make noise (default: no noise).",
            _LIGHT,
            "N",
        ),
    ] = None,
    seed: Annotated[int, _option("Of the noise.", _LIGHT, min=0)] = 0,
    level: Annotated[
        float | None,
        _option(
            "Middle of the window, -ln of the transmission (default: fits the picture).",
            _LIGHT,
            "VALUE",
        ),
    ] = None,
    width: Annotated[
        float | None,
        _option("Width of the window, -ln of the transmission (default: fits).", _LIGHT, "VALUE"),
    ] = None,
    gamma: Annotated[
        float, _option("Exponent of the tone curve; above 1 darkens.", _LIGHT, "VALUE")
    ] = 1.0,
    inverted: Annotated[
        bool, typer.Option("--inverted", help="Show bone dark.", rich_help_panel=_LIGHT)
    ] = False,
    segments: Annotated[
        Path | None,
        _option("Segments of the bones, as knee.seg.nrrd of a reconstruction.", _ANATOMY),
    ] = None,
    without: Annotated[
        list[BoneOption] | None, _option("Take a bone out; repeatable.", _ANATOMY)
    ] = None,
    move: Annotated[
        list[Any] | None,
        _option(
            "Move a bone to the right, front and up, mm; and turn it about these axes through its "
            "middle, degrees; repeatable.",
            _ANATOMY,
            "BONE=R,A,S[,X,Y,Z]",
            parser=parse_motion,
        ),
    ] = None,
    flex: Annotated[
        float, _option("Bend the knee further, degrees, -10 to 60.", _ANATOMY, "DEG")
    ] = 0.0,
    colour: Annotated[
        list[BoneOption] | None, _option("Show a bone in its colour; repeatable.", _ANATOMY)
    ] = None,
    stereo: Annotated[
        float | None,
        _option(
            "Write a stereo pair, left eye at the left; degrees between the eyes (6 suits most).",
            _PICTURES,
            "DEG",
        ),
    ] = None,
    anaglyph: Annotated[
        bool,
        typer.Option(
            "--anaglyph",
            help="Write a picture for red-cyan glasses, red at the left.",
            rich_help_panel=_PICTURES,
        ),
    ] = False,
    turntable: Annotated[
        Path | None,
        _option(
            "Write a film once around the leg: a .gif, .ogv or (with ffmpeg) .mp4 file, beside the "
            "others unless a folder is named.",
            _PICTURES,
            "FILE",
        ),
    ] = None,
    frames: Annotated[
        int, _option("Pictures of the turntable, 20 a second.", _PICTURES, min=2, max=720)
    ] = 72,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace pictures of an earlier run.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads (default: all cores).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Make radiographs of a density volume from any viewpoint, in any light, or altered.

    What lies beyond the volume is taken for air. The pictures are computed, no radiographs. Not
    for clinical use.
    """
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.progress import ShellProgress, silent
    from XRayTo3DLib.tomography.density_files import read_density
    from XRayTo3DLib.tomography.moving_picture import check_moving_picture, write_moving_picture
    from XRayTo3DLib.tomography.picture_files import check_targets, staged, write_png
    from XRayTo3DLib.tomography.rerender import Renderer
    from XRayTo3DLib.tomography.stereo import anaglyph as anaglyph_of
    from XRayTo3DLib.tomography.stereo import side_by_side
    from XRayTo3DLib.tomography.studio import Studio

    targets = _targets(output, stereo is not None, anaglyph, turntable)
    check_targets(targets, overwrite=overwrite)
    if turntable is not None:
        check_moving_picture(turntable)
    edits = [option.value for option in without or ()], dict(move or ()), flex
    colours = tuple(_bone(option.value) for option in colour or ())
    if segments is None and (any(edits) or colours):
        raise XRayTo3DError("Anatomy is changed or coloured by segments; name them by --segments.")
    settings = _settings(kvp, filtration, kev, exposure, gamma, inverted)
    _use_threads(threads)
    volume = read_density(density)
    camera = _camera(volume.grid, turn, elevation, sid, sod, magnification, about, detector, size)
    view = camera.view
    knee = None
    if segments is not None:
        knee = _altered(volume, segments, *edits)
        volume = knee.volume
    renderer = Renderer(volume)
    window = _window(renderer, camera, settings, level, width)
    studio = Studio(renderer, settings, window, knee, colours, seed)
    with nullcontext(silent) if quiet else ShellProgress() as progress, staged(targets) as places:
        write_png(studio.still(view), places["view"])
        if stereo is not None or anaglyph:
            pair = studio.stereo_pair(camera, _STEREO_ANGLE if stereo is None else stereo)
            if "stereo" in places:
                write_png(side_by_side(*pair), places["stereo"])
            if "anaglyph" in places:
                write_png(anaglyph_of(*pair), places["anaglyph"])
        if "turntable" in places:
            pictures = studio.turntable(camera, frames, progress)
            write_moving_picture(pictures, places["turntable"])
    if not quiet:
        typer.echo(
            f"{camera.turn:g}° about the leg, raised {camera.elevation:g}°, SID {camera.sid:g} mm, "
            f"magnification {camera.magnification:.3g}; window level {window.level:.3g}, "
            f"width {window.width:.3g}"
        )
        for path in targets.values():
            typer.echo(path)


def _targets(output: Path, stereo: bool, anaglyph: bool, turntable: Path | None) -> dict[str, Path]:
    """The files to write, by what they are."""
    if output.suffix.lower() == ".png":
        folder, prefix, view = output.parent, f"{output.stem}-", output
    else:
        folder, prefix, view = output, "", output / "view.png"
    targets = {"view": view}
    for name, wanted in (("stereo", stereo), ("anaglyph", anaglyph)):
        if wanted:
            targets[name] = folder / f"{prefix}{name}.png"
    if turntable is not None:
        named = turntable.parent != Path()
        targets["turntable"] = turntable if named else folder / turntable
    return targets


def _settings(
    kvp: float,
    filtration: float,
    kev: float | None,
    exposure: float | None,
    gamma: float,
    inverted: bool,
) -> FilmSettings:
    import math

    from XRayTo3DLib.imaging.film_settings import FilmSettings
    from XRayTo3DLib.imaging.materials import linear_attenuation
    from XRayTo3DLib.imaging.spectrum import spectrum
    from XRayTo3DLib.tomography.composition import COMPONENTS

    # Both refuse what they do not cover, now rather than after the volume is read.
    if kev is None:
        spectrum(kvp, filtration)
    else:
        linear_attenuation(COMPONENTS[0], kev)
    return FilmSettings(
        kvp=kvp,
        filtration_mm_al=filtration,
        energy_kev=kev,
        exposure=math.inf if exposure is None else exposure,
        gamma=gamma,
        inverted=inverted,
    )


def _camera(
    grid: Any,
    turn: float,
    elevation: float,
    sid: float | None,
    sod: float | None,
    magnification: float | None,
    about: tuple[float, float, float] | None,
    detector: float | None,
    size: int,
) -> OrbitCamera:
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.imaging.scale import DEFAULT_SID, KNEE_TO_DETECTOR
    from XRayTo3DLib.tomography.viewpoint import OrbitCamera, fitting_detector

    distance = DEFAULT_SID if sid is None else sid
    if sod is not None and magnification is not None:
        raise XRayTo3DError("--sod and --magnification say the same thing; give one of them.")
    if magnification is not None:
        if not magnification > 1:
            raise XRayTo3DError(f"The magnification is {magnification:g}; it must be above 1.")
        sod = distance / magnification
    return OrbitCamera(
        turn,
        elevation,
        distance,
        distance - KNEE_TO_DETECTOR if sod is None else sod,
        fitting_detector(grid) if detector is None else detector,
        size,
        grid.centre if about is None else about,
    )


def _bone(name: str) -> Bone:
    from XRayTo3DLib.anatomy.bones import Bone

    return Bone[name.upper()]


def _altered(
    volume: Any, path: Path, without: list[str], moves: dict[str, tuple[float, ...]], flex: float
) -> SegmentedDensity:
    """The volume with its bones known and changed: bent first, then moved, then taken out."""
    from XRayTo3DLib.tomography.edited import moved
    from XRayTo3DLib.tomography.edited import without as taken_out
    from XRayTo3DLib.tomography.flexion import flexed
    from XRayTo3DLib.tomography.segments import SegmentedDensity, read_segments

    knee = SegmentedDensity(volume, read_segments(path, volume.grid))
    if flex:
        knee = flexed(knee, flex)
    if moves:
        bones = {_bone(name): numbers for name, numbers in moves.items()}
        knee = moved(knee, {bone: _motion(knee, bone, n) for bone, n in bones.items()})
    if without:
        knee = taken_out(knee, [_bone(name) for name in without])
    return knee


def _motion(knee: SegmentedDensity, bone: Bone, numbers: tuple[float, ...]) -> np.ndarray:
    """4×4 of a shift and a turn about the bone's middle, RAS."""
    import numpy as np

    from XRayTo3DLib.anatomy.knee import rotation

    middle = knee.volume.grid.to_ras(np.argwhere(knee.mask(bone)).mean(axis=0))
    motion = np.eye(4)
    for axis, degrees in zip("xyz", numbers[3:], strict=False):
        motion = rotation(axis, degrees, middle) @ motion
    motion[:3, 3] += numbers[:3]
    return motion


def _window(
    renderer: Renderer,
    camera: OrbitCamera,
    settings: FilmSettings,
    level: float | None,
    width: float | None,
) -> Window:
    """What the user says of the window, and what fits the first picture for the rest."""
    from XRayTo3DLib.tomography.rerender import Window

    if level is not None and width is not None:
        return Window(level, width)
    fitting = renderer.window(camera.view, settings)
    return Window(
        fitting.level if level is None else level, fitting.width if width is None else width
    )


def _use_threads(count: int | None) -> None:
    if count is None:
        return
    import torch

    torch.set_num_threads(count)
