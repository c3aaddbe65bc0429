"""The list of films on which bones were drawn: a CSV or JSON file beside them."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.errors import InputFileError
from XRayTo3DLib.evaluation.contestants import NOTHING, Known
from XRayTo3DLib.evaluation.film_masks import DrawnBone, MaskFiles, mask_files_in, read_masks
from XRayTo3DLib.imaging.centres import Pixel
from XRayTo3DLib.imaging.film_options import FilmOptions, read_films
from XRayTo3DLib.imaging.radiograph import Radiograph, Side

_FILMS = ("ap", "lateral")
_NUMBERS = ("spacing", "sid", "sod")
_FLAGS = ("flip", "dark")
COLUMNS = (
    "name",
    "person",
    *_FILMS,
    *(f"{film}_masks" for film in _FILMS),
    "side",
    *_NUMBERS,
    *(f"{film}_{fact}" for film in _FILMS for fact in (*_NUMBERS, *_FLAGS, "centre")),
)
"""What an index may say of a pair of films; it must say the films, and the masks of one of them."""


@dataclass(frozen=True)
class DrawnKnee:
    """Two films and what is known of the bones on them.

    Attributes:
        name: of the pair.
        person: whose knee it is.
        films: frontal and lateral, upright.
        drawn: what was drawn on each.
        find_joint: whether the joint has to be looked for, as nobody says where it is.
        known: what else is known of the knee.
    """

    name: str
    person: str
    films: tuple[Radiograph, Radiograph]
    drawn: tuple[dict[Bone, DrawnBone], dict[Bone, DrawnBone]]
    find_joint: bool
    known: Known = NOTHING

    @property
    def fingerprint(self) -> str:
        """Of all on which a reconstruction and its scores depend."""
        digest = hashlib.sha256()
        for film, bones in zip(self.films, self.drawn, strict=True):
            facts = (film.side.value.value, film.spacing.value, film.sid.value, film.sod.value)
            digest.update(repr((film.pixels.shape, *facts)).encode())
            digest.update(np.ascontiguousarray(film.pixels).tobytes())
            for bone, drawn in sorted(bones.items()):
                digest.update(bone.key.encode() + np.packbits(drawn.mask).tobytes())
                digest.update(np.packbits(drawn.judged).tobytes())
        seed = self.known.true.seed if self.known.true else None
        digest.update(repr((self.find_joint, self.known.centres, seed)).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class DrawnPair:
    """A line of the index: files, and what it says of them beyond the files themselves."""

    name: str
    person: str
    ap: FilmOptions
    lateral: FilmOptions
    masks: tuple[MaskFiles | None, MaskFiles | None]
    side: Side | None = None
    spacing: float | None = None
    sid: float | None = None
    sod: float | None = None
    centres: tuple[Pixel | None, Pixel | None] = (None, None)

    def read(self) -> DrawnKnee:
        """Read films and masks.

        Raises:
            XRayTo3DError: a film or a mask cannot be used, or the films cannot be a pair.
        """
        films = read_films(
            self.ap,
            self.lateral,
            side=self.side,
            spacing=self.spacing,
            sid=self.sid,
            sod=self.sod,
        )
        frontal, lateral = (
            {} if files is None else read_masks(files, film)
            for files, film in zip(self.masks, films, strict=True)
        )
        known = Known(self.centres)
        return DrawnKnee(self.name, self.person, films, (frontal, lateral), True, known)


def read_index(path: Path) -> list[DrawnPair]:
    """Every pair of an index; paths in it count from its own folder.

    Args:
        path: a CSV with a line of headings (comma or semicolon), or a JSON list of objects with the
            same names: see :data:`COLUMNS`. ``ap`` and ``lateral`` are films, ``ap_masks`` and
            ``lateral_masks`` a label image or a folder with one mask a bone (in JSON also an object
            such as ``{"femur": "femur.png"}``); ``spacing``, ``sid`` and ``sod`` in mm, of both
            films or, with ``ap_`` or ``lateral_`` before them, of one; ``ap_flip`` and ``ap_dark``
            yes or no; ``ap_centre`` and ``lateral_centre`` the middle of the joint on the upright
            film, ``ROW COL`` in pixels.

    Raises:
        InputFileError: the index cannot be read, says something unknown, or names files that are
            not there.
    """
    entries = _entries(path)
    if not entries:
        raise InputFileError(path, "lists no films; give it a line for each pair.")
    pairs = [_pair(entry, number, path) for number, entry in enumerate(entries, start=1)]
    names = [pair.name for pair in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputFileError(path, f"has two pairs called {twice!r}; give each its own name.")
    return pairs


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            entries = json.loads(text)
            if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
                raise InputFileError(path, "is not a JSON list of objects, one for each pair.")
            return entries
        first = text.partition("\n")[0]
        delimiter = ";" if ";" in first and "," not in first else ","
        return list(csv.DictReader(StringIO(text, newline=""), delimiter=delimiter))
    except OSError as error:
        reason = error.strerror or "an error of the file system"
        raise InputFileError(path, f"cannot be opened ({reason}); check the path.") from error
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise InputFileError(path, f"is not a CSV or JSON file ({error}).") from error


def _pair(entry: Mapping[str, Any], number: int, index: Path) -> DrawnPair:
    said = {key: value for key, value in entry.items() if value not in (None, "")}
    if unknown := [key for key in said if key not in COLUMNS]:
        raise InputFileError(
            index, f"has a column {unknown[0]!r} that means nothing; use {', '.join(COLUMNS)}."
        )
    name = str(said.get("name", f"pair {number}"))
    line = _Line(said, name, index)
    masks = (line.masks("ap"), line.masks("lateral"))
    if masks == (None, None):
        raise InputFileError(index, f"says no masks of {name}; give ap_masks or lateral_masks.")
    return DrawnPair(
        name=name,
        person=str(said.get("person", name)),
        ap=line.film("ap"),
        lateral=line.film("lateral"),
        masks=masks,
        side=line.side(),
        spacing=line.number("spacing"),
        sid=line.number("sid"),
        sod=line.number("sod"),
        centres=(line.pixel("ap_centre"), line.pixel("lateral_centre")),
    )


@dataclass(frozen=True)
class _Line:
    """What an index says of one pair."""

    said: Mapping[str, Any]
    name: str
    index: Path

    def film(self, film: str) -> FilmOptions:
        if film not in self.said:
            raise InputFileError(self.index, f"names no {film} film of {self.name}.")
        return FilmOptions(
            self._existing(self.said[film]),
            flip=self.flag(f"{film}_flip") or False,
            inverted=self.flag(f"{film}_dark"),
            spacing=self.number(f"{film}_spacing"),
            sid=self.number(f"{film}_sid"),
            sod=self.number(f"{film}_sod"),
        )

    def masks(self, film: str) -> MaskFiles | None:
        given = self.said.get(f"{film}_masks")
        if given is None:
            return None
        if not isinstance(given, Mapping):
            return mask_files_in(self._existing(given))
        titles = {bone.key: bone for bone in Bone}
        if unknown := [key for key in given if key not in titles]:
            raise InputFileError(
                self.index,
                f"names a bone {unknown[0]!r} of {self.name}; the bones are {', '.join(titles)}.",
            )
        return {titles[key]: self._existing(file) for key, file in given.items()}

    def number(self, key: str) -> float | None:
        if key not in self.said:
            return None
        try:
            return float(self.said[key])
        except (TypeError, ValueError):
            raise self._wrong(key, "a number of mm") from None

    def pixel(self, key: str) -> Pixel | None:
        if key not in self.said:
            return None
        try:
            row, column = (float(word) for word in str(self.said[key]).split())
        except ValueError:
            raise self._wrong(key, "ROW COL, as in 812 640") from None
        return row, column

    def flag(self, key: str) -> bool | None:
        if key not in self.said:
            return None
        known = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
        word = str(self.said[key]).strip().lower()
        if word not in known:
            raise self._wrong(key, "yes or no")
        return known[word]

    def side(self) -> Side | None:
        if "side" not in self.said:
            return None
        try:
            return Side(str(self.said["side"]).strip().lower())
        except ValueError:
            raise self._wrong("side", "left or right") from None

    def _existing(self, file: Any) -> Path:
        path = self.index.parent / str(file)
        if not path.exists():
            raise InputFileError(self.index, f"names {file} of {self.name}, which is not there.")
        return path

    def _wrong(self, key: str, wanted: str) -> InputFileError:
        return InputFileError(
            self.index, f"says {key} {self.said[key]!r} of {self.name}; it must be {wanted}."
        )
