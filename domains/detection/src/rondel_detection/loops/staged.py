"""Fine-tuning from the head inwards: what is trained, and by which optimizer, changes by stage."""

from __future__ import annotations

from torch import nn

from rondel import OptimizerConfig, Run, ScheduleConfig, training_only
from rondel.errors import ConfigError
from rondel_detection.config import DetectionConfig, StageConfig
from rondel_detection.loops.detection_loop import DetectionLoop
from rondel_detection.models.detector import Detector


class Staged(DetectionLoop):
    """Train the head, then deeper and deeper parts of the backbone, then all by another optimizer.

    Each stage has an update of its own: parameters, optimizer, learning rates by module, schedule.
    Gradual unfreezing is Howard and Ruder's (2018, ULMFiT, section 3.3); the change from Adam to
    SGD that of Keskar and Socher (2017).
    """

    def train(self, run: Run) -> None:
        """Train stage by stage, and evaluate after every epoch."""
        config, stream = self.config, self.material.training
        run.track("detector", self.detector)
        for stage in run.phases(config.stages or default_stages(config)):
            trained = self.parameters_of(stage)
            with training_only(self.detector, trained):
                planned = stream.planned(stage.epochs)
                update = run.update(stage.name, trained, stage.update, total=planned)
                for epoch in run.epochs(stage.epochs):
                    for images, targets, draw in run.batches(stream):
                        update(self.loss, images, targets, draw)
                    if run.every(config.evaluate_every) or epoch == stage.epochs - 1:
                        run.evaluate(self)

    def parameters_of(self, stage: StageConfig) -> list[nn.Parameter]:
        """Return what a stage trains: the head and ``depth - 1`` steps into the backbone."""
        return parameters_to(self.detector, stage.depth)


def parameters_to(detector: Detector, depth: int | None) -> list[nn.Parameter]:
    """Return the parameters of the first stages of a detector, counted from the head.

    Args:
        detector: Tells its stages as prefixes of names.
        depth: How many; None is all.

    Raises:
        ConfigError: The detector has fewer stages.
    """
    stages = detector.stages()
    if depth is not None and depth > len(stages):
        raise ConfigError(
            f"depth {depth} is more than the {len(stages)} stages of the detector",
            where="stages",
            hint="Leave depth out to train all of it.",
        )
    prefixes = tuple(name for stage in stages[:depth] for name in stage)
    return [
        parameter
        for name, parameter in detector.named_parameters()
        if depth is None or name.startswith(prefixes)
    ]


def default_stages(config: DetectionConfig) -> tuple[StageConfig, ...]:
    """Return three stages over ``config.epochs``: head, all with a slower backbone, all by SGD."""
    head = max(1, config.epochs // 4)
    last = max(1, config.epochs // 4)
    whole = max(1, config.epochs - head - last)
    lr = config.update.optimizer.lr
    descent = OptimizerConfig(name="sgd", lr=lr, momentum=0.9, nesterov=True)
    return (
        StageConfig(name="head", epochs=head, depth=1, update=config.update),
        StageConfig(name="whole", epochs=whole, update=config.update),
        StageConfig(
            name="descent",
            epochs=last,
            update=config.update.model_copy(
                update={"optimizer": descent, "schedule": ScheduleConfig(name="cosine")}
            ),
        ),
    )
