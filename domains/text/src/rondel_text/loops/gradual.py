"""Gradual unfreezing from the head inwards (Howard and Ruder, 2018: ULMFiT, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from rondel import OptimizerConfig, Run, ScheduleConfig, UpdateConfig, training_only
from rondel.settings import GroupConfig
from rondel_text.config import TextConfig
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.text_model import TextModel


@dataclass(frozen=True)
class Stage:
    """One phase: how many parts of the model are trained, counted from the head, and how long."""

    name: str
    depth: int
    epochs: int


class Gradual(TextLoop):
    """Train the head; then let go of one layer after the other; then train all of it.

    The learning rate falls from layer to layer (discriminative fine-tuning, section 3.1) and rises
    and falls within each phase (slanted triangle, section 3.2).
    """

    def train(self, run: Run) -> None:
        """Train stage by stage, and evaluate after every epoch."""
        stream = self.material.training
        run.track("model", self.model)
        self.begin(run)
        for stage in run.phases(stages_of(self.model, self.config)):
            trained = parameters_to(self.model, stage.depth)
            settings = discriminative(self.model, self.config, stage.depth)
            with training_only(self.model, trained):
                planned = stream.planned(stage.epochs)
                update = run.update(stage.name, trained, settings, total=planned)
                for epoch in run.epochs(stage.epochs):
                    for texts, *targets in run.batches(stream):
                        update(self.loss, texts, *targets)
                    if self.is_due(run, epoch, stage.epochs):
                        run.evaluate(self)


def stages_of(model: TextModel, config: TextConfig) -> tuple[Stage, ...]:
    """Divide the epochs: some for each part that is let go, what is left for all of them."""
    parts, each = len(trained_parts(model)), config.gradual.epochs
    early = tuple(Stage(f"depth-{depth}", depth, each) for depth in range(1, parts))
    whole = max(1, config.epochs - each * len(early))
    return (*early, Stage("whole", parts, whole))


def trained_parts(model: TextModel) -> list[Sequence[nn.Module]]:
    """Return the parts of a model, the head first, in which something is trained.

    With adapters these are the layers that have some, and no embeddings.
    """
    return [
        stage
        for stage in model.stages()
        if any(parameter.requires_grad for module in stage for parameter in module.parameters())
    ]


def parameters_to(model: TextModel, depth: int) -> list[nn.Parameter]:
    """Return the parameters of the first parts of a model, counted from the head, each once."""
    modules = [module for stage in trained_parts(model)[:depth] for module in stage]
    found = {id(p): p for module in modules for p in module.parameters()}
    return list(found.values())


def discriminative(model: TextModel, config: TextConfig, depth: int) -> UpdateConfig:
    """Return the update of a phase: a lower rate for each layer further from the head."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    stages = trained_parts(model)
    groups = [
        GroupConfig(match=names[id(parameter)], lr_scale=config.gradual.decay**-place)
        for place, stage in enumerate(stages[:depth])
        if place
        for module in stage
        for parameter in module.parameters()
        if id(parameter) in names and parameter.requires_grad
    ]
    optimizer: OptimizerConfig = config.update.optimizer.model_copy(
        update={"groups": (*config.update.optimizer.groups, *groups)}
    )
    triangle = ScheduleConfig(name="slanted_triangle", peak=0.1, final=1 / 32)
    return config.update.model_copy(update={"optimizer": optimizer, "schedule": triangle})
