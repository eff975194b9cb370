"""The player that judges samples: a body that finds features, and heads that read them.

Shapes: N samples, images (N, C, H, W), or (N, 2) for points; F features, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from rondel.errors import UsageError
from rondel_gan.config import Condition
from rondel_gan.models.weights import bound


class Critic(nn.Module):
    """Scores samples, higher for real: (N, C, H, W) -> (N,) logits.

    Args:
        body: From images to (N, F).
        width: The number of features, F.
        classes: How many there are.
        condition: ``projection`` adds <embedding of the label, features> to the score (Miyato and
            Koyama, 2018, equation 3); ``auxiliary`` has a second head that tells the class (Odena,
            Olah and Shlens, 2017).
        spectral: Bound every layer of body and heads by its spectral norm.
    """

    def __init__(
        self,
        body: nn.Module,
        width: int,
        *,
        classes: int = 0,
        condition: Condition = "none",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.width = width
        self.classes = classes
        self.body = body
        self.head = nn.Linear(width, 1)
        self.embedding = nn.Embedding(classes, width) if condition == "projection" else None
        self.classifier = nn.Linear(width, classes) if condition == "auxiliary" else None
        if spectral:
            bound(self)

    def features(self, images: Tensor) -> Tensor:
        """Return what the heads read, (N, F)."""
        features: Tensor = self.body(images)
        return features

    def score(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score features, (N, F) -> (N,).

        Args:
            features: What `features` returned.
            labels: (N,) int64; only a projection looks at them.

        Raises:
            UsageError: The score is a projection, and there are no labels.
        """
        scores: Tensor = self.head(features).squeeze(1)
        if self.embedding is None:
            return scores
        if labels is None:
            raise UsageError(
                f"a discriminator of {self.classes} classes was given no labels",
                hint="Pass one label for each image.",
            )
        projection: Tensor = (self.embedding(labels) * features).sum(dim=1)
        return scores + projection

    def classify(self, features: Tensor) -> Tensor:
        """Return the logits of the classes, (N, F) -> (N, K).

        Raises:
            UsageError: There is no auxiliary head.
        """
        if self.classifier is None:
            raise UsageError(
                "this discriminator has no head for classes",
                where="model.condition",
                hint="Set model.condition=auxiliary.",
            )
        logits: Tensor = self.classifier(features)
        return logits

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Score each image."""
        return self.score(self.features(images), labels)
