"""Lightning's Trainer: https://lightning.ai/docs/pytorch/stable/"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lightning
import torch
from interruption import BATCH, EPOCHS, KILL_AFTER, Interruption, adamw
from interruption import weights_of as net_weights
from lightning.pytorch.callbacks import ModelCheckpoint
from regression import Regression, Weights, hand_written, weights_of
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
PLACE = {"accelerator": "cpu", "devices": 1}


class Feed:
    """Ready-made batches; Lightning would take a list for a list of loaders."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class Supervised(lightning.LightningModule):
    """Automatic optimization: the usual LightningModule."""

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__()
        self.model, self.optimizer = model, optimizer

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        """Return the loss."""
        x, y = batch
        return mse_loss(self.model(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return self.optimizer


class Logging(Supervised):
    """Shows the loss in the progress bar."""

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss and log it."""
        loss = super().training_step(batch, index)
        self.log("loss", loss, prog_bar=True)
        return loss


class Manual(Supervised):
    """Manual optimization: what a loop with two optimizers must use."""

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(model, optimizer)
        self.automatic_optimization = False

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Do the whole step."""
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(batch, index))
        optimizer.step()


def hand_written_after_import(regression: Regression) -> Weights:
    """Run the hand-written loop in a process that has imported Lightning."""
    return hand_written(regression, fused=False)


def nothing_on(regression: Regression) -> Weights:
    """Train without logger, checkpoints and bar."""
    return _fit(regression, Supervised)


def nothing_on_fused(regression: Regression) -> Weights:
    """The same with the fused AdamW."""
    return _fit(regression, Supervised, fused=True)


def manual(regression: Regression) -> Weights:
    """Train with manual optimization, nothing on."""
    return _fit(regression, Manual)


def bar_and_log(regression: Regression) -> Weights:
    """Train with the default bar, the loss in it."""
    return _fit(regression, Logging, bar=True)


def _fit(
    regression: Regression, kind: type[Supervised], *, fused: bool = False, bar: bool = False
) -> Weights:
    model = regression.model()
    module = kind(model, regression.adamw(model, fused=fused))
    switches = {**QUIET, "enable_progress_bar": bar}
    trainer = lightning.Trainer(**PLACE, **switches, max_epochs=1, enable_checkpointing=False)
    trainer.fit(module, Feed(regression.batches))
    return weights_of(model)


def resume(task: Interruption) -> Weights:
    """Follow the guide: ModelCheckpoint(every_n_train_steps), fit(ckpt_path=...)."""
    return _resume(task, task.loader)


def resume_stateful_loader(task: Interruption) -> Weights:
    """The same with the loader that the documentation names for mid-epoch resume."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    return _resume(task, lambda: StatefulDataLoader(task.dataset(), batch_size=BATCH, shuffle=True))


def _resume(task: Interruption, loader: Callable[[], DataLoader]) -> Weights:
    lightning.seed_everything(0, verbose=False)
    model = task.model()
    saver = ModelCheckpoint(task.saves, every_n_train_steps=KILL_AFTER, save_top_k=-1)
    trainer = lightning.Trainer(**PLACE, **QUIET, max_epochs=EPOCHS, callbacks=[saver])
    path = next(task.saves.glob("*.ckpt")) if task.resuming else None
    trainer.fit(Supervised(model, adamw(model)), loader(), ckpt_path=path)
    return net_weights(model)
