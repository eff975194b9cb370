"""fastai: https://docs.fast.ai/"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from fastai.basics import Adam, DataLoader, DataLoaders, Learner, OptimWrapper, set_seed
from fastai.callback.progress import ProgressCallback
from fastai.callback.tracker import SaveModelCallback
from interruption import BATCH, EPOCHS, Interruption
from interruption import weights_of as net_weights
from regression import ADAMW, Regression, Weights, weights_of
from torch import nn

CPU = torch.device("cpu")
OWN_ADAMW = partial(Adam, mom=0.9, sqr_mom=0.999, eps=1e-8, wd=0.0, decouple_wd=True)


class ReadyBatches(list):
    """A list of batches as a fastai loader: it only needs a device and a name for its length."""

    device = CPU


def own_optimizer(regression: Regression) -> Weights:
    """Train with fastai's own AdamW, without bar and log."""
    return _fit(regression, OWN_ADAMW)


def fused_kernel(regression: Regression) -> Weights:
    """Train with torch's fused AdamW in fastai's wrapper."""
    return _fit(
        regression,
        partial(OptimWrapper, opt=torch.optim.AdamW, fused=True, eps=1e-8, weight_decay=0.0),
    )


def bar_and_log(regression: Regression) -> Weights:
    """Train as a notebook would: with bar and table of losses."""
    return _fit(regression, OWN_ADAMW, quiet=False)


def _fit(regression: Regression, optimizer: Any, *, quiet: bool = True) -> Weights:
    model = regression.model()
    loaders = DataLoaders(ReadyBatches(regression.batches), ReadyBatches(), device=CPU)
    learner = Learner(loaders, model, nn.MSELoss(), opt_func=optimizer, lr=ADAMW["lr"])
    if quiet:
        learner.remove_cb(ProgressCallback)
    learner.fit(1)
    return weights_of(model)


def resume(task: Interruption) -> Weights:
    """Follow the guide: SaveModelCallback(every_epoch), load(with_opt), fit(start_epoch=...).

    fastai has no save within an epoch, so the run goes on from the end of the first one.
    """
    set_seed(0, reproducible=True)
    model = task.model()
    rows = list(task.dataset())
    train = DataLoader(rows, bs=BATCH, shuffle=True, num_workers=0)
    loaders = DataLoaders(train, DataLoader(rows, bs=BATCH, num_workers=0), device=CPU)
    saver = SaveModelCallback(every_epoch=True, with_opt=True, fname="epoch")
    learner = Learner(
        loaders, model, nn.MSELoss(), opt_func=OWN_ADAMW, lr=1e-2, path=task.saves, model_dir="."
    )
    learner.remove_cb(ProgressCallback)
    first = 0
    if task.resuming:
        learner.load("epoch_0", with_opt=True)
        first = 1
    learner.fit(EPOCHS, start_epoch=first, cbs=saver)
    return net_weights(model)
