"""Claim: a step of rondel costs at most 0.05 ms over the hand-written loop that does the same.

A tiny BERT classifier, batches of 8 texts of 16 tokens from memory, AdamW (the same fused kernel),
gradient clipping, a linear schedule, dropout on. CPU time of a whole turn of the loop, from one
forward pass to the next, less that of the hand-written loop in the same round. All rows compute
padded batches by the same model of transformers.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers as hf
from ratios import print_table, write_json
from text_throughput import Clock
from torch import Tensor

from rondel import OptimizerConfig, Run, RunConfig, ScheduleConfig, Stream, UpdateConfig

BATCH, LENGTH, VOCABULARY, CLASSES = 8, 16, 500, 4
LR, CLIP = 1e-3, 1.0
HAND = "hand-written loop"


@dataclass
class Row:
    """CPU time of a step, round by round."""

    label: str
    step_ms: list[float] = field(default_factory=list)
    over_ms: list[float] = field(default_factory=list)


def main() -> None:
    """Measure in alternation, print, store if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15, help="rounds (15)")
    parser.add_argument("--steps", type=int, default=300, help="steps of a round (300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    options = parser.parse_args()
    hf.logging.set_verbosity_error()
    torch.set_num_threads(1)
    rows = {label: Row(label) for label in ROWS}
    for label in ROWS:  # a round that does not count
        step_ms(label, options.steps // 4)
    for number in range(options.rounds):
        turn = number % len(ROWS)
        order = [*list(ROWS)[turn:], *list(ROWS)[:turn]]
        for label in order:
            rows[label].step_ms.append(step_ms(label, options.steps))
    for row in rows.values():
        pairs = zip(row.step_ms, rows[HAND].step_ms, strict=True)
        row.over_ms = [mine - hand for mine, hand in pairs]
    header = ("loop", "ms per step", "ms over the hand-written one: median (span)")
    table = [
        (
            row.label,
            f"{median(row.step_ms):.3f}",
            f"{median(row.over_ms):+.3f} ({min(row.over_ms):+.3f}..{max(row.over_ms):+.3f})",
        )
        for row in rows.values()
    ]
    print_table(header, table)
    settings = {"rounds": options.rounds, "steps": options.steps}
    write_json(options.json, settings=settings, rows=[asdict(row) for row in rows.values()])


def step_ms(label: str, steps: int) -> float:
    """Train with a loop; return the CPU time of a step."""
    torch.manual_seed(1)
    config = hf.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=CLASSES,
    )
    model = hf.BertForSequenceClassification(config).train()
    clock = Clock()
    model.register_forward_pre_hook(clock)
    ids = torch.randint(5, VOCABULARY, (steps * BATCH, LENGTH))
    data = (ids, torch.ones_like(ids), ids[:, 0] % CLASSES)
    ROWS[label](model, data, steps)
    return clock.seconds(steps) / (steps - 2) * 1000


Data = tuple[Tensor, Tensor, Tensor]


def hand_written(model: Any, data: Data, steps: int) -> None:
    """Train as one writes it: a permutation, slices, clip, step, schedule; the loss is logged."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    losses = []
    for rows in torch.randperm(len(data[0])).split(BATCH):
        ids, mask, labels = (column[rows] for column in data)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())


def rondel(model: Any, data: Data, steps: int) -> None:  # noqa: ARG001
    """Train with a run of rondel, with what is on by default."""

    def loss(ids: Tensor, mask: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        return found

    stream = Stream(data, batch_size=BATCH)
    settings = UpdateConfig(
        optimizer=OptimizerConfig(name="adamw", lr=LR),
        schedule=ScheduleConfig(name="linear"),
        clip_norm=CLIP,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Run(folder, settings=RunConfig(device="cpu")) as run,
    ):
        update = run.update("model", model, settings, total=stream.planned(1))
        for _ in run.epochs(1):
            for batch in run.batches(stream):
                update(loss, *batch)


def trainer(model: Any, data: Data, steps: int) -> None:
    """Train with transformers' Trainer."""
    samples = [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, label in zip(*data, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        arguments = hf.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=BATCH,
            max_steps=steps,
            learning_rate=LR,
            max_grad_norm=CLIP,
            optim="adamw_torch_fused",
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
            logging_steps=10 * steps,
        )
        hf.Trainer(model, arguments, train_dataset=samples).train()


ROWS: Mapping[str, Callable[[Any, Data, int], None]] = {
    HAND: hand_written,
    "rondel": rondel,
    "transformers.Trainer": trainer,
}

if __name__ == "__main__":
    main()
