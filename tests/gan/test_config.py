"""The keys of the domain: their limits, and that reading them is light."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from rondel.errors import ConfigError
from rondel_gan.build import check_read
from rondel_gan.config import GanConfig

Configure = Callable[..., GanConfig]


@pytest.mark.parametrize(
    "override",
    [
        "model.latent=0",
        "model.latent=5000",
        "model.width=0",
        "model.depth=17",
        "r1.weight=-1",
        "r1.every=0",
        "r1.every=65",
        "gradient.final=-1",
        "balance=0",
        "balance=1.5",
        "generator.ema_images=0",
        "discriminator.clip_weights=0",
        "augment.target=1",
        "augment.images=0",
        "alarm.winning=0",
        "info.categories=1",
        "translation.pool=-1",
        "growing.fade=2",
        "evaluation.samples=10",
        "held_out=1",
        "batch_size=0",
    ],
)
def test_a_value_out_of_range_names_its_key(override: str, configure: Configure) -> None:
    key, _, value = override.partition("=")
    with pytest.raises(ConfigError) as caught:
        configure(override)
    assert key in str(caught.value)
    assert value in str(caught.value)


def test_all_wrong_keys_are_reported_together_with_the_nearest_name(configure: Configure) -> None:
    with pytest.raises(ConfigError) as caught:
        configure("model.latnet=3", "r1.every=0")
    text = str(caught.value)
    assert "2 config problems" in text
    assert "'latent'" in text or "'model.latent'" in text
    assert "r1.every" in text


def test_each_player_has_settings_of_its_own(configure: Configure) -> None:
    config = configure("discriminator.optimizer.lr=4e-4", "generator.ema=0.9")
    assert config.discriminator.optimizer.lr == 4e-4
    assert config.generator.optimizer.lr == GanConfig().generator.optimizer.lr
    assert (config.discriminator.ema, config.generator.ema) == (None, 0.9)
    assert config.discriminator.optimizer.betas == (0.0, 0.99)


def test_plugin_config_and_verbs_import_nothing_heavy() -> None:
    program = (
        "import sys, rondel_gan.plugin, rondel_gan.config, rondel_gan.commands\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'PIL', 'numpy', 'pandas'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "words",
    [
        ("info.weight=2", "info"),
        ("vae.prior=2", "vae"),
        ("encoder.optimizer.lr=1", "encoder"),
        ("growing.epochs=2", "growing"),
        ("translation.pool=3", "translation"),
    ],
)
def test_settings_of_another_loop_are_refused(
    words: tuple[str, str], configure: Callable[..., GanConfig]
) -> None:
    word, group = words
    with pytest.raises(ConfigError, match=f"{group}.*loop=adversarial does not read it"):
        check_read(configure(word))
