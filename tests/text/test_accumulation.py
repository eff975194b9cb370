"""Every head of every family: the logits of transformers, and the gradient of the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from architectures import SIZES, SPECIAL, UNPADDED, VOCABULARY
from torch import Tensor

from rondel import Run, RunConfig, Stream, UpdateConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.data.columns import Columns
from rondel_text.data.labels import Labels
from rondel_text.models.pretrained import with_dropout
from rondel_text.models.transformer import HEADS, TransformerModel
from rondel_text.tasks import Causal, Classification, Masked, Tagging, Task

CLASSES = 3
LENGTHS = torch.tensor([2, 3, 3, 5, 8, 9, 12, 14])
LONGEST = 14
FAMILIES = {
    **UNPADDED,
    "mpnet": lambda: hf.MPNetConfig(**SIZES),
    "deberta": lambda: hf.DebertaV2Config(
        **SIZES, relative_attention=True, pos_att_type=["p2c", "c2p"]
    ),
}
LABELS = Labels(tuple("abc"))
TASKS: dict[str, Task] = {
    "sequence": Classification(LABELS, Columns()),
    "tokens": Tagging(LABELS, Columns()),
    "masked": Masked(Columns(), mask=3, size=VOCABULARY),
    "causal": Causal(Columns()),
}
ONE_WAY = ("bert decoder", "gpt2", "opt", "llama", "qwen2", "gpt-neox", "mistral", "gemma3")


def has_head(family: str, head: str) -> bool:
    """Tell whether transformers has a head for a family."""
    if (family in ONE_WAY) != (head == "causal") and head in ("causal", "masked"):
        return False
    return type(FAMILIES[family]()) in HEADS[head]._model_mapping


CASES = [(family, head) for family in FAMILIES for head in HEADS if head in TASKS]
CASES = [case for case in CASES if has_head(*case)]


def model_of(family: str, head: str) -> Any:
    torch.manual_seed(0)
    config = with_dropout(FAMILIES[family](), 0.0)
    config.num_labels = CLASSES
    config.pad_token_id = SPECIAL["pad_token_id"]
    return HEADS[head].from_config(config).double()


def texts() -> Texts:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(4, VOCABULARY, (len(LENGTHS), LONGEST), generator=draw)
    return Texts(ids.masked_fill(torch.arange(LONGEST) >= LENGTHS[:, None], 0), LENGTHS)


def targets_of(head: str, batch: Texts) -> Tensor:
    there = torch.arange(LONGEST) < LENGTHS[:, None]
    if head == "sequence":
        return batch.ids[:, 0] % CLASSES
    if head == "tokens":  # of half of the tokens, and so of some texts many, of some few
        return (batch.ids % CLASSES).masked_fill(~there | (batch.ids % 2 > 0), IGNORED)
    if head == "masked":
        return torch.arange(len(LENGTHS)) * 7
    following = torch.cat([batch.ids[:, 1:], batch.ids[:, :1]], 1)
    return following.masked_fill(torch.arange(LONGEST) >= LENGTHS[:, None] - 1, IGNORED)


def test_there_are_ten_families_and_four_heads() -> None:
    assert len({family for family, _ in CASES}) >= 10
    assert {head for _, head in CASES} >= set(TASKS)


@pytest.mark.parametrize(("family", "head"), CASES)
def test_the_logits_are_those_of_transformers(family: str, head: str) -> None:
    model, batch = model_of(family, head).eval(), texts()
    there = torch.arange(LONGEST) < LENGTHS[:, None]
    with torch.no_grad():
        expected = model(input_ids=batch.ids, attention_mask=there.long()).logits
        wrapped = TransformerModel(model, head)
        if head in ("causal", "masked"):
            torch.testing.assert_close(wrapped.at(batch, there), expected[there])
        elif head == "tokens":
            torch.testing.assert_close(wrapped(batch)[there], expected[there])
        else:
            torch.testing.assert_close(wrapped(batch), expected)


@pytest.mark.parametrize(("family", "head"), CASES)
def test_eight_pieces_give_the_gradient_of_the_batch(
    family: str, head: str, tmp_path: Path
) -> None:
    batch, task = texts(), TASKS[head]
    data = (batch.ids, batch.lengths, targets_of(head, batch))
    found = []
    for pieces in (1, len(LENGTHS)):
        model = TransformerModel(model_of(family, head).train(), head)

        def loss(ids: Tensor, lengths: Tensor, targets: Tensor, model: Any = model) -> Any:
            return task.loss(model, Texts(ids, lengths), targets)

        stream = Stream(data, batch_size=len(LENGTHS), shuffle=False)
        with Run(tmp_path / str(pieces), settings=RunConfig(device="cpu")) as run:
            update = run.update("model", model, UpdateConfig(micro_batches=pieces))
            (gradient,) = (update.gradient(loss, *drawn) for drawn in run.batches(stream))
        found.append(torch.cat([part.flatten() for part in gradient]))
    whole, summed = found
    assert (summed - whole).norm() <= 1e-6 * whole.norm() > 0  # rotary angles are float32
