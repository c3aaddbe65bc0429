"""Who takes part, as the commands that compare rivals are told."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from XRayTo3DLib.evaluation.contestants import Contestant

SHIPPED_NAME = "shipped"


class StartOption(str, Enum):
    """The values of ``--start``."""

    BY_HAND = "by-hand"
    PERTURBED = "perturbed"
    MEAN_KNEE = "mean-knee"


NetworkWords = Annotated[
    list[str] | None,
    typer.Option(
        help="name=weights.safetensors, or the name of weights that come with the program, as "
        "knee-paper128; repeatable (default: shipped, those of everyday use)."
    ),
]
RefineToo = Annotated[
    bool, typer.Option(help="Measure each network that can be refined with refinement too.")
]
RegistrationModel = Annotated[
    Path | None,
    typer.Option(
        help="Also register this shape and intensity model: a file of 'intensity', or knee-ssim, "
        "which comes with the program."
    ),
]
RegistrationStarts = Annotated[
    list[StartOption] | None,
    typer.Option(
        help="Where it starts: near the true bones of simulated films, or from the mean knee in "
        "the middle of the joint; repeatable (default: all that the films allow)."
    ),
]


def chosen_contestants(
    networks: Sequence[str] | None,
    refine: bool,
    registration: Path | None,
    starts: Sequence[StartOption] | None,
    people: Sequence[str],
    truth: bool = True,
) -> tuple[Contestant, ...]:
    """The rivals of a run: networks first.

    Args:
        networks: ``name=path`` of weights, the name of weights that come with the program, or
            ``shipped``; the latter by default.
        refine: whether networks are refined too.
        registration: file of a shape and intensity model, if one takes part.
        starts: of registration.
        people: who will be measured.
        truth: whether it is known how the bones on the films really lie.

    Raises:
        XRayTo3DError: one of them cannot take part.
    """
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.contestants import contestants_from, registered_contestants

    if starts and registration is None:
        raise XRayTo3DError("--start goes with --registration; say which model is registered.")
    if starts and not truth and set(starts) != {StartOption.MEAN_KNEE}:
        raise XRayTo3DError(
            "Nobody knows how the bones on these films lie, so registration cannot start near "
            "them; use --start mean-knee."
        )
    found: tuple[Contestant, ...] = contestants_from(networks or [SHIPPED_NAME], people, refine)
    if registration is None:
        return found
    possible = tuple(StartOption) if truth else (StartOption.MEAN_KNEE,)
    names = [start.value.replace("-", " ") for start in starts or possible]
    return found + registered_contestants(registration, names, people)
