"""The frozen network whose features measure samples, since Inception comes with no wheel.

With labels it is a classifier of the real training images, without them a network of random
weights. Either way it is a function of the training images alone: it has its own seed, and runs
on one thread of the CPU, so that neither the run's seed nor the machine decides what a number
means. Shapes: images (N, C, H, W) in [-1, 1], features (N, F).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 64
SEED = 0
BATCH_SIZE = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1
SMOOTHING = 0.1
"""Of the labels, as in the training of Inception (Szegedy et al., 2016): it keeps features small."""
CHUNK = 1024


class Proxy(nn.Module):
    """A small convolutional network with a name, features, and classes if it learnt any.

    Args:
        channels: Of the images.
        classes: Names of the classes; none for random weights.
    """

    distance = "frechet"
    resize = "not resized"
    shift: Tensor  # (F,)
    scale: Tensor  # (F,)

    def __init__(self, channels: int, classes: Sequence[str] = ()) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, len(classes)) if classes else None
        self.register_buffer("shift", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))

    @property
    def protocol(self) -> str:
        """The name that stands beside every number made with these features."""
        return f"{'proxy' if self.classes else 'random'}-cnn-{FEATURES}d"

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of images."""
        features: Tensor = self.body(images)
        return (features - self.shift) / self.scale

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits of the classes, (N, classes)."""
        assert self.head is not None
        scores: Tensor = self.head(self(images))
        return scores

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the features in float64, computed in pieces."""
        with single_threaded():
            return torch.cat([self(piece) for piece in torch.split(images.cpu(), CHUNK)]).double()

    @torch.no_grad()
    def predict(self, features: Tensor) -> Tensor:
        """Return the class of each row of features, (N,)."""
        assert self.head is not None
        classes: Tensor = self.head(features.to(self.scale.dtype)).argmax(dim=1)
        return classes

    @torch.no_grad()
    def probabilities(self, features: Tensor) -> Tensor | None:
        """Return the probabilities of the classes in float64, (N, classes); None without any."""
        if self.head is None:
            return None
        logits: Tensor = self.head(features.to(self.scale.dtype))
        return logits.double().softmax(dim=1)

    def facts(self) -> dict[str, Any]:
        """Return what a bundle needs to build this network again."""
        return {"classes": list(self.classes)}

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Proxy:
        """Build the network that `facts` describes, its weights still to be loaded."""
        return cls(facts["shape"][0], facts["classes"])


def make_proxy(
    images: Tensor, labels: Tensor | None, classes: Sequence[str], *, updates: int
) -> Proxy:
    """Return the frozen proxy for real training images: trained if there are labels.

    Args:
        images: The real training images.
        labels: (N,) indices of classes, if known.
        classes: Their names.
        updates: Of the training.
    """
    with single_threaded(), own_randomness():
        proxy = Proxy(images.shape[1], classes if labels is not None else ())
        if labels is None:
            standardize(proxy, images)
        else:
            fit(proxy, images, labels, updates=updates)
    return proxy.eval().requires_grad_(False)


def fit(proxy: Proxy, images: Tensor, labels: Tensor, *, updates: int) -> None:
    """Train the classifier on random batches, by AdamW on a cosine schedule."""
    optimizer = torch.optim.AdamW(
        proxy.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for _ in range(updates):
        batch = torch.randint(len(images), (BATCH_SIZE,))
        optimizer.zero_grad()
        logits = proxy.logits(images[batch])
        loss = F.cross_entropy(logits, labels[batch], label_smoothing=SMOOTHING)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def standardize(proxy: Proxy, images: Tensor) -> None:
    """Give each random feature mean 0 and deviation 1 over real images; dead ones stay 0."""
    features = proxy.features(images)
    deviation = features.std(dim=0)
    proxy.shift.copy_(features.mean(dim=0))
    proxy.scale.copy_(torch.where(deviation > 1e-4, deviation, 1.0))


@contextmanager
def single_threaded() -> Iterator[None]:
    """Compute on one thread for a while: sums are the same on every machine, and small ones fast."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def own_randomness() -> Iterator[None]:
    """Draw from a generator of its own seed for a while; the run's is left as it was."""
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(SEED)
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
