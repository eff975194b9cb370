"""The problem of resume_exact.py: 64 rows, batches of 8, 3 epochs, shuffled, dropout, AdamW.

The process is killed when step 13 begins, which is after step 4 of the second epoch's 8.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

ROWS, BATCH, EPOCHS, FEATURES = 64, 8, 3, 6
STEPS_PER_EPOCH = ROWS // BATCH
KILL_AFTER = 12
KILLED = 9  # exit code of the broken run

Phase = Literal["straight", "broken", "resumed"]
Weights = list[Tensor]


class Journal:
    """Writes the rows of each training step to a file, and kills the broken run at step 13."""

    def __init__(self, path: Path, *, kill_after: int | None) -> None:
        self.path, self.kill_after, self.steps = path, kill_after, 0

    def note(self, x: Tensor) -> None:
        """Note the rows of a batch, (N, F): the first feature is the row's number."""
        if self.steps == self.kill_after:
            os._exit(KILLED)  # no clean-up, no handlers: as after a power cut
        self.steps += 1
        rows = (x[:, 0] * ROWS).round().int().tolist()
        with self.path.open("a") as file:
            file.write(json.dumps(rows) + "\n")


class Net(nn.Module):
    """6-16-1 with dropout; notes the rows it trains on."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self.journal = journal
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, 16), nn.ReLU(), nn.Dropout(0.25), nn.Linear(16, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, F) to (N, 1)."""
        if self.training:
            self.journal.note(x)
        return self.layers(x)


@dataclass(frozen=True)
class Interruption:
    """What an adapter is given: whether to resume, where to save, the data and the model."""

    phase: Phase
    directory: Path

    @property
    def resuming(self) -> bool:
        """Whether the broken run's save is to be continued."""
        return self.phase == "resumed"

    @property
    def saves(self) -> Path:
        """Return the folder of the system's own saves; the resumed run finds the broken one's."""
        return self.directory / ("straight" if self.phase == "straight" else "broken")

    def journal(self) -> Journal:
        """Return the journal of this phase."""
        kill_after = KILL_AFTER if self.phase == "broken" else None
        return Journal(self.directory / f"{self.phase}.jsonl", kill_after=kill_after)

    def dataset(self) -> TensorDataset:
        """Return 64 rows of (x, y); the first feature is the row's number over 64."""
        x = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(0))
        x[:, 0] = torch.arange(ROWS) / ROWS
        return TensorDataset(x, x.sum(dim=1, keepdim=True).sin())

    def loader(self) -> DataLoader[Any]:
        """Return the plain shuffled loader that every guide starts from."""
        return DataLoader(self.dataset(), batch_size=BATCH, shuffle=True)

    def model(self) -> Net:
        """Return the model; seeds torch first, as a training script does at its top."""
        torch.manual_seed(0)
        return Net(self.journal())


def adamw(model: nn.Module) -> torch.optim.AdamW:
    """Return the optimizer of all rows."""
    return torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)


def weights_of(model: nn.Module) -> Weights:
    """Return the parameters, detached."""
    return [parameter.detach().clone() for parameter in model.parameters()]
