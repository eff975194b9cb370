"""Config keys of one loop or task, given to another that does not read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rondel.config import Config, parse_overrides, resolve
from rondel.errors import ConfigError
from rondel_text.build import build
from rondel_text.config import TextConfig
from rondel_text.readership import READERS

TINY = Path(__file__).parent / "tiny"
TOPICS = (f"data={TINY / 'topics.csv'}", "model.buckets=512", "max_length=24")
PAIRS = (f"data={TINY / 'pairs.csv'}", "task=pairs", "model.buckets=512")


def refused(*words: str) -> str:
    config = resolve(TextConfig, [parse_overrides(TextConfig, words)]).config
    with pytest.raises(ConfigError) as error:
        build(config)
    return str(error.value)


@pytest.mark.parametrize(
    ("word", "reader"),
    [
        ("adversary.kind=awp", "loop=adversarial"),
        ("answers.longest=5", "task=answers"),
        ("contrastive.temperature=0.5", "loop=contrastive"),
        ("distil.teacher=runs/large/bundle", "loop=distil"),
        ("distil.alpha=0.9", "loop=distil"),
        ("gradual.epochs=2", "loop=gradual"),
        ("multitask.temperature=2", "loop=multitask"),
        ("pretraining.epochs=2", "loop=pretrain_then_finetune"),
        ("pretraining.update.optimizer.lr=0.5", "loop=pretrain_then_finetune"),
        ("seq2seq.beams=4", "loop=seq2seq"),
    ],
)
def test_a_key_that_nobody_reads_is_refused_with_its_loop(word: str, reader: str) -> None:
    message = refused(*TOPICS, word)
    assert f"{word.split('=', maxsplit=1)[0]}: the loop 'finetune' does not read it" in message
    assert f"Choose {reader}, or leave it out." in message


def test_all_keys_are_named_together() -> None:
    message = refused(*TOPICS, "loop=gradual", "distil.teacher=a", "adversary.size=0.5")
    assert message.startswith("2 config problems")
    assert "adversary.size: the loop 'gradual'" in message
    assert "distil.teacher: the loop 'gradual'" in message


def test_a_task_that_does_not_read_a_key_is_named() -> None:
    assert "does not read it for the task 'pairs'" in refused(*PAIRS, "answers.longest=5")


def test_several_tasks_read_no_keys_of_other_loops() -> None:
    data = f"multitask.tasks.topic.data={TINY / 'topics.csv'}"
    message = refused(data, "gradual.epochs=2", "answers.longest=5")
    assert "gradual.epochs: the loop 'multitask' does not read it. " in message
    assert "answers.longest: the loop 'multitask' does not read it. " in message


def test_streamed_texts_are_no_exception(tmp_path: Path) -> None:
    message = refused(*TOPICS, "streaming=true", f"cache={tmp_path}", "gradual.epochs=2")
    assert "gradual.epochs" in message


@pytest.mark.parametrize(
    "words",
    [
        (*TOPICS, "loop=adversarial", "adversary.kind=awp"),
        (*TOPICS, "loop=distil", "distil.kind=ema", "distil.weight=0.5"),
        (*TOPICS, "distil.kind=frozen", "adversary.kind=fgm", "gradual.epochs=1"),
        (*PAIRS, "contrastive.temperature=0.5"),
    ],
)
def test_keys_that_are_read_or_have_their_defaults_pass(words: Sequence[str]) -> None:
    build(resolve(TextConfig, [parse_overrides(TextConfig, words)]).config)


def test_every_group_of_a_single_loop_has_a_reader() -> None:
    of_all = {"run", "model", "update"}
    groups = {
        name
        for name, field in TextConfig.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Config)
    }
    assert groups - of_all == set(READERS)
