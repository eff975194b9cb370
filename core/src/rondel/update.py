"""One optimisation: how a loss becomes a step of the parameters that an update owns.

An update is called with the loss *function*, so that the engine can call it once, in pieces, or
again: exact accumulation, splitting when memory runs out, line searches. It counts its own
updates; there is no global step that sums optimizers.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rondel.batch import leaves, size_of, split
from rondel.ema import Average
from rondel.errors import ConfigError, DivergedError, LossError, StateError
from rondel.gradient import LateCheck, all_finite, differentiate, global_norm
from rondel.log import Window
from rondel.loss import Count, as_loss, counts_of, divisor
from rondel.optimizer import make_optimizers
from rondel.processes import Processes
from rondel.schedule import Factor, Length, make_schedule
from rondel.settings import UpdateConfig

LossFunction = Callable[..., Any]
Parts = Mapping[str, tuple[Tensor, Count]]
NORM_EVERY = 10
"""Updates between two looks at the gradient norm where nothing else needs it."""
SMALLEST_SCALE = 1e-4
"""Of fp16: a gradient that overflows even below it is broken, not large (as in fairseq)."""
COMPILED = 16
"""Compiled loss functions that are kept; a loop that makes a new closure per step stays small."""


class Engine(Protocol):
    """What an update needs of its run."""

    processes: Processes

    @property
    def replaying(self) -> bool:
        """The run is on its way back to where it was cut."""

    @property
    def batch_size(self) -> int:
        """Samples of the present batch over all processes; 0 outside of a stream."""

    def autocast(self) -> AbstractContextManager[Any] | None:
        """Return the context of the forward pass, or None in full precision."""

    def make_scaler(self) -> torch.amp.GradScaler | None:
        """Return a gradient scaler of its own for fp16, else None."""

    def share_buffers(self) -> None:
        """Give every process the buffers of the first, those that a checkpoint holds."""

    def updated(self, update: Update) -> None:
        """Take note of a finished update: listeners, log."""

    def describe_batch(self) -> str:
        """Name the samples of the present batch."""

    def say(self, message: str) -> None:
        """Tell the user something once."""


class Update:
    """One named optimisation of the parameters it owns.

    Call it as ``update(loss_function, *inputs)``. The loss function gets the inputs, or pieces of
    them, and returns a `Loss` or a scalar mean. The result is the detached mean loss; nothing is
    read back from the device.

    Args:
        name: In the log, in errors and in checkpoints.
        named: The owned parameters with their names.
        modules: The modules whose buffers the average copies.
        config: Optimizer, schedule, clipping, averaging, accumulation.
        engine: The run.
        total: Planned length: both units, or a number in the schedule's unit.
    """

    def __init__(
        self,
        name: str,
        named: Sequence[tuple[str, nn.Parameter]],
        *,
        modules: Sequence[nn.Module],
        config: UpdateConfig,
        engine: Engine,
        total: int | Length | None,
        log_every: int,
    ) -> None:
        self.name = name
        self.config = config
        self.owned = [parameter for _, parameter in named]
        self._owned = tuple(self.owned)
        self.updates = 0
        self.samples = 0
        self.skipped = 0
        self.micro_batches = config.micro_batches
        self.last: Tensor = torch.zeros(())
        self.optimizers = make_optimizers(config.optimizer, named, where=f"{name}.optimizer")
        self.average = Average(self.owned, modules, config.ema) if config.ema else None
        self.window = Window(log_every)
        self._names = [parameter_name for parameter_name, _ in named]
        self._modules = list(modules)
        self._engine = engine
        self._processes = engine.processes
        self._autocast = engine.autocast()
        self._scaler = engine.make_scaler()
        planned = Length.of(total, config.schedule.unit)
        self._schedule = make_schedule(config.schedule, total=planned, where=f"{name}.schedule")
        self._rates = [group["lr"] for opt in self.optimizers for group in opt.param_groups]
        self._searches = any(isinstance(opt, torch.optim.LBFGS) for opt in self.optimizers)
        if self._searches:
            check_search(config, self._scaler, name)
        self._skips_in_row = 0
        self._gathered: list[Tensor | None] | None = None
        self._gathered_parts: list[Parts] = []
        self._total: Tensor | None = None
        self._compiled: dict[LossFunction, LossFunction] = {}
        self._whole = True
        """The batch is computed in one piece by one process."""
        self._parts: list[Parts] = []
        self._sum: Tensor | None = None
        self._count: Count | None = None
        self._late: LateCheck | None = None

    # -- one update ----------------------------------------------------------------------------

    def __call__(self, loss_function: LossFunction, *inputs: Any) -> Tensor:
        """Compute the loss, its gradient and one step; return the detached mean loss.

        Raises:
            LossError: The function returned something that is no loss.
            DivergedError: The loss or the gradient is not finite.
        """
        if self._engine.replaying:
            return self.last  # done before the cut: its effect is in the saved state
        if self._searches:
            return self._search(loss_function, inputs)
        self._differentiate(loss_function, inputs)
        return self._finish(inputs)

    def _finish(self, inputs: tuple[Any, ...]) -> Tensor:
        """Reduce, check and step, after all pieces were differentiated."""
        mean = self._reduced()
        self.last = mean
        if self._gathered is not None:
            self._gather_gradients()
        elif self._sound(mean):
            self._step(inputs)
        return mean

    def _differentiate(self, loss_function: LossFunction, inputs: tuple[Any, ...]) -> None:
        """Leave the gradient of the batch in ``grad``, in as many pieces as memory asks for."""
        counts = None
        while True:
            self._begin()
            try:
                # once: a process that runs out of memory must not sum the counts alone again
                if counts is None and not self._whole:
                    counts = self._total_counts(loss_function, inputs)
                for piece in self._pieces(inputs):
                    self._take(self._forward(loss_function, piece), counts)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not self._can_split(error, inputs):
                    raise
            else:
                return
            # not in the except block: the error holds on to what the failed attempt allocated
            self._split_further()

    def _pieces(self, inputs: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
        if self._whole:
            return (inputs,)
        pieces = split(inputs, self.micro_batches)
        # a process may get no share of a short last batch; it takes part with zeros
        return [piece for piece in pieces if size_of(piece) or not list(leaves(piece))]

    def _total_counts(
        self, loss_function: LossFunction, inputs: tuple[Any, ...]
    ) -> Mapping[str, Count] | None:
        counts = counts_of(loss_function, inputs)
        return None if counts is None else self._processes.sum_counts(counts)

    def _begin(self) -> None:
        self._whole = self.micro_batches == 1 and self._processes.size == 1
        for parameter in self.owned:
            parameter.grad = None
        self._sum = self._count = None
        if self._parts:
            self._parts = []

    def _forward(self, loss_function: LossFunction, piece: tuple[Any, ...]) -> Any:
        if self.config.compile:
            loss_function = self._compile(loss_function)
        if self._autocast is None:
            return loss_function(*piece)
        with self._autocast:
            return loss_function(*piece)

    def _compile(self, loss_function: LossFunction) -> LossFunction:
        if loss_function not in self._compiled:
            if len(self._compiled) == COMPILED:
                self._compiled.clear()
            self._compiled[loss_function] = torch.compile(loss_function)
        return self._compiled[loss_function]

    def _take(
        self, returned: Any, counts: Mapping[str, Count] | None, *, retain_graph: bool = False
    ) -> None:
        """Differentiate one piece: the mean if it is the whole, else the sum."""
        loss = as_loss(returned, update=self.name, whole=self._whole)
        count: Count | None = None
        if self._whole:
            value = loss.mean
        elif loss.terms:
            if counts is None:
                raise uncounted(self.name)
            value = loss.weighed(counts)
        else:
            value, count = loss.sum, loss.count
        if loss.parts or loss.terms:
            self._parts.append(loss.part_sums())
        if value.ndim or not value.requires_grad:
            raise without_gradient(value, self.name)
        scaled = value if self._scaler is None else self._scaler.scale(value)
        differentiate(scaled, self._owned, retain_graph=retain_graph)
        value = value.detach()
        self._sum = value if self._sum is None else self._sum + value
        if count is not None:
            self._count = count if self._count is None else self._count + count

    def _can_split(self, error: Exception, inputs: tuple[Any, ...]) -> bool:
        """Tell whether memory ran out and smaller pieces are possible."""
        return is_out_of_memory(error) and self.micro_batches < size_of(inputs)

    def _split_further(self) -> None:
        """Double the number of pieces, for this batch and all that follow."""
        self.micro_batches *= 2
        if self._processes.device.type == "cuda":
            torch.cuda.empty_cache()
        self._engine.say(
            f"Update '{self.name}' ran out of memory: batches are computed in "
            f"{self.micro_batches} pieces from now on. The gradient stays the same."
        )

    # -- from the gradient to the step ---------------------------------------------------------

    def _reduced(self) -> Tensor:
        """Sum over processes, divide once by the total count; return the mean loss."""
        total, count = self._sum, self._count
        if self._whole and total is not None:
            return total
        if total is None:
            total = torch.zeros((), dtype=self.owned[0].dtype, device=self._processes.device)
        if self._processes.size > 1:
            # float64 before they are stacked: bfloat16 makes 256 of a count of 257
            numbers = [
                torch.as_tensor(number, dtype=torch.float64, device=total.device)
                for number in (total, 0 if count is None else count)
            ]
            sums = self._processes.sum_gradients(self.owned, torch.stack(numbers))
            # a weighted loss is divided already and counts 0, so that its divisor is 1
            total, count = sums[0].to(total.dtype), sums[1]
        if count is None:
            return total
        by, grads = divisor(count), self.gradients()
        if grads:
            precise = torch.promote_types(grads[0].dtype, torch.float32)
            torch._foreach_div_(grads, by.to(precise) if isinstance(by, Tensor) else by)
        return (total / by).to(total.dtype)

    def gradients(self) -> list[Tensor]:
        """Return the gradients that exist."""
        return [parameter.grad for parameter in self.owned if parameter.grad is not None]

    def _sound(self, mean: Tensor) -> bool:
        """Check the loss; on an accelerator the value is read one update later."""
        if mean.device.type == "cpu":
            value = mean.item()
            if not math.isfinite(value):
                return self._not_finite(f"the loss is {value}")
            self.window.add("loss", value)
            self._log_parts()
            return True
        if self.config.non_finite == "skip" and not torch.isfinite(mean):
            return self._not_finite("the loss is not finite")
        self.window.add("loss", mean)
        self._log_parts()
        late, self._late = self._late, LateCheck(mean)
        if late is not None and not late.finite():
            raise self._diverged("the loss is not finite", number=self.updates)
        return True

    def _log_parts(self) -> None:
        for parts in self._parts:
            self.window.add_parts(parts)

    def _step(self, inputs: tuple[Any, ...]) -> None:
        """Unscale, clip, set the learning rates, step, average, count."""
        if not self.updates and not self.gradients():
            raise without_gradient(None, self.name)
        if self._scaler is not None:
            for optimizer in self.optimizers:
                self._scaler.unscale_(optimizer)
        if not self._norm_sound():
            return
        if self._schedule is not None:
            self._follow(self._schedule)
        for optimizer in self.optimizers:
            optimizer.step()
        if self._scaler is not None and self.gradients():
            self._scaler.update()
        self._stepped(inputs)

    def _stepped(self, inputs: tuple[Any, ...]) -> None:
        """Average and count after a step."""
        self._skips_in_row = 0
        if self._processes.size > 1:
            self._engine.share_buffers()  # before they are copied into the average
        if self.average is not None:
            self.average.update()
        self.updates += 1
        if self.config.schedule.unit == "samples":
            self.samples += self._engine.batch_size or size_of(inputs)
        self._engine.updated(self)

    def _norm_sound(self) -> bool:
        """Look at the gradient norm where it is needed, and clip by it."""
        clip, skip = self.config.clip_norm, self.config.non_finite == "skip"
        scaled = self._scaler is not None
        if clip is None and not (skip or scaled) and self.updates % NORM_EVERY:
            return True
        grads = self.gradients()
        if not grads:
            return True
        norm = global_norm(grads)
        if skip or scaled or norm.device.type == "cpu":
            value = norm.item()
            if not math.isfinite(value):
                return self._overflowed(value)
        self.window.add("gradient_norm", norm.detach())
        if clip is not None:
            # clamp, not an if: a branch on the norm would synchronise the device
            torch._foreach_mul_(grads, (clip / (norm + 1e-6)).clamp(max=1.0))
        return True

    def _overflowed(self, norm: float) -> bool:
        """Leave a step out: fp16 tries a lower scale, everything else follows the policy."""
        if self._scaler is None:
            return self._not_finite(f"the gradient norm is {norm}")
        self.skipped += 1
        # none of several optimizers may step when the gradient of one overflowed
        self._scaler.update()
        if self._scaler.get_scale() < SMALLEST_SCALE:
            raise self._diverged(f"the gradient norm is {norm}, however small the scale of fp16")
        return False

    def _not_finite(self, what: str) -> bool:
        """Skip within the budget, or stop with everything that helps to find the cause."""
        self.skipped += 1
        self._skips_in_row += 1
        if self.config.non_finite == "skip" and self._skips_in_row <= self.config.max_skips:
            self._engine.say(f"Update '{self.name}' {self.updates + 1} was skipped: {what}.")
            return False
        raise self._diverged(what)

    def _diverged(self, what: str, *, number: int | None = None) -> DivergedError:
        """Describe the end of a run; ``number`` is given for an update that is past."""
        here = self._bad_part() + self._bad_parameter() + self._engine.describe_batch()
        return DivergedError(
            f"{what}{here if number is None else self._bad_parameter()}",
            where=f"update '{self.name}', number {number or self.updates + 1}",
            hint="Lower optimizer.lr, set clip_norm, or look at the samples named here; "
            "the last checkpoint is sound.",
        )

    def _bad_part(self) -> str:
        for parts in self._parts:
            for name, (total, _) in parts.items():
                if not math.isfinite(float(total)):
                    return f"; part '{name}' is {float(total)}"
        return ""

    def _bad_parameter(self) -> str:
        named = list(zip(self._names, self.owned, strict=True))
        for name, parameter in named:
            if not all_finite(parameter.detach()):
                return f"; parameter '{name}' is not finite"
        for name, parameter in named:
            if parameter.grad is not None and not all_finite(parameter.grad):
                return f"; the gradient of '{name}' is not finite"
        return ""

    def _follow(self, schedule: Factor) -> None:
        """Set the learning rates of the next step."""
        by_samples = self.config.schedule.unit == "samples"
        self._set_rates(schedule(self.samples if by_samples else self.updates))

    def _set_rates(self, factor: float) -> None:
        groups = [group for opt in self.optimizers for group in opt.param_groups]
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def stand_still(self) -> None:
        """Set every learning rate to zero for good: gradients are computed, nothing moves."""
        self._rates = [0.0] * len(self._rates)
        self._set_rates(0.0)

    @property
    def learning_rate(self) -> float:
        """The present learning rate of the first group."""
        return float(self.optimizers[0].param_groups[0]["lr"])

    def _search(self, loss_function: LossFunction, inputs: tuple[Any, ...]) -> Tensor:
        """Step an optimizer that calls the loss again and again (LBFGS)."""
        if self._gathered is not None:
            raise search_alone(self.name)
        if self._schedule is not None:
            self._follow(self._schedule)
        losses: list[Tensor] = []

        def closure() -> float:
            self._differentiate(loss_function, inputs)
            losses.append(self._reduced())
            return float(losses[-1])

        for optimizer in self.optimizers:
            optimizer.step(closure)
        self.last = losses[0]
        if self._sound(losses[0]):
            self._stepped(inputs)
        return losses[0]

    # -- several losses before one step --------------------------------------------------------

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Add the gradients of several calls; step once at the end.

        with discriminator.gather():
            discriminator(adversarial_loss, real, noise)
            if run.every(16):
                discriminator(penalty, real)
        """
        if self._engine.replaying:
            yield
            return
        self._gathered, self._total, self._gathered_parts = [None] * len(self.owned), None, []
        try:
            yield
            gathered, total = self._gathered, self._total
        finally:
            self._gathered = None
        if total is None:
            return
        for parameter, grad in zip(self.owned, gathered, strict=True):
            parameter.grad = grad
        self.last, self._parts = total, self._gathered_parts
        if self._sound(total):
            self._step(())

    def _gather_gradients(self) -> None:
        assert self._gathered is not None
        self._total = self.last if self._total is None else self._total + self.last
        self._gathered_parts += self._parts
        for position, parameter in enumerate(self.owned):
            kept = self._gathered[position]
            if parameter.grad is not None:
                self._gathered[position] = parameter.grad if kept is None else kept + parameter.grad

    # -- state ---------------------------------------------------------------------------------

    def averaged(self) -> AbstractContextManager[None]:
        """Put the averaged parameters in place for a while, if there is an average."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    def check_finite(self) -> None:
        """Raise if a parameter is not finite: no checkpoint may hold a NaN.

        Raises:
            DivergedError: Names the first such parameter.
        """
        if self._late is not None:
            late, self._late = self._late, None
            if not late.finite():
                raise self._diverged("the loss is not finite", number=self.updates)
        bad = self._bad_state()
        if bad:
            raise DivergedError(
                f"{bad} is not finite",
                where=f"update '{self.name}', after number {self.updates}",
                hint="Lower optimizer.lr or set clip_norm; the last checkpoint is sound.",
            )

    def _bad_state(self) -> str:
        """Name a parameter that is not finite, or a buffer with a NaN (masks hold infinities)."""
        owned = [parameter.detach() for parameter in self.owned]
        if not math.isfinite(global_norm(owned).item()):  # one read; it may be a mere overflow
            for name, parameter in zip(self._names, owned, strict=True):
                if not all_finite(parameter):
                    return f"parameter '{name}'"
        buffers = [pair for module in self._modules for pair in module.named_buffers()]
        for name, buffer in buffers:
            if buffer.is_floating_point() and torch.isnan(buffer).any():
                return f"buffer '{name}'"
        return ""

    def state_dict(self) -> dict[str, Any]:
        """Return optimizers, average, scaler, counters and the open window of the log."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": None if self._scaler is None else self._scaler.state_dict(),
            "window": self.window.state_dict(),
            "counters": [self.updates, self.samples, self.skipped, self._skips_in_row],
            "micro_batches": self.micro_batches,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put everything back; the saved tensors are copied, not shared."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(copy.deepcopy(saved))
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self._scaler is not None:
            self._scaler.load_state_dict(state["scaler"])
        self.window.load_state_dict(state["window"])
        self.updates, self.samples, self.skipped, self._skips_in_row = state["counters"]
        self.micro_batches = state["micro_batches"]


class Joint:
    """Several updates whose gradients are computed before any of them steps.

    The loss function returns one loss per update, in their order. They may share a graph, but no
    parameter: its gradient could not be told apart.

    Raises:
        StateError: Two updates own the same parameter, or one of them searches along a line.
    """

    def __init__(self, updates: Sequence[Update]) -> None:
        self.updates = updates
        owned = [id(parameter) for update in updates for parameter in update.owned]
        if len(owned) > len(set(owned)):
            raise StateError(
                "two of the updates own the same parameter",
                where=self._where,
                hint="Let one update own it, or call the updates one after the other.",
            )
        for update in updates:
            if update._searches:
                raise search_alone(update.name)

    @property
    def _where(self) -> str:
        return " + ".join(f"'{update.name}'" for update in self.updates)

    def __call__(self, loss_function: LossFunction, *inputs: Any) -> tuple[Tensor, ...]:
        """Compute every gradient, then step every update; return the detached mean losses.

        Raises:
            LossError: The function returned something else than one loss per update.
        """
        first, *_ = self.updates
        if first._engine.replaying:
            return tuple(update.last for update in self.updates)
        self._differentiate(loss_function, inputs)
        return tuple(update._finish(inputs) for update in self.updates)

    def _differentiate(self, loss_function: LossFunction, inputs: tuple[Any, ...]) -> None:
        """Leave every gradient in ``grad``, in pieces that suit the neediest update."""
        first, *_ = self.updates
        first.micro_batches = max(update.micro_batches for update in self.updates)
        counts = None
        while True:
            for update in self.updates:
                update.micro_batches = first.micro_batches
                update._begin()
            try:
                if counts is None and not first._whole:
                    counts = first._total_counts(loss_function, inputs)
                for piece in first._pieces(inputs):
                    self._take(first._forward(loss_function, piece), counts)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not first._can_split(error, inputs):
                    raise
            else:
                return
            first._split_further()

    def _take(self, losses: Any, counts: Mapping[str, Count] | None) -> None:
        """Differentiate one piece for every update; no step in between: they share the graph."""
        if not isinstance(losses, tuple) or len(losses) != len(self.updates):
            raise LossError(
                f"a joint loss function returned {type(losses).__name__}",
                where=self._where,
                hint=f"Return a tuple of {len(self.updates)} losses, one per update.",
            )
        for update, loss in zip(self.updates, losses, strict=True):
            update._take(loss, counts, retain_graph=update is not self.updates[-1])


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether an error is an allocation that failed, on any device."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return "can't allocate memory" in str(error) or "not enough memory" in str(error)


def uncounted(name: str) -> LossError:
    """Describe a weighted loss of a split batch without declared counts."""
    return LossError(
        "a weighted loss of several pieces or processes needs the counts of the whole batch",
        where=f"update '{name}'",
        hint="Declare them on the loss function: @rondel.counted(lambda *inputs: {...}).",
    )


def without_gradient(value: Tensor | None, name: str) -> LossError:
    """Describe a loss that cannot be differentiated, or whose graph misses the update."""
    where = f"update '{name}'"
    if value is None:
        return LossError(
            "the loss depends on no parameter that the update owns",
            where=where,
            hint="Does it run through another module, or through detached outputs?",
        )
    if value.ndim:
        return LossError(
            f"the loss has the shape {tuple(value.shape)}",
            where=where,
            hint="Add it up: rondel.Loss(losses.sum(), count=losses.numel()).",
        )
    return LossError(
        "the loss does not depend on any parameter",
        where=where,
        hint="Was it computed under no_grad, or from detached outputs?",
    )


def check_search(config: UpdateConfig, scaler: object, name: str) -> None:
    """Raise if settings of an update make no sense for an optimizer that searches along a line.

    Raises:
        ConfigError: Names the key.
    """
    refused = {
        "clip_norm": config.clip_norm is not None,
        "non_finite=skip": config.non_finite == "skip",
        "run.precision=fp16": scaler is not None,
    }
    for key in (key for key, is_set in refused.items() if is_set):
        raise ConfigError(
            f"lbfgs cannot work with {key}",
            where=f"update '{name}'",
            hint="Its line search calls the loss several times in one step. Leave the key out.",
        )


def search_alone(name: str) -> StateError:
    """Describe a line search that was to take part in a step of several losses or updates."""
    return StateError(
        "lbfgs cannot take part in gather() or joint()",
        where=f"update '{name}'",
        hint="Its line search calls one loss function several times in one step.",
    )
