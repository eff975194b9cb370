"""The trained generator as a folder: sample from it, measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from rondel import Bundle
from rondel.errors import DataError, UsageError
from rondel_gan.config import GanConfig
from rondel_gan.data.images import Images, split
from rondel_gan.data.reader import read_images
from rondel_gan.metrics import SampleQuality
from rondel_gan.models.perceptron import Generator
from rondel_gan.models.proxy import Proxy
from rondel_gan.picture import grid_png, save_pngs
from rondel_gan.sampling import sample

WORDS = {"n": int, "seed": int, "truncation": float}
"""What ``rondel gan predict`` understands, as KEY=VALUE."""


class GanBundle(Bundle):
    """A generator of images, and the proxy that it was measured with."""

    domain: ClassVar[str] = "gan"

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Build generator and proxy; `load` fills in the weights."""
        settings = GanConfig.model_validate(config)
        return {
            "generator": Generator(settings.model, facts["shape"]),
            "proxy": Proxy.of_facts(facts),
        }

    @property
    def generator(self) -> Generator:
        """The generator, with averaged weights."""
        generator = self.modules["generator"]
        assert isinstance(generator, Generator)
        return generator

    def predict(self, inputs: int = 64, *, seed: int = 0, truncation: float = 1.0) -> Tensor:
        """Return samples as pixels, (N, H, W, C) of 8 bits.

        Args:
            inputs: How many.
            seed: Of the noise; the n-th sample of a seed is always the same.
            truncation: Factor on the noise; below 1 samples are more typical and less varied.

        Raises:
            UsageError: The number, the seed or the factor makes no sense.
        """
        checks = {
            "n": (inputs, inputs >= 1, "at least 1"),
            "seed": (seed, seed >= 0, "not negative"),
            "truncation": (truncation, truncation >= 0, "not negative"),
        }
        for name, (value, sensible, rule) in checks.items():
            if not sensible:
                raise UsageError(f"{name} is {value!r}", hint=f"It must be {rule}.")
        return sample(self.generator, inputs, seed=seed, truncation=truncation)

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Draw samples as ``n=64 seed=0 truncation=1`` says, into a PNG grid or a folder.

        Args:
            inputs: Words KEY=VALUE.
            out: A file that ends in .png gets a grid, anything else is a folder of PNGs.

        Raises:
            UsageError: A word is not understood, or there is no ``out``.
        """
        words = dict(parse_word(text) for text in inputs)
        count = int(words.get("n", 64))
        return self.write(
            out,
            count=count,
            seed=int(words.get("seed", 0)),
            truncation=float(words.get("truncation", 1.0)),
        )

    def write(self, out: Path | None, *, count: int, seed: int, truncation: float) -> str:
        """Draw samples into a PNG grid or a folder, and say where they are.

        Raises:
            UsageError: There is no ``out``, or it cannot be written.
        """
        if out is None:
            raise UsageError("samples need a place", hint="Add --out grid.png, or --out FOLDER.")
        pixels = self.predict(count, seed=seed, truncation=truncation)
        try:
            if out.suffix.lower() == ".png":
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_bytes(grid_png(pixels))
            else:
                save_pngs(pixels, out)
        except OSError as error:
            raise UsageError(
                f"cannot be written: {error.strerror}", where=str(out), hint="Give another --out."
            ) from error
        return f"{count} samples of seed {seed}: {out}"

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Measure samples of fresh noise, against held-out images or all those of ``data``.

        Raises:
            DataError: The images cannot be read, are of another shape, or are not those that the
                model was trained on.
        """
        config = GanConfig.model_validate(self.config)
        if data is not None:
            images = read_images(config.model_copy(update={"data": data}))
            real = self._fitting(images)
        else:
            images = read_images(config)
            real = split(self._unchanged(images), config.held_out).held_out
        proxy = self.modules["proxy"]
        assert isinstance(proxy, Proxy)
        quality = SampleQuality(proxy, real, neighbours=config.evaluation.neighbours)
        # not the noise by which the best state was chosen
        seed = config.run.seed + 1
        return quality.measure(sample(self.generator, config.evaluation.samples, seed=seed))

    def _fitting(self, images: Images) -> Tensor:
        shape, own = tuple(images.pixels.shape[1:]), self.generator.shape
        if shape != own:
            raise DataError(
                f"images of shape {shape} (channels, height, width), but the model makes {own}",
                where=images.name,
                hint="Give images like those that it was trained on.",
            )
        return images.pixels

    def _unchanged(self, images: Images) -> Images:
        if self.data is not None and self.data.hash != images.manifest.hash:
            changes = "; ".join(self.data.difference(images.manifest)[:3])
            raise DataError(
                f"is not what the model was trained on any more ({changes})",
                where=images.name,
                hint="Restore it, or name other data: rondel gan evaluate BUNDLE DATA.",
            )
        return images


def parse_word(text: str) -> tuple[str, float]:
    """Read one KEY=VALUE of ``rondel gan predict``.

    Raises:
        UsageError: The key is unknown, or the value no number of its kind.
    """
    name, _, value = text.partition("=")
    if name not in WORDS:
        raise UsageError(f"{text!r} is not understood", hint="Write n=64 seed=0 truncation=1.0.")
    try:
        return name, WORDS[name](value)
    except ValueError as error:
        kind = "a whole number" if WORDS[name] is int else "a number"
        raise UsageError(f"{name}={value!r} is not {kind}", hint=f"Write {name}=1.") from error
