"""The keys of the domain, beside those that every domain has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rondel.config import Config, setting
from rondel.settings import DomainConfig, OptimizerConfig, ScheduleConfig, UpdateConfig

ModelName = Literal[
    "centre",
    "fasterrcnn_slim",
    "fasterrcnn",
    "maskrcnn",
    "retinanet",
    "fcos",
    "ssdlite",
    "detr",
    "rt_detr",
    "d_fine",
]


class ModelConfig(Config):
    """Which detector, and what it starts from."""

    name: ModelName = setting("centre", help="The detector.")
    width: float = setting(1.0, help="Factor on the channels of the slim models.", gt=0, le=8)
    backbone: str | None = setting(
        None, help="torchvision backbone of fasterrcnn, maskrcnn, retinanet, fcos: resnet50 ..."
    )
    weights: str | None = setting(
        None, help="A local .safetensors file, bundle or folder; 'hub:NAME' downloads on request."
    )
    norm: Literal["group", "frozen"] | None = setting(
        None,
        help="Normalisation of torchvision's models: over groups of channels, or with the frozen "
        "statistics of the weights; by default frozen with weights from a file or hub.",
    )
    score_threshold: float = setting(0.05, help="Lowest score that is kept.", ge=0, lt=1)
    nms_iou: float = setting(0.5, help="Overlap above which the weaker box goes.", gt=0, le=1)
    max_detections: int = setting(100, help="Detections kept of an image.", ge=1, le=1000)


class AugmentConfig(Config):
    """How pictures are varied in training, keyed by (seed, pass, index)."""

    flip_x: float = setting(0.5, help="Chance of a left-right flip.", ge=0, le=1)
    flip_y: float = setting(0.0, help="Chance of an upside-down flip.", ge=0, le=1)
    transpose: float = setting(0.0, help="Chance of swapping x and y.", ge=0, le=1)
    scale: tuple[float, float] = setting((0.8, 1.25), help="Range of the factor on the size.")
    crop: float = setting(0.0, help="Chance of a random crop.", ge=0, le=1)
    visibility: float = setting(
        0.3, help="Share of a box that must stay visible after a crop, or it goes.", gt=0, le=1
    )
    colour: float = setting(0.5, help="Strength of brightness, contrast, saturation, hue.", ge=0)
    mosaic: float = setting(0.0, help="Chance of four pictures in one.", ge=0, le=1)
    mixup: float = setting(0.0, help="Chance of two pictures mixed.", ge=0, le=1)
    multi_scale: float = setting(
        0.0,
        help="Largest change of the canvas of a whole batch; 0.5 is half to one and a half.",
        ge=0,
        le=0.9,
    )
    close_epochs: int = setting(
        0, help="Last epochs without mosaic and mixup (Ge et al., 2021: YOLOX).", ge=0
    )


EMBEDDED: Mapping[str, Mapping[str, Any]] = {
    # a mirrored digit is none
    "digits": {"augment": {"flip_x": 0.0, "colour": 1.0}},
    "shapes": {
        "augment": {
            "flip_x": 0.5,
            "flip_y": 0.5,
            "transpose": 0.5,
            "scale": (1.0, 1.0),
            "colour": 0.0,
        }
    },
}
"""Defaults of other keys that suit an embedded set."""
RATES: Mapping[str, float] = {"centre": 3e-3, "fasterrcnn_slim": 4e-3}
"""Learning rates of the small models, which learn from scratch; all others have `LARGE_RATE`."""
LARGE_RATE = 1e-4


def detector_update() -> UpdateConfig:
    """Return the defaults of the measured recipe: AdamW, one cycle, clipped."""
    return UpdateConfig(
        optimizer=OptimizerConfig(name="adamw", lr=RATES["centre"], weight_decay=0.02),
        schedule=ScheduleConfig(name="one_cycle", peak=0.15),
        clip_norm=5.0,
    )


class StageConfig(Config):
    """One phase of the staged loop: what is trained, for how long, and how."""

    name: str = setting(..., help="In logs and checkpoints.")
    epochs: int = setting(..., help="Passes over the training data.", ge=1)
    depth: int | None = setting(
        None,
        help="Stages trained, counted from the head; 1 is the head alone, by default all.",
        ge=1,
    )
    update: UpdateConfig = setting(UpdateConfig(), help="How this phase is updated.")


class AlternatingConfig(Config):
    """The four-step training of Faster R-CNN (Ren et al., 2015, section 3.2)."""

    share: tuple[float, float, float, float] = setting(
        (0.15, 0.55, 0.1, 0.2),
        help="Share of the epochs of each step: rpn, roi, rpn, roi. The convolutions that stay are "
        "those of the second.",
    )
    proposals: int = setting(300, help="Proposals cached for an image.", ge=10, le=2000)


class TeacherConfig(Config):
    """Learning from unlabelled pictures by an averaged teacher (Liu et al., 2021)."""

    unlabelled: Path | None = setting(
        None, help="Folder of pictures without labels; by default the unlabelled ones of the data."
    )
    burn_in: int = setting(2, help="Epochs on labels alone, before the teacher starts.", ge=0)
    threshold: float = setting(0.5, help="Lowest score of a pseudo-label.", gt=0, lt=1)
    weight: float = setting(1.0, help="Weight of the loss on pseudo-labels.", ge=0)
    decay: float = setting(0.99, help="Of the average that is the teacher.", ge=0, lt=1)
    batch_size: int | None = setting(None, help="Unlabelled pictures per batch.", ge=1)
    labelled: float | None = setting(
        None,
        help="Share of the labels that is used, to see what unlabelled data brings.",
        gt=0,
        lt=1,
    )


class DetectionConfig(DomainConfig):
    """A detector, the labels it learns from, and the loop that trains it.

    Without a choice of one's own the learning rate is that of the model, and the augmentation that
    of the embedded set.
    """

    dataset: Literal["digits", "shapes"] = setting("digits", help="The embedded set, without DATA.")
    format: str | None = setting(None, help="Label format; by default recognised from the files.")
    images: Path | None = setting(None, help="Folder of the images, if the labels do not say it.")
    validation: Path | None = setting(None, help="Labels to evaluate on, beside DATA.")
    held_out: float = setting(
        0.2, help="Share held out for evaluation where the data has no split.", gt=0, lt=1
    )
    classes: tuple[str, ...] | None = setting(None, help="Train on these classes only.")
    bad_boxes: Literal["repair", "drop", "stop"] = setting(
        "repair", help="What a defective box does; its image always stays."
    )
    max_pixels: int = setting(100_000_000, help="Largest image that is decoded.", ge=1)
    image_size: int | None = setting(
        None, help="Longest side of a picture as the model sees it.", unit="px", ge=32, le=4096
    )
    cache: int = setting(2_000_000_000, help="Decoded pictures kept in memory.", unit="bytes", ge=0)
    loop: Literal["joint", "alternating", "staged", "teacher"] = setting(
        "joint", help="The training loop."
    )
    epochs: int = setting(16, help="Passes over the training data.", ge=0, resumable=True)
    batch_size: int = setting(8, help="Images per update.", ge=1)
    evaluate_every: int = setting(1, help="Epochs between evaluations.", ge=1)
    model: ModelConfig = setting(ModelConfig(), help="The detector.")
    update: UpdateConfig = setting(detector_update(), help="How the detector is updated.")
    augment: AugmentConfig = setting(AugmentConfig(), help="How pictures are varied.")
    stages: tuple[StageConfig, ...] = setting((), help="Phases of the staged loop.")
    alternating: AlternatingConfig = setting(AlternatingConfig(), help="The four-step loop.")
    teacher: TeacherConfig = setting(TeacherConfig(), help="The semi-supervised loop.")

    @classmethod
    def suiting(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the learning rate of the model, and the augmentation of an embedded set."""
        model = values.get("model")
        name = model.get("name", "centre") if isinstance(model, Mapping) else "centre"
        rate = RATES.get(str(name), LARGE_RATE)
        found: dict[str, Any] = {"update": {"optimizer": {"lr": rate}}}
        if values.get("data") is None:
            found |= EMBEDDED.get(str(values.get("dataset", "digits")), {})
        return found
