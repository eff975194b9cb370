"""The verbs that every domain shares: train, evaluate, predict, export, inspect, config."""

from __future__ import annotations

from pathlib import Path

import click

from rondel.cli import flags
from rondel.cli.app import App
from rondel.cli.arguments import Source, resolve_config
from rondel.domain import resolve as resolve_target
from rondel.errors import UsageError


@click.command("train", short_help="Train a model and write a run directory.")
@flags.words_argument
@flags.run_flags
@flags.talk_flags
@click.pass_obj
def train(
    app: App,
    words: tuple[str, ...],
    *,
    out: Path | None,
    resume: Path | None,
    device: str | None,
    seed: str | None,
    workers: str | None,
    recipe: Path | None,
    dry_run: bool,
    check_resume: bool,
) -> int:
    """Train a model on DATA, or on the embedded set, and write a run directory.

    Config values are set as KEY=VALUE; 'rondel DOMAIN config' lists the keys.
    """
    if out is not None and resume is not None:
        raise UsageError("--out and --resume contradict each other", hint="Resume runs in place.")
    # callbacks and components need every plugin, so a rival domain is found before the run starts
    app.host.load()
    domain = app.host.domain(app.domain.name)
    settings = {"device": device, "seed": seed, "workers": workers}
    resolved = resolve_config(domain, Source(words, recipe, resume, settings))

    from rondel import session
    from rondel.cli.outcome import report_result
    from rondel.request import TrainRequest

    request = TrainRequest(
        domain=domain,
        config=resolved.config,
        origins=resolved.origins,
        host=app.host,
        out=out,
        resume=resume,
        verbosity=app.terminal.verbosity,
        json=app.terminal.json,
        command=app.command,
    )
    if dry_run or check_resume:
        text = session.dry_run(request) if dry_run else session.check_resume(request)
        app.terminal.result(text)
        app.terminal.row("check", {"text": text})
        return 0
    return report_result(app, session.carry_out(request))


@click.command("evaluate", short_help="Measure a trained model on data.")
@flags.bundle_argument
@click.argument("data", required=False)
@flags.talk_flags
@click.pass_obj
def evaluate(app: App, bundle: Path, data: str | None) -> None:
    """Measure the model of BUNDLE on DATA, or on the test part of the data it was trained on."""
    from rondel import session
    from rondel.cli.outcome import report_metrics

    path = None if data is None else Path(data.removeprefix("data="))
    report_metrics(app, session.evaluate(_bundle_in(app, bundle), path, app.host))


@click.command("predict", short_help="Apply a trained model to inputs.")
@flags.bundle_argument
@click.argument("inputs", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write here instead of to stdout.")
@flags.talk_flags
@click.pass_obj
def predict(app: App, bundle: Path, inputs: tuple[str, ...], *, out: Path | None) -> None:
    """Apply the model of BUNDLE to INPUTS, which are files or, where it fits, plain text."""
    from rondel import session

    session.predict(_bundle_in(app, bundle), inputs, out, app.host)


@click.command("export", short_help="Write a trained model for other programs.")
@flags.bundle_argument
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; beside the bundle.")
@click.option("--format", "format_", default="pt2", show_default=True, help="Such as pt2 or onnx.")
@flags.talk_flags
@click.pass_obj
def export(app: App, bundle: Path, *, out: Path | None, format_: str) -> None:
    """Write the model of BUNDLE in a format that other programs read."""
    from rondel import session

    folder = _bundle_in(app, bundle)
    beside = folder.parent if bundle.is_dir() else Path()
    target = out if out is not None else beside / f"{folder.name}.{format_}"
    written = session.export(folder, target, format_, app.host)
    app.terminal.result(str(written))
    app.terminal.row("export", {"path": str(written), "format": format_})


@click.command("inspect", short_help="Show what the data looks like.")
@flags.words_argument
@flags.config_flag
@flags.talk_flags
@click.pass_obj
def inspect(app: App, words: tuple[str, ...], *, recipe: Path | None) -> None:
    """Show what DATA, or the embedded set, looks like to the domain; nothing is trained."""
    if app.domain.inspect is None:
        raise UsageError(f"{app.domain.name} cannot inspect data")
    config = resolve_config(app.domain, Source(words, recipe)).config
    text = str(resolve_target(app.domain.inspect)(config))
    app.terminal.result(text)
    app.terminal.row("inspect", {"text": text})


@click.command("config", short_help="Print every config key, or where its value comes from.")
@flags.words_argument
@click.option("--origin", is_flag=True, help="Print resolved values and where they come from.")
@flags.config_flag
@flags.talk_flags
@click.pass_obj
def config(app: App, words: tuple[str, ...], *, origin: bool, recipe: Path | None) -> None:
    """Print every key with type, default, unit and help.

    With --origin, a recipe or KEY=VALUE: every resolved value and where it comes from.
    """
    from rondel.cli.listing import list_keys, list_values

    source = Source(words, recipe)
    if origin or words or recipe:
        list_values(app.terminal, resolve_config(app.domain, source))
    else:
        list_keys(app.terminal, resolve_target(app.domain.config))


VERBS: tuple[click.Command, ...] = (train, evaluate, predict, export, inspect, config)
"""The shared verbs in the order of the help."""


def _bundle_in(app: App, path: Path) -> Path:
    """Accept a run directory in place of the bundle it holds, or the name of one that comes along."""
    if not path.is_dir():
        return app.domain.bundle_named(str(path))
    inner = path / "bundle"
    return inner if inner.is_dir() else path
