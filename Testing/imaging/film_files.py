"""Small films to read, made with pydicom alone so that the reader is not tested with our writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian


def picture(rows: int = 72, columns: int = 90, top: int = 4000) -> np.ndarray:
    """A picture that no flip or turn leaves alone, uint16, from 0 to ``top``."""
    generator = np.random.default_rng(5)
    row, column = np.mgrid[:rows, :columns]
    smooth = row / rows + 2 * column / columns + generator.random((rows, columns))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.round(smooth * top).astype(np.uint16)


def unit(values: np.ndarray) -> np.ndarray:
    """Scaled to 0–1."""
    values = np.asarray(values, dtype=float)
    return (values - values.min()) / np.ptp(values)


def film(pixels: np.ndarray | None = None, bits: int = 12, **attributes: Any) -> Dataset:
    """A DX data set; ``attributes`` are set, or removed where None."""
    pixels = picture() if pixels is None else pixels
    dataset = Dataset()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "2.25.7"
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in attributes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def saved(dataset: Dataset, path: Path) -> Path:
    """Written as a DICOM file."""
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset
