"""Single values out of a DICOM header that need not obey the standard."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset


def value_of(dataset: Dataset, keyword: str) -> Any:
    """The value of an attribute; None where it is absent, empty or cannot be parsed."""
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom raises many kinds for a malformed element: it says nothing then
        return None
    return None if value is None or value == "" else value


def texts_of(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute as upper-case text without padding."""
    value = value_of(dataset, keyword)
    if value is None:
        return ()
    values = value if _is_many(value) else (value,)
    return tuple(str(one).strip().upper() for one in values)


def text_of(dataset: Dataset, keyword: str) -> str:
    """The first value as upper-case text; empty where there is none."""
    return next(iter(texts_of(dataset, keyword)), "")


def numbers_of(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The values as numbers; empty unless all of them are finite numbers."""
    try:
        numbers = tuple(float(text) for text in texts_of(dataset, keyword))
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """The first value as a finite number, or None."""
    return next(iter(numbers_of(dataset, keyword)), None)


def items_of(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence; none where it is absent or no sequence."""
    value = value_of(dataset, keyword)
    if not _is_many(value):
        return ()
    return tuple(item for item in value if isinstance(item, Dataset))


def _is_many(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Dataset))
