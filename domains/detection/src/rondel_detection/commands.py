"""The domain's own verbs; imports neither torch nor numpy before one runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from rondel.cli.app import App
from rondel.cli.flags import talk_flags

PATH = click.Path(path_type=Path)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Accept what says how labels are read: ``--from`` and ``--images``."""
    command = click.option(
        "--images", type=PATH, metavar="DIR", help="Folder of the images; by default found."
    )(command)
    return click.option(
        "--from", "format_", metavar="FORMAT", help="Label format; by default recognised."
    )(command)


@click.command("check", short_help="List everything that is wrong with labels and images.")
@click.argument("data", type=PATH, metavar="DATA")
@source_options
@click.option("--strict", is_flag=True, help="Exit code 4 for warnings and losses too.")
@click.option("--files/--no-files", default=True, help="Look at the image files too.")
@click.option(
    "--decode/--no-decode",
    default=None,
    help="Decode all images, to find damaged and almost identical ones; by default if few.",
)
@talk_flags
@click.pass_obj
def check(
    app: App,
    data: Path,
    *,
    format_: str | None,
    images: Path | None,
    strict: bool,
    files: bool,
    decode: bool | None,
) -> int:
    """List every defect of the labels and images of DATA, with place, reason and what to do.

    Ends with exit code 4 if there are errors.
    """
    from rondel_detection import verbs

    annotations = verbs.opened(app.terminal, data, format_, images)
    return verbs.check(app.terminal, annotations, strict=strict, files=files, decode=decode)


@click.command("convert", short_help="Write labels in another format, and prove what is kept.")
@click.argument("source", type=PATH, metavar="SRC")
@click.argument("target", type=PATH, metavar="DST")
@click.option("--to", "to", required=True, metavar="FORMAT", help="coco, voc, yolo, labelme ...")
@source_options
@click.option(
    "--strict", is_flag=True, help="Write nothing if anything would be lost; exit code 4."
)
@click.option("--copy-images", is_flag=True, help="Copy the image files as well.")
@click.option("--force", is_flag=True, help="Write over files of the same name.")
@talk_flags
@click.pass_obj
def convert(
    app: App,
    source: Path,
    target: Path,
    *,
    to: str,
    format_: str | None,
    images: Path | None,
    strict: bool,
    copy_images: bool,
    force: bool,
) -> int:
    """Read the labels SRC, write them to DST in FORMAT, read them back and compare."""
    from rondel_detection import verbs

    annotations = verbs.opened(app.terminal, source, format_, images)
    wish = verbs.Wish(format=to, force=force, strict=strict, copy_images=copy_images)
    return verbs.write(app.terminal, annotations, target, wish)


@click.command("split", short_help="Make stratified splits that keep equal images together.")
@click.argument("source", type=PATH, metavar="SRC")
@click.argument("target", type=PATH, metavar="DST")
@click.option("--to", "to", metavar="FORMAT", help="By default that of SRC.")
@source_options
@click.option("--val", type=float, default=0.2, show_default=True, help="Share of 'val'.")
@click.option("--test", type=float, default=0.0, show_default=True, help="Share of 'test'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice.")
@click.option("--group-by", metavar="REGEX", help="Names with an equal match stay together.")
@click.option("--reassign", is_flag=True, help="Give up the splits that images have already.")
@click.option("--files/--no-files", default=True, help="Search the files for equal images.")
@click.option("--decode/--no-decode", default=None, help="And for almost equal ones, as in check.")
@click.option("--copy-images", is_flag=True, help="Copy the image files as well.")
@click.option("--force", is_flag=True, help="Write over files of the same name.")
@talk_flags
@click.pass_obj
def split(
    app: App,
    source: Path,
    target: Path,
    *,
    to: str | None,
    format_: str | None,
    images: Path | None,
    val: float,
    test: float,
    seed: int,
    group_by: str | None,
    reassign: bool,
    files: bool,
    decode: bool | None,
    copy_images: bool,
    force: bool,
) -> int:
    """Deal the images of SRC out to train, val and test, and write the labels to DST.

    Every class is in proportion in every split. Identical and almost identical images, and those
    whose names agree in what --group-by matches, stay together.
    """
    from rondel_detection import verbs

    dealing = verbs.Dealing(
        val=val,
        test=test,
        seed=seed,
        group_by=group_by,
        reassign=reassign,
        files=files,
        decode=decode,
    )
    shares = dealing.shares  # wrong ones are told before anything is read
    annotations = verbs.opened(app.terminal, source, format_, images)
    dealt = verbs.split(app.terminal, annotations, shares, dealing)
    wish = verbs.Wish(
        format=to or annotations.format, force=force, keep=("split",), copy_images=copy_images
    )
    return verbs.write(app.terminal, dealt, target, wish)


@click.command("demo", short_help="Train a detector in about a minute and open its report.")
@click.option("--out", type=PATH, metavar="DIR", help="The run directory.")
@click.option("--open/--no-open", "opens", default=True, help="Open the report in the browser.")
@talk_flags
@click.pass_obj
def demo(app: App, *, out: Path | None, opens: bool) -> int:
    """Train the centre detector on circles, squares and triangles, and open its report."""
    from rondel_detection.demonstration import demonstrate

    return demonstrate(app, out, opens=opens)


COMMANDS: list[click.Command] = [check, convert, split, demo]
"""What ``rondel detection`` can do beside the shared verbs."""
