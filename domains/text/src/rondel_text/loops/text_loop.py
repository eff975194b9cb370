"""What the loops of this package share: the loss, the evaluation, the report, the bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from rondel import Loop, Loss, Run, Section
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.explanation import explain
from rondel_text.loops.material import Material
from rondel_text.models.text_model import TextModel
from rondel_text.tasks.task import Scores


class TextLoop(Loop):
    """A loop that trains a text model; subclasses say when what is trained.

    Args:
        config: The config of the domain.
        model: What is trained.
        material: What it learns from, and is measured on.
    """

    def __init__(self, config: TextConfig, model: TextModel, material: Material) -> None:
        self.config = config
        self.model = model.train()  # one from a folder comes in evaluation mode
        self.material = material
        self.task = material.task
        self.watch = material.task.watch
        self.data = material.manifest

    def loss(self, texts: Texts, *targets: Tensor) -> Loss:
        """Return the loss of the task on a batch."""
        return self.task.loss(self.model, texts, *targets)

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Measure the model on the validation texts."""
        return self.measured(run).by_name

    def measured(self, run: Run) -> Scores:
        """Return the metrics of this process' share of the validation texts."""
        scores = self.task.scores()
        for texts, *targets in run.batches(self.material.validation):
            if len(texts.ids):  # a short last batch may leave a process nothing
                scores.update(self.model, texts, *targets)
        return scores

    def begin(self, run: Run) -> None:
        """Say what is to be learnt; compute the model in the faster way, if that is to be measured.

        The measurement is kept in the checkpoints: the two ways differ in the last bits.
        """
        if self.config.model.padding == "measured":
            self.model.compute(padded=run.once(self.is_faster_padded, run))
        run.once(self.introduce, run)

    def is_faster_padded(self, run: Run) -> bool:
        """Tell by a few batches whether padding costs less than doing without it."""
        plan = self.material.training.plan(run.settings.seed, 0)
        texts = self.material.train.batch_of(plan[len(plan) // 2])[0]
        faster: bool = run.processes.gather(self.model.is_faster_padded(texts))[0]
        return faster

    def introduce(self, run: Run) -> None:
        """Say what was made of the data, how long it is learnt, and what is to be beaten."""
        size, epochs = self.material.train.size, self.config.epochs
        updates = self.material.training.planned(1).updates
        self.describe(run)
        run.say(f"{size}: {counted(epochs, 'epoch')} of {counted(updates, 'update')}.")
        self.compare(run)

    def describe(self, run: Run) -> None:
        """Say what was made of the data."""
        material = self.material
        cut = int((material.train.encoded.cut > 0).sum())
        computed = f"; computed {self.model.reading}" if self.model.reading else ""
        run.say(
            f"{self.task.kind} on {material.train.size}, evaluated on {material.valid.size}"
            f"{computed}."
        )
        if self.model.adapters:
            run.say(f"{self.model.adapters}.")
        if cut:
            run.say(
                f"{cut:,} of {len(material.train.encoded):,} texts are longer than "
                f"{material.tokenizer.longest} tokens: their ends are not read (max_length)."
            )
        for note in (*material.notes, *material.remarks):
            run.say(note)

    def compare(self, run: Run) -> None:
        """Say what is to be beaten."""
        for baseline in self.material.baselines:
            value = baseline.values.get(self.watch.metric) if self.watch else None
            if value is not None and self.watch:
                run.say(f"To be beaten: {baseline.name}, {self.watch.metric} {value:.4g}.")

    def is_due(self, run: Run, epoch: int, epochs: int) -> bool:
        """Tell whether to evaluate after an epoch: as often as the config says, and at the end."""
        return run.every(self.config.evaluate_every) or epoch == epochs - 1

    def sections(self, run: Run) -> Sequence[Section]:
        """Look at the best state once more: tables, curves, examples."""
        return explain(self.model, self.material, run, self.measured(run))

    def bundle(self) -> TextBundle:
        """Return the model with its tokenizer and its task."""
        return TextBundle.of(
            self.config,
            self.model,
            tokenizer=self.material.tokenizer,
            task=self.task,
            data=self.data,
        )


def counted(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
