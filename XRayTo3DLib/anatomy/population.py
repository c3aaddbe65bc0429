"""Bones of many people, brought into correspondence and turned into one shape model per bone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.correspondence import (
    Correspondence,
    Matcher,
    Template,
    correspond,
    distances,
    similarity,
    surface_gap,
)
from XRayTo3DLib.anatomy.joint import vertex_normals
from XRayTo3DLib.anatomy.knee import Knee, split_by_person
from XRayTo3DLib.anatomy.shape_model import (
    MODEL_LICENCE,
    ShapeModel,
    laid_on,
    learn,
    left_over,
)
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.imaging.radiograph import Side
from XRayTo3DLib.progress import Progress, silent

VERTEX_COUNTS: Mapping[Bone, int] = {
    Bone.FEMUR: 4500,
    Bone.TIBIA: 4500,
    Bone.PATELLA: 2000,
    Bone.FIBULA: 2500,
}
"""About how many vertices the template of each bone gets."""

_TURNED = 60.0
"""Degrees beyond which a bone cannot lie as scanned in a knee: its file has another frame."""

_SAMPLES = 30
_SPECIFICITY_POINTS = 1500


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a distance, mm, over ``count`` bones."""

    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of values; not a number where there are none."""
        array = np.array(list(values), dtype=float)
        if len(array) == 0:
            return cls(float("nan"), float("nan"), 0)
        return cls(float(array.mean()), float(array.std(ddof=min(1, len(array) - 1))), len(array))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.deviation:.2f}" if self.count else "–"


@dataclass(frozen=True)
class Generality:
    """How near models come to bones that they have not seen (symmetric mean distance).

    Attributes:
        mean_shape: moved rigidly.
        modes: with the principal modes.
        smooth: with the Gaussian process too.
    """

    mean_shape: Spread
    modes: Spread
    smooth: Spread


@dataclass(frozen=True)
class BonePopulation:
    """One bone of a set of people.

    Attributes:
        model: what was learnt.
        knees: names of the knees it was learnt from.
        turned: those among them whose bone lies turned by more than 60° against the mean.
        correspondences: one for each of them.
        left_out: normal distance, mm, that a model of everyone else leaves of each person.
        generality: on people held out.
        specificity: distance of samples of the modes to the nearest bone, mm.
        smooth_specificity: the same of samples with the Gaussian process.
    """

    model: ShapeModel
    knees: tuple[str, ...]
    turned: tuple[str, ...]
    correspondences: tuple[Correspondence, ...]
    left_out: Spread
    generality: Generality
    specificity: Spread
    smooth_specificity: Spread


@dataclass(frozen=True)
class Population:
    """Shape models of the bones of a knee, and how good they are.

    Attributes:
        bones: by bone.
        held_out: people that no model has seen.
        template: name of the knee whose mesh was bent onto all.
    """

    bones: dict[Bone, BonePopulation]
    held_out: tuple[str, ...]
    template: str

    def save(self, folder: str | Path) -> list[Path]:
        """Write ``<bone>.npz`` for each bone into an existing folder, and say which."""
        paths = []
        for bone, part in self.bones.items():
            paths.append(Path(folder) / f"{bone.key}.npz")
            part.model.save(paths[-1])
        return paths


def load_models(folder: str | Path) -> dict[Bone, ShapeModel]:
    """The shape models that :meth:`Population.save` wrote.

    Raises:
        InputFileError: one is missing or is no shape model.
    """
    return {bone: ShapeModel.load(Path(folder) / f"{bone.key}.npz") for bone in Bone}


def learn_population(
    knees: list[Knee],
    held_out: Iterable[str] = (),
    vertex_counts: Mapping[Bone, int] = VERTEX_COUNTS,
    progress: Progress = silent,
) -> Population:
    """Shape models of all bones of the knees, and their quality on the people held out.

    Left knees are mirrored. The finest complete knee of those learnt from is the template.

    Args:
        knees: aligned, as ``load_knees`` gives them.
        held_out: people whose bones only measure.
        vertex_counts: about how many vertices each template gets.
        progress: told of each bone.

    Raises:
        XRayTo3DError: nobody is called so, or too few bones are left to learn from.
    """
    held_out = tuple(sorted(set(held_out)))
    right = [knee if knee.side is Side.RIGHT else knee.mirrored() for knee in knees]
    known, unseen = split_by_person(right, held_out)
    complete = [knee for knee in known if knee.is_complete]
    if not complete:
        raise XRayTo3DError("No knee that may be learnt from has all four bones; add one.")
    template = max(complete, key=_vertex_total)
    bones = {}
    for bone in Bone:
        mesh = Template.from_bone(template.surfaces[bone], vertex_counts[bone])
        bones[bone] = _learn_bone(bone, mesh, _having(bone, known), _having(bone, unseen), progress)
    return Population(bones, held_out, template.name)


def _vertex_total(knee: Knee) -> int:
    return sum(len(surface.vertices) for surface in knee.surfaces.values())


def _having(bone: Bone, knees: list[Knee]) -> list[Knee]:
    return [knee for knee in knees if bone in knee.surfaces]


def _learn_bone(
    bone: Bone, template: Template, known: list[Knee], unseen: list[Knee], progress: Progress
) -> BonePopulation:
    found = []
    for index, knee in enumerate(known):
        progress(f"{bone.title}: correspondence", index / len(known))
        found.append(correspond(template, knee.surfaces[bone]))
    progress(f"{bone.title}: correspondence", 1.0)
    shapes = [each.surface.vertices for each in found]
    people = [knee.person for knee in known]
    # Femora scanned without a knee lie in frames of their own.
    whole = [shape for shape, knee in zip(shapes, known, strict=True) if knee.is_complete]
    frame = np.mean(whole, axis=0)
    model = learn(bone, shapes, people, template.surface.faces, template.clear, frame=frame)
    left_out = _left_out(shapes, people, model)
    generality = _generality(model, [knee.surfaces[bone] for knee in unseen], progress)
    progress(f"{bone.title}: samples", 0.0)
    specificity = [_specificity(model, shapes, smooth) for smooth in (0.0, 1.0)]
    progress(f"{bone.title}: samples", 1.0)
    names = tuple(knee.name for knee in known)
    lying = [_turn(model, shape) > _TURNED for shape in shapes]
    turned = tuple(name for name, is_turned in zip(names, lying, strict=True) if is_turned)
    return BonePopulation(model, names, turned, tuple(found), left_out, generality, *specificity)


def _turn(model: ShapeModel, shape: np.ndarray) -> float:
    """Degrees by which a bone is turned against the mean."""
    motion = similarity(model.mean, shape, model.clear.astype(float), scaled=False)
    return float(np.degrees(Rotation.from_matrix(motion[:3, :3]).magnitude()))


def _left_out(shapes: list[np.ndarray], people: list[str], model: ShapeModel) -> Spread:
    """Distance along the normal between each bone and what everyone else's model makes of it."""
    left = left_over(np.stack(shapes), people, model.clear)
    height = np.abs(np.einsum("nij,ij->ni", left, vertex_normals(model.mean_surface)))
    each = height[:, model.clear].mean(axis=1)
    names = np.array(people)
    return Spread.of(each[names == person].mean() for person in sorted(set(people)))


def _generality(model: ShapeModel, bones: list[Surface], progress: Progress) -> Generality:
    kinds = ((False, False), (True, False), (True, True))
    gaps: list[list[float]] = [[] for _ in kinds]
    stage = f"{model.bone.title}: people held out"
    for index, surface in enumerate(bones):
        progress(stage, index / len(bones))
        matcher = Matcher(surface)
        for (spread, smooth), values in zip(kinds, gaps, strict=True):
            fit = model.fitted(surface, spread=spread, smooth=smooth)
            shape = model.reconstructed(fit.coefficients).transformed(fit.pose)
            values.append(surface_gap(shape, matcher, model.clear)[0])
    progress(stage, 1.0)
    return Generality(*(Spread.of(values) for values in gaps))


def _specificity(model: ShapeModel, shapes: list[np.ndarray], smooth: float) -> Spread:
    """Distance of samples to the nearest bone, which their corresponding points choose."""
    rng = np.random.default_rng(0)
    some = rng.permutation(np.flatnonzero(model.clear))[:_SPECIFICITY_POINTS]
    values = []
    for _ in range(_SAMPLES):
        sample = model.sample(rng, smooth=smooth).vertices
        moved = [laid_on(shape, sample, model.clear) for shape in shapes]
        nearest = min(moved, key=lambda shape: float(((shape - sample)[model.clear] ** 2).sum()))
        values.append(distances(sample[some], Surface(nearest, model.faces)).mean())
    return Spread.of(values)


def population_table(population: Population, knees: list[Knee]) -> str:
    """What was learnt, from whom, and how good it is, as Markdown.

    Args:
        population: the models.
        knees: those it was made from, for their licences.
    """
    return "\n".join(
        [
            "# Shape models of the bones of the knee",
            "",
            *_quality_rows(population),
            "",
            f"Distances in mm. Correspondence: symmetric mean distance between the template "
            f"({population.template}) bent onto a bone and the bone, and its 95th percentile, "
            "averaged over bones; cut ends left out. One person left out: normal distance that a "
            "model of everyone else's modes leaves, mean ± deviation over people. Held out: "
            "symmetric mean distance of the best fit to the bones of "
            f"{', '.join(population.held_out) or 'nobody'}, mean ± deviation over bones. "
            f"Specificity: distance of {_SAMPLES} samples to the nearest bone learnt from.",
            "",
            "## Variance explained by the first modes, %",
            "",
            *_variance_rows(population),
            "",
            "## Smooth displacement added: amplitude, mm",
            "",
            *_smooth_rows(population),
            "",
            "## Learnt from",
            "",
            f"Models: {MODEL_LICENCE}, the strictest licence of their sources.",
            "",
            *_source_rows(population, knees),
            "",
            *_turned_lines(population),
        ]
    )


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _rows(heading: list[str], rows: Iterable[Iterable[object]]) -> list[str]:
    return [_row(heading), _row(["---"] * len(heading)), *(_row(cells) for cells in rows)]


def _quality_rows(population: Population) -> list[str]:
    heading = ["bone", "people", "bones", "correspondence", "95 %", "one person left out"]
    heading += ["held out: mean shape", "modes", "modes and smooth"]
    heading += ["specificity: modes", "modes and smooth"]
    rows = []
    for bone, part in population.bones.items():
        residual = np.mean([(each.mean, each.percentile) for each in part.correspondences], axis=0)
        general = part.generality
        rows.append(
            [bone.key, len(part.model.people), len(part.knees)]
            + [f"{value:.2f}" for value in residual]
            + [part.left_out, general.mean_shape, general.modes, general.smooth]
            + [part.specificity, part.smooth_specificity]
        )
    return _rows(heading, rows)


def _variance_rows(population: Population) -> list[str]:
    most = max(len(part.model.shares) for part in population.bones.values())
    rows = []
    for bone, part in population.bones.items():
        cumulated = [f"{100 * share:.1f}" for share in np.cumsum(part.model.shares)]
        rows.append([bone.key, *cumulated, *[""] * (most - len(cumulated))])
    return _rows(["modes", *(str(number + 1) for number in range(most))], rows)


def _smooth_rows(population: Population) -> list[str]:
    parts = {bone: dict(part.model.smooth) for bone, part in population.bones.items()}
    lengths = sorted({length for part in parts.values() for length in part}, reverse=True)
    rows = [
        [bone.key, *(f"{part.get(length, 0.0):.2f}" for length in lengths)]
        for bone, part in parts.items()
    ]
    return _rows(["correlation length", *(f"{length:g} mm" for length in lengths)], rows)


def _source_rows(population: Population, knees: list[Knee]) -> list[str]:
    used = {name for part in population.bones.values() for name in part.knees}
    by_licence: dict[str, list[str]] = {}
    for knee in knees:
        if knee.name in used:
            by_licence.setdefault(knee.licence, []).append(knee.name)
    return _rows(
        ["licence", "knees"],
        [[licence, ", ".join(sorted(names))] for licence, names in sorted(by_licence.items())],
    )


def _turned_lines(population: Population) -> list[str]:
    """A warning for each bone that some files hold in another frame than the others."""
    return [
        f"In another frame than the rest (turned by more than {_TURNED:.0f}°; the models do not "
        f"mind): the {bone.key} of {', '.join(part.turned)}.\n"
        for bone, part in population.bones.items()
        if part.turned
    ]
