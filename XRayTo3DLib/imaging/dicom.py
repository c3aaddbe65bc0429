"""Reading a DICOM radiograph: DX, CR, RF, XA or secondary capture, one frame."""

from __future__ import annotations

import hashlib
import warnings as python_warnings
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.imaging.dicom_pixels import film_pixels
from XRayTo3DLib.imaging.dicom_scale import stated_scale
from XRayTo3DLib.imaging.dicom_values import number_of, text_of, value_of
from XRayTo3DLib.imaging.dicom_view import stated_orientation, stated_side, stated_view
from XRayTo3DLib.imaging.picture_size import check_size
from XRayTo3DLib.imaging.radiograph import Study
from XRayTo3DLib.imaging.stated_film import StatedFilm

_RADIOGRAPHS = ("CR", "DX", "RF", "RG", "XA", "OT", "SC", "")
# First group of a data set that has no preamble: 0002 or 0008, in either byte order.
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")


def has_preamble(path: Path) -> bool:
    """Whether the file says that it is DICOM (PS3.10 7.1)."""
    return _head(path)[128:] == b"DICM"


def looks_like_bare_dataset(path: Path) -> bool:
    """Whether the first bytes are those of a DICOM data set without a preamble."""
    head = _head(path)
    return len(head) == 132 and head[:2] in _FIRST_GROUPS


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


def read_dicom(path: Path, inverted: bool | None = None) -> StatedFilm:
    """The film and everything that its header says.

    Args:
        path: the file.
        inverted: the user's word whether bone is dark in the file.

    Raises:
        InputFileError: the file is damaged, no radiograph, in colour, or of several frames.
    """
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # what pydicom minds is checked here
        return _film(_opened(path), path, inverted)


def _film(dataset: Dataset, path: Path, inverted: bool | None) -> StatedFilm:
    _check_kind(dataset, path)
    pixels, dark_bone, warnings = film_pixels(dataset, path, inverted)
    view, about_view = stated_view(dataset, path)
    side, about_side = stated_side(dataset, path)
    return StatedFilm(
        pixels=pixels,
        inverted=dark_bone,
        scale=stated_scale(dataset, path),
        view=view,
        side=side,
        orientation=stated_orientation(dataset),
        study=_study(dataset),
        warnings=warnings + about_view + about_side,
    )


def _opened(path: Path) -> Dataset:
    try:
        dataset = pydicom.dcmread(path, force=True)
        _complete_syntax(dataset)
    except Exception as error:  # pydicom raises whatever the damage leads it to
        raise InputFileError(
            path, "is a damaged or truncated DICOM file; export the film again."
        ) from error
    return dataset


def _complete_syntax(dataset: pydicom.FileDataset) -> None:
    """Files without a meta header are in one of the three plain syntaxes."""
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" in dataset.file_meta:
        return
    implicit, little = dataset.original_encoding
    plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian


def _check_kind(dataset: Dataset, path: Path) -> None:
    modality = text_of(dataset, "Modality")
    if modality not in _RADIOGRAPHS:
        raise InputFileError(
            path, f"is no radiograph (Modality {modality[:16]}); use a DX, CR or RF film."
        )
    if "PixelData" not in dataset:
        raise InputFileError(
            path, "is a DICOM file without a picture (or cut short); use a DX, CR or RF film."
        )
    rows, columns = number_of(dataset, "Rows"), number_of(dataset, "Columns")
    if rows is None or columns is None or value_of(dataset, "BitsStored") is None:
        raise InputFileError(path, "does not say how its picture is stored; export the film again.")
    check_size(path, (int(rows), int(columns)))
    frames = number_of(dataset, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise InputFileError(
            path, f"holds {frames:.0f} frames, not one film; export the frame to use by itself."
        )
    photometric = text_of(dataset, "PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        raise InputFileError(path, "is a colour picture, not a radiograph; use a grey film.")


def _study(dataset: Dataset) -> Study:
    patient = text_of(dataset, "PatientID")
    digest = hashlib.sha256(patient.encode()).hexdigest() if patient else None
    return Study(digest, text_of(dataset, "StudyDate") or None)
