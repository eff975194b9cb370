"""Claim: training without padding gives at least 2.5 times the tokens/s of transformers' Trainer.

Real tokens per second of CPU time of a training step (forward, backward, fused AdamW) of a BERT
classifier, 4 layers x 256, vocabulary 8,192, with dropout; texts of log-normal lengths (sigma
0.75, mean about 60, cap 256), batches of 32, one thread. All rows start from the same weights and
train on the same texts.

Each round is a fresh process per set size; it runs all rows in turn, in an order that rotates with
the rounds. Of the batches that a row would see in an epoch, a fixed number is taken, evenly over
their sizes. `the same batches` are those of the row `Trainer, dynamic padding`. The token budget
is set so that an epoch has as many steps as with batches of 32.

The other targets: 1.9, 1.12 and 1.0 times the Trainer's group_by_length at 256, 2,000 and 20,000
sequences. Padding says which share of the tokens that are computed is none.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ratios import Ratio, environment, print_table, write_json
from workers import run_worker

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCRIPT = Path(__file__).resolve()
BATCH, CAP, CLASSES, VOCABULARY = 32, 256, 4, 8192
PAD_TO_MAX = "Trainer, pad to max"
DYNAMIC = "Trainer, dynamic padding"
GROUPED = "Trainer, group_by_length"
SAME = "rondel, unpadded, the same batches"
BUDGET = "rondel, unpadded, token budget"
BUCKETS = "rondel, padded buckets"
LABELS = (PAD_TO_MAX, DYNAMIC, GROUPED, SAME, BUDGET, BUCKETS)
# a chosen batch before and after those that count: the first warms up, the last one stops the clock
EXTRA = 2


@dataclass
class Row:
    """The measurements of one row at one set size, round by round."""

    label: str
    sequences: int
    tokens_per_s: list[float] = field(default_factory=list)
    padding: float = 0.0
    over_dynamic: Ratio | None = None
    over_grouped: Ratio | None = None


def main() -> None:
    """Measure all set sizes, print a table, store it if asked."""
    options = parse_options()
    if options.worker:
        options.answer.write_text(json.dumps(work(options)))
        return
    labels = [label for label in LABELS if chosen(label, options.only)]
    rows = [row for size in options.sequences for row in measure(size, labels, options)]
    report(rows)
    settings = {name: getattr(options, name) for name in ("rounds", "steps", "width", "layers")}
    write_json(options.json, settings=settings, rows=[asdict(row) for row in rows])


def parse_options() -> argparse.Namespace:
    """Read the command line; --worker and --answer are for the processes that we start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds per set size (3)")
    parser.add_argument("--steps", type=int, default=8, help="counted steps per row (8)")
    parser.add_argument(
        "--sequences", type=int, nargs="+", default=[256, 2000, 20000], help="set sizes"
    )
    parser.add_argument("--width", type=int, default=256, help="channels (256)")
    parser.add_argument("--layers", type=int, default=4, help="layers (4)")
    parser.add_argument("--quick", action="store_true", help="2 layers x 64, 4 counted steps")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="rows whose label contains it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.width, options.layers, options.steps = 64, 2, 4
    return options


def chosen(label: str, only: Sequence[str]) -> bool:
    """Whether the row was asked for; the two baselines always are."""
    asked = any(text.lower() in label.lower() for text in only)
    return not only or asked or label in (DYNAMIC, GROUPED)


def measure(size: int, labels: Sequence[str], options: argparse.Namespace) -> list[Row]:
    """Run the rounds of one set size; right after one another, rows see the same machine."""
    rows = {label: Row(label, size) for label in labels}
    shape = [f"--{name}={getattr(options, name)}" for name in ("steps", "width", "layers")]
    for number in range(options.rounds):
        turn = number % len(labels)
        order = [*labels[turn:], *labels[:turn]]
        arguments = ["|".join(order), f"--size={size}", *shape]
        answer = run_worker(SCRIPT, arguments, timeout_s=3600)
        if answer.content is None:
            raise SystemExit(f"The round failed: {answer.reason}")
        for label, found in answer.content.items():
            rows[label].tokens_per_s.append(found["tokens_per_s"])
            rows[label].padding = found["padding"]
        speeds = {label: round(row.tokens_per_s[-1]) for label, row in rows.items()}
        print(f"{size} sequences, round {number + 1} of {options.rounds}: {speeds}", flush=True)
    for row in rows.values():
        row.over_dynamic = Ratio.of(row.tokens_per_s, rows[DYNAMIC].tokens_per_s)
        row.over_grouped = Ratio.of(row.tokens_per_s, rows[GROUPED].tokens_per_s)
    return list(rows.values())


def report(rows: Sequence[Row]) -> None:
    """Print the table."""
    print("\n" + ", ".join(f"{name} {version}" for name, version in environment().items()) + "\n")
    header = (
        "sequences",
        "row",
        "padding",
        "tokens/s",
        "over Trainer dynamic: median (span)",
        "over group_by_length: median (span)",
    )
    table = [
        (
            row.sequences,
            row.label,
            f"{row.padding:.0%}",
            f"{median(row.tokens_per_s):.0f}",
            row.over_dynamic,
            row.over_grouped,
        )
        for row in rows
    ]
    print_table(header, table)


# -- the worker ------------------------------------------------------------------------------------


class Clock:
    """CPU time from one forward pass to the next: whole turns of any loop, without its set-up."""

    def __init__(self) -> None:
        self.ticks: list[float] = []

    def __call__(self, *_: Any) -> None:
        """Note that a step begins; to be registered as a hook before the forward pass."""
        self.ticks.append(time.process_time())

    def seconds(self, steps: int) -> float:
        """Return the time of all steps but the first and the last."""
        if len(self.ticks) != steps:
            raise RuntimeError(f"{len(self.ticks)} forward passes instead of {steps}")
        return self.ticks[-1] - self.ticks[1]


@dataclass(frozen=True)
class Task:
    """The texts, and what to train on them.

    Args:
        ids: (N, CAP) int64, 0 behind the end of a text.
        lengths: (N,) int64.
        labels: (N,) int64.
        shape: Width and layers of the model.
        steps: Steps that count.
    """

    ids: Tensor
    lengths: Tensor
    labels: Tensor
    shape: tuple[int, int]
    steps: int

    def model(self) -> Any:
        """Return the classifier, always with the same first weights."""
        import torch
        from transformers import BertConfig, BertForSequenceClassification

        width, layers = self.shape
        torch.manual_seed(1)
        config = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64 or 1,
            intermediate_size=4 * width,
            num_labels=CLASSES,
        )
        return BertForSequenceClassification(config).train()

    def sampled(self, batches: Sequence[Tensor], *, width: int | None = None) -> list[Tensor]:
        """Return some batches of an epoch, evenly over their padded sizes, and the extra ones.

        Args:
            batches: (B,) indices each, in any order.
            width: To which texts are padded, or None: the longest of the batch.
        """
        import torch

        sizes = [len(b) * (width or int(self.lengths[b].max())) for b in batches]
        by_size = sorted(range(len(batches)), key=lambda i: (sizes[i], i))
        # the middle of each of as many equal parts
        places = [int((i + 0.5) * len(by_size) / self.steps) for i in range(self.steps)]
        draw = torch.randperm(self.steps, generator=torch.Generator().manual_seed(3))
        counted = [batches[by_size[places[i]]] for i in draw.tolist()]
        return [counted[0], *counted, batches[by_size[0]]]


def work(options: argparse.Namespace) -> dict[str, Any]:
    """Run all rows of one round in turn."""
    import torch

    torch.set_num_threads(1)
    task = make_task(options.size, (options.width, options.layers), options.steps)
    return {label: run_row(label, task) for label in options.worker.split("|")}


def make_task(size: int, shape: tuple[int, int], steps: int) -> Task:
    """Draw texts; the label follows from the first token, so that there is something to learn."""
    import torch

    generator = torch.Generator().manual_seed(0)
    # exp(3.81 + 0.75 ** 2 / 2) = 60
    lengths = torch.exp(torch.randn(size, generator=generator) * 0.75 + 3.81).round().long()
    lengths = lengths.clamp(4, CAP)
    ids = torch.randint(5, VOCABULARY, (size, CAP), generator=generator)
    ids[torch.arange(CAP) >= lengths[:, None]] = 0
    return Task(ids, lengths, ids[:, 0] % CLASSES, shape, steps)


def run_row(label: str, task: Task) -> dict[str, float]:
    """Train one row and return its speed and its share of padding."""
    batches, train = ROWS[label](task)
    clock, steps = Clock(), task.steps + EXTRA
    if len(batches) != steps:
        raise RuntimeError(f"{len(batches)} batches instead of {steps}")
    torch_seed()
    train(task, batches, clock)
    counted = batches[1:-1]
    tokens = sum(int(task.lengths[b].sum()) for b in counted)
    computed = sum(len(b) * widest(label, task, b) for b in counted)
    padding = 0.0 if label in (SAME, BUDGET) else 1 - tokens / computed
    return {"tokens_per_s": tokens / clock.seconds(steps), "padding": padding}


def torch_seed() -> None:
    """Give all rows the same dropout."""
    import torch

    torch.manual_seed(2)


def widest(label: str, task: Task, batch: Tensor) -> int:
    """Return the tokens per text that a padded batch has."""
    return CAP if label == PAD_TO_MAX else int(task.lengths[batch].max())


# -- orders ----------------------------------------------------------------------------------------

Train = Callable[["Task", Sequence["Tensor"], Clock], None]
Prepared = tuple[list["Tensor"], Train]


def pad_to_max(task: Task) -> Prepared:
    """Random batches, padded to the cap: the default of many scripts."""
    return random_batches(task), lambda *a: trainer(*a, width=CAP)


def dynamic(task: Task) -> Prepared:
    """Random batches, padded to their longest text."""
    return random_batches(task), trainer


def grouped(task: Task) -> Prepared:
    """The batches of the Trainer's own sampler for lengths."""
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler

    sampler = LengthGroupedSampler(BATCH, lengths=task.lengths.tolist(), generator=seeded())
    return task.sampled(full_batches(torch.tensor(list(sampler)))), trainer


def same(task: Task) -> Prepared:
    """The random batches of the baseline, without padding."""
    return random_batches(task), unpadded


def budget(task: Task) -> Prepared:
    """Batches of texts of similar length, each with as many as a budget of tokens allows."""
    from rondel.batcher import TokenBudget

    lengths, steps = task.lengths, len(task.lengths) // BATCH
    smallest = int(lengths.sum()) // steps
    for tokens in range(smallest, 100 * smallest, 32):
        if tokens >= int(lengths.max()):
            plan = TokenBudget(lengths, tokens).plan(len(lengths), seeded())
            if len(plan) <= steps:
                break
    return task.sampled(plan), unpadded


def buckets(task: Task) -> Prepared:
    """Batches of texts of similar length, padded."""
    from rondel.batcher import LengthBuckets

    return task.sampled(
        LengthBuckets(task.lengths, BATCH).plan(len(task.lengths), seeded())
    ), padded


def random_batches(task: Task) -> list[Tensor]:
    """Return sampled batches of a random order."""
    import torch

    return task.sampled(full_batches(torch.randperm(len(task.lengths), generator=seeded())))


def full_batches(order: Tensor) -> list[Tensor]:
    """Cut an order into batches, without a shorter last one."""
    count = len(order) // BATCH
    return list(order[: count * BATCH].view(count, BATCH))


def seeded() -> torch.Generator:
    """Return the generator of an order."""
    import torch

    return torch.Generator().manual_seed(4)


# -- systems ---------------------------------------------------------------------------------------


def trainer(
    task: Task, batches: Sequence[Tensor], clock: Clock, *, width: int | None = None
) -> None:
    """Train with transformers' Trainer; clipping is off, because the others do not clip."""
    import torch
    from transformers import Trainer, TrainingArguments

    class Ordered(Trainer):  # type: ignore[misc]  # transformers is not followed by mypy
        """Sees the texts in a given order."""

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.cat(list(batches)).tolist()

    texts = [
        {"input_ids": ids[:length], "labels": label}
        for ids, length, label in zip(task.ids, task.lengths.tolist(), task.labels, strict=True)
    ]

    def collate(samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        longest = width or max(len(sample["input_ids"]) for sample in samples)
        ids = torch.zeros(len(samples), longest, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, sample in enumerate(samples):
            ids[i, : len(sample["input_ids"])] = sample["input_ids"]
            mask[i, : len(sample["input_ids"])] = 1
        labels = torch.stack([sample["labels"] for sample in samples])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    model = task.model()
    model.register_forward_pre_hook(clock)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=len(batches),
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=0.0,
            optim="adamw_torch_fused",
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
            logging_steps=1000,
        )
        Ordered(model, arguments, train_dataset=texts, data_collator=collate).train()


@dataclass(frozen=True)
class Planned:
    """A batcher that was told its batches."""

    batches: Sequence[Tensor]

    def plan(self, size: int, generator: torch.Generator | None) -> Sequence[Tensor]:  # noqa: ARG002
        """Return them."""
        return self.batches


def unpadded(task: Task, batches: Sequence[Tensor], clock: Clock) -> None:
    """Train with a run of rondel, without padding."""
    from rondel_text.models.unpadded import Unpadded

    run_rondel(task, batches, clock, Unpadded)


def padded(task: Task, batches: Sequence[Tensor], clock: Clock) -> None:
    """Train with a run of rondel, with padding."""
    from rondel_text.models.unpadded import Padded

    run_rondel(task, batches, clock, Padded)


def run_rondel(
    task: Task, batches: Sequence[Tensor], clock: Clock, kind: Callable[..., Any]
) -> None:
    """Train with a run of rondel, with what is on by default."""
    from torch.nn.functional import cross_entropy

    import rondel
    from rondel import OptimizerConfig, RunConfig, Stream, UpdateConfig

    model = task.model()
    encoder = kind(model)
    model.bert.register_forward_pre_hook(clock)

    def loss(ids: Tensor, lengths: Tensor, labels: Tensor) -> Tensor:
        first = encoder(ids, lengths).first()
        logits = model.classifier(model.dropout(model.bert.pooler(first[:, None])))
        return cross_entropy(logits, labels)

    stream = Stream((task.ids, task.lengths, task.labels), batcher=Planned(batches), shuffle=False)
    optimizer = OptimizerConfig(name="adamw", lr=1e-4, weight_decay=0.0)
    with (
        tempfile.TemporaryDirectory() as folder,
        rondel.Run(folder, settings=RunConfig(device="cpu")) as run,
    ):
        update = run.update("model", model, UpdateConfig(optimizer=optimizer))
        for _ in run.epochs(1):
            for batch in run.batches(stream):
                update(loss, *batch)


ROWS: dict[str, Callable[[Task], Prepared]] = dict(
    zip(LABELS, (pad_to_max, dynamic, grouped, same, budget, buckets), strict=True)
)

if __name__ == "__main__":
    main()
