"""Claim: 8 micro-batches give the gradient of one batch, for every task head that we tried.

The gradient of the same 64 texts, of very different lengths, computed in one piece and in eight:
by rondel, and by transformers' Trainer (``gradient_accumulation_steps=8``). Each is compared with
its own gradient in one piece: the relative difference in norm, and how much longer the gradient
became. Dropout is off, weights are random, float32. A float32 sum in another order differs by
about 1e-7 to 1e-6.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
import transformers as hf
from ratios import environment, print_table, write_json
from torch import Tensor

from rondel import Run, RunConfig, Stream, UpdateConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.data.columns import Columns
from rondel_text.data.labels import Labels
from rondel_text.models.pretrained import with_dropout
from rondel_text.models.transformer import HEADS, TransformerModel
from rondel_text.tasks import Causal, Classification, Masked, Regression, Tagging, Task

TEXTS, LONGEST, PIECES = 64, 40, 8
VOCABULARY, CLASSES, MASK, FIRST_WORD = 200, 5, 4, 5
SPECIAL: Mapping[str, int] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES: Mapping[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    **SPECIAL,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
BOTH_WAYS = ("sequence", "regression", "tokens", "masked")
ONE_WAY = ("sequence", "tokens", "causal")
LIMIT = 1e-5


@dataclass(frozen=True)
class Architecture:
    """A family of models, and the heads that transformers has for it."""

    config: Callable[..., Any]
    heads: tuple[str, ...] = BOTH_WAYS


ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(lambda **s: hf.BertConfig(**SIZES, **s)),
    "roberta": Architecture(lambda **s: hf.RobertaConfig(**SIZES, **s)),
    "xlm-roberta": Architecture(lambda **s: hf.XLMRobertaConfig(**SIZES, **s)),
    "camembert": Architecture(lambda **s: hf.CamembertConfig(**SIZES, **s)),
    "distilbert": Architecture(
        lambda **s: hf.DistilBertConfig(
            vocab_size=VOCABULARY, dim=32, n_layers=2, n_heads=4, hidden_dim=64, **SPECIAL, **s
        )
    ),
    "albert": Architecture(lambda **s: hf.AlbertConfig(**SIZES, embedding_size=16, **s)),
    "electra": Architecture(lambda **s: hf.ElectraConfig(**SIZES, embedding_size=16, **s)),
    "mpnet": Architecture(lambda **s: hf.MPNetConfig(**SIZES, **s)),
    "deberta-v2": Architecture(
        lambda **s: hf.DebertaV2Config(
            **SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"], **s
        )
    ),
    "modernbert": Architecture(
        lambda **s: hf.ModernBertConfig(**SIZES, cls_token_id=1, sep_token_id=2, **s)
    ),
    "gpt2": Architecture(
        lambda **s: hf.GPT2Config(
            vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, **SPECIAL, **s
        ),
        ONE_WAY,
    ),
    "llama": Architecture(lambda **s: hf.LlamaConfig(**GROUPED, **s), ONE_WAY),
    "qwen2": Architecture(lambda **s: hf.Qwen2Config(**GROUPED, **s), ONE_WAY),
    "gpt-neox": Architecture(lambda **s: hf.GPTNeoXConfig(**SIZES, **s), ONE_WAY),
}
OUTPUTS: Mapping[str, int] = {"sequence": CLASSES, "tokens": CLASSES, "regression": 1}


@dataclass
class Row:
    """What eight pieces do to the gradient of one head, by one system."""

    architecture: str
    head: str
    system: str
    difference: float
    longer: float
    failure: str = ""


def main() -> None:
    """Measure all heads, print a table, store it if asked; exit 1 if ours differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="architectures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store the measurements")
    options = parser.parse_args()
    hf.logging.set_verbosity_error()
    torch.set_num_threads(1)
    rows = [
        compare(name, head, system)
        for name, architecture in ARCHITECTURES.items()
        if not options.only or name in options.only
        for head in architecture.heads
        for system in SYSTEMS
    ]
    report(rows)
    settings = {"texts": TEXTS, "pieces": PIECES, "longest": LONGEST}
    write_json(options.json, settings=settings, rows=[asdict(row) for row in rows])
    if any(row.failure or row.difference > LIMIT for row in rows if row.system == "rondel"):
        raise SystemExit("A gradient of rondel differs.")


def report(rows: list[Row]) -> None:
    """Print each head with both systems in one line, and both in sum."""
    print("\n" + json.dumps(environment()) + "\n")
    by_system = {
        system: {(row.architecture, row.head): row for row in rows if row.system == system}
        for system in SYSTEMS
    }
    ours, theirs = by_system["rondel"], by_system["Trainer"]
    header = ("model", "head", "rondel differs by", "Trainer differs by", "its gradient is")
    table = [
        (*key, shown(ours[key]), shown(theirs[key]), f"{theirs[key].longer:.3f} times as long")
        for key in ours
    ]
    print_table(header, table)
    for system, found in by_system.items():
        sound = [row.difference for row in found.values() if not row.failure]
        within = sum(difference <= LIMIT for difference in sound)
        print(
            f"{system}: {within} of {len(found)} heads within {LIMIT:g}; "
            f"median {median(sound):.1e}, largest {max(sound):.1e}"
            if sound
            else f"{system}: none"
        )


def shown(row: Row) -> str:
    """Return a difference, or why there is none."""
    return row.failure or f"{row.difference:.1e}"


def compare(name: str, head: str, system: str) -> Row:
    """Return what pieces change."""
    batch = Batch.drawn(head)
    try:
        whole, pieces = (SYSTEMS[system](model_of(name, head), batch, n) for n in (1, PIECES))
    except (RuntimeError, ValueError, TypeError, ImportError) as error:
        failure = f"{type(error).__name__}: {error}".splitlines()[0][:60]
        return Row(name, head, system, float("nan"), float("nan"), failure)
    scale = whole.norm().item()
    difference = (pieces - whole).norm().item() / scale
    return Row(name, head, system, difference, pieces.norm().item() / scale)


def model_of(name: str, head: str) -> Any:
    """Build a model without dropout, always with the same weights."""
    outputs = {"num_labels": OUTPUTS[head]} if head in OUTPUTS else {}
    config = ARCHITECTURES[name].config(**outputs)
    config = with_dropout(config, 0.0)
    if head == "regression":
        config.problem_type = "regression"
    torch.manual_seed(1)
    return HEADS["sequence" if head == "regression" else head].from_config(config).train()


@dataclass(frozen=True)
class Batch:
    """The texts, and what is to be told of them.

    Args:
        ids: (B, L) int64, 0 behind the end of a text.
        lengths: (B,) int64.
        targets: (B,) classes or numbers; (B, L) tags or tokens, -100 where nothing counts.
        seeds: (B,) int64, for a task that hides tokens.
    """

    ids: Tensor
    lengths: Tensor
    targets: Tensor
    seeds: Tensor

    @classmethod
    def drawn(cls, head: str) -> Batch:
        """Draw texts of 4 to 40 tokens and the targets of a head."""
        draw = torch.Generator().manual_seed(0)
        lengths = torch.randint(4, LONGEST + 1, (TEXTS,), generator=draw)
        lengths[0] = LONGEST
        lengths, _ = lengths.sort()  # so that pieces hold different numbers of tokens
        ids = torch.randint(FIRST_WORD, VOCABULARY, (TEXTS, LONGEST), generator=draw)
        there = torch.arange(LONGEST) < lengths[:, None]
        ids = ids.masked_fill(~there, 0)
        seeds = torch.randint(1 << 40, (TEXTS,), generator=draw)
        if head == "sequence":
            targets = ids[:, 0] % CLASSES
        elif head == "regression":
            targets = torch.randn(TEXTS, generator=draw)
        elif head == "tokens":
            few = torch.rand(TEXTS, LONGEST, generator=draw) < 0.5
            targets = (ids % CLASSES).masked_fill(~(there & few), IGNORED)
        else:
            targets = ids.masked_fill(~there, IGNORED)
        return cls(ids, lengths, targets, seeds)


# -- systems ---------------------------------------------------------------------------------------


def rondel_gradient(model: Any, batch: Batch, pieces: int) -> Tensor:
    """Return the gradient of a batch by the task's own loss and one update."""
    head = next(name for name, auto in HEADS.items() if type(model) in auto._model_mapping.values())
    wrapped = TransformerModel(model, head)
    task = task_of(head, model.config)
    targets = batch.seeds if head == "masked" else batch.targets
    if head == "causal":  # the token that follows
        targets = F.pad(targets[:, 1:], (0, 1), value=IGNORED)
    stream = Stream((batch.ids, batch.lengths, targets), batch_size=TEXTS, shuffle=False)

    def loss(ids: Tensor, lengths: Tensor, targets: Tensor) -> Any:
        return task.loss(wrapped, Texts(ids, lengths), targets)

    with (
        tempfile.TemporaryDirectory() as folder,
        Run(folder, settings=RunConfig(device="cpu")) as run,
    ):
        update = run.update("model", wrapped, UpdateConfig(micro_batches=pieces))
        (found,) = (update.gradient(loss, *drawn) for drawn in run.batches(stream))
    return torch.cat([gradient.flatten() for gradient in found])


def task_of(head: str, config: Any) -> Task:
    """Return the task of a head."""
    labels = Labels(tuple(str(number) for number in range(CLASSES)))
    if head == "sequence" and config.problem_type == "regression":
        return Regression(0.0, 1.0, Columns())
    if head == "sequence":
        return Classification(labels, Columns())
    if head == "tokens":
        return Tagging(labels, Columns())
    if head == "masked":
        return Masked(Columns(), mask=MASK, size=VOCABULARY)
    return Causal(Columns())


def trainer_gradient(model: Any, batch: Batch, pieces: int) -> Tensor:
    """Return the gradient that the Trainer's optimizer would step by."""
    targets = batch.targets
    if type(model).__name__.endswith("ForMaskedLM"):
        _, chosen = Masked(Columns(), mask=MASK, size=VOCABULARY).hide(
            Texts(batch.ids, batch.lengths), batch.seeds
        )
        targets = targets.masked_fill(~chosen, IGNORED)
    mask = (torch.arange(LONGEST) < batch.lengths[:, None]).long()
    samples = [
        {"input_ids": ids, "attention_mask": there, "labels": target}
        for ids, there, target in zip(batch.ids, mask, targets, strict=True)
    ]
    found: list[Tensor] = []

    class Look(hf.TrainerCallback):  # type: ignore[misc]  # transformers is not followed by mypy
        """Keeps the gradient just before the step."""

        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            found.append(flat_gradient(model))

    class Ordered(hf.Trainer):  # type: ignore[misc]
        """Sees the texts in their order."""

        def _get_train_sampler(self, *_: Any) -> Any:
            return range(TEXTS)

    with tempfile.TemporaryDirectory() as folder:
        arguments = hf.TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=TEXTS // pieces,
            gradient_accumulation_steps=pieces,
            max_steps=1,
            learning_rate=0.0,
            max_grad_norm=0.0,
            optim="sgd",
            use_cpu=True,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
        )
        Ordered(model, arguments, train_dataset=samples, callbacks=[Look()]).train()
    return found[0]


def flat_gradient(model: Any) -> Tensor:
    """Return the gradient of all parameters as one vector."""
    return torch.cat(
        [
            (torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten()
            for p in model.parameters()
        ]
    )


SYSTEMS: Mapping[str, Callable[[Any, Batch, int], Tensor]] = {
    "rondel": rondel_gradient,
    "Trainer": trainer_gradient,
}

if __name__ == "__main__":
    main()
