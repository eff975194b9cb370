"""One training run: it hands out resumable iterators and updates, evaluates, logs and saves.

    with rondel.Run("runs/mine", seed=7) as run:
        Distil(teacher, student, texts).train(run)

Killed at any moment and opened again with ``resume=True``, it ends as if it had not been.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor, nn

from rondel import keyed
from rondel.callback import EVENTS, Callback, listeners
from rondel.counter import Counters
from rondel.cursor import Course, stateful
from rondel.errors import DataError, LoopError, RondelError, StateError, UsageError
from rondel.log import Window
from rondel.metric import Metric, merged
from rondel.processes import Processes
from rondel.record import Provenance, Record, print_to_stderr
from rondel.settings import OptimizerConfig, RunConfig, UpdateConfig
from rondel.stream import AnyStream, Feed, Stream, Unreadable, as_stream, unreadable_sample
from rondel.update import Joint, Update

if TYPE_CHECKING:
    from rondel.loop import Loop

T = TypeVar("T")
Owned = nn.Module | Sequence[nn.Module] | Iterable[nn.Parameter]
AGREE_EVERY = 10
"""Safe points between two exchanges of signals among processes."""


class Run:
    """One training run.

    Args:
        directory: Where it lives; by default a new folder below ``runs/``.
        seed: Of everything random; goes before ``settings.seed``.
        resume: Continue the run in ``directory`` from its last checkpoint. One that was killed
            before its first checkpoint starts anew.
        settings: Device, precision, saving, logging.
        callbacks: Who watches, and who takes part.
        provenance: Domain, config, data and command line, for the manifest.
        stop_at: Save and stop, resumable, at this safe point.

    Raises:
        DirectoryError: The directory cannot be used, or holds another run.
        LockedError: Another process works in it.
        CheckpointError: No checkpoint of a resumed run is whole.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        seed: int | None = None,
        resume: bool = False,
        settings: RunConfig | None = None,
        callbacks: Sequence[Callback] = (),
        provenance: Provenance | None = None,
        stop_at: int | None = None,
    ) -> None:
        settings = settings or RunConfig()
        self.settings = settings if seed is None else settings.model_copy(update={"seed": seed})
        self.resume = resume
        self.callbacks = list(callbacks)
        self.course = Course(self._at_safe_point, self._arrived)
        self.counters = Counters()
        self.epoch: int | None = None
        self.phase: str | None = None
        self.batch_size = 0
        self.batch_indices: Tensor | None = None
        self.evaluations: dict[str, dict[str, float]] = {}
        """The latest values of each evaluation."""
        self.best: dict[str, float] | None = None
        """The values of the best evaluation, if a callback watches for it."""
        self.protected: set[int] = set()
        """Steps whose checkpoints are kept, such as the best."""
        self.processes = Processes.join(device_name(self.settings.device))
        self._record = Record(directory, provenance or Provenance(), self.settings)
        self._notes = Window(self.settings.log_every)
        self._modules: dict[str, nn.Module] = {}
        self._streams: dict[str, AnyStream] = {}
        self._skipped = 0
        self._wanted = self._dirty = self._finished = False
        self._stop_at = stop_at
        self._random: Any = None
        self._started = self._due = self._ended = 0.0
        self._steps_due: float = 0
        self._listeners: dict[str, tuple[Callback, ...]] = {}
        self._on_update: tuple[Callback, ...] = ()
        self._stack = ExitStack()

    # -- opening and closing -------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        try:
            saved = self._stack.enter_context(self._record.opened(self.processes, self.resume))
            keyed.reseed(keyed.key(self.settings.seed, "run", self.processes.rank))
            if self.device.type == "cuda":
                torch.cuda.manual_seed(keyed.key(self.settings.seed, "run", self.processes.rank))
            if saved is not None:
                self._restore(saved)
            self._listen()
            self.course.track("log", self._notes)
            for callback in self.callbacks:
                if hasattr(callback, "state_dict"):
                    self.course.track(f"callback/{callback_name(callback)}", stateful(callback, ""))
            self._plan_checkpoint()
            self._fire("run_started")
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self.finish()
        except BaseException as late:
            error = late
            raise
        finally:
            self._close(error)

    def finish(self) -> None:
        """End the training: save what a longer run would continue from, write the last rows.

        Called at the end of the with block; call it earlier to work with the trained model inside.

        Raises:
            LoopError: A resumed loop did not come back to where it was cut.
        """
        if self._finished:
            return
        self._finished = True
        self.course.check_arrived()
        if self.course.step and not self._dirty:
            self.save()
        self._flush_windows()

    def _close(self, error: BaseException | None) -> None:
        outcome = self._record.outcome(error)
        try:
            self._fire("run_finished", outcome)
            self._ended = time.monotonic()
            reason = str(error) if error else self.course.stopped
            self._record.conclude(outcome, reason, self.headline, self.seconds, error)
        finally:
            self._stack.close()

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.processes.device

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self._record.path

    @property
    def directory_or_none(self) -> Path | None:
        """The run directory, or None if it was never opened."""
        return self._record.path_or_none

    @property
    def seconds(self) -> float:
        """How long this process has worked on the run."""
        return (self._ended or time.monotonic()) - self._started

    def outcome(self, error: BaseException | None) -> str:
        """Name how a run ends: 'done', 'interrupted', 'diverged' or 'failed'."""
        return self._record.outcome(error)

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """The registered modules by name."""
        return self._modules

    @property
    def headline(self) -> dict[str, float]:
        """The values of the best evaluation, or of the latest where none is watched."""
        latest = next(reversed(self.evaluations.values()), {})
        return dict(latest if self.best is None else self.best)

    @property
    def step(self) -> int:
        """How many safe points were passed."""
        return self.course.step

    @property
    def replaying(self) -> bool:
        """The run was resumed and is on its way back to where it was cut."""
        return self.course.replaying

    # -- iterators -----------------------------------------------------------------------------

    def phases(self, phases: Sequence[T]) -> Iterator[T]:
        """Iterate over phases: anything with a ``name``, or plain strings.

        State registered in a phase is released at its end.
        """
        for phase in self._walk("phases", phases):
            self.phase = str(getattr(phase, "name", phase))
            if not self.replaying:
                self._fire("phase_started", self.phase)
            try:
                yield phase
            finally:
                self.phase = None

    def epochs(self, count: int) -> Iterator[int]:
        """Iterate over epochs 0 to ``count - 1``."""
        for epoch in self._walk("epochs", range(count)):
            self.epoch = epoch
            if not self.replaying:
                self._fire("epoch_started", epoch)
            try:
                yield epoch
                self._flush_windows()
                self._fire("epoch_finished", epoch)
            finally:
                self.epoch = None

    def steps(self, count: int) -> Iterator[int]:
        """Iterate over steps 0 to ``count - 1``, for loops that are not fed by a stream."""
        return self._walk("steps", range(count))

    def _walk(self, kind: str, items: Sequence[T]) -> Iterator[T]:
        cursor = self.course.open()
        # no slice: positions of a long range are found without walking to them
        rest = (items[position] for position in range(cursor.index, len(items)))
        yield from self.course.walk(cursor, kind, rest, len(items))

    def batches(self, *sources: Any) -> Iterator[Any]:
        """Iterate over one pass of a stream; further streams are cycled beside the first.

        Each item is this process' share of a batch, on its device; with several streams a tuple
        of their batches. A list is taken as ready-made batches in their order.

        Raises:
            DataError: A sample cannot be read and the policy says stop.
        """
        streams = [as_stream(source) for source in sources]
        for stream in streams:
            self._check_name(stream)
        return self._batches(*streams)

    def _batches(self, first: AnyStream, *others: AnyStream) -> Iterator[Any]:
        cursor = self.course.open()
        evaluates = self.course.is_atomic
        counter = Counters().of(first.name) if evaluates else self.counters.of(first.name)
        if cursor.value is None:
            beside = [[c.passes, c.position] for c in map(self._counter, others)]
            cursor.value = [counter.passes, counter.batches, counter.samples, beside]
            counter.passes += 1
        number, offset, samples, beside = cursor.value
        plan = first.plan(self.settings.seed, number)
        samples += first.samples_before(plan, cursor.index)
        fed: Iterator[Any] = first.batches(self._feed(), plan, number, cursor.index)
        if others:
            sides = [
                self._cycled(stream, *place, cursor.index)
                for stream, place in zip(others, beside, strict=True)
            ]
            fed = (((batch, *more), indices) for (batch, indices), *more in zip(fed, *sides))

        def handed() -> Iterator[Any]:
            nonlocal samples
            for position, (batch, indices) in enumerate(fed, cursor.index):
                self.batch_indices = indices
                self.batch_size = size = len(indices) if indices is not None else 0
                samples += size
                counter.batches, counter.samples = offset + position + 1, samples
                yield batch

        yield from self.course.walk(
            cursor, f"batches of {first.name}", handed(), len(plan), offset
        )

    def _cycled(self, stream: AnyStream, number: int, position: int, done: int) -> Iterator[Any]:
        """Yield batches of a stream without end, from ``done`` batches after a place on."""
        counter, seed = self._counter(stream), self.settings.seed
        position += done
        plan = stream.plan(seed, number)
        while position >= len(plan):
            number, position = number + 1, position - len(plan)
            plan = stream.plan(seed, number)
        while True:
            for batch, _ in stream.batches(self._feed(), plan, number, position):
                position += 1
                counter.passes, counter.position = number, position
                counter.batches += 1
                yield batch
            number, position = number + 1, 0
            plan = stream.plan(seed, number)

    def once(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function once in the life of a run, and return its result.

        A resumed run gets the result back from the checkpoint, so it must consist of tensors,
        numbers, strings and containers of them.
        """
        cursor = self.course.open()
        if cursor.done:
            self.course.pass_by(cursor)
            value: T = cursor.value
            return value
        with self.course.atomic(cursor, "once"):
            value = function(*args)
        self.course.complete(cursor, value)
        return value

    @torch.no_grad()
    def evaluate(self, loop: Loop, *, name: str = "evaluation") -> dict[str, float]:
        """Let a loop evaluate itself and return its metrics, merged over all processes.

        Registered modules are in evaluation mode, averaged parameters are in place, and randomness
        is keyed: what an evaluation draws changes nothing in the training.
        """
        cursor = self.course.open()
        if cursor.done:
            self.course.pass_by(cursor)
            self.evaluations[name] = dict(cursor.value)
            return dict(cursor.value)
        with ExitStack() as stack:
            stack.enter_context(self.course.atomic(cursor, name))
            seed = keyed.key(self.settings.seed, name)
            stack.enter_context(keyed.apart(self.device, seed))
            stack.enter_context(self.averaged())
            stack.enter_context(evaluating(self._modules.values()))
            values = self._merge(loop.evaluate(self))
        self.evaluations[name] = values
        self._row("evaluation", name, values=values)
        self._fire("evaluated", name, values)
        self.course.complete(cursor, values)
        return dict(values)

    def _merge(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        mine = {key: m.state_dict() for key, m in metrics.items() if isinstance(m, Metric)}
        states = self.processes.gather(mine)
        rank = self.processes.rank
        return merged(metrics, [state for other, state in enumerate(states) if other != rank])

    def every(self, count: int) -> bool:
        """Tell whether this is the ``count``-th, ``2 count``-th ... item of the open iterator.

        Batches are counted over all passes of their stream.
        """
        body = self.course.bodies[-1]
        if len(self.course.bodies) == 1:
            raise LoopError("run.every was called outside of an iterator", hint="Call it inside.")
        return (body.offset + body.cursor.index + 1) % count == 0

    def stop(self, reason: str) -> None:
        """End every iterator at its next item; the run counts as done."""
        if self.course.stopped is None and not self.replaying:
            self.course.stopped = reason
            self._row("note", "stop", text=reason)
            self.say(f"Stopped: {reason}.")

    def interrupt(self, reason: str) -> None:
        """Save and end at the next safe point; the run can be resumed."""
        self._record.signals.requested = self._record.signals.requested or reason

    # -- what a loop registers -----------------------------------------------------------------

    def track(self, name: str, item: Any) -> None:
        """Register state that checkpoints hold; after a resume it is loaded at once.

        It belongs to the body it is registered in, and is released with it.

        Raises:
            StateError: The name is taken, or the object has no state to read.
        """
        if isinstance(item, nn.Module):
            self._register(name, item, at_root=False)
        else:
            self.course.track(f"item/{name}", stateful(item, name))

    def update(
        self,
        name: str,
        owned: Owned,
        config: UpdateConfig | OptimizerConfig | None = None,
        *,
        total: int | None = None,
    ) -> Update:
        """Make an update: one named optimisation of the parameters it owns.

        Args:
            name: In the log, in errors and in checkpoints.
            owned: A module or several, which are registered with the run; or parameters of
                modules that are registered already.
            config: Optimizer, schedule, clipping, averaging; or just the optimizer.
            total: Planned length, in the schedule's unit.

        Raises:
            StateError: It owns a parameter of no registered module, or none at all.
            ConfigError: The optimizer or the schedule cannot be built.
        """
        if isinstance(config, OptimizerConfig):
            config = UpdateConfig(optimizer=config)
        modules = [owned] if isinstance(owned, nn.Module) else owned
        modules = modules if isinstance(modules, Sequence) else list(modules)
        if modules and all(isinstance(module, nn.Module) for module in modules):
            for number, module in enumerate(modules):
                self._register(name if number == 0 else f"{name}.{number}", module, at_root=True)
        named = self._owned(name, modules)
        made = Update(
            name,
            named,
            modules=[module for module in modules if isinstance(module, nn.Module)],
            config=config or UpdateConfig(),
            engine=self,
            total=total,
            log_every=self.settings.log_every,
        )
        self.course.track(f"update/{name}", made)
        return made

    def joint(self, *updates: Update) -> Joint:
        """Return one call that computes the gradients of several updates before either steps."""
        return Joint(updates)

    def _register(self, name: str, module: nn.Module, *, at_root: bool) -> None:
        """Track a module, unless it is (part of) one that is tracked."""
        if any(module is part for known in self._modules.values() for part in known.modules()):
            return
        module.to(self.device)
        self.course.track(f"module/{name}", stateful(module, name), at_root=at_root)
        self.processes.broadcast([module])
        self._modules[name] = module

    def _owned(self, update: str, owned: Sequence[Any]) -> list[tuple[str, nn.Parameter]]:
        """Name the parameters of an update that are trained, each once."""
        wanted: dict[int, nn.Parameter] = {}
        for item in owned:
            members = item.parameters() if isinstance(item, nn.Module) else [item]
            wanted.update((id(p), p) for p in members if p.requires_grad)
        names: dict[int, str] = {}
        single = len(self._modules) == 1 or (len(owned) == 1 and isinstance(owned[0], nn.Module))
        for prefix, module in self._modules.items():
            if single and isinstance(owned[0], nn.Module):
                module, prefix = owned[0], ""  # names as the module itself gives them
            for name, parameter in module.named_parameters():
                names.setdefault(id(parameter), f"{prefix}.{name}".lstrip("."))
        if not wanted:
            raise StateError(
                "owns no parameter that is trained",
                where=f"update '{update}'",
                hint="Are all of them frozen (requires_grad=False)?",
            )
        lost = [tuple(p.shape) for key, p in wanted.items() if key not in names]
        if lost:
            raise StateError(
                f"owns {len(lost)} parameters of no registered module, the first of shape {lost[0]}",
                where=f"update '{update}'",
                hint="They would be lost on resume: run.track('model', model) before the update.",
            )
        return [(names[key], parameter) for key, parameter in wanted.items()]

    # -- telling -------------------------------------------------------------------------------

    def log(self, **values: float | Tensor) -> None:
        """Keep values for the log: their means are written every ``log_every`` calls and epoch.

        A tensor stays on its device until the row is written.
        """
        if self.replaying:
            return
        for name, value in values.items():
            self._notes.add(name, value.detach() if isinstance(value, Tensor) else value)
        if any(self._notes.full(name) for name in values):
            self._write_notes()

    def say(self, message: str) -> None:
        """Tell the user something: one line on stderr and in log.txt."""
        self._record.say(message)

    def print_with(self, printer: Callable[[str], None] | None) -> None:
        """Let a display print messages; None goes back to plain stderr."""
        self._record.printer = printer or print_to_stderr

    def _write_notes(self) -> None:
        values = self._notes.drain()
        if values:
            self._row("log", "log", values=values)

    def _flush_windows(self) -> None:
        for update in self.updates():
            self._write_window(update)
        self._write_notes()

    def _write_window(self, update: Update) -> None:
        values = update.window.drain()
        if values:
            values["lr"] = update.learning_rate
            self._row("update", update.name, updates=update.updates, values=values)

    def _row(self, event: str, name: str, **content: Any) -> None:
        place = {"epoch": self.epoch, "phase": self.phase}
        row = {"step": self.course.step, "event": event, "name": name, **place, **content}
        self._record.row(row)
        self._fire("logged", row)

    # -- what updates need (rondel.update.Engine) ----------------------------------------------

    def updated(self, update: Update) -> None:
        """Take note of a finished update."""
        self._dirty = True
        for callback in self._on_update:
            self._call(callback, "update_finished", update)
        if update.window.full("loss"):
            self._write_window(update)

    def updates(self) -> list[Update]:
        """Return the updates that are registered now."""
        return [item for _, item in self.course.tracked() if isinstance(item, Update)]

    def autocast(self) -> AbstractContextManager[Any] | None:
        """Return the context of a forward pass, or None in full precision."""
        dtype = self._reduced_dtype()
        return None if dtype is None else torch.autocast(self.device.type, dtype=dtype)

    def _reduced_dtype(self) -> torch.dtype | None:
        precision = self.settings.precision
        if precision == "auto":
            bf16 = self.device.type == "cuda" and torch.cuda.is_bf16_supported()
            return torch.bfloat16 if bf16 else None
        return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]

    def make_scaler(self) -> torch.amp.GradScaler | None:
        """Return a gradient scaler for fp16, else None."""
        if self._reduced_dtype() is not torch.float16:
            return None
        return torch.amp.GradScaler(self.device.type)

    def averaged(self) -> AbstractContextManager[Any]:
        """Put the averaged parameters of every update in place for a while."""
        stack = ExitStack()
        for update in self.updates():
            stack.enter_context(update.averaged())
        return stack

    def describe_batch(self) -> str:
        """Name the samples of the present batch, for an error."""
        if self.batch_indices is None:
            return ""
        first = ", ".join(map(str, self.batch_indices[:8].tolist()))
        return f"; samples {first}{', ...' if len(self.batch_indices) > 8 else ''}"

    # -- safe points ---------------------------------------------------------------------------

    def _at_safe_point(self) -> None:
        self._dirty = False
        step = self.course.step
        if self.processes.size > 1:
            if step % AGREE_EVERY == 0 or self._wanted or step == self._stop_at:
                self._agree()
        elif (
            self._wanted
            or self._record.signals.requested
            or time.monotonic() >= self._due
            or step >= self._steps_due
            or step == self._stop_at
        ):
            self._save_and_go_on(self._record.signals.requested)

    def _agree(self) -> None:
        """Save or stop together: what one process wants, all do at the same safe point."""
        requested = self._record.signals.requested
        due = time.monotonic() >= self._due or self.course.step >= self._steps_due
        stop, save = self.processes.agree([requested is not None, due])
        if stop or save or self._wanted or self.course.step == self._stop_at:
            self._save_and_go_on((requested or "another process") if stop else None)

    def _save_and_go_on(self, requested: str | None) -> None:
        self.save()
        if requested is None and self.course.step == self._stop_at:
            requested = f"stop_at={self._stop_at}"
        if requested is not None:
            raise self._record.interrupted(requested, self.course.step)

    def request_checkpoint(self) -> None:
        """Write a checkpoint at the next safe point, whatever the time."""
        self._wanted = True

    def save(self) -> Path:
        """Write a checkpoint of the last safe point.

        Raises:
            DivergedError: A parameter is not finite; nothing was written.
            DirectoryError: The disk is full; what was saved before is whole.
        """
        for update in self.updates():
            update.check_finite()
        state: dict[str, Any] = {
            "course": self.course.state_dict(),
            "counters": self.counters.state_dict(),
            "random": self.processes.gather(keyed.random_state(self.device)),
            "place": [self.epoch, self.phase, self._skipped, self.evaluations],
            "protected": sorted(self.protected),
            "averaged": self._averaged_states() if self._wanted else None,
        }
        path = self._record.save(self.course.step, state, self.protected)
        self.processes.barrier()
        self._plan_checkpoint()
        self._wanted = False
        self._fire("checkpoint_saved", path)
        return path

    def _averaged_states(self) -> dict[str, Any] | None:
        """Return the module states that an evaluation sees, if they are averages."""
        if not any(update.average for update in self.updates()):
            return None
        with self.averaged():
            return {
                name: {key: tensor.clone() for key, tensor in module.state_dict().items()}
                for name, module in self._modules.items()
            }

    def load_weights(self, step: int) -> None:
        """Load the weights that the checkpoint of a safe point was evaluated with.

        Raises:
            CheckpointError: There is none, or it is damaged.
        """
        state = self._record.read(step)
        saved = state["averaged"]
        if saved is None:
            root = state["course"]["cursors"]["states"]
            saved = {name: root.get(f"module/{name}") for name in self._modules}
        for name, module in self._modules.items():
            if saved.get(name) is not None:
                module.load_state_dict(saved[name])

    def _plan_checkpoint(self) -> None:
        self._due = time.monotonic() + self.settings.checkpoint_every_s
        every = self.settings.checkpoint_every_steps
        self._steps_due = self.course.step + every if every else float("inf")

    def _restore(self, state: dict[str, Any]) -> None:
        """Begin a replay; random states follow when it arrives."""
        self.course.load_state_dict(state["course"])
        self.counters.load_state_dict(state["counters"])
        self._place = state["place"]
        self._skipped, self.evaluations = self._place[2], self._place[3]
        self.protected = set(state["protected"])
        rank = min(self.processes.rank, len(state["random"]) - 1)
        self._random = state["random"][rank]

    def _arrived(self) -> None:
        keyed.set_random_state(self._random, self.device)
        self._random = None

    # -- streams and callbacks -----------------------------------------------------------------

    def _feed(self) -> Feed:
        skips = self.settings.bad_samples == "skip"
        settings = self.settings
        return Feed(
            settings.seed, self.processes, settings.workers, self._skip if skips else None
        )

    def _skip(self, unreadable: list[Unreadable]) -> None:
        """Leave unreadable samples out, within the budget."""
        if self.replaying:
            return
        for sample in unreadable:
            self._skipped += 1
            if self._skipped > self.settings.max_bad_samples:
                error = unreadable_sample(sample, "")
                raise DataError(
                    f"more than {self.settings.max_bad_samples} samples cannot be read, the last "
                    f"is {sample.name}: {error.what}",
                    where=str(self._record.skipped),
                    hint="Look at the list there, or raise run.max_bad_samples.",
                )
            self._record.skip(sample.index, sample.name, sample.cause)

    def _counter(self, stream: AnyStream) -> Any:
        return self.counters.of(stream.name)

    def _check_name(self, stream: AnyStream) -> None:
        known = stream if self.course.is_atomic else self._streams.setdefault(stream.name, stream)
        if known is not stream and isinstance(stream, Stream):
            raise UsageError(
                f"two streams are called {stream.name!r}",
                hint="Order and randomness are keyed by the name: give each Stream its own.",
            )

    def _listen(self) -> None:
        self._listeners = {event: listeners(self.callbacks, event) for event in EVENTS}
        self._on_update = self._listeners["update_finished"]

    def _fire(self, event: str, *details: Any) -> None:
        for callback in self._listeners.get(event, ()):
            self._call(callback, event, *details)

    def _call(self, callback: Callback, event: str, *details: Any) -> None:
        try:
            getattr(callback, event)(self, *details)
        except Exception as error:  # whatever an observer does wrong must not end a long run
            if callback.essential or (isinstance(error, RondelError) and error.exit_code == 75):
                raise
            self.callbacks.remove(callback)
            self._listen()
            self.say(
                f"Callback '{callback_name(callback)}' failed in {event} and is switched off: "
                f"{type(error).__name__}: {error}"
            )


class evaluating:  # noqa: N801 - used as a verb: with evaluating(modules)
    """Put modules into evaluation mode for a while, and each part back into its own mode."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._parts = [part for module in modules for part in module.modules()]
        self._modes = [part.training for part in self._parts]

    def __enter__(self) -> None:
        for part in self._parts:
            part.training = False

    def __exit__(self, *_: object) -> None:
        for part, mode in zip(self._parts, self._modes, strict=True):
            part.training = mode


def callback_name(callback: Callback) -> str:
    """Return the name of a callback in checkpoints and messages."""
    return callback.name or type(callback).__name__


def device_name(wanted: str) -> str:
    """Turn 'auto' into the best device there is.

    Raises:
        UsageError: There is no such device here.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(
            f"device {wanted!r} is not there: torch sees no GPU",
            where="run.device",
            hint="Use --device cpu, or install a torch build with CUDA.",
        )
    return wanted


