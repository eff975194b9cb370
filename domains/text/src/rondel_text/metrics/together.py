"""The metrics of several tasks as one, so that processes merge them before a mean is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rondel import Metric, Watch
from rondel.metric import merged

MEAN = "mean"


class Together:
    """The values of each task as ``task.value``, and the mean of those that the tasks watch.

    Args:
        metrics: The metrics of each task, by name.
        watched: The metric that each task watches; one that is better when lower counts negative.
    """

    def __init__(
        self, metrics: Mapping[str, Mapping[str, Metric]], watched: Mapping[str, Watch]
    ) -> None:
        self._metrics = metrics
        self._watched = watched

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the state of another process."""
        for task, metrics in self._metrics.items():
            for name, metric in metrics.items():
                metric.merge(state[task][name])

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of each metric of each task."""
        return {
            task: {name: metric.state_dict() for name, metric in metrics.items()}
            for task, metrics in self._metrics.items()
        }

    def compute(self) -> dict[str, float]:
        """Return the values of all tasks, and the mean."""
        values = {task: merged(metrics, []) for task, metrics in self._metrics.items()}
        return together(values, self._watched)


def together(
    values: Mapping[str, Mapping[str, float]], watched: Mapping[str, Watch]
) -> dict[str, float]:
    """Return ``task.value`` of all values, and the mean of the watched ones under `MEAN`.

    The mean is left out if a task lacks what it watches.
    """
    named = {f"{task}.{name}": value for task, own in values.items() for name, value in own.items()}
    signs = {task: 1 if watched[task].mode == "max" else -1 for task in values}
    if all(watched[task].metric in own for task, own in values.items()):
        marks = [signs[task] * own[watched[task].metric] for task, own in values.items()]
        named[MEAN] = sum(marks) / len(marks)
    return named
