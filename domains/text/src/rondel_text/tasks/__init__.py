"""What is learnt of a text: a class, labels, a number, tags, an answer, a partner, the text itself.

A task knows its columns, its targets, its loss, its metrics and its baseline. `task_of` makes any
of them again from the plain values that a bundle keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rondel_text.tasks.answers import Answers
from rondel_text.tasks.classification import Classification
from rondel_text.tasks.language import Causal, Masked
from rondel_text.tasks.multilabel import MultiLabel
from rondel_text.tasks.pairs import Pairs
from rondel_text.tasks.regression import Regression
from rondel_text.tasks.seq2seq import TextToText
from rondel_text.tasks.tagging import Tagging
from rondel_text.tasks.task import Task

TASKS: Mapping[str, Any] = {
    task.kind: task
    for task in (
        Classification,
        MultiLabel,
        Regression,
        Tagging,
        Answers,
        Causal,
        Masked,
        Pairs,
        TextToText,
    )
}

__all__ = [
    "TASKS",
    "Answers",
    "Causal",
    "Classification",
    "Masked",
    "MultiLabel",
    "Pairs",
    "Regression",
    "Tagging",
    "Task",
    "TextToText",
    "task_of",
]


def task_of(facts: Mapping[str, Any]) -> Task:
    """Make a task of the plain values that its ``to_facts`` returned."""
    made: Task = TASKS[facts["kind"]].from_facts(facts)
    return made
