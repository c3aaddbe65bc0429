"""A folder of training cases, generated in parallel; the same settings give the same cases."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.generator import KneeGenerator, KneeVariation
from XRayTo3DLib.anatomy.knee import Knee, load_knees, person_of, split_by_person
from XRayTo3DLib.anatomy.shape_model import ShapeModel
from XRayTo3DLib.anatomy.tissue import TissueVariation
from XRayTo3DLib.errors import InputFileError, XRayTo3DError
from XRayTo3DLib.training.cases import GeometryVariation, make_case

_INDEX = "cases.json"


@dataclass(frozen=True)
class BankSettings:
    """What a bank of cases is made from.

    Attributes:
        count: number of cases.
        seed: of the first case; the others follow.
        held_out: people whose bones are not used.
        knee: how generated knees vary.
        tissue: how their tissues vary.
        geometry: how the X-ray machine varies.
    """

    count: int = 1000
    seed: int = 0
    held_out: tuple[str, ...] = ()
    knee: KneeVariation = field(default_factory=KneeVariation)
    tissue: TissueVariation = field(default_factory=TissueVariation)
    geometry: GeometryVariation = field(default_factory=GeometryVariation)


class _Saved(Protocol):
    """A case of any kind."""

    def save(self, path: Path) -> None:
        """Write it."""


MakeCase = Callable[[Knee, int, GeometryVariation, TissueVariation], _Saved]
"""A case of a knee, from its seed and what varies; a function that other processes can import."""


def generate_bank(
    bones: Path,
    folder: Path,
    settings: BankSettings,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    make: MakeCase = make_case,
    kind: str | None = None,
    models: Mapping[Bone, ShapeModel] | None = None,
) -> list[Path]:
    """Fill ``folder`` with cases; those already there are kept, so it can be stopped and resumed.

    Args:
        bones: folder of bone surfaces with its index.
        folder: for the cases; made when absent.
        settings: what to make.
        workers: processes; one per core by default.
        progress: called with (done, all) after each case.
        make: what makes a case.
        kind: of such cases, for the record; none for those that reconstruction learns from.
        models: of the shapes of bones, towards which those of the knees are moved.

    Returns:
        the files, in the order of their seeds.

    Raises:
        XRayTo3DError: the folder holds cases of another kind or made with other settings, or a
            model knows a person whose bones are not to be used.
    """
    knees, _ = split_by_person(load_knees(bones), settings.held_out)
    KneeGenerator(knees, settings.knee)  # says at once what is wrong with the bones
    _refuse_held_out(models or {}, settings.held_out)
    folder.mkdir(parents=True, exist_ok=True)
    described = _description(settings, sorted({knee.name for knee in knees}), kind, models or {})
    index = folder / _INDEX
    if index.is_file() and describe_bank(folder) != described:
        raise XRayTo3DError(
            f"{folder.name} holds cases made with other settings; name another folder."
        )
    index.write_text(json.dumps(described, indent=1), encoding="utf-8")
    seeds = range(settings.seed, settings.seed + settings.count)
    paths = [folder / f"case_{seed:06d}.npz" for seed in seeds]
    missing = [(seed, path) for seed, path in zip(seeds, paths, strict=True) if not path.exists()]
    done = len(paths) - len(missing)
    with ProcessPoolExecutor(
        workers or os.cpu_count(),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(bones, settings, make, models),
    ) as pool:
        for _ in pool.map(_make_one, missing, chunksize=4):
            done += 1
            if progress:
                progress(done, len(paths))
    return paths


def list_cases(folder: Path) -> list[Path]:
    """The cases of a folder, in order.

    Raises:
        InputFileError: there is none.
    """
    paths = sorted(Path(folder).glob("case_*.npz"))
    if not paths:
        raise InputFileError(
            folder, "holds no training case; make some with 'xrayto3d generate' or 'prepare'."
        )
    return paths


def describe_bank(folder: Path) -> dict[str, Any]:
    """What the bank was made from, for checkpoints and model cards; empty when not recorded.

    Raises:
        InputFileError: the record is damaged.
    """
    index = Path(folder) / _INDEX
    if not index.is_file():
        return {}
    try:
        return json.loads(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputFileError(
            index, "is damaged; generate the cases again, into another folder."
        ) from error


def training_card(
    settings: dict[str, Any], steps: int, cases: int, bank: dict[str, Any]
) -> dict[str, Any]:
    """What weights say of their training.

    Args:
        settings: of the training.
        steps: that were done.
        cases: that were learnt from.
        bank: what :func:`describe_bank` says of them.
    """
    return {
        "settings": settings,
        "steps": steps,
        "cases": cases,
        "bank": bank,
        "people": sorted({person_of(name) for name in bank.get("knees", [])}),
        "held_out": bank.get("held_out", []),
    }


def _refuse_held_out(models: Mapping[Bone, ShapeModel], held_out: tuple[str, ...]) -> None:
    for bone, model in models.items():
        known = sorted(set(model.people) & set(held_out))
        if known:
            raise XRayTo3DError(
                f"The shape model of the {bone.key} was learnt from {', '.join(known)}, who must "
                "not be used; learn one without them ('xrayto3d population --hold-out')."
            )


def _description(
    settings: BankSettings,
    knees: list[str],
    kind: str | None,
    models: Mapping[Bone, ShapeModel],
) -> dict:
    stated = {**asdict(settings), "knees": knees, **({"kind": kind} if kind else {})}
    if models:
        stated["models"] = {bone.key: model.people for bone, model in models.items()}
    # More cases of the same kind may be added to a bank.
    stated.pop("count")
    return json.loads(json.dumps(stated))


_worker: tuple[KneeGenerator, BankSettings, MakeCase] | None = None


def _start_worker(
    bones: Path,
    settings: BankSettings,
    make: MakeCase,
    models: Mapping[Bone, ShapeModel] | None,
) -> None:
    global _worker
    torch.set_num_threads(1)
    knees, _ = split_by_person(load_knees(bones), settings.held_out)
    _worker = KneeGenerator(knees, settings.knee, models), settings, make


def _make_one(task: tuple[int, Path]) -> None:
    assert _worker is not None
    seed, path = task
    generator, settings, make = _worker
    case = make(generator(seed), seed, settings.geometry, settings.tissue)
    unfinished = path.with_name(f".{path.name}")  # which no search for cases finds
    case.save(unfinished)
    unfinished.replace(path)
