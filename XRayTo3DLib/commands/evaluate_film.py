"""``xrayto3d evaluate-film``: bones projected on films, against what was drawn there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from XRayTo3DLib.commands.rivals import (
    NetworkWords,
    RefineToo,
    RegistrationModel,
    RegistrationStarts,
    chosen_contestants,
)

if TYPE_CHECKING:
    from XRayTo3DLib.evaluation.film_index import DrawnKnee

SCORES_NAME, TABLE_NAME = "film_scores.csv", "films.md"


def evaluate_film(
    films: Annotated[
        Path | None,
        typer.Option(
            help="Index of films with bones drawn on them, CSV or JSON: ap, lateral, ap_masks, "
            "lateral_masks, and optionally name, person, side, spacing, sid, sod, ap_centre, "
            "lateral_centre."
        ),
    ] = None,
    bones: Annotated[
        Path | None,
        typer.Option(
            help="Instead of an index: folder of bone surfaces, filmed by gVirtualXRay; the masks "
            "are the true surfaces, projected."
        ),
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option(help="Whose bones, with --bones: a person held out; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the tables.")
    ] = None,
    network: NetworkWords = None,
    refine: RefineToo = True,
    registration: RegistrationModel = None,
    start: RegistrationStarts = None,
    placements: Annotated[
        int, typer.Option(min=1, help="With --bones: how often each knee is placed and filmed.")
    ] = 1,
    seed: Annotated[
        int, typer.Option(min=0, help="With --bones: of placing, machine and films.")
    ] = 0,
    example: Annotated[
        Path | None,
        typer.Option(
            help="Write sample films with masks and their index to this new folder, and stop."
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Measure all anew and replace film_scores.csv.")
    ] = False,
) -> None:
    """Measure reconstructions on films where no true shape is known, by bones drawn on them.

    The reconstructed bones are projected on each film: Dice of the silhouettes, and mean symmetric
    distance of their outlines in mm at the isocentre. Masks are one a bone (a folder with femur.png
    and so on) or a label image (0 background, 1 femur, 2 tibia, 3 patella, 4 fibula, 255 not
    judged). Writes film_scores.csv as it goes, then films.md; the same command again goes on where
    a stopped run was.
    """
    from XRayTo3DLib.commands.counting import counted
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.film_book import FilmBook
    from XRayTo3DLib.evaluation.film_evaluation import evaluate_films, film_table
    from XRayTo3DLib.evaluation.film_example import write_example

    if example is not None:
        typer.echo(f"xrayto3d evaluate-film --films {write_example(example)} --output OUTPUT")
        return
    if output is None:
        raise XRayTo3DError("Say where the tables go, with --output.")
    if (films is None) == (bones is None):
        raise XRayTo3DError("Give either --films with an index, or --bones with --person.")
    if films is not None:
        knees, people, count = _drawn(films, person)
    else:
        assert bones is not None  # one of the two is given
        knees, people, count = _simulated(bones, person, placements, seed)
    contestants = chosen_contestants(
        network, refine, registration, start, people, truth=films is None
    )
    kept = output / SCORES_NAME
    if restart:
        kept.unlink(missing_ok=True)
    book = FilmBook(kept)
    done = 0
    with counted() as advance:

        def tell(what: str) -> None:
            nonlocal done
            done += 1
            advance(done, count * len(contestants), what)

        scores = evaluate_films(knees, contestants, book, tell)
    output.mkdir(parents=True, exist_ok=True)
    table = film_table(scores)
    (output / TABLE_NAME).write_text(table, encoding="utf-8")
    typer.echo(table)
    typer.echo(f"Tables in {output}")


def _drawn(index: Path, person: list[str] | None) -> tuple[Iterable[DrawnKnee], list[str], int]:
    """The pairs of an index, read one by one; who they are of; how many."""
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.film_index import read_index

    if person:
        raise XRayTo3DError("--person goes with --bones; an index says itself whose films it has.")
    pairs = read_index(index)
    return (pair.read() for pair in pairs), [pair.person for pair in pairs], len(pairs)


def _simulated(
    bones: Path, person: list[str] | None, placements: int, seed: int
) -> tuple[Iterable[DrawnKnee], list[str], int]:
    """Films of known bones, made one by one; whose; how many pairs."""
    from XRayTo3DLib.anatomy.knee import load_knees, split_by_person
    from XRayTo3DLib.errors import XRayTo3DError
    from XRayTo3DLib.evaluation.film_evaluation import simulated_knees

    if not person:
        raise XRayTo3DError("Say whose bones of --bones are filmed, with --person.")
    _, held_out = split_by_person(load_knees(bones), person)
    knees = [knee for knee in held_out if knee.is_complete]
    if not knees:
        raise XRayTo3DError("None of the people to be measured has a knee with all four bones.")
    return simulated_knees(knees, placements, seed), person, len(knees) * placements
