"""The domain's own verbs; imports no torch before one runs."""

from __future__ import annotations

from pathlib import Path

import click

from rondel.errors import UsageError


@click.command("sample", short_help="Draw images from a trained generator.")
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE|RUN")
@click.option("--n", "count", type=int, default=64, show_default=True, help="How many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the noise.")
@click.option("--truncation", type=float, default=1.0, show_default=True, help="Noise factor.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("samples.png"),
    show_default=True,
    help="A .png file gets a grid, anything else is a folder.",
)
def sample(bundle: Path, *, count: int, seed: int, truncation: float, out: Path) -> None:
    """Draw N images from the generator of BUNDLE into a grid, or a folder of files."""
    if not bundle.is_dir():
        raise UsageError(f"{str(bundle)!r} is no bundle: there is no such folder")
    from rondel_gan.bundle import GanBundle

    inner = bundle / "bundle"
    model = GanBundle.load(inner if inner.is_dir() else bundle)
    click.echo(model.write(out, count=count, seed=seed, truncation=truncation))


COMMANDS: list[click.Command] = [sample]
"""What ``rondel gan`` can do beside the shared verbs."""
