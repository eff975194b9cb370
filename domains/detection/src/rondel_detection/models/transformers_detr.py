"""The DETR family of transformers behind the `Detector` protocol: DETR, RT-DETR and D-FINE.

Networks, matching and loss terms are those of transformers; here each term is brought back to a sum
and a count, so that pieces of a batch give its gradient. Two things are left out, because neither
is a function of single pictures: contrastive denoising, which draws random numbers inside of the
network, and D-FINE's self-distillation, whose terms are divided by batch statistics. Letters: B
images, Q queries, K classes, (H, W) the canvas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torchvision.ops.misc import FrozenBatchNorm2d

from rondel import Loss
from rondel.errors import ConfigError, DataError
from rondel_detection.config import ModelConfig
from rondel_detection.data.batch import Predictions, Targets
from rondel_detection.models.detector import Detector

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, in 0..1: what all published weights were trained with."""
HEADS = 8
QUERIES = 300
STRIDES = (8, 16, 32)
"""Of the levels that RT-DETR and D-FINE read."""
GROUP = 8
"""Fewest channels that are normalised together."""


class DetrDetector(Detector):
    """A detector of transformers.

    Args:
        network: A model for object detection of the DETR family.
        classes: K.
        config: Thresholds.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, classes: int, config: ModelConfig) -> None:
        super().__init__(classes)
        self.network = network
        self.score_threshold = config.score_threshold
        self.max_detections = config.max_detections
        # DETR tells "nothing" as a class of its own; the others say so by low scores
        self.has_background = config.name == "detr"
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(MEAN).view(shape) * 255, persistent=False)
        scale = torch.tensor(DEVIATION).view(shape) * 255
        self.register_buffer("deviation", scale, persistent=False)

    def loss(self, images: Tensor, targets: Targets, seeds: Tensor) -> Loss:
        """Return the loss of transformers, by what its terms count; crowds count as background."""
        said = self._said(images, targets.sizes, labels=self._labels(images, targets))
        counts = self.counts(images, targets, seeds)
        sums = dict.fromkeys(counts, images.new_zeros((), dtype=torch.float32))
        for name, mean in said.loss_dict.items():
            if mean.requires_grad:  # the others are figures for a log
                term = "class" if "class" in counts and name.startswith("loss_ce") else "objects"
                # transformers divides by at least one object
                sums[term] = sums[term] + self._weight(name) * mean * counts[term].clamp(min=1)
        return Loss.weighted({name: Loss(sums[name], counts[name]) for name in sums}, {})

    def counts(self, images: Tensor, targets: Targets, seeds: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Return the number of objects; in DETR classes have weights, and are divided by those."""
        objects = targets.present.sum().to(torch.float32)
        if not self.has_background:
            return {"objects": objects}
        config = self._config
        nothing = len(images) * config.num_queries - objects
        return {"objects": objects, "class": objects + config.eos_coefficient * nothing}

    def detect(self, images: Tensor, sizes: Tensor) -> Predictions:
        """Return the best queries above the score threshold; there is nothing to suppress."""
        said = self._said(images, sizes)
        chances = self._chances(said.logits.float())  # (B, Q, K)
        best = chances.flatten(1)
        scores, place = best.topk(min(self.max_detections, best.shape[1]))
        boxes = said.pred_boxes.float()
        centre, sides = boxes[..., :2], boxes[..., 2:]
        boxes = torch.cat((centre - sides / 2, centre + sides / 2), -1)
        boxes = boxes.gather(1, (place // self.classes)[..., None].expand(-1, -1, 4))
        limits = sizes.flip(-1).repeat(1, 2)[:, None]
        boxes = torch.minimum((boxes * self._unit(images, sizes)).clamp(min=0), limits)
        real = (boxes[..., 2:] > boxes[..., :2]).all(-1)
        image, rank = ((scores >= self.score_threshold) & real).nonzero(as_tuple=True)
        labels = place % self.classes
        return Predictions(image, boxes[image, rank], scores[image, rank], labels[image, rank])

    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Return what reads the features, and what makes them."""
        names = [name for name, _ in self.network.named_parameters()]
        inner = ("network.model.backbone.",)
        outer = {f"network.{name}" for name in names if not name.startswith("model.backbone.")}
        return tuple(sorted(outer)), inner

    @property
    def _config(self) -> Any:
        return self.network.config

    def _said(
        self, images: Tensor, sizes: Tensor, labels: list[dict[str, Tensor]] | None = None
    ) -> Any:
        pixels = (images.to(self.mean.dtype) - self.mean) / self.deviation
        rows = torch.arange(images.shape[-2], device=images.device)
        columns = torch.arange(images.shape[-1], device=images.device)
        inside = (rows[:, None] < sizes[:, 0, None, None]) & (columns < sizes[:, 1, None, None])
        mask = inside.to(torch.int64) if self.has_background else None
        return self.network(pixel_values=pixels, pixel_mask=mask, labels=labels)

    def _unit(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Return what boxes are shares of, (B, 1, 4): the picture in DETR, else the canvas."""
        if self.has_background:
            return sizes.flip(-1).repeat(1, 2)[:, None]
        canvas = sizes.new_tensor([images.shape[-1], images.shape[-2]])
        return canvas.repeat(2).expand(len(images), 1, 4)

    def _labels(self, images: Tensor, targets: Targets) -> list[dict[str, Tensor]]:
        corners = targets.boxes.to(self.mean.dtype) / self._unit(images, targets.sizes)
        start, end = corners[..., :2], corners[..., 2:]
        boxes = torch.cat(((start + end) / 2, end - start), -1)
        return [
            {"class_labels": labels[present], "boxes": own[present]}
            for labels, own, present in zip(targets.labels, boxes, targets.present, strict=True)
        ]

    def _chances(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)[..., :-1] if self.has_background else logits.sigmoid()

    def _weight(self, name: str) -> float:
        """Return the weight of a term; RT-DETR's terms have theirs already."""
        if not self.has_background:
            return 1.0
        config = self._config
        if name.startswith("loss_bbox"):
            return float(config.bbox_loss_coefficient)
        return float(config.giou_loss_coefficient) if name.startswith("loss_giou") else 1.0


def make_detr(config: ModelConfig, classes: int, canvas: tuple[int, int]) -> Detector:
    """Make a detector of transformers, from a config or from a local folder.

    ``model.weights`` names a folder that transformers has written (``config.json`` and
    ``model.safetensors``); a head of other classes starts anew.

    Raises:
        ConfigError: The name is none of the family.
        DataError: The folder cannot be read.
    """
    if config.name not in KINDS:
        raise ConfigError(f"{config.name!r} is not of the DETR family", where="model.name")
    folder = None if config.weights is None else Path(config.weights)
    if folder is not None and folder.is_dir() and (folder / "config.json").is_file():
        return DetrDetector(loaded(config, classes, folder), classes, config)
    model, configure = KINDS[config.name]
    made = configure(config.width, classes, queries_of(canvas))
    network = getattr(transformers, model)(made)
    return DetrDetector(with_norm(network, by_picture), classes, config)


def loaded(config: ModelConfig, classes: int, folder: Path) -> nn.Module:
    """Read a network from a folder; its statistics of batches stay as they are.

    Raises:
        DataError: It cannot be read, or is of another kind.
    """
    model = getattr(transformers, KINDS[config.name][0])
    try:
        network: nn.Module = model.from_pretrained(
            folder,
            num_labels=classes,
            ignore_mismatched_sizes=True,
            local_files_only=True,
            use_safetensors=True,
            **without_batch_terms(config.name),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"holds no {config.name} of transformers: {error}",
            where=str(folder),
            hint="Give a folder that save_pretrained() has written.",
        ) from error
    return with_norm(network, frozen)


def without_batch_terms(name: str) -> dict[str, Any]:
    """Return the settings that leave out what is no function of single pictures."""
    if name == "detr":
        return {}
    return {"num_denoising": 0} | ({"weight_loss_ddf": 0.0} if name == "d_fine" else {})


def with_norm(network: nn.Module, make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Replace what normalises by a batch, which would tie its pictures together."""
    for part in list(network.modules()):
        for name, child in part.named_children():
            if "BatchNorm2d" in type(child).__name__:
                setattr(part, name, make(child))
    return network


def frozen(norm: nn.Module) -> nn.Module:
    """Return a normalisation by the statistics that were loaded."""
    state = norm.state_dict()
    made: nn.Module = FrozenBatchNorm2d(len(state["weight"]), eps=float(getattr(norm, "eps", 1e-5)))
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    return made


def by_picture(norm: nn.Module) -> nn.Module:
    """Return a normalisation of groups of channels of each picture by itself."""
    channels = len(norm.state_dict()["weight"])
    return nn.GroupNorm(max(1, channels // GROUP), channels)


def queries_of(canvas: tuple[int, int]) -> int:
    """Return the number of queries: each starts from a cell, and a small canvas has few."""
    return min(QUERIES, sum((canvas[0] // stride) * (canvas[1] // stride) for stride in STRIDES))


def rounded(width: float, channels: int, multiple: int = 4 * HEADS) -> int:
    """Return a number of channels times a width, as a multiple."""
    return max(multiple, round(channels * width / multiple) * multiple)


def detr_config(width: float, classes: int, queries: int) -> Any:
    """Return DETR of a width (Carion et al., 2020), on a ResNet-50 of the same width."""
    backbone = transformers.ResNetConfig(
        embedding_size=rounded(width, 64),
        hidden_sizes=[rounded(width, size) for size in (256, 512, 1024, 2048)],
        out_features=["stage4"],
    )
    return transformers.DetrConfig(
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        d_model=rounded(width, 256),
        encoder_ffn_dim=rounded(width, 2048),
        decoder_ffn_dim=rounded(width, 2048),
        auxiliary_loss=True,
        num_queries=min(queries, 100),
        num_labels=classes,
        dropout=0.0,
    )


def rt_detr_config(width: float, classes: int, queries: int) -> Any:
    """Return RT-DETR of a width (Zhao et al., 2024), on a ResNet-50 of the same width."""
    sizes = [rounded(width, size) for size in (256, 512, 1024, 2048)]
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=rounded(width, 64),
        hidden_sizes=sizes,
        out_features=["stage2", "stage3", "stage4"],
    )
    return transformers.RTDetrConfig(
        **hybrid(backbone, sizes, width=width, classes=classes, queries=queries),
        **without_batch_terms("rt_detr"),
    )


def d_fine_config(width: float, classes: int, queries: int) -> Any:
    """Return D-FINE of a width (Peng et al., 2024), on an HGNetV2 of the same width."""
    sizes = [rounded(width, size) for size in (128, 512, 1024, 2048)]
    backbone = transformers.HGNetV2Config(
        stem_channels=[3, rounded(width, 32), rounded(width, 48)],
        stage_in_channels=[rounded(width, 48), *sizes[:3]],
        stage_mid_channels=[rounded(width, size) for size in (48, 96, 192, 384)],
        stage_out_channels=sizes,
        hidden_sizes=sizes,
        out_features=["stage2", "stage3", "stage4"],
    )
    return transformers.DFineConfig(
        **hybrid(backbone, sizes, width=width, classes=classes, queries=queries),
        **without_batch_terms("d_fine"),
    )


def hybrid(
    backbone: Any, sizes: list[int], *, width: float, classes: int, queries: int
) -> dict[str, Any]:
    """Return what RT-DETR and D-FINE share: the encoder over three levels, and the decoder."""
    inner = rounded(width, 256)
    return {
        "backbone_config": backbone,
        "encoder_in_channels": sizes[1:],
        "encoder_hidden_dim": inner,
        "encoder_ffn_dim": rounded(width, 1024),
        "d_model": inner,
        "decoder_in_channels": [inner] * 3,
        "decoder_ffn_dim": rounded(width, 1024),
        "freeze_backbone_batch_norms": False,
        "num_queries": queries,
        "num_labels": classes,
    }


KINDS = {
    "detr": ("DetrForObjectDetection", detr_config),
    "rt_detr": ("RTDetrForObjectDetection", rt_detr_config),
    "d_fine": ("DFineForObjectDetection", d_fine_config),
}
"""Class of transformers and a function ``(width, classes, queries)`` that makes its config."""
