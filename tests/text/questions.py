"""Questions about short contexts: what the tests of answers share."""

from __future__ import annotations

import collections
import json
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.loops.text_loop import TextLoop
from rondel_text.tasks import Answers
from rondel_text.tokenizers.subwords import SubwordTokenizer

TINY = Path(__file__).parent / "tiny" / "questions.json"
BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    *("model.vocabulary=400", "max_length=40", "batch_size=16", "epochs=1"),
)
CONTEXT = "Jan has a red boat. The boat is old. Mia has a blue kite, and the kite is new."


def config_of(*words: str) -> TextConfig:
    return resolve(TextConfig, [parse_overrides(TextConfig, words)]).config


def built(*words: str) -> TextLoop:
    keyed.reseed(0)
    return build(config_of(*words))


def small_loop() -> TextLoop:
    """Return a small BERT on windows that no context fits into."""
    made = built(f"data={TINY}", *BERT)
    made.model.eval()
    with torch.no_grad():  # as it is made, no span is better than another
        for parameter in made.model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return made


def tokenizer_of(loop: TextLoop) -> SubwordTokenizer:
    return cast(SubwordTokenizer, loop.material.tokenizer)


def answers_task(loop: TextLoop) -> Answers:
    assert isinstance(loop.task, Answers)
    return loop.task


def jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def rows_of(count: int = 12) -> list[dict[str, Any]]:
    names = ("Jan", "Mia", "Tom", "Eva")
    return [
        {
            "context": f"{names[i % 4]} has {i + 2} boats. They are red. The shop opens at nine.",
            "question": f"Who has {i + 2} boats?",
            "answer": names[i % 4],
            "answer_start": 0,
        }
        for i in range(count)
    ]


def questions_of(path: Path) -> list[dict[str, Any]]:
    """Return the questions of a file of SQuAD's form as they stand in it."""
    return [
        question
        for article in json.loads(path.read_text())["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def naive_words(text: str) -> list[str]:
    """Normalise as the evaluation script of SQuAD describes it."""
    lowered = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", lowered).split()


def naive_scores(told: str, accepted: Sequence[str]) -> tuple[float, float]:
    answers = [text for text in accepted if naive_words(text)] or [""]
    exact = max(naive_words(told) == naive_words(answer) for answer in answers)
    best = 0.0
    for answer in answers:
        mine, true = naive_words(told), naive_words(answer)
        same = sum((collections.Counter(mine) & collections.Counter(true)).values())
        if not mine or not true:
            best = max(best, float(mine == true))
        elif same:
            precision, recall = same / len(mine), same / len(true)
            best = max(best, 2 * precision * recall / (precision + recall))
    return float(exact), best
