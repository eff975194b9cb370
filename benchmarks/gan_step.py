"""Claim: a batch of a game costs at most 1.03 times that of the hand-written loop.

Two tiny perceptrons (2-16-16-1, batches of 16 points in memory), so that nothing but the loop is
left: non-saturating, WGAN-GP with one critic step, and relativistic with R1 and R2. CPU time from
one batch to the next, its median over a round, on one thread; the rows take turns, and the numbers
to read are the ratios to the hand-written loop of the same round. That one uses Adam as torch makes
it by default; one with the fused kernel, as rondel takes it, stands beside it. Peers: torchgan, and
Lightning with manual optimisation and toggled optimizers, as its GAN template has it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from ratios import print_table, write_json
from torch import Tensor, nn

BATCH, WIDTH, LATENT, LR = 16, 16, 8, 1e-3
BETAS = (0.0, 0.9)
GAMES = ("non-saturating", "wgan-gp", "r3gan")
HAND = "hand-written loop"


@dataclass
class Row:
    """CPU time of a batch, round by round, and its ratio to the hand-written loop."""

    game: str
    system: str
    step_ms: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    failure: str = ""


class Clock:
    """Notes the CPU time at each batch."""

    def __init__(self) -> None:
        self.ticks: list[int] = []

    def over(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Pass batches on."""
        for batch in batches:
            self.ticks.append(time.process_time_ns())
            yield batch

    @property
    def step_ms(self) -> float:
        """The median between two batches, without the first tenth."""
        spans = [b - a for a, b in zip(self.ticks, self.ticks[1:], strict=False)]
        return median(spans[len(spans) // 10 :]) / 1e6


def main() -> None:
    """Measure in alternation, print, store if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="rounds (9)")
    parser.add_argument("--steps", type=int, default=400, help="batches of a round (400)")
    parser.add_argument("--games", nargs="+", default=list(GAMES), choices=GAMES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = [Row(game, system) for game in options.games for system in SYSTEMS]
    for row in rows:
        measure(row, options.steps // 4)  # a round that does not count
        row.step_ms.clear()
    for number in range(options.rounds):
        for game in options.games:
            mine = [row for row in rows if row.game == game and not row.failure]
            turn = number % len(mine)
            for row in [*mine[turn:], *mine[:turn]]:
                measure(row, options.steps)
            base = next(row for row in mine if row.system == HAND).step_ms[-1]
            for row in mine:
                if not row.failure:
                    row.ratios.append(row.step_ms[-1] / base)
    report(rows)
    settings = {"rounds": options.rounds, "steps": options.steps}
    write_json(options.json, settings=settings, rows=[asdict(row) for row in rows])


def measure(row: Row, steps: int) -> None:
    """Train so many batches; a system that is missing or cannot play is noted."""
    torch.manual_seed(0)
    clock = Clock()
    try:
        SYSTEMS[row.system](row.game, points(steps), clock)
        row.step_ms.append(clock.step_ms)
    except (ImportError, NotImplementedError) as error:
        row.failure = str(error)


def report(rows: list[Row]) -> None:
    """Print the medians."""
    header = ["game", "system", "ms a batch", "x hand-written (span)"]
    cells = []
    for row in rows:
        if row.failure or not row.ratios:
            cells.append([row.game, row.system, "", f"not run: {row.failure}"[:60]])
            continue
        span = f"{median(row.ratios):.2f} ({min(row.ratios):.2f}..{max(row.ratios):.2f})"
        cells.append([row.game, row.system, f"{median(row.step_ms):.3f}", span])
    print_table(header, cells)


def points(batches: int) -> Tensor:
    """Return points on a ring, (N, 2)."""
    angle = torch.rand(batches * BATCH) * 6.2832
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """Return a net of two hidden layers."""
    return nn.Sequential(
        nn.Linear(inputs, WIDTH),
        nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, WIDTH),
        nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, outputs),
    )


# -- the games -------------------------------------------------------------------------------------

Step = Callable[[Tensor], Tensor]


def squared_norms(scores: Tensor, inputs: Tensor) -> Tensor:
    """Return the squared gradient norm of each sample."""
    (gradient,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
    return gradient.square().sum(dim=1)


def discriminator_loss(game: str, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of the discriminator."""
    if game == "non-saturating":
        return (F.softplus(-critic(real)) + F.softplus(critic(fake))).mean()
    if game == "wgan-gp":
        mixed = torch.lerp(real, fake, torch.rand(len(real), 1)).requires_grad_()
        penalty = (squared_norms(critic(mixed), mixed).sqrt() - 1).square()
        return (critic(fake) - critic(real)).mean() + 10 * penalty.mean()
    real, fake = real.detach().requires_grad_(), fake.requires_grad_()
    real_scores, fake_scores = critic(real), critic(fake)
    penalty = squared_norms(real_scores, real) + squared_norms(fake_scores, fake)
    return F.softplus(fake_scores - real_scores).mean() + 0.5 * penalty.mean()


def generator_loss(game: str, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return the loss of the generator."""
    if game == "non-saturating":
        return F.softplus(-critic(fake)).mean()
    if game == "wgan-gp":
        return -critic(fake).mean()
    with torch.no_grad():
        real_scores = critic(real)
    return F.softplus(real_scores - critic(fake)).mean()


# -- who plays them --------------------------------------------------------------------------------


def hand_written(game: str, data: Tensor, clock: Clock, *, fused: bool | None = None) -> None:
    """The loop as one writes it."""
    generator, critic = perceptron(LATENT, 2), perceptron(2, 1)
    optimizer_d = torch.optim.Adam(critic.parameters(), lr=LR, betas=BETAS, fused=fused)
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=LR, betas=BETAS, fused=fused)
    order = torch.randperm(len(data))
    for rows in clock.over(iter(order.split(BATCH))):
        real = data[rows]
        with torch.no_grad():
            fake = generator(torch.randn(len(real), LATENT))
        loss_d = discriminator_loss(game, critic, real, fake)
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        fake = generator(torch.randn(len(real), LATENT))
        loss_g = generator_loss(game, critic, real, fake)
        optimizer_g.zero_grad()
        loss_g.backward()
        optimizer_g.step()
        if not torch.isfinite(loss_d + loss_g):
            raise ValueError("the loss is not finite")


def hand_written_fused(game: str, data: Tensor, clock: Clock) -> None:
    """The same with the fused kernel."""
    hand_written(game, data, clock, fused=True)


WORDS: Mapping[str, Mapping[str, Any]] = {
    "non-saturating": {"recipe": "vanilla"},
    "wgan-gp": {"recipe": "wgan_gp", "turns": "D G"},
    "r3gan": {
        "recipe": "r3gan",
        "r1": {"weight": 1.0, "final": None},
        "r2": {"weight": 1.0, "final": None},
    },
}


def rondel(game: str, data: Tensor, clock: Clock) -> None:
    """The domain's loop, with its ledger, log and safe points; no evaluation."""
    from rondel import Run
    from rondel.config import Layer, resolve
    from rondel_gan.config import GanConfig
    from rondel_gan.loops.adversarial import Adversarial
    from rondel_gan.models.catalogue import make_critic, make_generator

    class Timed(Adversarial):
        def batches(self, run: Run) -> Iterator[Any]:
            return clock.over(super().batches(run))

        def evaluate(self, run: Run) -> dict[str, float]:  # noqa: ARG002
            return {}

    optimizer = {"name": "adam", "lr": LR, "betas": BETAS}
    player = {"optimizer": optimizer, "schedule": {"name": "constant"}, "ema": None}
    base = {
        "epochs": 1,
        "batch_size": BATCH,
        "model": {"width": WIDTH, "latent": LATENT, "output": "linear"},
        "discriminator": player,
        "generator": player,
    }
    layers = [Layer("benchmark", base), Layer("benchmark", WORDS[game])]
    config = resolve(GanConfig, layers).config
    loop = Timed(
        config,
        generator=make_generator(config.model, (2,)),
        discriminator=make_critic(config.model, (2,)),
        data={"real": data},
        quality=None,  # type: ignore[arg-type] - nothing is evaluated
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run", seed=0)
        run.print_with(lambda _: None)
        with run:
            loop.train(run)


def lightning(game: str, data: Tensor, clock: Clock) -> None:
    """Lightning with manual optimisation; without logger, checkpoints and progress."""
    import lightning.pytorch as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Gan(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False
            self.generator, self.critic = perceptron(LATENT, 2), perceptron(2, 1)

        def configure_optimizers(self) -> Any:
            return [
                torch.optim.Adam(net.parameters(), lr=LR, betas=BETAS)
                for net in (self.critic, self.generator)
            ], []

        def training_step(self, batch: Any, _: int) -> None:
            clock.ticks.append(time.process_time_ns())
            real, _ = batch
            optimizer_d, optimizer_g = self.optimizers()
            self.toggle_optimizer(optimizer_d)
            with torch.no_grad():
                fake = self.generator(torch.randn(len(real), LATENT))
            loss = discriminator_loss(game, self.critic, real, fake)
            optimizer_d.zero_grad()
            self.manual_backward(loss)
            optimizer_d.step()
            self.untoggle_optimizer(optimizer_d)
            self.toggle_optimizer(optimizer_g)
            fake = self.generator(torch.randn(len(real), LATENT))
            loss = generator_loss(game, self.critic, real, fake)
            optimizer_g.zero_grad()
            self.manual_backward(loss)
            optimizer_g.step()
            self.untoggle_optimizer(optimizer_g)

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Gan(), Batches(data, Clock()))


def torchgan(game: str, data: Tensor, clock: Clock) -> None:
    """torchgan's trainer, one pass; its sample grid and checkpoints are switched off."""
    if game == "r3gan":
        raise NotImplementedError("it has no relativistic loss with penalties")
    from torchgan import losses, models
    from torchgan.trainer import Trainer

    class Maker(models.Generator):
        def __init__(self) -> None:
            super().__init__(LATENT)
            self.net = perceptron(LATENT, 2)

        def forward(self, noise: Tensor) -> Tensor:
            return self.net(noise)

    class Judge(models.Discriminator):
        def __init__(self) -> None:
            super().__init__(2)
            self.net = perceptron(2, 1)

        def forward(self, rows: Tensor) -> Tensor:
            return self.net(rows)

    class Silent(Trainer):
        def save_model(self, epoch: int, save_items: Any = None) -> None: ...

    def network(kind: type[nn.Module]) -> dict[str, Any]:
        optimizer = {"name": torch.optim.Adam, "args": {"lr": LR, "betas": BETAS}}
        return {"name": kind, "args": {}, "optimizer": optimizer}

    pairs = {
        "non-saturating": [
            losses.MinimaxGeneratorLoss(),
            losses.MinimaxDiscriminatorLoss(),
        ],
        "wgan-gp": [
            losses.WassersteinGeneratorLoss(),
            losses.WassersteinDiscriminatorLoss(),
            losses.WassersteinGradientPenalty(),
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        trainer = Silent(
            {"generator": network(Maker), "discriminator": network(Judge)},
            pairs[game],
            device=torch.device("cpu"),
            epochs=1,
            sample_size=1,
            checkpoints=f"{folder}/model",
            recon=f"{folder}/images",
            log_dir=folder,
        )
        trainer.logger.run_end_epoch = lambda *_: None  # draws a grid by an argument that is gone
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train(Batches(data, clock))


class Batches:
    """What torchgan and Lightning take for a loader."""

    def __init__(self, data: Tensor, clock: Clock) -> None:
        self.batch_size = BATCH
        self._rows = data.split(BATCH)
        self._clock = clock

    def __iter__(self) -> Iterator[Any]:
        """Iterate over batches."""
        return self._clock.over(iter([(rows, torch.zeros(len(rows))) for rows in self._rows]))

    def __len__(self) -> int:
        """Return their number."""
        return len(self._rows)


SYSTEMS: Mapping[str, Callable[[str, Tensor, Clock], None]] = {
    HAND: hand_written,
    "hand-written loop, fused Adam": hand_written_fused,
    "rondel": rondel,
    "Lightning, manual optimisation": lightning,
    "torchgan": torchgan,
}


if __name__ == "__main__":
    main()
