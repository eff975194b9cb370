"""Settings that belong together: of papers by name, and those measured on the embedded sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

RecipeName = Literal[
    "vanilla", "r1", "r3gan", "lsgan", "hinge", "wgan", "wgan_gp", "stylegan2", "dcgan"
]
Settings = Mapping[str, Any]


def players(lr: float, betas: tuple[float, float], **generator: Any) -> dict[str, Any]:
    """Return the optimizers of both players."""
    optimizer = {"name": "adam", "lr": lr, "betas": betas}
    return {
        "discriminator": {"optimizer": optimizer},
        "generator": {"optimizer": optimizer, **generator},
    }


def annealed(weight: float) -> dict[str, float]:
    """Return a penalty that ends at a tenth of its weight."""
    return {"weight": weight, "final": weight / 10}


OFF = {"r1": {"weight": 0.0}}
RECIPES: Mapping[str, Settings] = {
    # Goodfellow et al., 2014
    "vanilla": OFF,
    # Mescheder, Geiger and Nowozin, 2018
    "r1": {},
    # Huang, Gokaslan, Kuleshov and Tompkin, 2024
    "r3gan": {"loss": "relativistic", "r1": annealed(1.0), "r2": annealed(1.0)},
    # Mao et al., 2017
    "lsgan": {"loss": "least_squares", **OFF},
    # Miyato et al., 2018
    "hinge": {"loss": "hinge", "model": {"spectral": True}, **OFF},
    # Arjovsky, Chintala and Bottou, 2017
    "wgan": {
        "loss": "wasserstein",
        "turns": "D*5 G",
        **OFF,
        "discriminator": {
            "optimizer": {"name": "rmsprop", "lr": 5e-5, "betas": None},
            "clip_weights": 0.01,
        },
        "generator": {"optimizer": {"name": "rmsprop", "lr": 5e-5, "betas": None}},
    },
    # Gulrajani et al., 2017
    "wgan_gp": {
        "loss": "wasserstein",
        "turns": "D*5 G",
        **OFF,
        "gradient": {"weight": 10.0},
        **players(1e-3, (0.0, 0.9)),
    },
    # Karras et al., 2020
    "stylegan2": {
        "r1": {"weight": 1.0, "every": 16},
        "path": {"weight": 2.0, "every": 4},
    },
    # Radford, Metz and Chintala, 2016
    "dcgan": {"model": {"name": "dcgan", "width": 32}, **OFF, **players(2e-4, (0.5, 0.999))},
}
"""By name; what a recipe leaves out is as the defaults say."""

RING: Settings = {
    "epochs": 4,
    "batch_size": 128,
    "model": {"width": 64, "latent": 8, "slope": 0.0, "output": "linear"},
    "r1": {"weight": 0.5, "final": 0.005},
    "evaluation": {"samples": 2500, "every": 1},
    **players(3e-3, (0.0, 0.9)),
}
SMALL_PICTURES: Settings = {
    "model": {"name": "dcgan", "width": 16, "latent": 64},
    **players(1e-3, (0.0, 0.99), ema=0.999),
}
SETS: Mapping[str, Settings] = {
    "ring": RING,
    "grid": {**RING, "epochs": 16},
    "mnist": {**SMALL_PICTURES, "epochs": 64, "evaluation": {"every": 8}},
    "fashion": {**SMALL_PICTURES, "epochs": 8, "evaluation": {"every": 1}},
    "photos": {"loop": "cycle"},
    "colorize": {"loop": "pix2pix"},
}
"""What suits an embedded set."""

IMAGE_TO_IMAGE: Settings = {
    **OFF,
    **players(2e-4, (0.5, 0.999), ema=None),
    "batch_size": 16,
    "epochs": 10,
}
LOOPS: Mapping[str, Settings] = {
    "pix2pix": IMAGE_TO_IMAGE,
    "cycle": {**IMAGE_TO_IMAGE, "loss": "least_squares", "batch_size": 4},
}
"""What suits a loop."""


def suiting(values: Settings) -> Settings:
    """Return the settings that suit what was chosen: of the set, the loop and the recipe."""
    name = "digits" if values.get("data") is not None else values.get("dataset", "digits")
    of_set = SETS.get(str(name), {})
    loop = str(values.get("loop", of_set.get("loop", "adversarial")))
    recipe = RECIPES.get(str(values.get("recipe")), {})
    return over(over(of_set, LOOPS.get(loop, {})), recipe)


def over(below: Settings, above: Settings) -> dict[str, Any]:
    """Lay settings over others, group by group."""
    made = dict(below)
    for key, value in above.items():
        group = made.get(key)
        both = isinstance(value, Mapping) and isinstance(group, Mapping)
        made[key] = over(group, value) if both and group is not None else value
    return made
