"""Answers cut out of contexts: windows, targets, the loss, the best span."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from questions import CONTEXT, answers_task, small_loop, tokenizer_of
from torch import Tensor, nn

from rondel_text.data.passages import passages
from rondel_text.data.rows import Rows
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.transformer import TransformerModel
from rondel_text.tasks import Answers
from rondel_text.tasks.spans import best_spans, span_logits, span_losses
from rondel_text.tokenizers.subwords import SubwordTokenizer


@pytest.fixture(scope="module")
def loop() -> TextLoop:
    return small_loop()


# -- windows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [16, 25, 40, 400])
@pytest.mark.parametrize("overlap", [0, 3, None])
def test_windows_hold_every_token_of_the_context_and_repeat_some(
    loop: TextLoop, longest: int, overlap: int | None
) -> None:
    whole = tokenizer_of(loop)
    tokenizer = SubwordTokenizer(whole.fast, longest)
    contexts = [CONTEXT, "Short.", CONTEXT * 3]
    questions = ["What has Jan?", "How?", "Which colour is the kite of Mia?"]
    made = passages(questions, contexts, tokenizer, overlap=overlap).encoded
    assert made.sources is not None
    assert made.offsets is not None
    assert int(made.ids.lengths.max()) <= longest
    for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        asked = whole.fast(question, add_special_tokens=False)["input_ids"]
        plain = whole.fast(context, add_special_tokens=False, return_offsets_mapping=True)
        kept = asked[: (longest - 3) // 2]
        room = longest - 3 - len(kept)
        windows = [w for w in range(len(made)) if int(made.sources[w]) == row]
        seen: list[int] = []
        for number, window in enumerate(windows):
            ids, offsets = made.ids[window].tolist(), made.offsets[window].tolist()
            head = [whole.fast.cls_token_id, *kept, whole.fast.sep_token_id]
            assert ids[: len(head)] == head
            assert ids[-1] == whole.fast.sep_token_id
            assert offsets[: len(head)] == [[-100, -100]] * len(head)
            known = list(zip(plain["input_ids"], plain["offset_mapping"], strict=True))
            some = [
                (token, tuple(place))
                for token, place in zip(ids[len(head) : -1], offsets[len(head) : -1], strict=True)
            ]
            first = known.index(some[0])
            places = list(range(first, first + len(some)))
            assert [known[place] for place in places] == some
            if number:
                wanted = longest // 3 if overlap is None else overlap
                assert seen[-1] + 1 - places[0] == min(wanted, room - 1)
            seen += [place for place in places if place not in seen]
        assert seen == list(range(len(plain["input_ids"])))
        assert made.cut[windows[0]] == len(asked) - len(kept)
    assert made.types is not None
    for window in range(len(made)):
        assert torch.equal(made.types[window][:-1] == 1, made.offsets[window][:-1, 0] >= 0)


def naive_target(offsets: Sequence[Sequence[int]], context: str, start: int, end: int) -> Any:
    """Return the tokens that hold all letters of an answer, or 0, 0 if one of them is not there."""
    holding = {
        at: [token for token, (a, b) in enumerate(offsets) if a <= at < b]
        for at in range(start, end)
        if not context[at].isspace()
    }
    if not all(holding.values()):
        return 0, 0
    tokens = [token for some in holding.values() for token in some]
    return min(tokens), max(tokens)


def test_targets_are_the_tokens_of_the_whole_answer_or_the_first_mark(loop: TextLoop) -> None:
    texts = loop.material.train
    starts, ends = (cast(Tensor, target).tolist() for target in texts.targets)
    offsets = texts.encoded.offsets
    assert offsets is not None
    whole = 0
    for window in range(len(texts)):
        row = {name: cells[window] for name, cells in texts.rows.columns.items()}
        expected = (0, 0)
        if row["answer"]:
            start = row["answer_start"][0]
            end = start + len(row["answer"][0])
            expected = naive_target(offsets[window].tolist(), row["context"], start, end)
        assert (starts[window], ends[window]) == expected
        if expected != (0, 0):
            whole += 1
            a, b = int(offsets[window][starts[window], 0]), int(offsets[window][ends[window], 1])
            assert row["context"][a:b].strip() == row["answer"][0]
    assert 0 < whole < len(texts)


def test_an_answer_across_the_end_of_a_window_is_whole_in_the_next_if_it_repeats_enough(
    loop: TextLoop,
) -> None:
    tokenizer = SubwordTokenizer(tokenizer_of(loop).fast, 24)
    words = [(found.start(), found.end()) for found in re.finditer(r"\w+", CONTEXT)]
    places = [(a, b) for (a, _), (_, b) in itertools.pairwise(words)]
    whole = {}
    for overlap in (0, 8):
        made = passages(
            ["Who?"] * len(places),
            [CONTEXT] * len(places),
            tokenizer,
            overlap=overlap,
            answers=places,
        )
        sources = made.encoded.sources
        assert sources is not None
        whole[overlap] = len(set(sources[made.ends != 0].tolist()))
    assert whole[0] < whole[8] == len(places)


# -- the loss --------------------------------------------------------------------------------------


def transformers_loss(loop: TextLoop, window: int) -> float:
    """Return what transformers computes for one window, which has no padding."""
    model = cast(Any, loop.model).model
    texts, start, end = loop.material.train.batch_of(torch.tensor([window]))
    output = model(
        input_ids=texts.ids,
        attention_mask=torch.ones_like(texts.ids),
        token_type_ids=texts.types,
        start_positions=start,
        end_positions=end,
    )
    return float(output.loss)


@torch.no_grad()
def test_the_loss_is_that_of_transformers_for_each_window(loop: TextLoop) -> None:
    batch = loop.material.train.batch_of(torch.arange(12))
    loss = loop.loss(*batch)
    expected = [transformers_loss(loop, window) for window in range(12)]
    assert loss.count == 12
    assert float(loss.sum) == pytest.approx(sum(expected), rel=1e-5)


def test_the_loss_is_the_mean_of_both_cross_entropies() -> None:
    logits = torch.randn(3, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    starts, ends = torch.tensor([0, 2, 6]), torch.tensor([0, 5, 6])
    found = span_losses(logits, starts, ends)
    for row in range(3):
        told = [logits[row, :, side].exp() for side in range(2)]
        first = -(told[0][starts[row]] / told[0].sum()).log()
        last = -(told[1][ends[row]] / told[1].sum()).log()
        torch.testing.assert_close(found[row], (first + last) / 2, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_padding_takes_no_part_in_the_loss(loop: TextLoop) -> None:
    order = loop.material.train.lengths.argsort()
    short, long = order[:3], order[-3:]
    alone = loop.loss(*loop.material.train.batch_of(short)).sum
    both = loop.loss(*loop.material.train.batch_of(torch.cat((short, long)))).sum
    rest = loop.loss(*loop.material.train.batch_of(long)).sum
    assert loop.material.train.lengths[short].max() < loop.material.train.lengths[long].max()
    torch.testing.assert_close(both, alone + rest, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_logits_are_the_same_with_padding(loop: TextLoop) -> None:
    assert loop.model.reading.startswith("without padding")
    model = cast(TransformerModel, loop.model)
    texts, *_ = loop.material.valid.batch_of(torch.arange(9))
    padded = TransformerModel(model.model, "answers", unpadded=False)
    expected = span_logits(padded, texts)
    torch.testing.assert_close(span_logits(model, texts), expected, rtol=1e-4, atol=1e-5)


# -- the best span ---------------------------------------------------------------------------------


@pytest.mark.parametrize("longest", [1, 3, 50])
def test_the_best_span_is_that_of_a_search_over_all(longest: int) -> None:
    draw = torch.Generator().manual_seed(longest)
    logits = torch.randn(6, 12, 2, dtype=torch.float64, generator=draw)
    offsets = torch.stack((torch.arange(12), torch.arange(12) + 1), 1).expand(6, 12, 2).clone()
    for row in range(6):
        offsets[row, : row + 1] = -100  # question and marks
        offsets[row, 12 - row // 2 :] = -100
    scores, first, last = best_spans(logits, offsets, longest)
    for row in range(6):
        spans = [
            (float(logits[row, i, 0] + logits[row, j, 1]), i, j)
            for i, j in itertools.product(range(12), repeat=2)
            if i <= j < i + longest and offsets[row, i, 0] >= 0 and offsets[row, j, 0] >= 0
        ]
        assert (float(scores[row]), int(first[row]), int(last[row])) == max(spans)


def test_a_window_without_any_context_offers_nothing(loop: TextLoop) -> None:
    task = answers_task(loop)
    rows = Rows.of({"context": ["\u200b"], "question": ["Who?"]}, name="x")
    made = task.encode_inputs(rows, tokenizer_of(loop))
    texts, *extra = made.batch_of(torch.tensor([0]))
    found = task.predictions(loop.model, texts, *extra)
    (answer,) = task.answered(found)
    assert answer == {"answer": "", "start": None, "end": None, "score": None}


class Told(nn.Module):
    """Answers with a span of tokens for each window, and with a score for 'no answer'."""

    def __init__(self, spans: Sequence[tuple[int, int, float]], none: float = 0.0) -> None:
        super().__init__()
        self.spans, self.none = spans, none

    def forward(self, texts: Any) -> Tensor:
        logits = torch.full((*texts.ids.shape, 2), -9.0)
        for row, (start, end, score) in enumerate(self.spans):
            logits[row, start, 0] = logits[row, end, 1] = score / 2
        logits[:, 0] = self.none / 2
        return logits


def test_the_answer_is_cut_from_the_context_as_it_stands_there(loop: TextLoop) -> None:
    """Not made of tokens again, which would lose capitals, accents and blanks."""
    context = "Am  Café «Ølsted» trank  ZOË\ttea."
    rows = Rows.of({"context": [context], "question": ["Who?"]}, name="x")
    made = answers_task(loop).encode_inputs(rows, tokenizer_of(loop))
    offsets = made.encoded.offsets
    assert offsets is not None
    text = "Café «Ølsted» trank  ZOË\ttea"
    tokens = naive_target(offsets[0].tolist(), context, context.index(text), len(context) - 1)
    texts, *extra = made.batch_of(torch.arange(len(made)))
    task = Answers(loop.task.columns, unanswerable=False)
    told = [(*tokens, 5.0)] * len(made)
    (answer,) = task.answered(task.predictions(cast(Any, Told(told)), texts, *extra))
    assert answer["answer"] == text
    assert context[answer["start"] : answer["end"]] == text
