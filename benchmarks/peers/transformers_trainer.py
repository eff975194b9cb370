"""transformers.Trainer: https://huggingface.co/docs/transformers/main_classes/trainer"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from interruption import BATCH, EPOCHS, KILL_AFTER, Interruption
from interruption import weights_of as net_weights
from regression import ADAMW, Regression, Weights, weights_of
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

QUIET: dict[str, Any] = {
    "report_to": "none",
    "disable_tqdm": True,
    "logging_strategy": "no",
    "use_cpu": True,
}


class WithLoss(nn.Module):
    """Returns its loss, as Trainer wants it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return loss and predictions."""
        predictions = self.model(x)
        return {"loss": mse_loss(predictions, labels), "logits": predictions}


class ReadyBatches(Trainer):
    """Feeds ready-made batches instead of collating rows."""

    def get_train_dataloader(self) -> Any:
        """Return the list that was given as data set."""
        return self.train_dataset


def nothing_on(regression: Regression) -> Weights:
    """Train without bar, log, clipping and NaN filter; torch's default AdamW."""
    return _train(regression, optim="adamw_torch", **_nothing_on())


def nothing_on_fused(regression: Regression) -> Weights:
    """The same with the fused AdamW, which is Trainer's default."""
    return _train(regression, optim="adamw_torch_fused", **_nothing_on())


def its_defaults(regression: Regression) -> Weights:
    """Train with the defaults: bar, a log row each 500 steps, clipping at 1.0, linear schedule."""
    return _train(regression, report_to="none", use_cpu=True)


def _nothing_on() -> dict[str, Any]:
    return {
        **QUIET,
        "max_grad_norm": 0.0,
        "logging_nan_inf_filter": False,
        "lr_scheduler_type": "constant",
    }


def _train(regression: Regression, **settings: Any) -> Weights:
    arguments = TrainingArguments(
        output_dir="trainer",
        num_train_epochs=1,
        save_strategy="no",
        learning_rate=ADAMW["lr"],
        weight_decay=0.0,
        **settings,
    )
    model = regression.model()
    batches = [{"x": x, "labels": y} for x, y in regression.batches]
    ReadyBatches(WithLoss(model), arguments, train_dataset=batches).train()
    return weights_of(model)


class Rows(Dataset):
    """The rows under the names of the model's arguments."""

    def __init__(self, rows: Dataset) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x, y = self.rows[index]
        return {"x": x, "labels": y}


def resume(task: Interruption) -> Weights:
    """Follow the guide: save_steps, train(resume_from_checkpoint=...)."""
    arguments = TrainingArguments(
        output_dir=str(task.saves),
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH,
        save_strategy="steps",
        save_steps=KILL_AFTER,
        learning_rate=1e-2,
        weight_decay=0.0,
        seed=0,
        **QUIET,
    )
    model = task.model()
    trainer = Trainer(WithLoss(model), arguments, train_dataset=Rows(task.dataset()))
    checkpoint = Path(task.saves, f"checkpoint-{KILL_AFTER}") if task.resuming else None
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    return net_weights(model)
