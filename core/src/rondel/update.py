"""One optimisation: how a loss becomes a step of the parameters that an update owns.

An update is called with the loss *function*, so that the engine can call it once, in pieces, or
again: exact accumulation, splitting when memory runs out, line searches. It counts its own
updates; there is no global step that sums optimizers.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rondel.accumulation import Accumulation, LossFunction, Parts, differentiate, without_gradient
from rondel.batch import size_of
from rondel.ema import Average
from rondel.errors import ConfigError, DivergedError, StateError
from rondel.gradient import LateCheck, all_finite, global_norm
from rondel.log import Window
from rondel.optimizer import make_optimizers
from rondel.processes import Processes
from rondel.schedule import Factor, Length, make_schedule
from rondel.settings import UpdateConfig

NORM_EVERY = 10
"""Updates between two looks at the gradient norm where nothing else needs it."""
SMALLEST_SCALE = 1e-4
"""Of fp16: a gradient that overflows even below it is broken, not large (as in fairseq)."""


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
        self.updates = 0
        self.samples = 0
        self.skipped = 0
        self.last: Tensor = torch.zeros(())
        self.optimizers = make_optimizers(config.optimizer, named, where=f"{name}.optimizer")
        self.average = Average(self.owned, modules, config.ema) if config.ema else None
        self.window = Window(log_every)
        self._names = [parameter_name for parameter_name, _ in named]
        self._modules = list(modules)
        self.engine = engine
        self._scaler = engine.make_scaler()
        self.accumulation = Accumulation(
            name,
            self.owned,
            processes=engine.processes,
            autocast=engine.autocast(),
            scaler=self._scaler,
            compiles=config.compile,
            micro_batches=config.micro_batches,
            say=engine.say,
        )
        self._alone = (self.accumulation,)
        planned = Length.of(total, config.schedule.unit)
        self._schedule = make_schedule(config.schedule, total=planned, where=f"{name}.schedule")
        self._rates = [group["lr"] for opt in self.optimizers for group in opt.param_groups]
        self.searches = any(isinstance(opt, torch.optim.LBFGS) for opt in self.optimizers)
        """An optimizer calls the loss again and again (LBFGS)."""
        if self.searches:
            check_search(config, self._scaler, name)
        self._skips_in_row = 0
        self._gathered: list[Tensor | None] | None = None
        self._gathered_parts: list[Parts] = []
        self._total: Tensor | None = None
        self._late: LateCheck | None = None

    # -- one update ----------------------------------------------------------------------------

    def __call__(self, loss_function: LossFunction, *inputs: Any) -> Tensor:
        """Compute the loss, its gradient and one step; return the detached mean loss.

        Raises:
            LossError: The function returned something that is no loss.
            DivergedError: The loss or the gradient is not finite.
        """
        if self.engine.replaying:
            return self.last  # done before the cut: its effect is in the saved state
        if self.searches:
            return self._search(loss_function, inputs)
        differentiate(self._alone, loss_function, inputs)
        return self.finish(inputs)

    def finish(self, inputs: tuple[Any, ...]) -> Tensor:
        """Reduce, check and step, after all pieces were differentiated."""
        mean = self.accumulation.reduced()
        self.last = mean
        if self._gathered is not None:
            self._gather_gradients()
        elif self._sound(mean):
            self._step(inputs)
        return mean

    def gradient(self, loss_function: LossFunction, *inputs: Any) -> list[Tensor]:
        """Return the gradient of a batch without a step: what an attack or a weighting looks at.

        It is that of the one big batch over all pieces and processes, as in a call.

        Returns:
            One tensor for each of ``owned``, zeros where the loss does not reach it.

        Raises:
            LossError: The function returned something that is no loss.
        """
        if self.engine.replaying:
            return [torch.zeros_like(parameter) for parameter in self.owned]
        differentiate(self._alone, loss_function, inputs)
        self.accumulation.reduced()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.owned]
        self.accumulation.begin()  # the next step starts from nothing
        if self._scaler is not None:
            torch._foreach_div_(found, self._scaler.get_scale())
        return found

    # -- from the gradient to the step ---------------------------------------------------------

    def gradients(self) -> list[Tensor]:
        """Return the gradients that exist."""
        return self.accumulation.gradients()

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
        for parts in self.accumulation.parts:
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
        if self.engine.processes.size > 1:
            self.engine.share_buffers()  # before they are copied into the average
        if self.average is not None:
            self.average.update()
        self.updates += 1
        if self.config.schedule.unit == "samples":
            self.samples += self.engine.batch_size or size_of(inputs)
        self.engine.updated(self)

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
            self.engine.say(f"Update '{self.name}' {self.updates + 1} was skipped: {what}.")
            return False
        raise self._diverged(what)

    def _diverged(self, what: str, *, number: int | None = None) -> DivergedError:
        """Describe the end of a run; ``number`` is given for an update that is past."""
        here = self._bad_part() + self._bad_parameter() + self.engine.describe_batch()
        return DivergedError(
            f"{what}{here if number is None else self._bad_parameter()}",
            where=f"update '{self.name}', number {number or self.updates + 1}",
            hint="Lower optimizer.lr, set clip_norm, or look at the samples named here; "
            "the last checkpoint is sound.",
        )

    def _bad_part(self) -> str:
        for parts in self.accumulation.parts:
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
    def micro_batches(self) -> int:
        """Pieces of a batch; grows when memory runs out."""
        return self.accumulation.micro_batches

    @micro_batches.setter
    def micro_batches(self, pieces: int) -> None:
        self.accumulation.micro_batches = pieces

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
            differentiate(self._alone, loss_function, inputs)
            losses.append(self.accumulation.reduced())
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

        Example:
            >>> with discriminator.gather():
            ...     discriminator(adversarial_loss, real, noise)
            ...     if run.every(16):
            ...         discriminator(penalty, real)
        """
        if self.engine.replaying:
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
        self.last, self.accumulation.parts = total, self._gathered_parts
        if self._sound(total):
            self._step(())

    def _gather_gradients(self) -> None:
        assert self._gathered is not None
        self._total = self.last if self._total is None else self._total + self.last
        self._gathered_parts += self.accumulation.parts
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
