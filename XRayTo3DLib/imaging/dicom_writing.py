"""Writing a radiograph as a DICOM DX image for presentation (PS3.3 A.26)."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.orientation import Orientation, parse_orientation
from XRayTo3DLib.imaging.radiograph import Side, View

_UID_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, "https://dicom.nema.org/XRayTo3D")
# SNOMED CT codes of PS3.16: CID 4010 "DX View", CID 4009 "DX Anatomy Imaged", CID 244 "Laterality".
_VIEW_CODES = {
    View.AP: ("399348003", "antero-posterior"),
    View.PA: ("272479007", "postero-anterior"),
    View.LATERAL: ("399260004", "medial-lateral"),
}
_VIEW_POSITIONS = {
    (View.AP, Side.RIGHT): "AP",
    (View.AP, Side.LEFT): "AP",
    (View.PA, Side.RIGHT): "PA",
    (View.PA, Side.LEFT): "PA",
    (View.LATERAL, Side.RIGHT): "RL",
    (View.LATERAL, Side.LEFT): "LL",
}
_SIDE_CODES = {Side.RIGHT: ("24028007", "Right"), Side.LEFT: ("7771000", "Left")}
_KNEE = ("72696002", "Knee")


def derived_uid(*parts: str | bytes) -> str:
    """A UID below 2.25 (PS3.5 B.2) that is the same whenever the parts are."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return f"2.25.{uuid.uuid5(_UID_ROOT, digest.hexdigest()).int}"


def write_radiograph_dicom(
    path: str | Path,
    pixels: np.ndarray,
    *,
    view: View,
    side: Side,
    spacing: tuple[float, float],
    sid: float,
    sod: float,
    patient_orientation: Orientation,
    description: str,
    study_uid: str | None = None,
    instance: int = 1,
) -> None:
    """Write a generated film of nobody; the same input gives the same bytes.

    Args:
        path: file to write.
        pixels: ``(rows, columns)`` uint16, bone bright (P-values, MONOCHROME2).
        view: AP, PA or lateral.
        side: which knee.
        spacing: mm between pixels at the detector, (row, column).
        sid: source–image distance, mm.
        sod: source–object distance, mm.
        patient_orientation: what rows and columns run towards, e.g. ``("P", "F")``.
        description: of the series, at most 64 characters.
        study_uid: the same for the films of one pair; derived from the pixels by default.
        instance: Instance Number, and number of the series.

    Raises:
        XRayTo3DError: pixels or values that cannot be written.
    """
    _check(path, pixels, spacing, sid, sod, patient_orientation)
    little_endian = np.ascontiguousarray(pixels, dtype="<u2").tobytes()
    facts = f"{pixels.shape}{view}{side}{spacing}{sid}{sod}{patient_orientation}{description}"
    dataset = Dataset()
    _identify(dataset, little_endian, facts, study_uid, instance)
    _describe_patient_and_series(dataset, description, instance)
    _describe_image(dataset, pixels, little_endian)
    _describe_anatomy(dataset, view, side, patient_orientation)
    _describe_geometry(dataset, spacing, sid, sod)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    try:
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    except OSError as error:
        raise XRayTo3DError(
            f"{Path(path).name} could not be written; check the folder and the space left."
        ) from error


def _check(
    path: str | Path,
    pixels: np.ndarray,
    spacing: tuple[float, float],
    sid: float,
    sod: float,
    orientation: Orientation,
) -> None:
    name = Path(path).name
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise XRayTo3DError(
            f"{name} needs pixels (rows, columns) of uint16, not {pixels.dtype} {pixels.shape}."
        )
    if parse_orientation(orientation) is None:
        raise XRayTo3DError(f"{name}: {orientation} are not two directions such as ('P', 'F').")
    if not (min(spacing) > 0 and 0 < sod < sid):
        raise XRayTo3DError(
            f"{name}: spacing {spacing}, SID {sid:g} and SOD {sod:g} mm need 0 < spacing and "
            "0 < SOD < SID."
        )


def _identify(
    dataset: Dataset, pixels: bytes, facts: str, study_uid: str | None, instance: int
) -> None:
    study = study_uid or derived_uid("study", pixels)
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = derived_uid("series", study, str(instance), facts)
    dataset.SOPInstanceUID = derived_uid("instance", study, str(instance), facts, pixels)
    # No clock: what is generated has no date, and the bytes must not change.
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "StudyID"):
        setattr(dataset, keyword, "")
    dataset.ReferringPhysicianName = ""


def _describe_patient_and_series(dataset: Dataset, description: str, instance: int) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Nobody^Generated"
    dataset.PatientID = "GENERATED"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Generated by a computer; there is no patient"
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesNumber = instance
    dataset.SeriesDescription = description
    dataset.InstanceNumber = instance
    dataset.Manufacturer = "XRayTo3D"
    dataset.BodyPartExamined = "KNEE"
    dataset.AcquisitionContextSequence = []


def _describe_image(dataset: Dataset, pixels: np.ndarray, little_endian: bytes) -> None:
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.DerivationDescription = "Simulated radiograph"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.WindowCenter, dataset.WindowWidth = 32768, 65536
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = little_endian


def _describe_anatomy(dataset: Dataset, view: View, side: Side, orientation: Orientation) -> None:
    dataset.ImageLaterality = side.value[0].upper()
    dataset.PatientOrientation = list(orientation)
    region = _code(*_KNEE)
    region.AnatomicRegionModifierSequence = [_code(*_SIDE_CODES[side])]
    dataset.AnatomicRegionSequence = [region]
    dataset.ViewPosition = _VIEW_POSITIONS[view, side]
    dataset.ViewCodeSequence = [_code(*_VIEW_CODES[view])]


def _describe_geometry(
    dataset: Dataset, spacing: tuple[float, float], sid: float, sod: float
) -> None:
    dataset.DetectorType = ""
    dataset.ImagerPixelSpacing = [_decimal(value) for value in spacing]
    dataset.DistanceSourceToDetector = _decimal(sid)
    # Distance Source to Patient is to the table (C.8.11.7), so the knee's place is said by this.
    dataset.EstimatedRadiographicMagnificationFactor = _decimal(sid / sod)


def _decimal(value: float) -> str:
    """A Decimal String: at most 16 characters (PS3.5 6.2)."""
    return f"{value:.10g}"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item
