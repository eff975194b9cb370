"""Lightning Fabric: https://lightning.ai/docs/fabric/stable/"""

from __future__ import annotations

from itertools import islice

from interruption import EPOCHS, KILL_AFTER, STEPS_PER_EPOCH, Interruption, adamw
from interruption import weights_of as net_weights
from lightning.fabric import Fabric
from regression import Regression, Weights, weights_of
from torch.nn.functional import mse_loss


def default_kernel(regression: Regression) -> Weights:
    """Train with torch's default AdamW."""
    return _train(regression, fused=False)


def fused_kernel(regression: Regression) -> Weights:
    """Train with the fused AdamW."""
    return _train(regression, fused=True)


def _train(regression: Regression, *, fused: bool) -> Weights:
    fabric = Fabric(accelerator="cpu", devices=1)
    plain = regression.model()
    model, optimizer = fabric.setup(plain, regression.adamw(plain, fused=fused))
    for x, y in regression.batches:
        optimizer.zero_grad()
        loss = mse_loss(model(x), y)
        fabric.backward(loss)
        optimizer.step()
    return weights_of(plain)


def resume(task: Interruption) -> Weights:
    """Follow the guide "Saving and loading checkpoints"; the batches that were seen are skipped."""
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.seed_everything(0, verbose=False)
    plain = task.model()
    model, optimizer = fabric.setup(plain, adamw(plain))
    loader = fabric.setup_dataloaders(task.loader())
    state = {"model": model, "optimizer": optimizer, "iteration": 0}
    path = task.saves / "state.ckpt"
    if task.resuming:
        fabric.load(path, state)
    first_epoch, skip = divmod(int(state["iteration"]), STEPS_PER_EPOCH)
    for epoch in range(first_epoch, EPOCHS):
        for x, y in islice(loader, skip if epoch == first_epoch else 0, None):
            optimizer.zero_grad()
            fabric.backward(mse_loss(model(x), y))
            optimizer.step()
            state["iteration"] += 1
            if state["iteration"] == KILL_AFTER:
                fabric.save(path, state)
    return net_weights(plain)
