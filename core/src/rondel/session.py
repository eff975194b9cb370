"""From a config to a trained model: build, run, best state, bundle, report.

This is the way that the command line and ``rondel.train`` share. A loop of one's own needs none of
it: `rondel.Run` is enough.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rondel import keyed
from rondel.bundle import Bundle
from rondel.callback import Callback
from rondel.callbacks import Best, EarlyStopping, Pictures, Progress, Throughput, TimeLimit
from rondel.checkpoint import read_checkpoint
from rondel.config import Layer, difference, read_recipe, resolve, to_toml
from rondel.directory import write_atomically
from rondel.domain import Domain
from rondel.domain import resolve as resolve_target
from rondel.errors import CheckpointError, ConfigError, RondelError, UsageError
from rondel.loop import Loop, Section
from rondel.notice import quiet as kept_quiet
from rondel.notice import warn
from rondel.plugins import PluginHost
from rondel.record import Provenance, read_best, write_json
from rondel.request import TrainRequest
from rondel.run import Run
from rondel.settings import DomainConfig


@dataclass(frozen=True)
class Result:
    """What a training run came to."""

    directory: Path
    outcome: str
    metrics: Mapping[str, float]
    baseline: Mapping[str, Any] | None
    watch: tuple[str, str] | None
    seconds: float
    report: Path | None
    domain: Domain

    @cached_property
    def bundle(self) -> Bundle:
        """The trained model.

        Raises:
            CheckpointError: The loop made no bundle, or it is damaged.
        """
        return load_with(self.domain, self.directory / "bundle")


def train(
    domain: str,
    *,
    data: Any = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    config_file: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    **config: Any,
) -> Result:
    """Train a domain's loop, the same way as ``rondel <domain> train``.

        result = rondel.train("tabular", data="adult.csv", target="income", epochs=20)
        result.bundle.predict(frame)

    Args:
        domain: Its name, such as 'tabular'.
        data: A path; or data in memory, if the domain takes it (a data frame).
        out: The run directory; by default a new one below ``runs/``.
        resume: The run directory to continue.
        config_file: A TOML file of config values, below ``config``.
        callbacks: Beside those that the config asks for.
        quiet: Show no progress.
        config: Config values; a group is given as a mapping, ``optimizer={"lr": 1e-3}``.

    Raises:
        ConfigError: A value is wrong; all problems are reported together.
        DataError: The data cannot be used.
        DivergedError: The training diverged.
    """
    host = PluginHost.from_environment(disabled=(), warn=warn)
    record = host.domain(domain)
    in_memory = data is not None and not isinstance(data, str | Path)
    values = config if in_memory or data is None else {**config, "data": str(data)}
    layers = [Layer("rondel.train", nested(values))]
    if config_file is not None:
        layers.insert(0, read_recipe(Path(config_file)))
    if resume is not None:
        layers.insert(0, read_recipe(Path(resume) / "config.toml"))
    resolved = resolve(resolve_target(record.config), layers)
    request = TrainRequest(
        domain=record,
        config=resolved.config,
        host=host,
        origins=resolved.origins,
        out=None if out is None else Path(out),
        resume=None if resume is None else Path(resume),
        verbosity=-1 if quiet else 0,
        command=("rondel.train", domain),
    )
    with kept_quiet(quiet):
        return carry_out(request, data=data if in_memory else None, callbacks=callbacks)


def carry_out(
    request: TrainRequest, *, data: Any = None, callbacks: Sequence[Callback] = ()
) -> Result:
    """Do what a request asks for, from building the loop to writing the report."""
    if request.resume is not None:
        check_resumable(request)
    loop = build(request, data)
    config = request.config
    run = Run(
        request.resume or request.out,
        resume=request.resume is not None,
        settings=config.run,
        callbacks=[*default_callbacks(request, loop), *callbacks],
        provenance=provenance(request, loop),
    )
    run.callbacks.extend(request.host.callbacks(run))
    outcome = "failed"
    try:
        with run:
            if request.verbosity < 0:
                run.print_with(lambda _: None)
            loop.train(run)
            run.finish()
            keep(run, loop)
        outcome = "done"
    except RondelError as error:
        outcome = run.outcome(error)
        raise
    except Exception as error:
        # the command line names the place of error.txt
        error.run_directory = run.directory_or_none  # type: ignore[attr-defined]
        raise
    finally:
        request.host.run_finished(run, outcome)
        report = write_report(run) if outcome in {"done", "diverged"} else None
        run.processes.leave()
    return Result(
        directory=run.directory,
        outcome=outcome,
        metrics=run.headline,
        baseline=None
        if loop.baseline is None
        else {"name": loop.baseline.name, "values": dict(loop.baseline.values)},
        watch=None if loop.watch is None else (loop.watch.metric, loop.watch.mode),
        seconds=run.seconds,
        report=report,
        domain=request.domain,
    )


def build(request: TrainRequest, data: Any = None) -> Loop:
    """Build the domain's loop with randomness keyed by the seed: the same weights every time."""
    keyed.reseed(keyed.key(request.config.run.seed, "build"))
    make = resolve_target(request.domain.build)
    loop: Loop = make(request.config) if data is None else make(request.config, data)
    return loop


def provenance(request: TrainRequest, loop: Loop) -> Provenance:
    """Say where a run comes from."""
    return Provenance(
        domain=request.domain.name,
        config=to_toml(request.config),
        data=loop.data,
        command=request.command,
        watch=loop.watch,
        baseline=loop.baseline,
    )


def default_callbacks(request: TrainRequest, loop: Loop) -> list[Callback]:
    """Return the callbacks that the config and the loop ask for."""
    config: DomainConfig = request.config
    made: list[Callback] = [Throughput()]
    if request.verbosity >= 0 and not request.json:
        made.append(Progress(epochs=config.epochs))
    if loop.watch is not None:
        made.append(Best(loop.watch))
        if config.patience is not None:
            made.append(EarlyStopping(loop.watch, config.patience))
    if config.run.time_limit_s is not None:
        made.append(TimeLimit(config.run.time_limit_s))
    draw = getattr(loop, "picture", None)
    return [*made, Pictures(draw)] if draw is not None else made


def check_resumable(request: TrainRequest) -> None:
    """Refuse to continue a run with a config that would make it another run.

    Raises:
        ConfigError: Lists every changed key that may not change.
    """
    assert request.resume is not None
    file = request.resume / "config.toml"
    model = type(request.config)
    saved = resolve(model, [read_recipe(file)]).config
    changed = [d for d in difference(model, saved, request.config) if not d.resumable]
    if changed:
        raise ConfigError.collect(
            [
                ConfigError(
                    f"is {d.new!r}, but the run was started with {d.saved!r}",
                    where=f"{file}: {d.key}",
                    hint="Leave it as it was, or start a new run.",
                )
                for d in changed
            ]
        )


def keep(run: Run, loop: Loop) -> None:
    """Put the best state in place and write bundle and sections of the report."""
    with ExitStack() as stack:
        best = read_best(run.directory / "checkpoints")
        if best is None:
            stack.enter_context(run.averaged())
        else:
            try:
                run.load_weights(best["step"])
            except CheckpointError as error:
                run.say(f"The best state cannot be read, the last one is kept: {error}")
        bundle = loop.bundle()
        if bundle is not None and run.processes.writes:
            bundle.metrics = run.headline
            bundle.save(run.directory / "bundle")
        sections = run.examine(loop.sections)
        if sections and run.processes.writes:
            write_sections(run.directory, sections)


def write_sections(directory: Path, sections: Sequence[Section]) -> None:
    """Write the parts of the report that the loop made; pictures become files."""
    rows = []
    for section in sections:
        row: dict[str, Any] = {"title": section.title}
        if section.text:
            row["text"] = section.text
        if section.table is not None:
            row["table"] = section.table.to_json()
        if section.picture is not None:
            row["picture"] = f"pictures/{slug(section.title)}.png"
            file = directory / row["picture"]
            file.parent.mkdir(exist_ok=True)
            write_atomically(file, section.picture)
        rows.append(row)
    write_json(directory / "sections.json", rows)


def slug(title: str) -> str:
    """Return a title as a file name."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def write_report(run: Run) -> Path | None:
    """Write the report, or say why there is none: a finished training is never lost to it."""
    directory = run.directory_or_none
    if directory is None or not run.processes.writes:
        return None
    from rondel.report import write_report as write

    try:
        return write(directory)
    except RondelError as error:
        warn(f"There is no report: {error}")
    return None


# -- what is done with a trained model -------------------------------------------------------------


def load(path: str | Path) -> Bundle:
    """Load a bundle of any installed domain.

    Args:
        path: Its folder; or ``"detection:digits"``, one that a domain brings along.

    Raises:
        CheckpointError: It is damaged, or no bundle.
        PluginError: Its domain is not installed.
    """
    host = PluginHost.from_environment(disabled=(), warn=warn)
    domain, colon, name = str(path).partition(":")
    if colon and not Path(path).exists() and domain in host.names():
        return load_with(host.domain(domain), host.domain(domain).bundle_named(name))
    return find_bundle(Path(path), host)


def find_bundle(path: Path, host: PluginHost) -> Bundle:
    """Load a bundle with the class of the domain it names."""
    info, _ = read_checkpoint(path)
    domain = info.meta.get("domain")
    if info.meta.get("kind") != "bundle" or not isinstance(domain, str):
        raise CheckpointError(
            "is not a bundle", where=str(path), hint="A run keeps its bundle in RUN/bundle."
        )
    return load_with(host.domain(domain), path)


def load_with(domain: Domain, path: Path) -> Bundle:
    """Load a bundle of a known domain."""
    bundle: Bundle = resolve_target(domain.bundle).load(path)
    return bundle


def evaluate(bundle: Path, data: Path | None, host: PluginHost) -> dict[str, float]:
    """Measure a trained model on data, or on what it was evaluated with."""
    return find_bundle(bundle, host).evaluate(data)


def predict(bundle: Path, inputs: tuple[str, ...], out: Path | None, host: PluginHost) -> None:
    """Predict for inputs from the command line; text goes to stdout."""
    text = find_bundle(bundle, host).predict_files(inputs, out)
    if text:
        sys.stdout.write(text.rstrip("\n") + "\n")


def export(bundle: Path, out: Path, format: str, host: PluginHost) -> Path:  # noqa: A002
    """Write a trained model for another runtime."""
    return find_bundle(bundle, host).export(out, format)


# -- looking before leaping ------------------------------------------------------------------------


def dry_run(request: TrainRequest) -> str:
    """Build everything, compute one batch, and describe shapes, parameters and memory."""
    from rondel.rehearsal import describe

    with tempfile.TemporaryDirectory() as folder:
        return describe(build(request), request.config.run, Path(folder) / "run")


def check_resume(request: TrainRequest) -> str:
    """Stop and resume a short run at random safe points and compare it with the straight one.

    Raises:
        StateError: A resumed run did not end like the straight one; names what differs.
    """
    from rondel.rehearsal import check_random_cuts

    return check_random_cuts(lambda: build(request), request.config.run)


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested mappings."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, leaf = name.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        if not isinstance(place, dict):
            raise UsageError(f"{name!r} is set twice", hint="Give the group or its keys.")
        place[leaf] = value
    return tree
