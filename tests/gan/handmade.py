"""What the tests of games share: tiny games in float64, and what a hand-written loop needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rondel import Run, Stream, keyed
from rondel.config import Layer, resolve
from rondel.processes import Processes
from rondel.stream import Feed
from rondel_gan.config import GanConfig
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.loops.info import Info
from rondel_gan.loops.vae import VaeGan
from rondel_gan.models.catalogue import make_critic, make_generator
from rondel_gan.models.encoder import Encoder

BATCHES, BATCH, LATENT, CLASSES = 20, 6, 4, 3
SHAPE = (1, 4, 4)
LR = 1e-2


class NoQuality:
    """Measures nothing."""

    def measure(self, samples: Tensor) -> dict[str, float]:
        """Return a number that never changes."""
        return {"frechet": float(len(samples))}

    def protocol(self, samples: int) -> str:
        """Return no protocol."""
        return str(samples)


def configured(**values: Any) -> GanConfig:
    player = {
        "optimizer": {"name": "adam", "lr": LR, "betas": (0.0, 0.9)},
        "schedule": {"name": "constant"},
        "ema": None,
    }
    base = {
        "recipe": "vanilla",
        "epochs": 1,
        "batch_size": BATCH,
        "model": {"width": 8, "latent": LATENT, "depth": 2},
        "discriminator": player,
        "generator": player,
        "encoder": player,
        "alarm": {"on": False},
    }
    layers = [Layer("base", base), Layer("test", values)]
    return resolve(GanConfig, layers).config


def rows(*, labels: bool = False, channels: int = 1) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    size = BATCHES * BATCH
    shape = (size, channels, *SHAPE[1:])
    real = torch.rand(shape, generator=draw, dtype=torch.float64) * 2 - 1
    found = {"real": real}
    if labels:
        found["labels"] = torch.randint(CLASSES, (size,), generator=draw)
    return found


def adversarial(kind: type[Adversarial] = Adversarial, **values: Any) -> Adversarial:
    config = configured(**values)
    data = rows(labels=config.model.condition != "none")
    keyed.reseed(3)
    model = config.model
    if kind is Info:
        extra = config.info.categories + config.info.continuous
        model = model.model_copy(update={"latent": model.latent + extra})
    parts: dict[str, Any] = {
        "generator": make_generator(model, SHAPE, CLASSES).double(),
        "discriminator": make_critic(model, SHAPE, CLASSES).double(),
        "data": data,
        "quality": NoQuality(),
    }
    if kind is VaeGan:
        body = make_critic(model, SHAPE, 0).body
        parts["encoder"] = Encoder(body, model.width, model.latent).double()
    return kind(config, **parts)


def batches(loop: Adversarial, stream: Stream | None = None) -> Iterator[Any]:
    """Yield the batches that a run of seed 0 sees."""
    stream = stream or loop.stream
    feed = Feed(0, Processes(0, 1, torch.device("cpu")))
    for batch, _ in stream.batches(feed, stream.plan(0, 0), 0):
        yield batch


def adam(*nets: nn.Module, lr: float = LR, betas: tuple[float, float] = (0.0, 0.9)) -> Any:
    parameters = [p for net in nets for p in net.parameters()]
    return torch.optim.Adam(parameters, lr=lr, betas=betas, fused=True)


def step(optimizer: Any, loss: Tensor) -> None:
    optimizer.zero_grad()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, grad in zip(
        parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True
    ):
        parameter.grad = grad
    optimizer.step()


def slopes(scores: Tensor, inputs: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.flatten(1)


def norms(scores: Tensor, inputs: Tensor) -> Tensor:
    return slopes(scores, inputs).norm(dim=1)


def squared_norms(scores: Tensor, inputs: Tensor) -> Tensor:
    return slopes(scores, inputs).square().sum(dim=1)


Nets = tuple[nn.Module, ...]
Hand = Callable[[Adversarial], None]


def assert_same_end(make: Callable[[], Adversarial], hand: Hand, folder: Path) -> None:
    """Play a game by its loop, and a copy by hand, and compare every number of the nets."""
    loop, mine = make(), make()
    before = [tensor.clone() for tensor in states(loop)]
    with Run(folder / "run", seed=0) as run:
        loop.train(run)
    hand(mine)
    assert any(not torch.equal(a, b) for a, b in zip(before, states(loop), strict=True))
    for one, other in zip(states(loop), states(mine), strict=True):
        assert torch.equal(one, other)


def states(loop: Adversarial) -> list[Tensor]:
    nets = {id(n): n for player in loop.players.values() for n in player.nets.values()}
    return [tensor for net in nets.values() for tensor in net.state_dict().values()]


class Plane(nn.Module):
    """A linear critic whose gradient has the same norm everywhere."""

    def __init__(self, norm: float, *, numbers: int = 16) -> None:
        super().__init__()
        weight = torch.full((numbers,), norm / numbers**0.5, dtype=torch.float64)
        self.weight = nn.Parameter(weight)

    def features(self, images: Tensor) -> Tensor:
        """Return (N, F) numbers."""
        return images.flatten(1)

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return (N,) scores."""
        return features @ self.weight

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return (N,) scores."""
        return self.score(self.features(images), labels)
