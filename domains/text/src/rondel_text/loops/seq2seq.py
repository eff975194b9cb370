"""A text for each text: an encoder reads, a decoder writes (Sutskever et al., 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch

from rondel import Run, Section, Table
from rondel.batch import to_device
from rondel.errors import ConfigError
from rondel_text.config import TextConfig
from rondel_text.data.columns import cells
from rondel_text.explanation import EXAMPLES, shortened
from rondel_text.loops.material import Material
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import TextToText, sequence

if TYPE_CHECKING:
    from rondel_text.models.seq2seq import Seq2SeqModel


class Seq2Seq(TextLoop):
    """Learn to write texts from true beginnings of them, and write whole ones at evaluation.

    In training the decoder reads the true tokens before each one (teacher forcing; Williams and
    Zipser, 1989), with smoothed targets (Szegedy et al., 2016, section 7). An evaluation measures
    the same loss on other texts, and how good the texts are that the model writes by itself.

    Raises:
        ConfigError: More tokens are to be written than the model can.
    """

    def __init__(self, config: TextConfig, model: TextModel, material: Material) -> None:
        super().__init__(config, model, material)
        longest, most = cast(TextToText, self.task).longest, cast("Seq2SeqModel", model).most
        if most is not None and longest > most:
            raise ConfigError(
                f"{longest} tokens are more than the {most} that the model can write",
                where="seq2seq.longest",
                hint=f"Lower it to {most}. A model from scratch can write max_length tokens, if "
                "that is more than 512.",
            )

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        config, stream = self.config, self.material.training
        self.begin(run)
        update = run.update("model", self.model, config.update, total=stream.planned(config.epochs))
        for epoch in run.epochs(config.epochs):
            for texts, targets in run.batches(stream):
                update(self.loss, texts, targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    def sections(self, run: Run) -> Sequence[Section]:
        """Look at the best state once more: tables, and what is written for some texts."""
        beside, *others = super().sections(run)
        return [beside, self.examples(run), *others]

    def examples(self, run: Run) -> Section:
        """Put what is written beside its target, for the first texts."""
        material, columns = self.material, self.task.columns
        some = torch.arange(min(EXAMPLES, len(material.valid)))
        texts, *_ = to_device(material.valid.batch_of(some), run.device)
        written = [found["text"] for found in self.task.predictions(self.model, texts)]
        rows = material.valid.rows.take(some.tolist())
        table = zip(
            sequence.joined(rows, columns), cells(rows, columns.label, "label"), written,
            strict=True,
        )  # fmt: skip
        shown = [tuple(shortened(str(cell)) for cell in row) for row in table]
        return Section("Written texts", table=Table(("source", "target", "written"), shown))
