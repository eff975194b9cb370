"""The trained nets as a folder: make samples or translations, measure them, hand them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from rondel import Bundle
from rondel.errors import UsageError
from rondel_gan.config import GanConfig
from rondel_gan.inputs import Inputs, images_of
from rondel_gan.maker import Maker
from rondel_gan.models.generator import Generator
from rondel_gan.models.proxy import Proxy
from rondel_gan.nets import bundled
from rondel_gan.sampling import made_of, rendered, translated
from rondel_gan.words import SAMPLING, TRANSLATING, nearest, parse
from rondel_gan.writing import write_samples, write_translations

Direction = Literal["there", "back"]
TRANSLATORS = {"there": "generator", "back": "inverse"}


class GanBundle(Bundle):
    """A generator of samples or a translator of images, and the proxy that measured it.

    Shapes: samples and images (N, C, H, W) in [-1, 1], or points (N, 2); pixels (N, H, W, C) of
    8 bits.
    """

    domain: ClassVar[str] = "gan"

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Build the nets; `load` fills in the weights."""
        settings = GanConfig.model_validate(config)
        made = bundled(settings, facts["shape"], facts["source"], len(facts["classes"]))
        if facts["proxy"]:
            made["proxy"] = Proxy.of_facts(facts)
        return made

    @cached_property
    def settings(self) -> GanConfig:
        """The config that the model was trained with."""
        return GanConfig.model_validate(self.config)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is made: (C, H, W), or (2,)."""
        return tuple(self.facts["shape"])

    @property
    def translates(self) -> bool:
        """Images are made of images, not of noise."""
        return bool(self.facts["source"])

    @cached_property
    def maker(self) -> Maker:
        """The generator, with averaged weights.

        Raises:
            UsageError: It is a translator.
        """
        generator = self.modules["generator"]
        if not isinstance(generator, Generator):
            raise UsageError(
                "a translator makes images of images, not of noise",
                hint="Give it pictures: rondel gan predict BUNDLE FILES --out FOLDER.",
            )
        return Maker(generator, self.settings, self.facts["classes"])

    def predict(
        self, inputs: Inputs | int = 64, *, direction: Direction = "there", **wishes: Any
    ) -> Tensor:
        """Return samples, or images made of images, as pixels; points as they are.

        Args:
            inputs: How many samples; or what to translate (VAE-GAN: to rebuild): files, folders,
                images (N, C, H, W) in [-1, 1], or pixels (N, H, W, C) of 8 bits.
            direction: 'back' for the way back of CycleGAN.
            wishes: ``seed``, ``truncation``, ``label`` and ``code``, as `Maker.samples` has them.

        Raises:
            UsageError: A value makes no sense, or the model does something else.
            DataError: An image cannot be read, or does not fit.
        """
        if isinstance(inputs, int):
            return rendered(self.maker.samples(inputs, **wishes))
        if self.translates:
            return rendered(self.translate(inputs, direction=direction))
        return rendered(self.rebuild(inputs, **wishes))

    def translate(self, inputs: Inputs, *, direction: Direction = "there") -> Tensor:
        """Return translations of images, (N, C, H, W) in [-1, 1].

        Raises:
            UsageError: It is no translator, or has no such direction.
            DataError: An image cannot be read, or does not fit.
        """
        if not self.translates:
            raise UsageError(
                "the model translates nothing", hint="Draw samples: rondel gan sample."
            )
        known = [way for way, name in TRANSLATORS.items() if name in self.modules]
        if direction not in known:
            raise UsageError(f"there is no direction {direction!r}", hint=nearest(direction, known))
        shape = self.facts["source"] if direction == "there" else self.shape
        return translated(self.modules[TRANSLATORS[direction]], images_of(inputs, shape))

    @torch.no_grad()
    def encode(self, inputs: Inputs) -> Tensor:
        """Return the codes of images, (N, Z): the means that a VAE-GAN's encoder says.

        Raises:
            UsageError: There is no encoder.
            DataError: An image cannot be read, or does not fit.
        """
        if "encoder" not in self.modules:
            raise UsageError(
                "the generator makes samples of noise, not of images",
                hint="Say how many: n=64. Translators and VAE-GANs take images.",
            )
        codes: Tensor = self.modules["encoder"](images_of(inputs, self.shape))[0]
        return codes

    def rebuild(self, inputs: Inputs, *, label: str | None = None) -> Tensor:
        """Return what a VAE-GAN makes of the codes of images, (N, C, H, W) in [-1, 1].

        Args:
            inputs: The images.
            label: Their class, which a conditional model must be told.

        Raises:
            UsageError: There is no encoder; or the class is missing, or unknown.
            DataError: An image cannot be read, or does not fit.
        """
        codes, maker = self.encode(inputs), self.maker
        if maker.classes and label is None:
            raise UsageError(
                "of which class the images are is not said", hint=nearest("", maker.classes)
            )
        return made_of(maker.generator, codes, maker.labels(len(codes), label))

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Write samples as ``n=64 seed=0 truncation=1 class=NAME`` says, or make images of files.

        Args:
            inputs: Words KEY=VALUE; of translators and VAE-GANs pictures and folders.
            out: A .png file gets a grid, a .csv file points, anything else is a folder of PNGs.

        Raises:
            UsageError: A word is not understood, or there is no ``out``.
            DataError: An image cannot be read, or does not fit.
        """
        values, files = parse(inputs, TRANSLATING if self.translates else SAMPLING)
        if "class" in values:
            values["label"] = values.pop("class")
        if not files and not self.translates:
            return self.write(out, values.pop("n", 64), **values)
        made = self.translate(files, **values) if self.translates else self.rebuild(files, **values)
        return write_translations(out, made, files)

    def write(self, out: Path | None, count: int, *, seed: int = 0, **wishes: Any) -> str:
        """Write samples into a grid, a folder, or a table of points, and say where they are.

        Args:
            out: A .png or .csv file, or a folder.
            count: How many.
            seed: Of the noise.
            wishes: The others that `Maker.samples` has.

        Raises:
            UsageError: A value makes no sense; there is no ``out``, or it cannot be written.
        """
        made = self.maker.samples(count, seed=seed, **wishes)
        return write_samples(out, made, f"{count} samples of seed {seed}")

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Measure samples of fresh noise, or translations, against held-out images or ``data``.

        Raises:
            DataError: The data cannot be read, does not fit, or is not what the model was
                trained on.
        """
        from rondel_gan.evaluation import evaluate

        return evaluate(self, data)

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Write the generator, or the translators, for another runtime: 'onnx' or 'pt2'.

        Raises:
            UsageError: There is no such format, or packages are missing.
            RondelError: What was exported computes something else.
        """
        from rondel_gan.exporting import export

        return export(self, out, format)
