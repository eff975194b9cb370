"""PyTorch Ignite: https://docs.pytorch.org/ignite/"""

from __future__ import annotations

import torch
from ignite.engine import DeterministicEngine, Engine, Events, create_supervised_trainer
from interruption import EPOCHS, KILL_AFTER, Interruption, adamw
from interruption import weights_of as net_weights
from regression import Regression, Weights, weights_of
from torch import Tensor, nn
from torch.nn.functional import mse_loss


def own_step(regression: Regression) -> Weights:
    """Train with an Engine over a step of one's own, torch's default AdamW."""
    return _own_step(regression, fused=False)


def own_step_fused(regression: Regression) -> Weights:
    """The same with the fused AdamW."""
    return _own_step(regression, fused=True)


def _own_step(regression: Regression, *, fused: bool) -> Weights:
    model = regression.model()
    optimizer = regression.adamw(model, fused=fused)
    Engine(_step(model, optimizer)).run(regression.batches, max_epochs=1)
    return weights_of(model)


def supervised_trainer(regression: Regression) -> Weights:
    """Train with the ready-made trainer, which reads the loss at every step."""
    model = regression.model()
    trainer = create_supervised_trainer(model, regression.adamw(model), nn.MSELoss())
    trainer.run(regression.batches, max_epochs=1)
    return weights_of(model)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer):
    def step(_engine: Engine, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        optimizer.zero_grad()
        loss = mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def resume(task: Interruption) -> Weights:
    """Follow the guide "Resume training": the engine's own state, with the RNG it saves."""
    return _resume(task, with_rng=True)


def resume_without_rng_states(task: Interruption) -> Weights:
    """The same without `rng_states`, which are restored before the sampler draws."""
    return _resume(task, with_rng=False)


def _resume(task: Interruption, *, with_rng: bool) -> Weights:
    model = task.model()
    optimizer = adamw(model)
    trainer = DeterministicEngine(_step(model, optimizer))
    path = task.saves / "state.pt"

    @trainer.on(Events.ITERATION_COMPLETED(once=KILL_AFTER))
    def save() -> None:
        state = {"model": model, "optimizer": optimizer, "trainer": trainer}
        torch.save({name: value.state_dict() for name, value in state.items()}, path)

    if task.resuming:
        saved = torch.load(path, weights_only=False)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        if not with_rng:
            saved["trainer"]["rng_states"] = None
        trainer.load_state_dict(saved["trainer"])
    trainer.run(task.loader(), max_epochs=EPOCHS)
    return net_weights(model)
