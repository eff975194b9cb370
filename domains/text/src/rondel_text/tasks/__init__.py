"""What is learnt of a text: a class, labels, a number, a tag for each word, the text itself.

A task knows its columns, its targets, its loss, its metrics and its baseline. `task_of` makes any
of them again from the plain values that a bundle keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rondel_text.tasks.classification import Classification
from rondel_text.tasks.language import Causal, Masked
from rondel_text.tasks.multilabel import MultiLabel
from rondel_text.tasks.regression import Regression
from rondel_text.tasks.tagging import Tagging
from rondel_text.tasks.task import Task

TASKS: Mapping[str, Any] = {
    task.kind: task for task in (Classification, MultiLabel, Regression, Tagging, Causal, Masked)
}

__all__ = [
    "TASKS",
    "Causal",
    "Classification",
    "Masked",
    "MultiLabel",
    "Regression",
    "Tagging",
    "Task",
    "task_of",
]


def task_of(facts: Mapping[str, Any]) -> Task:
    """Make a task of the plain values that its ``to_facts`` returned."""
    made: Task = TASKS[facts["kind"]].from_facts(facts)
    return made
