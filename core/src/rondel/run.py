"""One training run: it hands out resumable iterators and updates, evaluates, logs and saves.

    with rondel.Run("runs/mine", seed=7) as run:
        Distil(teacher, student, texts).train(run)

Killed at any moment and opened again with ``resume=True``, it ends as if it had not been.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import Tensor, nn

from rondel import keyed
from rondel.callback import Callback, Listeners, callback_name
from rondel.counter import Counters
from rondel.cursor import Course, stateful
from rondel.diary import Diary
from rondel.errors import LoopError
from rondel.feeding import Feeder
from rondel.joint import Joint
from rondel.metric import Metric, merged
from rondel.ownership import Owned, as_items, named_parameters
from rondel.precision import Precision, device_name
from rondel.processes import Processes
from rondel.record import Provenance, Record, print_to_stderr
from rondel.schedule import Length
from rondel.settings import OptimizerConfig, RunConfig, UpdateConfig
from rondel.timetable import Timetable
from rondel.update import Update

if TYPE_CHECKING:
    from rondel.loop import Loop

T = TypeVar("T")
MetricT = TypeVar("MetricT", bound=Metric)
AGREE_EVERY = 10
"""Most safe points between two exchanges of signals among processes."""
AGREE_S = 2.0
"""Time between two of them where safe points are slow: torchrun kills 30 s after it has asked."""


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
        self.epoch: int | None = None
        self.phase: str | None = None
        self.evaluations: dict[str, dict[str, float]] = {}
        """The latest values of each evaluation."""
        self.best: dict[str, float] | None = None
        """The values of the best evaluation, if a callback watches for it."""
        self.protected: set[int] = set()
        """Steps whose checkpoints are kept, such as the best."""
        self.processes = Processes.join(device_name(self.settings.device))
        self._record = Record(directory, provenance or Provenance(), self.settings)
        self._precision = Precision.of(self.settings.precision, self.processes.device)
        self._feeder = Feeder(self.course, self.settings, self.processes, self._record.skip)
        self._diary = Diary(self.settings.log_every, self._write_row)
        self._modules: dict[str, nn.Module] = {}
        self._saved_step = self._agree_at = 0
        self._agreed = (time.monotonic(), 0)
        self._buffers: list[Tensor] = []
        self._dirty = self._finished = False
        self._random: Any = None
        self._started = self._ended = 0.0
        self._listeners = Listeners(self.callbacks, self)
        self._timetable = Timetable(self.settings, stop_at)
        self._stack = ExitStack()

    # -- opening and closing -------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        try:
            saved = self._stack.enter_context(self._record.opened(self.processes, self.resume))
            if self.settings.threads is not None:
                self._stack.callback(torch.set_num_threads, torch.get_num_threads())
                torch.set_num_threads(self.settings.threads)
            keyed.reseed(keyed.key(self.settings.seed, "run", self.processes.rank))
            if self.device.type == "cuda":
                torch.cuda.manual_seed(keyed.key(self.settings.seed, "run", self.processes.rank))
            if saved is not None:
                self._restore(saved)
            self._listeners.listen()
            self.course.track("log", self._diary)
            for callback in self.callbacks:
                if hasattr(callback, "state_dict"):
                    self.course.track(f"callback/{callback_name(callback)}", stateful(callback, ""))
            self._timetable.plan(self.course.step)
            self._listeners.fire("run_started")
        except BaseException:
            # with the error, so that the other processes of the group hear of it
            self._stack.__exit__(*sys.exc_info())
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
        if self.course.step > self._saved_step and not self._dirty:
            self.save()
        self._feeder.report()
        self._diary.flush(self.updates())

    def _close(self, error: BaseException | None) -> None:
        outcome = self._record.outcome(error)
        self._feeder.close()
        try:
            self._listeners.fire("run_finished", outcome)
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
    def counters(self) -> Counters:
        """What was handed out of each stream."""
        return self._feeder.counters

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
                self._listeners.fire("phase_started", self.phase)
            try:
                yield phase
            finally:
                self.phase = None

    def epochs(self, count: int) -> Iterator[int]:
        """Iterate over epochs 0 to ``count - 1``."""
        for epoch in self._walk("epochs", range(count)):
            self.epoch = epoch
            if not self.replaying:
                self._listeners.fire("epoch_started", epoch)
            try:
                yield epoch
                self._diary.flush(self.updates())
                self._listeners.fire("epoch_finished", epoch)
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
            UsageError: A source is no stream, or two have the same name.
            DataError: A sample cannot be read and the policy says stop.
        """
        return self._feeder.batches(*self._feeder.check(sources))

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
        with self.course.atomic(cursor, name), self.averaged(), self.examining(name):
            values = self._merge(loop.evaluate(self))
        self.evaluations[name] = values
        self._diary.row("evaluation", name, values=values)
        self._listeners.fire("evaluated", name, values)
        self.course.complete(cursor, values)
        return dict(values)

    @contextmanager
    def examining(self, name: str) -> Iterator[None]:
        """Look at the modules without changing the training.

        They are in evaluation mode, there are no gradients, and randomness is keyed by ``name``.
        """
        seed = keyed.key(self.settings.seed, name)
        with keyed.apart(self.device, seed), evaluating(self._modules.values()), torch.no_grad():
            yield

    def examine(self, function: Callable[[Run], T]) -> T:
        """Call a function after the training, as `evaluate` calls a loop; nothing is saved."""
        cursor = self.course.open()
        with self.course.atomic(cursor, "examination"), self.examining("examination"):
            return function(self)

    def merged(self, metric: MetricT) -> MetricT:
        """Return a metric with what all processes gave to theirs; on every process the same."""
        states = self.processes.gather(metric.state_dict())
        for other, state in enumerate(states):
            if other != self.processes.rank:
                metric.merge(state)
        return metric

    def _merge(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        mine = {key: m.state_dict() for key, m in metrics.items() if isinstance(m, Metric)}
        states = self.processes.gather(mine)
        rank = self.processes.rank
        values = merged(metrics, [state for other, state in enumerate(states) if other != rank])
        # sums in another order differ in the last bit: all processes decide by the same numbers
        return dict(self.processes.gather(values)[0])

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
            self._diary.row("note", "stop", text=reason)
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
        total: int | Length | None = None,
    ) -> Update:
        """Make an update: one named optimisation of the parameters it owns.

        Args:
            name: In the log, in errors and in checkpoints.
            owned: A module or several, which are registered with the run; or parameters of
                modules that are registered already.
            config: Optimizer, schedule, clipping, averaging; or just the optimizer.
            total: Planned length: what `Stream.planned` returns, or a number in the schedule's
                unit.

        Raises:
            StateError: It owns a parameter of no registered module, or none at all.
            ConfigError: The optimizer or the schedule cannot be built.
        """
        if isinstance(config, OptimizerConfig):
            config = UpdateConfig(optimizer=config)
        items = as_items(owned)
        modules = [item for item in items if isinstance(item, nn.Module)]
        for number, module in enumerate(modules):
            self._register(name if number == 0 else f"{name}.{number}", module, at_root=True)
        made = Update(
            name,
            named_parameters(items, self._modules, update=name),
            modules=modules,
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
        if self.processes.size > 1:
            # statistics of a batch are those of the first process' share, as a checkpoint has them
            self._buffers += persistent_buffers(module)

    # -- telling -------------------------------------------------------------------------------

    def log(self, **values: float | Tensor) -> None:
        """Keep values for the log: their means are written every ``log_every`` calls and epoch.

        A tensor stays on its device until the row is written.
        """
        if not self.replaying:
            self._diary.note(values)

    def say(self, message: str) -> None:
        """Tell the user something: one line on stderr and in log.txt."""
        self._record.say(message)

    def print_with(self, printer: Callable[[str], None] | None) -> None:
        """Let a display print messages; None goes back to plain stderr."""
        self._record.printer = printer or print_to_stderr

    def _write_row(self, event: str, name: str, content: Mapping[str, Any]) -> None:
        """Write a row to metrics.jsonl, with the place in the loop that it belongs to."""
        # an evaluation belongs to the safe point that follows it, whose checkpoint may be the best
        step = self.course.step + (event == "evaluation")
        place = {"epoch": self.epoch, "phase": self.phase}
        row = {"step": step, "event": event, "name": name, **place, **content}
        self._record.row(row)
        self._listeners.fire("logged", row)

    # -- what updates need (rondel.update.Engine) ----------------------------------------------

    def share_buffers(self) -> None:
        """Give every process the buffers of the first, those that a checkpoint holds."""
        self.processes.share_tensors(self._buffers)

    def updated(self, update: Update) -> None:
        """Take note of a finished update."""
        self._dirty = True
        for callback in self._listeners.on_update:
            self._listeners.call(callback, "update_finished", update)
        if update.window.full("loss"):
            self._diary.write(update)

    def updates(self) -> list[Update]:
        """Return the updates that are registered now."""
        return [item for _, item in self.course.tracked() if isinstance(item, Update)]

    def autocast(self) -> AbstractContextManager[Any] | None:
        """Return the context of a forward pass, or None in full precision."""
        return self._precision.autocast()

    def make_scaler(self) -> torch.amp.GradScaler | None:
        """Return a gradient scaler for fp16, else None."""
        return self._precision.make_scaler()

    def averaged(self) -> AbstractContextManager[Any]:
        """Put the averaged parameters of every update in place for a while."""
        stack = ExitStack()
        for update in self.updates():
            stack.enter_context(update.averaged())
        return stack

    def describe_batch(self) -> str:
        """Name the samples of the present batch, for an error."""
        return self._feeder.describe()

    @property
    def batch_size(self) -> int:
        """Samples of the present batch over all processes; 0 outside of a stream."""
        return self._feeder.size

    # -- safe points ---------------------------------------------------------------------------

    def _at_safe_point(self) -> None:
        self._dirty = False
        step = self.course.step
        if self.processes.size == 1:
            requested = self._record.signals.requested
            if requested is not None or self._timetable.due(step):
                self._save_and_go_on(requested)
        elif step >= self._agree_at or self._timetable.certain(step):
            self._agree(step)

    def _agree(self, step: int) -> None:
        """Save or stop together: what one process wants, all do at the same safe point."""
        requested = self._record.signals.requested
        (before_s, before), now_s = self._agreed, time.monotonic()
        pace = (now_s - before_s) / max(1, step - before)
        stop, save, pace = self.processes.highest(
            [requested is not None, self._timetable.due(step), pace]
        )
        self._agreed = (now_s, step)
        self._agree_at = step + max(1, min(AGREE_EVERY, int(AGREE_S / max(pace, 1e-6))))
        if stop or save:
            self._save_and_go_on((requested or "another process") if stop else None)

    def _save_and_go_on(self, requested: str | None) -> None:
        self.save()
        if requested is None and self.course.step == self._timetable.stop_at:
            requested = f"stop_at={self._timetable.stop_at}"
        if requested is not None:
            raise self._record.interrupted(requested, self.course.step)

    def request_checkpoint(self) -> None:
        """Write a checkpoint at the next safe point, whatever the time."""
        self._timetable.requested = True

    def save(self) -> Path:
        """Write a checkpoint of the last safe point.

        Raises:
            DivergedError: A parameter is not finite; nothing was written.
            DirectoryError: The disk is full; what was saved before is whole.
        """
        for update in self.updates():
            update.check_finite()
        self._feeder.report()
        state: dict[str, Any] = {
            "course": self.course.state_dict(),
            "counters": self.counters.state_dict(),
            "random": self.processes.gather(keyed.random_state(self.device)),
            "skipped": self._feeder.skipped,
            "evaluations": self.evaluations,
            "protected": sorted(self.protected),
            "averaged": self._averaged_states() if self.course.step in self.protected else None,
        }
        path = self._record.save(self.course.step, state, self.protected)
        self.processes.barrier()
        self._timetable.plan(self.course.step)
        self._saved_step = self.course.step
        self._listeners.fire("checkpoint_saved", path)
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

    def _restore(self, state: dict[str, Any]) -> None:
        """Begin a replay; random states follow when it arrives."""
        self.course.load_state_dict(state["course"])
        self.counters.load_state_dict(state["counters"])
        self._feeder.skipped, self.evaluations = state["skipped"], state["evaluations"]
        self.protected = set(state["protected"])
        states, rank = state["random"], self.processes.rank
        # a process that was not there before keeps its own seed: no two may draw the same
        self._random = states[rank] if rank < len(states) else None

    def _arrived(self) -> None:
        if self._random is not None:
            keyed.set_random_state(self._random, self.device)
        self._random = None


def persistent_buffers(module: nn.Module) -> list[Tensor]:
    """Return the buffers that a checkpoint holds."""
    kept = module.state_dict(keep_vars=True)
    return [buffer for name, buffer in module.named_buffers() if name in kept]


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
