"""The command ``xrayto3d``: a thin layer that registers the commands and reports errors.

Each command is a function in a module of ``XRayTo3DLib.commands``. Those modules import what is
slow to import inside their functions, so that ``xrayto3d --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from XRayTo3DLib.commands.benchmark import benchmark
from XRayTo3DLib.commands.benchmark_density import benchmark_density
from XRayTo3DLib.commands.demo import demo
from XRayTo3DLib.commands.density import density
from XRayTo3DLib.commands.embed import embed
from XRayTo3DLib.commands.evaluate import evaluate
from XRayTo3DLib.commands.evaluate_film import evaluate_film
from XRayTo3DLib.commands.evaluate_style import evaluate_style
from XRayTo3DLib.commands.find import find
from XRayTo3DLib.commands.generate import generate
from XRayTo3DLib.commands.generate_density import generate_density
from XRayTo3DLib.commands.population import population
from XRayTo3DLib.commands.prepare import prepare
from XRayTo3DLib.commands.reconstruct import reconstruct
from XRayTo3DLib.commands.register import intensity, register, register_study
from XRayTo3DLib.commands.rerender import rerender
from XRayTo3DLib.commands.style_films import style_films
from XRayTo3DLib.commands.train import train
from XRayTo3DLib.commands.train_density import train_density
from XRayTo3DLib.commands.train_style import train_style
from XRayTo3DLib.errors import XRayTo3DError
from XRayTo3DLib.progress import Cancelled

BAD_INPUT = 2
INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells have it."""


class _Commands(TyperGroup):
    """Hands Ctrl-C on to :func:`main`: typer would end the program itself, without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled from None


app = typer.Typer(
    name="xrayto3d",
    cls=_Commands,
    help="Reconstruct the bones of the knee in 3D from an AP and a lateral radiograph. "
    "Not for clinical use.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Use": (reconstruct, demo, find, density, rerender, embed),
    "Measure": (
        evaluate,
        evaluate_film,
        evaluate_style,
        benchmark,
        benchmark_density,
        register_study,
    ),
    "Learn": (generate, prepare, population, train),
    "Learn: style of films": (style_films, train_style),
    "Learn: density": (generate_density, train_density),
    "Rival: shape and intensity model": (intensity, register),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"xrayto3d {metadata.version('XRayTo3D')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Reconstruct the bones of the knee in 3D. Not for clinical use."""


def main() -> None:
    """Run the command line; exit 2 on bad input, 130 on Ctrl-C.

    Bad input is said in one sentence on standard error. Any other exception is a defect of this
    program and keeps its traceback.
    """
    try:
        app()
    except XRayTo3DError as error:
        print(error, file=sys.stderr)
        sys.exit(BAD_INPUT)
    except (Cancelled, KeyboardInterrupt):
        print("Stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
