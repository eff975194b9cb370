"""Several tasks on one model (Caruana, 1997; Liu et al., 2019: MT-DNN, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor

from rondel import Baseline, DataManifest, Loss, Run, Section, Stream, Table, Watch
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.data.mixture import MixedBatches, Mixture, Part, apportioned
from rondel_text.heads import MultitaskBundle
from rondel_text.loops.finetune import Finetune
from rondel_text.loops.text_loop import TextLoop
from rondel_text.metrics.together import MEAN, Together, together
from rondel_text.models.text_model import TextModel


class Multitask(TextLoop):
    """Train a shared encoder and the heads of all tasks by batches of one task each.

    Args:
        config: The config of the domain.
        model: A `rondel_text.models.shared.SharedModel`.
        lessons: For each task the loop that would learn it alone: its data, its loss, its metrics.
    """

    def __init__(
        self, config: TextConfig, model: TextModel, lessons: Mapping[str, Finetune]
    ) -> None:
        self.config = config
        self.model = model.train()
        self.lessons = lessons
        self.watched = {name: lesson.task.watch for name, lesson in lessons.items()}
        self.watch = Watch(MEAN, "max")
        if config.multitask.watch is not None:
            mine = self.watched[config.multitask.watch]
            self.watch = Watch(f"{config.multitask.watch}.{mine.metric}", mine.mode)
        self.data = manifest_of(lessons)
        self.baseline = baseline_of(lessons, self.watched)

    def train(self, run: Run) -> None:
        """Train, and evaluate all tasks after every epoch."""
        config, stream = self.config, self.training
        self.begin(run)
        update = run.update("model", self.model, config.update, total=stream.planned(config.epochs))
        for epoch in run.epochs(config.epochs):
            for task, texts, *targets in run.batches(stream):
                update(self.task_loss, task, texts, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    def task_loss(self, task: str, texts: Texts, *targets: Tensor) -> Loss:
        """Return the weighted loss of a task on a batch of its own."""
        loss = self.lessons[task].loss(texts, *targets)
        weight = self.config.multitask.tasks[task].weight
        return Loss(weight * loss.sum, loss.count, parts={task: loss.sum})

    @cached_property
    def training(self) -> Stream:
        """The batches of all tasks, merged and shuffled: each holds texts of one task."""
        return Stream(self.mixture, batcher=self.batcher)

    @cached_property
    def mixture(self) -> Mixture:
        """The training texts of all tasks."""
        return Mixture({name: lesson.material.train for name, lesson in self.lessons.items()})

    @cached_property
    def batcher(self) -> MixedBatches:
        """Batches in the shares of the config, or every text once."""
        settings = self.config.multitask
        materials = [lesson.material for lesson in self.lessons.values()]
        batchers = [material.batcher(material.train) for material in materials]
        sizes = [len(material.train) for material in materials]
        own = [len(batcher.plan(size, None)) for batcher, size in zip(batchers, sizes, strict=True)]
        ratios = [task.ratio for task in settings.tasks.values()]
        counts = own
        if settings.temperature != 1 or None not in ratios:
            shares = [ratio or size for ratio, size in zip(ratios, sizes, strict=True)]
            counts = apportioned(sum(own), shares, temperature=settings.temperature)
        return MixedBatches(tuple(map(Part, sizes, batchers, counts)))

    def evaluate(self, run: Run) -> Mapping[str, Any]:
        """Measure the model on the validation texts of every task."""
        scores = {name: lesson.measured(run).by_name for name, lesson in self.lessons.items()}
        return {"": Together(scores, self.watched)}

    def is_faster_padded(self, run: Run) -> bool:
        """Tell by a few batches whether padding costs less than doing without it."""
        plan = self.training.plan(run.settings.seed, 0)
        _, texts, *_ = self.mixture.batch_of(plan[len(plan) // 2])
        faster: bool = run.processes.gather(self.model.is_faster_padded(texts))[0]
        return faster

    def introduce(self, run: Run) -> None:
        """Say what was made of the data of each task, and what is to be beaten."""
        for (name, lesson), part in zip(self.lessons.items(), self.batcher.parts, strict=True):
            run.say(f"Task {name!r}, {part.batches:,} batches in a pass:")
            lesson.describe(run)
            lesson.compare(run)
        if self.model.adapters:
            run.say(f"{self.model.adapters}.")

    def sections(self, run: Run) -> Sequence[Section]:
        """Look at the best state once more: all tasks, then each by itself."""
        found = [self.overview()]
        for name, lesson in self.lessons.items():
            found += [replace(part, title=f"{name}: {part.title}") for part in lesson.sections(run)]
        return found

    def overview(self) -> Section:
        """List the tasks, and how much of the training each has."""
        total = sum(part.batches for part in self.batcher.parts)
        rows = [
            (name, lesson.task.kind, part.size, part.batches / total, lesson.task.watch.metric)
            for (name, lesson), part in zip(self.lessons.items(), self.batcher.parts, strict=True)
        ]
        return Section("Tasks", table=Table(("task", "kind", "texts", "share", "watched"), rows))

    def bundle(self) -> MultitaskBundle:
        """Return the model with its tokenizer and all tasks."""
        first = next(iter(self.lessons.values()))
        return MultitaskBundle.of_tasks(
            self.config,
            self.model,
            tokenizer=first.material.tokenizer,
            tasks={name: lesson.task for name, lesson in self.lessons.items()},
            data=self.data,
        )


def manifest_of(lessons: Mapping[str, Finetune]) -> DataManifest:
    """Describe the data of all tasks; the parts of a task stand below its name."""
    data = {name: lesson.material.manifest for name, lesson in lessons.items()}
    parts = [
        replace(part, name=f"{name}/{part.name}")
        for name, manifest in data.items()
        for part in manifest.files
    ]
    samples = sum(manifest.samples for manifest in data.values())
    return DataManifest.of(" + ".join(lessons), parts, samples=samples)


def baseline_of(lessons: Mapping[str, Finetune], watched: Mapping[str, Watch]) -> Baseline | None:
    """Return what the best simple model of each task reaches."""
    found = {
        name: lesson.material.baselines[0].values
        for name, lesson in lessons.items()
        if lesson.material.baselines
    }
    if not found:
        return None
    values = together(found, watched)
    if len(found) < len(lessons):
        values.pop(MEAN, None)  # of some tasks only, it compares with nothing
    return Baseline("best simple model of each task", values)
