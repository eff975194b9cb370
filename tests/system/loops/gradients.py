"""Gradients of one, two and three processes, written down to be compared.

python -m loops.gradients OUT
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from loops.ranks import fork_group, warm_up
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

import rondel
from rondel import Loss, OptimizerConfig, RunConfig, Stream, UpdateConfig
from rondel.update import Update

Notes = dict[str, Tensor]
ROWS, SETTINGS = 66, RunConfig(seed=3, device="cpu")  # batches of 32, 32 and 2


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def layers(*sizes: int, dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(100 + rank())  # the processes start apart: only the broadcast unites them
    made: list[nn.Module] = []
    for size, after in pairwise(sizes):
        made += [nn.Linear(size, after), nn.Tanh()]
    return nn.Sequential(*made[:-1]).to(dtype)


def sgd(decay: float = 0.0) -> UpdateConfig:
    return UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=0.01, weight_decay=decay))


def data(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(5)
    inputs = torch.randn(ROWS, 6, generator=draw, dtype=torch.float64)
    return inputs.to(dtype), (inputs[:, :3].sum(1) > 0).to(dtype)


class Notebook:
    """Keeps the gradient of every update, and the weights at the end."""

    def __init__(self, notes: Notes, prefix: str) -> None:
        self.notes, self.prefix, self.count = notes, prefix, 0

    def gradients(self, update: Update) -> None:
        self.count += 1
        for place, parameter in enumerate(update.owned):
            if parameter.grad is not None:
                self._keep(f"gradient/{self.count:02}/{update.name}.{place}", parameter.grad)
        self._keep(f"loss/{self.count:02}/{update.name}", update.last.double())

    def weights(self, module: nn.Module, name: str) -> None:
        for key, tensor in module.state_dict().items():
            self._keep(f"weight/{name}.{key}", tensor)

    def _keep(self, name: str, tensor: Tensor) -> None:
        self.notes[f"{self.prefix}/{name}"] = tensor.detach().clone().contiguous()


def supervised(run: rondel.Run, book: Notebook, dtype: torch.dtype, k: int) -> None:
    model = layers(6, 8, 1, dtype=dtype)
    update = run.update("model", model, sgd().model_copy(update={"micro_batches": k}))

    def loss(inputs: Tensor, labels: Tensor) -> Loss:
        logits = model(inputs).squeeze(1)
        total = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return Loss(total, len(labels))

    for _ in run.epochs(2):
        for inputs, labels in run.batches(Stream(data(dtype), batch_size=32)):
            update(loss, inputs, labels)
            book.gradients(update)
    book.weights(model, "model")


def weighted(run: rondel.Run, book: Notebook, dtype: torch.dtype, k: int) -> None:
    """Two parts that count different things: every sample, and those of class 1."""
    model = layers(6, 8, 2, dtype=dtype)
    update = run.update("model", model, sgd().model_copy(update={"micro_batches": k}))

    @rondel.counted(lambda inputs, labels: {"all": len(inputs), "ones": labels.sum()})
    def loss(inputs: Tensor, labels: Tensor) -> Loss:
        left, right = model(inputs).unbind(1)
        total = F.binary_cross_entropy_with_logits(left, labels, reduction="sum")
        ones = ((right - 1).square() * labels).sum()
        parts = {"all": Loss(total, len(labels)), "ones": Loss(ones, labels.sum())}
        return Loss.weighted(parts, {"ones": 0.3})

    for inputs, labels in run.batches(Stream(data(dtype), batch_size=32)):
        update(loss, inputs, labels)
        book.gradients(update)
    book.weights(model, "model")


def adversarial(run: rondel.Run, book: Notebook, dtype: torch.dtype, k: int) -> None:
    """R1 within the discriminator's step, and once more as an update of its own."""
    discriminator, generator = layers(6, 8, 1, dtype=dtype), layers(4, 8, 6, dtype=dtype)
    config = sgd().model_copy(update={"micro_batches": k})
    d = run.update("d", discriminator, config)
    g = run.update("g", generator, config)

    def noise(size: int, draw: torch.Generator) -> Tensor:
        return torch.randn(size, 4, generator=draw, dtype=torch.float64).to(dtype)

    def d_loss(real: Tensor, z: Tensor) -> Loss:
        fake = generator(z).detach()
        return Loss(
            F.softplus(-discriminator(real)).sum() + F.softplus(discriminator(fake)).sum(),
            len(real),
        )

    def g_loss(z: Tensor) -> Loss:
        return Loss(F.softplus(-discriminator(generator(z))).sum(), len(z))

    def penalty(real: Tensor) -> Loss:
        real = real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
        return Loss(5 * slope.square().sum(), len(real))

    for real, z in run.batches(Stream((data(dtype)[0],), batch_size=32, noise=noise)):
        with d.gather():
            d(d_loss, real, z)
            d(penalty, real)
        book.gradients(d)
        g(g_loss, z)
        book.gradients(g)
        d(penalty, real)  # the last bias has no gradient at all
        book.gradients(d)
    book.weights(discriminator, "d")
    book.weights(generator, "g")


class Branches(nn.Module):
    """One weight is used by samples of class 1 only, one by nobody."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(rank())
        self.always = nn.Linear(6, 1, dtype=dtype)
        self.sometimes = nn.Linear(6, 1, dtype=dtype)
        self.never = nn.Linear(6, 1, dtype=dtype)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        total: Tensor = self.always(inputs).square().sum()
        ones = labels > 0.5
        return total + self.sometimes(inputs[ones]).square().sum() if ones.any() else total


def branches(run: rondel.Run, book: Notebook, dtype: torch.dtype, _: int) -> None:
    model = Branches(dtype)
    # decay would move the weight that nobody uses, if its missing gradient became zeros
    update = run.update("model", model, sgd(decay=0.1))
    inputs, labels = data(dtype)
    order = labels.argsort()
    sorted_stream = Stream((inputs[order], labels[order]), batch_size=32, shuffle=False)
    for batch in run.batches(sorted_stream):
        update(lambda x, y: Loss(model(x, y), len(x)), *batch)
        book.gradients(update)
    book.weights(model, "model")


def channels_last(run: rondel.Run, book: Notebook, dtype: torch.dtype, _: int) -> None:
    """Fused kernels walk through memory: strides of gradients must be those of parameters."""
    torch.manual_seed(rank())
    model = nn.Conv2d(3, 4, 2, dtype=dtype).to(memory_format=torch.channels_last)
    update = run.update("model", model, OptimizerConfig(name="adamw", lr=1e-2, eps=1e-3))
    images = torch.randn(32, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    for (batch,) in run.batches(Stream((images,), batch_size=8)):
        update(lambda x: Loss(model(x).square().sum(), len(x)), batch)
        book.gradients(update)
    book.weights(model, "model")


def normed(run: rondel.Run, book: Notebook, dtype: torch.dtype, _: int) -> None:
    """Batch statistics are those of each process' share; their running values must be shared."""
    torch.manual_seed(rank())
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).to(dtype)
    update = run.update("model", model, sgd())
    for inputs, labels in run.batches(Stream(data(dtype), batch_size=16, drop_last=True)):
        update(lambda x, y: Loss((model(x)[:, 0] - y).square().sum(), len(y)), inputs, labels)
    book.weights(model, "model")


Scenario = Callable[[rondel.Run, Notebook, torch.dtype, int], None]
SCENARIOS: dict[str, tuple[Scenario, int]] = {
    "supervised": (supervised, 1),
    "supervised-in-pieces": (supervised, 3),
    "weighted": (weighted, 1),
    "weighted-in-pieces": (weighted, 2),
    "adversarial": (adversarial, 1),
    "adversarial-in-pieces": (adversarial, 8),
    "branches": (branches, 1),
    "channels_last": (channels_last, 1),
    "normed": (normed, 1),
}


def work(out: Path, size: int) -> None:
    notes: Notes = {}
    for name, (scenario, k) in SCENARIOS.items():
        for kind in ("float32", "float64"):
            prefix = f"{name}/{kind}"
            with rondel.Run(out / f"runs-{size}" / f"{name}-{kind}", settings=SETTINGS) as run:
                scenario(run, Notebook(notes, prefix), getattr(torch, kind), k)
    save_file(notes, out / f"{size}-{rank()}.safetensors")


def main(out: Path) -> None:
    warm_up()
    for size in (1, 2, 3):
        outcome = fork_group(size, lambda size=size: work(out, size), out / f"log-{size}")  # type: ignore[misc]
        if any(outcome["codes"]):
            sys.exit("\n".join(outcome["stderr"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
