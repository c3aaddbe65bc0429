"""A folder of cases of densities, generated in parallel; the same settings give the same cases."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import torch

from XRayTo3DLib.anatomy.generator import KneeGenerator
from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.training.bank import BankSettings, describe_bank
from XRayTo3DLib.training.density_cases import make_density_case

_INDEX = "cases.json"
_KIND = "density"


def generate_density_bank(
    bones: Path,
    folder: Path,
    settings: BankSettings,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Fill ``folder`` with cases; those already there are kept, so it can be stopped and resumed.

    Args:
        bones: folder of bone surfaces with its index.
        folder: for the cases; made when absent.
        settings: what to make.
        workers: processes; one per core by default.
        progress: called with (done, all) after each case.

    Returns:
        the files, in the order of their seeds.

    Raises:
        XRayTo3DError: the folder holds cases of another kind or made with other settings.
    """
    knees, _ = split_by_person(load_knees(bones), settings.held_out)
    KneeGenerator(knees, settings.knee)  # says at once what is wrong with the bones
    folder.mkdir(parents=True, exist_ok=True)
    stated = {**asdict(settings), "kind": _KIND, "knees": sorted({knee.name for knee in knees})}
    stated.pop("count")  # more cases of the same kind may be added
    described = json.loads(json.dumps(stated))
    if (folder / _INDEX).is_file() and describe_bank(folder) != described:
        raise XRayTo3DError(
            f"{folder.name} holds cases made with other settings; name another folder."
        )
    (folder / _INDEX).write_text(json.dumps(described, indent=1), encoding="utf-8")
    seeds = range(settings.seed, settings.seed + settings.count)
    paths = [folder / f"case_{seed:06d}.npz" for seed in seeds]
    missing = [(seed, path) for seed, path in zip(seeds, paths, strict=True) if not path.exists()]
    done = len(paths) - len(missing)
    with ProcessPoolExecutor(
        workers or os.cpu_count(),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(bones, settings),
    ) as pool:
        for _ in pool.map(_make_one, missing, chunksize=4):
            done += 1
            if progress:
                progress(done, len(paths))
    return paths


_worker: tuple[KneeGenerator, BankSettings] | None = None


def _start_worker(bones: Path, settings: BankSettings) -> None:
    global _worker
    torch.set_num_threads(1)
    knees, _ = split_by_person(load_knees(bones), settings.held_out)
    _worker = KneeGenerator(knees, settings.knee), settings


def _make_one(task: tuple[int, Path]) -> None:
    assert _worker is not None
    seed, path = task
    generator, settings = _worker
    case = make_density_case(generator(seed), seed, settings.geometry, settings.tissue)
    unfinished = path.with_name(f".{path.name}")  # which no search for cases finds
    case.save(unfinished)
    unfinished.replace(path)
