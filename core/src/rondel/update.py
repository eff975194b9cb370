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
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import Variable

from rondel.batch import leaves, size_of, split
from rondel.ema import Average
from rondel.errors import DivergedError, LossError
from rondel.log import Window
from rondel.loss import Count, Loss, as_loss, counts_of
from rondel.optimizer import make_optimizers
from rondel.processes import Processes
from rondel.schedule import make_schedule
from rondel.settings import UpdateConfig

LossFunction = Callable[..., Any]
NORM_EVERY = 10
"""Updates between two looks at the gradient norm where nothing else needs it."""


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
        total: Planned updates (or samples, by the schedule's unit).
    """

    def __init__(
        self,
        name: str,
        named: Sequence[tuple[str, nn.Parameter]],
        *,
        modules: Sequence[nn.Module],
        config: UpdateConfig,
        engine: Engine,
        total: int | None,
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
        self._engine = engine
        self._processes = engine.processes
        self._scaler = engine.make_scaler()
        self._schedule = make_schedule(config.schedule, total=total, where=f"{name}.schedule")
        self._rates = [group["lr"] for opt in self.optimizers for group in opt.param_groups]
        self._searches = any(isinstance(opt, torch.optim.LBFGS) for opt in self.optimizers)
        self._skips_in_row = 0
        self._gathered: list[Tensor | None] | None = None
        self._compiled: dict[Any, LossFunction] = {}
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
        while True:
            try:
                counts = self._total_counts(loss_function, inputs)
                self._begin()
                for piece in self._pieces(inputs):
                    self._take(self._forward(loss_function, piece), counts)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                self._split_further(error, inputs)
            else:
                return

    def _pieces(self, inputs: tuple[Any, ...]) -> Sequence[tuple[Any, ...]]:
        if self.micro_batches == 1 and self._processes.size == 1:
            return (inputs,)
        pieces = split(inputs, self.micro_batches)
        # a process may get no share of a short last batch; it takes part with zeros
        return [piece for piece in pieces if size_of(piece) or not list(leaves(piece))]

    @property
    def _whole(self) -> bool:
        return self.micro_batches == 1 and self._processes.size == 1

    def _total_counts(
        self, loss_function: LossFunction, inputs: tuple[Any, ...]
    ) -> Mapping[str, Count] | None:
        if self._whole:
            return None
        counts = counts_of(loss_function, inputs)
        return None if counts is None else self._processes.sum_counts(counts)

    def _begin(self) -> None:
        for parameter in self.owned:
            parameter.grad = None
        self._sum = self._count = None

    def _forward(self, loss_function: LossFunction, piece: tuple[Any, ...]) -> Any:
        if self.config.compile:
            loss_function = self._compile(loss_function)
        autocast = self._engine.autocast()
        if autocast is None:
            return loss_function(*piece)
        with autocast:
            return loss_function(*piece)

    def _compile(self, loss_function: LossFunction) -> LossFunction:
        key = getattr(loss_function, "__func__", loss_function)
        if key not in self._compiled:
            self._compiled[key] = torch.compile(loss_function)
        return self._compiled[key]

    def _take(
        self, returned: Any, counts: Mapping[str, Count] | None, *, retain_graph: bool = False
    ) -> None:
        """Differentiate one piece: the mean if it is the whole, else the sum."""
        whole = self._whole
        loss = as_loss(returned, update=self.name, whole=whole)
        count: Count | None = None
        if whole:
            value = loss.mean
        elif loss.terms:
            if counts is None:
                raise uncounted(self.name)
            value = loss.weighed(counts)
        else:
            value, count = loss.sum, loss.count
        if loss.parts or loss.terms:
            self.window.add_parts(loss.part_sums())
        if not value.requires_grad:
            raise LossError(
                "the loss does not depend on any parameter",
                where=f"update '{self.name}'",
                hint="Was it computed under no_grad, or from detached outputs?",
            )
        scaled = value if self._scaler is None else self._scaler.scale(value)
        differentiate(scaled, self._owned, retain_graph=retain_graph)
        value = value.detach()
        self._sum = value if self._sum is None else self._sum + value
        if count is not None:
            self._count = count if self._count is None else self._count + count

    def _split_further(self, error: Exception, inputs: tuple[Any, ...]) -> None:
        """Double the number of pieces, or give up with the error."""
        if not is_out_of_memory(error) or self.micro_batches >= size_of(inputs):
            raise error
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
            total = torch.zeros((), device=self._processes.device)
        if self._processes.size > 1:
            counted = torch.as_tensor(0 if count is None else count, device=total.device)
            sums = self._processes.sum_gradients(self.owned, torch.stack([total, counted]))
            # a weighted loss is divided already and counts 0; no branch: it would synchronise
            total, count = sums[0].to(total.dtype), torch.where(sums[1] > 0, sums[1], 1.0)
        if count is None:
            return total
        grads = self.gradients()
        if grads:
            divisor = count.to(grads[0].dtype) if isinstance(count, Tensor) else count
            torch._foreach_div_(grads, divisor)
        return (total / count).to(total.dtype)

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
            return True
        if self.config.non_finite == "skip" and not torch.isfinite(mean):
            return self._not_finite("the loss is not finite")
        self.window.add("loss", mean)
        late, self._late = self._late, LateCheck(mean)
        return late is None or late.finite() or self._not_finite("the loss is not finite")

    def _step(self, inputs: tuple[Any, ...]) -> None:
        """Unscale, clip, set the learning rates, step, average, count."""
        if self._scaler is not None:
            for optimizer in self.optimizers:
                self._scaler.unscale_(optimizer)
        if not self._norm_sound():
            return
        if self._schedule is not None:
            counted = self.samples if self.config.schedule.unit == "samples" else self.updates
            self._set_rates(self._schedule(counted))
        if not self._stepped():
            self.skipped += 1
            return
        self._skips_in_row = 0
        if self.average is not None:
            self.average.update()
        self.updates += 1
        if self.config.schedule.unit == "samples":
            self.samples += self._engine.batch_size or size_of(inputs)
        self._engine.updated(self)

    def _stepped(self) -> bool:
        """Step the optimizers; False if the scaler of fp16 found an overflow."""
        if self._scaler is None:
            for optimizer in self.optimizers:
                optimizer.step()
            return True
        before = self._scaler.get_scale()
        for optimizer in self.optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        return self._scaler.get_scale() >= before

    def _norm_sound(self) -> bool:
        """Look at the gradient norm where it is needed, and clip by it."""
        clip, skip = self.config.clip_norm, self.config.non_finite == "skip"
        if clip is None and not skip and self.updates % NORM_EVERY:
            return True
        grads = self.gradients()
        if not grads:
            return True
        norm = global_norm(grads)
        self.window.add("gradient_norm", norm.detach())
        if self._scaler is None and (skip or norm.device.type == "cpu"):
            value = norm.item()
            if not math.isfinite(value):
                return self._not_finite(f"the gradient norm is {value}")
        if clip is not None:
            # clamp, not an if: a branch on the norm would synchronise the device
            torch._foreach_mul_(grads, (clip / (norm + 1e-6)).clamp(max=1.0))
        return True

    def _not_finite(self, what: str) -> bool:
        """Skip within the budget, or stop with everything that helps to find the cause."""
        self.skipped += 1
        self._skips_in_row += 1
        if self.config.non_finite == "skip" and self._skips_in_row <= self.config.max_skips:
            self._engine.say(f"Update '{self.name}' {self.updates + 1} was skipped: {what}.")
            return False
        raise DivergedError(
            f"{what}{self.window.bad_part()}{self._bad_parameter()}{self._engine.describe_batch()}",
            where=f"update '{self.name}', number {self.updates + 1}",
            hint="Lower optimizer.lr, set clip_norm, or look at the samples named here; "
            "the last checkpoint is sound.",
        )

    def _bad_parameter(self) -> str:
        for name, parameter in zip(self._names, self.owned, strict=True):
            if not torch.isfinite(parameter).all():
                return f"; parameter '{name}' is not finite"
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"; the gradient of '{name}' is not finite"
        return ""

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
        losses: list[Tensor] = []

        def closure() -> float:
            self._differentiate(loss_function, inputs)
            losses.append(self._reduced())
            return float(losses[-1])

        for optimizer in self.optimizers:
            optimizer.step(closure)
        self.last = losses[0]
        if self._sound(losses[0]):
            self.updates += 1
            self._engine.updated(self)
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
        self._gathered, self._total = [None] * len(self.owned), None
        try:
            yield
            gathered, total = self._gathered, self._total
        finally:
            self._gathered = None
        if total is None:
            return
        for parameter, grad in zip(self.owned, gathered, strict=True):
            parameter.grad = grad
        self.last = total
        if self._sound(total):
            self._step(())

    _total: Tensor | None = None

    def _gather_gradients(self) -> None:
        assert self._gathered is not None
        self._total = self.last if self._total is None else self._total + self.last
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
                self._not_finite("the loss is not finite")
        if self.owned and not math.isfinite(global_norm([p.detach() for p in self.owned]).item()):
            raise DivergedError(
                f"a parameter is not finite{self._bad_parameter()}",
                where=f"update '{self.name}', after number {self.updates}",
                hint="Lower optimizer.lr or set clip_norm; the last checkpoint is sound.",
            )

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

    The loss function returns one loss per update, in their order. They may share a graph.
    """

    def __init__(self, updates: Sequence[Update]) -> None:
        self.updates = updates

    def __call__(self, loss_function: LossFunction, *inputs: Any) -> tuple[Tensor, ...]:
        """Compute every gradient, then step every update; return the detached mean losses."""
        first, *_ = self.updates
        if first._engine.replaying:
            return tuple(update.last for update in self.updates)
        counts = first._total_counts(loss_function, inputs)
        for update in self.updates:
            update._begin()
        for piece in first._pieces(inputs):
            losses = first._forward(loss_function, piece)
            if not isinstance(losses, tuple) or len(losses) != len(self.updates):
                raise LossError(
                    f"a joint loss function returned {type(losses).__name__}",
                    where=" + ".join(f"'{update.name}'" for update in self.updates),
                    hint=f"Return a tuple of {len(self.updates)} losses, one per update.",
                )
            # no step may come between the first and the last backward: they share the graph
            gradients = []
            for update, loss in zip(self.updates, losses, strict=True):
                update._take(loss, counts, retain_graph=update is not self.updates[-1])
                gradients.append(update.gradients())
        return tuple(update._finish(inputs) for update in self.updates)


class LateCheck:
    """Whether a loss was finite, read without waiting for the device.

    The flag is copied to pinned memory behind the step that made it; one step later it is there.
    """

    def __init__(self, mean: Tensor) -> None:
        self._flag = torch.empty((), dtype=torch.bool, pin_memory=True)
        self._flag.copy_(torch.isfinite(mean), non_blocking=True)
        self._copied = torch.cuda.Event()
        self._copied.record()

    def finite(self) -> bool:
        """Wait for the copy, long done, and return the flag."""
        self._copied.synchronize()
        return bool(self._flag)


@cache
def seed(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the gradient of a loss with respect to itself."""
    return torch.ones((), dtype=dtype, device=device)


def differentiate(value: Tensor, owned: tuple[Tensor, ...], *, retain_graph: bool) -> None:
    """Add the gradient of a scalar to ``grad`` of the owned parameters, and of nothing else.

    This is ``torch.autograd.backward(value, inputs=owned)`` without its checks, which hold here by
    construction and take longer than the backward pass of a small model.
    """
    Variable._execution_engine.run_backward(  # type: ignore[attr-defined]
        (value,),
        (seed(value.dtype, value.device),),
        retain_graph,
        False,  # noqa: FBT003 - create_graph; the engine takes positions only
        owned,
        allow_unreachable=True,
        accumulate_grad=True,
    )


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm over all tensors, a scalar still on the device."""
    dense = [tensor.coalesce().values() if tensor.is_sparse else tensor for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(dense)))


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
