"""Hugging Face Accelerate: https://huggingface.co/docs/accelerate/"""

from __future__ import annotations

from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from interruption import EPOCHS, KILL_AFTER, STEPS_PER_EPOCH, Interruption, adamw
from interruption import weights_of as net_weights
from regression import Regression, Weights, weights_of
from torch.nn.functional import mse_loss


def default_kernel(regression: Regression) -> Weights:
    """Train with torch's default AdamW."""
    return _train(regression, fused=False)


def fused_kernel(regression: Regression) -> Weights:
    """Train with the fused AdamW."""
    return _train(regression, fused=True)


def _train(regression: Regression, *, fused: bool) -> Weights:
    accelerator = Accelerator(cpu=True)
    plain = regression.model()
    model, optimizer = accelerator.prepare(plain, regression.adamw(plain, fused=fused))
    for x, y in regression.batches:
        optimizer.zero_grad()
        loss = mse_loss(model(x), y)
        accelerator.backward(loss)
        optimizer.step()
    return weights_of(plain)


def accumulating(regression: Regression) -> Weights:
    """Train inside `accumulate`, as the guide's loop does, with one piece a step."""
    accelerator = Accelerator(cpu=True)
    plain = regression.model()
    model, optimizer = accelerator.prepare(plain, regression.adamw(plain))
    for x, y in regression.batches:
        with accelerator.accumulate(model):
            optimizer.zero_grad()
            loss = mse_loss(model(x), y)
            accelerator.backward(loss)
            optimizer.step()
    return weights_of(plain)


def resume(task: Interruption) -> Weights:
    """Follow the guide "Checkpointing": save_state, load_state, skip_first_batches."""
    return _resume(task, seedable=False)


def resume_seedable(task: Interruption) -> Weights:
    """The same with the sampler that the guide recommends for reproducible orders."""
    return _resume(task, seedable=True)


def _resume(task: Interruption, *, seedable: bool) -> Weights:
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=seedable)
    )
    set_seed(0)
    plain = task.model()
    model, optimizer, loader = accelerator.prepare(plain, adamw(plain), task.loader())
    step, path = 0, str(task.saves / "state")
    if task.resuming:
        accelerator.load_state(path)
        step = KILL_AFTER  # the guide reads it from the folder's name
    first_epoch, skip = divmod(step, STEPS_PER_EPOCH)
    for epoch in range(first_epoch, EPOCHS):
        loader.set_epoch(epoch)
        resumed_here = task.resuming and epoch == first_epoch
        for x, y in accelerator.skip_first_batches(loader, skip) if resumed_here else loader:
            optimizer.zero_grad()
            accelerator.backward(mse_loss(model(x), y))
            optimizer.step()
            step += 1
            if step == KILL_AFTER:
                accelerator.save_state(path)
    return net_weights(plain)
