"""Training as a whole: it resumes exactly, and learns more than a guess knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from rondel import Run
from rondel.errors import ConfigError, Interrupted
from rondel_gan.data.images import Split
from rondel_gan.loops.adversarial import Adversarial
from rondel_gan.models.proxy import make_proxy
from rondel_gan.references import describe_proxy

Make = Callable[..., Adversarial]
SHORT = (
    "epochs=2",
    "batch_size=200",
    "turns=D*2 G",
    "r1.every=2",
    "path.weight=2",
    "path.every=3",
    "evaluation.samples=64",
)


def trained(
    loop: Adversarial, directory: Path, *, stop_at: int | None = None, resume: bool = False
) -> Adversarial:
    with Run(directory, settings=loop.config.run, stop_at=stop_at, resume=resume) as run:
        loop.train(run)
    return loop


def weights(loop: Adversarial) -> list[torch.Tensor]:
    players = (loop.generator, loop.discriminator)
    return [tensor for player in players for tensor in player.state_dict().values()]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 13, 17])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(
    cut: int, make_quick_loop: Make, tmp_path: Path
) -> None:
    straight = trained(make_quick_loop(*SHORT), tmp_path / "straight")
    with pytest.raises(Interrupted):
        trained(make_quick_loop(*SHORT), tmp_path / "cut", stop_at=cut)
    resumed = trained(make_quick_loop(*SHORT), tmp_path / "cut", resume=True)
    for one, other in zip(weights(straight), weights(resumed), strict=True):
        assert torch.equal(one, other)
    expected = (tmp_path / "straight" / "metrics.jsonl").read_bytes()
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == expected


def test_the_alarm_of_a_game_in_stages_remembers_the_stages_before(
    make_quick_loop: Make, tmp_path: Path
) -> None:
    words = ("loop=growing", "growing.epochs=2", "epochs=2", "batch_size=330", "model.width=8")

    def make() -> Adversarial:
        return make_quick_loop(*words, "evaluation.samples=64", "evaluation.every=1")

    straight = trained(make(), tmp_path / "straight")
    with pytest.raises(Interrupted):
        trained(make(), tmp_path / "cut", stop_at=13)  # three batches into the second stage
    resumed = trained(make(), tmp_path / "cut", resume=True)
    assert resumed.alarm.state_dict() == straight.alarm.state_dict()
    assert resumed.alarm.state_dict()["looks"] == 4


def test_the_proxy_is_the_same_whatever_the_seed_the_threads_and_the_draws_before(
    make_loop: Make,
) -> None:
    first = make_loop("run.seed=1", "evaluation.samples=64")
    torch.set_num_threads(2)
    torch.rand(7)
    second = make_loop("run.seed=2", "evaluation.samples=64")
    for one, other in zip(
        first.quality.proxy.state_dict().values(),
        second.quality.proxy.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_making_the_proxy_draws_nothing_from_the_runs_generator() -> None:
    images = torch.rand(40, 1, 8, 8)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make_proxy(images, torch.arange(40) % 2, ("a", "b"), updates=5)
    assert torch.equal(torch.rand(3), expected)


def test_a_short_training_beats_the_baseline_and_covers_all_classes(
    make_loop: Make, tmp_path: Path
) -> None:
    loop = make_loop("epochs=30")
    with Run(tmp_path / "run", settings=loop.config.run) as run:
        loop.train(run)
        values = run.evaluations["evaluation"]
    assert loop.baseline is not None
    assert values["frechet"] < 0.6 * loop.baseline.values["frechet"]
    assert values["classes"] == 10
    assert values["precision"] > loop.baseline.values["precision"]
    assert values["recall"] > 0.6


def test_the_baseline_is_the_better_of_two_simple_guesses(make_loop: Make) -> None:
    loop = make_loop("evaluation.samples=200")
    assert loop.baseline is not None
    assert loop.protocol is not None
    assert loop.protocol.table is not None
    frechet = {row[0]: row[1] for row in loop.protocol.table.rows}
    floor = next(value for name, value in frechet.items() if name.startswith("training samples"))
    assert loop.baseline.name == "Gaussian of pixels"
    assert floor < frechet["Gaussian of pixels"] < frechet["untrained generator"]
    assert loop.baseline.values["frechet"] == frechet["Gaussian of pixels"]


def test_the_report_names_the_protocol(make_loop: Make) -> None:
    loop = make_loop("evaluation.samples=200")
    assert loop.protocol is not None
    text = loop.protocol.text
    assert "frechet[proxy-cnn-64d,n=200]: n=200 samples, 500 held-out images" in text
    assert "% of the held-out images correctly" in text
    assert "not Inception-FID" in text


@pytest.mark.parametrize(
    ("player", "penalty", "words"),
    [
        ("discriminator", "r1", ()),
        ("discriminator", "r2", ("r1.weight=0", "r2.weight=1")),
        ("discriminator", "gradient", ("recipe=wgan_gp",)),
        ("generator", "path", ("path.weight=2",)),
    ],
)
def test_compiling_a_player_with_a_penalty_is_refused(
    player: str, penalty: str, words: tuple[str, ...], make_loop: Make
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_loop(*words, f"{player}.compile=true")
    text = str(caught.value)
    assert text.startswith(f"{player}.compile: torch.compile cannot differentiate")
    assert f"the penalty '{penalty}' twice" in text
    assert f"{penalty}.weight=0" in text


@pytest.mark.parametrize(
    "override",
    ["model.condition=projection", "augment.mode=diff", "path.weight=1", "gradient.weight=1"],
)
@pytest.mark.parametrize("game", ["pix2pix", "cycle"])
def test_what_a_translation_would_not_read_is_refused(
    game: str, override: str, make_loop: Make
) -> None:
    dataset = {"pix2pix": "colorize", "cycle": "photos"}[game]
    with pytest.raises(ConfigError) as caught:
        make_loop(f"loop={game}", f"dataset={dataset}", override)
    assert str(caught.value).startswith(
        f"{override.split('=', maxsplit=1)[0]}: loop={game} does not read it"
    )


def test_inception_is_not_described_as_a_classifier_of_the_data() -> None:
    images = torch.zeros(4, 1, 8, 8)
    parts = Split(
        train=images, train_labels=None, held_out=images, held_out_labels=torch.zeros(4).long()
    )
    assert "Inception" in describe_proxy(SimpleNamespace(distance="fid"), parts)
