"""A loop of one's own, with nothing but the engine: a student learns from a frozen teacher.

Run it, interrupt it with Ctrl-C, run it again with --resume: it ends as if nothing had happened.
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import rondel


class Distil(rondel.Loop):
    """Train a teacher, then a smaller student on its soft answers (Hinton et al., 2015)."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.teacher = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        self.student = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        self.train_data = rondel.Stream((images[:1400], labels[:1400]), batch_size=64)
        self.test_images, self.test_labels = images[1400:], labels[1400:]

    def train(self, run: rondel.Run) -> None:
        """Two phases, two losses, one run."""
        run.track("teacher", self.teacher)  # outlives its phase: registered before it
        run.track("student", self.student)
        for phase in run.phases(["teacher", "student"]):
            update = run.update(phase, getattr(self, phase), rondel.OptimizerConfig(lr=3e-3))
            for _ in run.epochs(15):
                for images, labels in run.batches(self.train_data):
                    update(getattr(self, f"{phase}_loss"), images, labels)
                run.evaluate(self)

    def teacher_loss(self, images: Tensor, labels: Tensor) -> rondel.Loss:
        """Cross-entropy with the labels."""
        logits = self.teacher(images)
        return rondel.Loss(F.cross_entropy(logits, labels, reduction="sum"), len(images))

    def student_loss(self, images: Tensor, labels: Tensor) -> rondel.Loss:  # noqa: ARG002
        """Cross-entropy with the teacher's answers at temperature 2."""
        with torch.no_grad():
            answers = (self.teacher(images) / 2).softmax(dim=1)
        logits = self.student(images) / 2
        return rondel.Loss(F.cross_entropy(logits, answers, reduction="sum"), len(images))

    def evaluate(self, run: rondel.Run) -> dict[str, float]:
        """Measure the accuracy of both on images that neither was trained on."""
        accuracy = {}
        for name in ("teacher", "student"):
            logits = getattr(self, name)(self.test_images.to(run.device)).cpu()
            accuracy[name] = (logits.argmax(1) == self.test_labels).double().mean().item()
        return accuracy


def main(directory: str, *, resume: bool) -> dict[str, float]:
    """Train in a directory; return the accuracies."""
    images, labels = load_digits(return_X_y=True)
    torch.manual_seed(0)
    loop = Distil(torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels))
    with rondel.Run(directory, seed=0, resume=resume) as run:
        loop.train(run)
    return run.headline


if __name__ == "__main__":
    print(main(sys.argv[1], resume="--resume" in sys.argv))
