"""Reconstruct, find out what was otherwise than stated, and reconstruct again."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from XRayTo3DLib.anatomy.bones import Bone
from XRayTo3DLib.anatomy.surface import Surface
from XRayTo3DLib.imaging.geometry import BiplanarGeometry, ViewGeometry
from XRayTo3DLib.progress import Progress, silent
from XRayTo3DLib.reconstruction.flexion_between import Between, pivot
from XRayTo3DLib.reconstruction.flexion_seen import flexion_on_lateral, seems_bent
from XRayTo3DLib.reconstruction.refine_joint import first_guess, second_guess, seen_by_parts
from XRayTo3DLib.reconstruction.refine_motion import Freedom
from XRayTo3DLib.reconstruction.refine_stand import Look, beliefs, credible, onlooker
from XRayTo3DLib.reconstruction.refinement import STAGE, Refinement, explanations
from XRayTo3DLib.reconstruction.result import Fit
from XRayTo3DLib.reconstruction.seeing import RightKnee, see
from XRayTo3DLib.reconstruction.surfaces import extract_surfaces
from XRayTo3DLib.reconstruction.weights import Model

_CLEAR, _CLEAR_SHARE = 4.0, 0.1
"""By how much, and by which share, a cost must fall. Of films that stood as stated and showed one
pose it falls by 0 to 1.6 and by 0 to 5 %."""

_SIMPLER = 0.028
"""Share by which the cost of a joint that moved must be lower than that of a film that stood
otherwise to be preferred, as it has more freedom. Of such films it is lower by 2.5 % at most, of
knees bent by 10° more by 2 to 8 %; where one is taken for a rolled film, nothing is lost."""

_LIKELIER = 0.03
"""Share by which the cost of a joint that moved may be higher where the lateral film shows a bent
knee, as frontal films are taken of straight ones. Of knees of mc22 and of the training that were
bent by 10 to 20° more it was higher by 2.4 % at most; of rolled films of a knee that is bent by 8°
on both, by 2.4 to 5.5 %, but lower by 6 % of one."""

_NEARER = 0.005
"""mm by which outlines must be nearer. Of films of mc22 and of the training that stood otherwise,
those that the grey values put right were mostly nearer by 0.01 to 0.05. Within this either way
outlines do not decide."""

_SAME_GUESS = np.radians(1.0)
"""Rad by which a second guess may differ from what the network was shown, to be left at that."""

_WORTH_NAMING = 3.0
"""Degrees of flexion between the films; the estimate is no better."""


@dataclass(frozen=True)
class Refined:
    """A right knee that agrees with its films.

    Attributes:
        probabilities: ``(5, z, y, x)``.
        surfaces: of the bones.
        geometry: corrected.
        fit: how well it agrees.
        between: motions of the bones from the frontal to the lateral film; the bones are in the
            pose of the frontal.
    """

    probabilities: np.ndarray
    surfaces: dict[Bone, Surface]
    geometry: BiplanarGeometry
    fit: Fit
    between: Between

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was corrected, as a sentence for the user; none where nothing was."""
        if not self.fit.corrected:
            return ()
        if not self.between.motions:
            return (
                "The bones agree better with both films if these stood otherwise than stated; the "
                "geometry was corrected, say --no-refine to keep it as stated.",
            )
        flexion = self.fit.flexion
        how = f"about {abs(flexion):.0f}° {'more' if flexion > 0 else 'less'}"
        if abs(flexion) <= _WORTH_NAMING:
            how = "slightly otherwise"
        return (
            f"The knee seems to be bent {how} on the lateral film than on the frontal; the bones "
            "are shown in the pose of the frontal film, say --no-refine if it was bent alike.",
        )


def refined(
    model: Model,
    knee: RightKnee,
    probabilities: np.ndarray,
    surfaces: dict[Bone, Surface],
    silhouettes: Tensor,
    device: torch.device,
    *,
    time_limit: float = 8.0,
    progress: Progress = silent,
) -> Refined:
    """Find out whether films or joint stood otherwise, and show the network the films so.

    What is fitted to the silhouettes are geometry, joint and bones together, but the bones'
    motions are not kept: the network puts the bones where they belong better than moving them
    does, once the films agree. Nothing changes unless it agrees clearly better with the
    silhouettes than films that stood as stated do by chance. Unless the knee was moved, the grey
    values within the bones are then asked as well, which tell of a turn about the leg and of the
    magnification what outlines do not (:mod:`XRayTo3DLib.reconstruction.refine_stand`). They are
    believed where the outlines of what the network makes of it agree better; where these agree as
    well as before, where its grey values do.

    Args:
        model: with silhouettes.
        knee: as the network saw it.
        probabilities: what it made of it.
        surfaces: of those.
        silhouettes: ``(2, 4, rows, columns)``, 0–1.
        device: of the network.
        time_limit: seconds, after which nothing new is begun.
        progress: told of every step; may raise to cancel.
    """
    search = _Search(model, device, time.perf_counter() + time_limit, progress)
    start = _Sight(knee, probabilities, surfaces, silhouettes, Between())
    found = search.fit(start, *Freedom)
    still, films, joint = (found[freedom] for freedom in Freedom)
    shown = flexion_on_lateral(silhouettes, model.network.settings)
    allowed = 1.0 + _LIKELIER if seems_bent(shown) else 1.0 - _SIMPLER
    bent = joint.cost < allowed * films.cost
    sight, fitted = start, still
    if _is_clear(still, joint if bent else films):
        other, anew = (
            search.with_joint(start, joint) if bent else search.with_films(start, films.geometry)
        )
        nearer = anew.before < still.before - _NEARER
        if _is_clear(still, anew) and nearer and _has_all(other, start):
            sight, fitted = other, anew
    if not sight.between.motions and still.stopped != "no evidence":
        sight, fitted = search.with_stand(sight, fitted)
    stopped = fitted.stopped
    if sight is start and stopped not in ("no evidence", "time limit"):
        stopped = "no better"
    if search.is_late:
        stopped = "time limit"
    fit = Fit(
        still.before,
        fitted.before,
        stopped,
        sight.between.flexion,
        shown,
        corrected=sight is not start,
    )
    return Refined(sight.probabilities, sight.surfaces, sight.knee.geometry, fit, sight.between)


def _is_clear(still: Refinement, other: Refinement) -> bool:
    """Whether films agree better in another way than by chance."""
    return still.cost - other.cost > max(_CLEAR, _CLEAR_SHARE * still.cost)


def _has_all(sight: _Sight, former: _Sight) -> bool:
    """Whether no bone was lost."""
    return set(sight.surfaces) >= set(former.surfaces)


@dataclass(frozen=True)
class _Sight:
    """What the network made of the films, stood and bent in some way."""

    knee: RightKnee
    probabilities: np.ndarray
    surfaces: dict[Bone, Surface]
    silhouettes: Tensor
    between: Between


def _look(sight: _Sight) -> Look | None:
    return onlooker().look(sight.knee.pictures, sight.knee.geometry, sight.surfaces)


class _Search:
    """Fits, and shows the network what they find."""

    def __init__(
        self, model: Model, device: torch.device, deadline: float, progress: Progress
    ) -> None:
        self._model = model
        self._device = device
        self._deadline = deadline
        self._progress = progress
        self._started = time.perf_counter()
        settings = model.network.settings
        self._grid, self._field = settings.output_grid, settings.field_of_view

    @property
    def is_late(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self._deadline

    def fit(self, sight: _Sight, *freedoms: Freedom) -> dict[Freedom, Refinement]:
        """What agrees best with the silhouettes."""
        self._tell()
        return explanations(
            sight.surfaces,
            sight.knee.geometry,
            sight.silhouettes,
            silhouette_detectors(sight.knee, sight.silhouettes),
            freedoms,
            between=sight.between,
            field_of_view=self._field,
            time_limit=max(self._deadline - time.perf_counter(), 0.0),
            progress=lambda _, __: self._tell(),
        )

    def with_films(self, start: _Sight, geometry: BiplanarGeometry) -> tuple[_Sight, Refinement]:
        """The films stood otherwise."""
        sight = self._shown(start, geometry)
        return sight, self.fit(sight, Freedom.NOTHING)[Freedom.NOTHING]

    def with_stand(self, start: _Sight, still: Refinement) -> tuple[_Sight, Refinement]:
        """The lateral stood as grey values say; what was given where that is nothing or worse."""
        if self.is_late or set(start.surfaces) != set(Bone):
            return start, still
        look = _look(start)
        if look is None:
            return start, still
        left = max(self._deadline - time.perf_counter(), 0.0)
        found = credible(look.stand(time_limit=left, progress=lambda _, __: self._tell()))
        for stand in beliefs(found):
            if self.is_late:
                break
            other, anew = self.with_films(start, stand.of(start.knee.geometry))
            nearer = still.before - anew.before
            # Neither holds where no outline is left to compare, and the distance no number.
            better = nearer > _NEARER or (nearer >= -_NEARER and self._is_more_alike(other, look))
            if better and _has_all(other, start):
                return other, anew
        return start, still

    def with_joint(self, start: _Sight, found: Refinement) -> tuple[_Sight, Refinement]:
        """The knee was moved between the films."""
        about = pivot(start.surfaces[Bone.FEMUR])
        guess = first_guess(about, found.between)
        since = time.perf_counter()
        sight = self._bent(start, guess)
        # To look again takes as long, and to tell whether it is needed, a part of that.
        if 2.0 * time.perf_counter() - since < self._deadline:
            after = self.fit(sight, Freedom.JOINT)[Freedom.JOINT].between
            better = second_guess(about, found.between, guess, after)
            if better.differs(guess, _SAME_GUESS):
                sight = self._bent(start, better)
        return sight, self.fit(sight, Freedom.NOTHING)[Freedom.NOTHING]

    def _is_more_alike(self, sight: _Sight, before: Look) -> bool:
        """Whether the grey values within the bones are more like those on the films."""
        if self.is_late or set(sight.surfaces) != set(Bone):
            return False
        look = _look(sight)
        return look is not None and look.unlikeness < before.unlikeness

    def _shown(self, start: _Sight, geometry: BiplanarGeometry) -> _Sight:
        """What the network makes of films that stood otherwise."""
        self._tell()
        knee = replace(start.knee, geometry=geometry)
        probabilities, silhouettes = see(self._model, knee, self._device)
        surfaces = extract_surfaces(probabilities, self._grid)
        return _Sight(knee, probabilities, surfaces, silhouettes, Between())

    def _bent(self, start: _Sight, between: Between) -> _Sight:
        def look(knee: RightKnee) -> np.ndarray:
            self._tell()
            return see(self._model, knee, self._device)[0]

        probabilities = seen_by_parts(look, start.knee, between, start.probabilities)
        surfaces = extract_surfaces(probabilities, self._grid)
        return replace(start, probabilities=probabilities, surfaces=surfaces, between=between)

    def _tell(self) -> None:
        now = time.perf_counter()
        share = (now - self._started) / max(self._deadline - self._started, 1e-9)
        self._progress(STAGE, min(share, 1.0))


def silhouette_detectors(knee: RightKnee, silhouettes: Tensor) -> tuple[ViewGeometry, ViewGeometry]:
    """The detectors on which the network's silhouettes are: its films', in coarser pixels."""
    frontal, lateral = (
        detector.binned(detector.shape[0] // silhouettes.shape[-2]) for detector in knee.detectors
    )
    return frontal, lateral
