"""From the stored values of a DICOM film to pixels in which bone is bright.

The chain is that of DICOM PS3.3 and PS3.4 N.2: modality LUT (C.11.1), VOI LUT (C.11.2), polarity
(C.7.6.3.1.2, C.11.6). A film FOR PROCESSING has not been made for the eye; its polarity and scale
are those of Pixel Intensity Relationship (C.8.11.3.1.2).

Compressed pixels are decoded by GDCM inside SimpleITK, which knows every JPEG family, needs no
further package and is part of Slicer. GDCM gets the pixels alone, so that it neither rescales nor
turns them.
"""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from PIL import Image, UnidentifiedImageError
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import SecondaryCaptureImageStorage

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.dicom_values import items_of, number_of, text_of
from XRayTo3DLib.imaging.grey import grey_of
from XRayTo3DLib.imaging.radiograph import Origin, Sourced

_DESCRIPTION = (
    "SamplesPerPixel",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
# A detector counts no fewer quanta than this share of the open field's: below is electronic noise.
_DARKEST_EXPOSURE = 1e-4


def film_pixels(
    dataset: Dataset, path: Path, inverted: bool | None = None
) -> tuple[np.ndarray, Sourced[bool], tuple[str, ...]]:
    """The film with bone bright.

    Args:
        dataset: of one frame, its Rows and Columns already checked.
        path: the file, for messages.
        inverted: the user's word whether bone is dark in the file.

    Returns:
        Pixels ``(rows, columns)`` float32, whether bone was dark in the file, and warnings.

    Raises:
        InputFileError: pixels that cannot be decoded, or in colour.
    """
    stored = stored_values(dataset, path)
    if inverted is None:
        dark_bone, warnings = _polarity(dataset, path)
    else:
        dark_bone, warnings = Sourced(inverted, Origin.USER, "--inverted"), ()
    if not _for_processing(dataset):
        values = voi_values(modality_values(stored, dataset), dataset)
    elif text_of(dataset, "PixelIntensityRelationship") == "LIN":
        return _attenuation(stored, dataset, dark_bone.value), dark_bone, warnings
    else:
        values = modality_values(stored, dataset)
    pixels = -values if dark_bone.value else values
    return pixels.astype(np.float32), dark_bone, warnings


def stored_values(dataset: Dataset, path: Path) -> np.ndarray:
    """The decoded pixels ``(rows, columns)``, of the stored integer type.

    Both decoders clear the bits above BitsStored, where older files keep overlays (PS3.5 8.1.2).

    Raises:
        InputFileError: as for :func:`film_pixels`.
    """
    colour = number_of(dataset, "SamplesPerPixel") not in (None, 1.0)
    try:
        if colour or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            values = _decoded_by_gdcm(dataset)
        else:
            values = dataset.pixel_array
    except Exception as error:  # both decoders raise whatever the damage leads them to
        raise InputFileError(
            path, "its pixels cannot be decoded (damaged or cut short); export the film again."
        ) from error
    if colour:
        return grey_of(values, path)
    if values.shape != (dataset.Rows, dataset.Columns):
        raise InputFileError(path, "its pixels are not those its header describes; export again.")
    return values


def _decoded_by_gdcm(dataset: Dataset) -> np.ndarray:
    alone = Dataset()
    for keyword in _DESCRIPTION:
        if keyword in dataset:
            alone[keyword] = dataset[keyword]
    alone.PhotometricInterpretation = (
        "MONOCHROME2" if dataset.SamplesPerPixel == 1 else dataset.PhotometricInterpretation
    )
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        alone.PixelData = encapsulate([_one_frame(dataset)])
        alone["PixelData"].VR = "OB"
    else:
        alone["PixelData"] = dataset["PixelData"]
    alone.SOPClassUID = SecondaryCaptureImageStorage
    alone.SOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["pixels alone"])
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with tempfile.TemporaryDirectory() as folder:
        name = str(Path(folder) / "film.dcm")
        pydicom.dcmwrite(name, alone, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(name)
        array = sitk.GetArrayFromImage(reader.Execute())
    return array[0] if array.shape[0] == 1 else array


def _one_frame(dataset: Dataset) -> bytes:
    """The compressed frame, whole: GDCM makes room for whatever lengths and sizes it reads.

    Raises:
        ValueError: it claims another size than the header, or has no end.
    """
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    try:
        with Image.open(BytesIO(frame)) as picture:
            size = picture.size
    except UnidentifiedImageError:  # of a kind that Pillow does not know, such as RLE
        return frame
    if size != (dataset.Columns, dataset.Rows):
        raise ValueError(f"The frame claims {size}.")
    return frame


def modality_values(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Modality LUT: the table, or slope and intercept; float64."""
    for item in items_of(dataset, "ModalityLUTSequence"):
        return _looked_up(stored.astype(float), item, dataset)
    slope = number_of(dataset, "RescaleSlope")
    intercept = number_of(dataset, "RescaleIntercept")
    return stored * (1.0 if slope is None else slope) + (intercept or 0.0)


def voi_values(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Through the first VOI LUT, or else the first window (0 to 1), or else as they are.

    A window in which nothing of the film is left is passed over.
    """
    for item in items_of(dataset, "VOILUTSequence"):
        shown = _looked_up(values, item, dataset)
        break
    else:
        shown = _windowed(values, dataset)
    return values if np.ptp(shown) == 0 else shown


def _windowed(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, scaled to 0–1."""
    centre = number_of(dataset, "WindowCenter")
    width = number_of(dataset, "WindowWidth")
    if centre is None or width is None or width <= 0:
        return values
    function = text_of(dataset, "VOILUTFunction")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0.0, 1.0)
    if width <= 1:
        return (values > centre - 0.5).astype(float)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _looked_up(values: np.ndarray, item: Dataset, dataset: Dataset) -> np.ndarray:
    """PS3.3 C.11.1.1: values before the first entry take the first, beyond the last the last."""
    try:
        count, first, _ = (int(number) for number in item.LUTDescriptor)
        table = _table(item, count or 65536, dataset)
    except (AttributeError, TypeError, ValueError):
        return values
    if len(table) == 0:
        return values
    if first > 32767 and dataset.PixelRepresentation == 1:
        first -= 65536
    index = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.int64)
    return table[index]


def _table(item: Dataset, count: int, dataset: Dataset) -> np.ndarray:
    data = item.LUTData
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, dtype=float))[:count]
    if len(data) < 2 * count:
        return np.frombuffer(data, dtype=np.uint8)[:count].astype(float)
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    return np.frombuffer(data, dtype=f"{order}u2", count=count).astype(float)


def _for_processing(dataset: Dataset) -> bool:
    return text_of(dataset, "PresentationIntentType") == "FOR PROCESSING"


def _polarity(dataset: Dataset, path: Path) -> tuple[Sourced[bool], tuple[str, ...]]:
    sign = number_of(dataset, "PixelIntensityRelationshipSign")
    if _for_processing(dataset) and sign in (1.0, -1.0):
        note = f"PixelIntensityRelationshipSign (0028,1041) {sign:+.0f}"
        return Sourced(sign > 0, Origin.HEADER, note), ()
    photometric = text_of(dataset, "PhotometricInterpretation")
    dark_bone = photometric == "MONOCHROME1"
    sourced = Sourced(dark_bone, Origin.HEADER, f"PhotometricInterpretation {photometric}")
    shape = text_of(dataset, "PresentationLUTShape")
    if shape in ("IDENTITY", "INVERSE") and (shape == "INVERSE") != dark_bone:
        return sourced, (
            f"{path.name}: PresentationLUTShape {shape} contradicts {photometric}; the latter is "
            "used: if bone is shown dark, say --inverted or --no-inverted.",
        )
    return sourced, ()


def _attenuation(stored: np.ndarray, dataset: Dataset, dark_bone: bool) -> np.ndarray:
    """Beer and Lambert: minus the log of the exposure relative to the open field."""
    bits = int(dataset.BitsStored)
    low = -(2 ** (bits - 1)) if dataset.PixelRepresentation == 1 else 0
    high = low + 2**bits - 1
    exposure = stored.astype(float) - low if dark_bone else high - stored.astype(float)
    open_field = np.percentile(exposure, 99.9)
    relative = exposure / open_field if open_field > 0 else np.ones_like(exposure)
    return -np.log(np.clip(relative, _DARKEST_EXPOSURE, 1.0)).astype(np.float32)
