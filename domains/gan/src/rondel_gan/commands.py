"""The domain's own verbs; imports no torch before one runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.app import App
from rondel.cli.flags import bundle_argument, talk_flags
from rondel.errors import UsageError

if TYPE_CHECKING:
    from rondel_gan.bundle import GanBundle

PATH = click.Path(path_type=Path)


def out_option(default: str, text: str) -> Callable[..., Any]:
    """Accept ``--out``."""
    return click.option("--out", type=PATH, default=Path(default), show_default=True, help=text)


def class_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Accept ``--class``."""
    return click.option("--class", "label", metavar="NAME", help="Of all samples.")(command)


@click.command("sample", short_help="Draw samples from a trained generator.")
@bundle_argument
@click.option("--n", "count", type=int, default=64, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise.")
@click.option("--truncation", type=float, default=1.0, show_default=True, help="Noise factor.")
@class_option
@out_option("samples.png", "A .png file gets a grid, a .csv file points, a folder images.")
@talk_flags
@click.pass_obj
def sample(
    app: App,
    bundle: Path,
    *,
    count: int,
    seed: int,
    truncation: float,
    label: str | None,
    out: Path,
) -> None:
    """Draw N samples from the generator of BUNDLE into a grid, a folder, or a table of points."""
    model = opened(bundle)
    said = model.write(out, count, seed=seed, truncation=truncation, label=label)
    app.terminal.result(said)
    app.terminal.row("sample", {"path": str(out), "n": count, "seed": seed})


@click.command("interpolate", short_help="Draw what lies between samples.")
@bundle_argument
@click.option("--seeds", default="0,1,2", show_default=True, help="Noises on the way.")
@click.option(
    "--steps", type=int, default=8, show_default=True, help="Images from one to the next."
)
@class_option
@out_option("interpolation.png", "A .png file gets a row for each pair; .apng .gif .webp move.")
@talk_flags
@click.pass_obj
def interpolate(
    app: App, bundle: Path, *, seeds: str, steps: int, label: str | None, out: Path
) -> None:
    """Draw the samples between the noises of SEEDS, along arcs, as a grid or a moving picture."""
    from rondel_gan.walk import write_walk

    said = write_walk(opened(bundle), out, seeds=seeds_in(seeds), steps=steps, label=label)
    app.terminal.result(said)
    app.terminal.row("interpolate", {"path": str(out), "seeds": seeds, "steps": steps})


@click.command("demo", short_help="Train a good game and a collapsing one, and compare them.")
@click.option("--out", type=PATH, metavar="DIR", help="A folder for both runs and the page.")
@click.option("--open/--no-open", "opens", default=True, help="Open the page in the browser.")
@talk_flags
@click.pass_obj
def demo(app: App, *, out: Path | None, opens: bool) -> None:
    """Train two games on digits, one of which collapses, and show how the alarm tells them apart."""
    from rondel_gan.demonstration import demonstrate

    demonstrate(app, out, opens=opens)


def opened(bundle: Path) -> GanBundle:
    """Load a bundle, or that of a run.

    Raises:
        UsageError: There is no such folder.
        CheckpointError: It is damaged, or no bundle of the domain.
    """
    if not bundle.is_dir():
        raise UsageError(
            f"{str(bundle)!r} is no bundle: there is no such folder",
            hint="Name the folder that a run wrote.",
        )
    from rondel_gan.bundle import GanBundle

    inner = bundle / "bundle"
    return GanBundle.load(inner if inner.is_dir() else bundle)


def seeds_in(text: str) -> list[int]:
    """Read whole numbers between commas.

    Raises:
        UsageError: One is none.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--seeds {text!r} is no list of numbers", hint="Write 0,1,2.") from error


COMMANDS: list[click.Command] = [sample, interpolate, demo]
"""What ``rondel gan`` can do beside the shared verbs."""
