"""The one tree of errors.

    RondelError                 1   unexpected, or a rule of the engine was broken
    |-- UsageError              2   the command line or an argument is wrong
    |   `-- ConfigError         2   one or several config keys are wrong
    |-- PluginError             3   a plugin or a domain is missing or broken
    |-- DataError               4   the data cannot be used as it is
    |-- DivergedError           5   a loss, gradient or parameter is not finite
    |-- LoopError               1   a loop broke a rule of resumable iterators
    |-- LossError               1   a loss function returned something that is no Loss
    |-- StateError              1   state registered twice, unclaimed or unowned
    |-- CheckpointError         1   a checkpoint or bundle is damaged or does not fit
    |-- LostProcessError        1   another process of the group is gone
    |-- DirectoryError          1   a run directory cannot be used
    |   `-- LockedError        73   another process works in the run directory
    `-- Interrupted            75   stopped by a signal; resumable

The number is the exit code of the command line. Every message has three parts: what happened,
where, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class RondelError(Exception):
    """What happened, where, and what to do next.

    Args:
        what: The problem, with the offending value.
        where: File, key, plugin or step; stands in front of the message.
        hint: What the reader can do now; a whole sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        located = f"{self.where}: {self.what}" if self.where else self.what
        if not self.hint:
            return located
        return f"{located}{'' if located.endswith(('.', '!', '?')) else '.'} {self.hint}"


class UsageError(RondelError):
    """The command line or an argument of a public function is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """One or several config keys are wrong; all problems are reported together."""

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        hint: str = "",
        problems: tuple[RondelError, ...] = (),
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.problems = problems

    @classmethod
    def collect(cls, problems: list[RondelError]) -> ConfigError:
        """Merge several problems into one error, one line each."""
        if len(problems) == 1:
            only = problems[0]
            return cls(only.what, where=only.where, hint=only.hint, problems=(only,))
        lines = "\n".join(f"  {problem}" for problem in problems)
        return cls(f"{len(problems)} config problems:\n{lines}", problems=tuple(problems))


class PluginError(RondelError):
    """A plugin or a domain is missing, broken or incompatible."""

    exit_code = 3


class DataError(RondelError):
    """The data cannot be used as it is."""

    exit_code = 4


class DivergedError(RondelError):
    """A loss, a gradient or a parameter is not finite."""

    exit_code = 5


class LoopError(RondelError):
    """A loop broke a rule of resumable iterators."""


class LossError(RondelError):
    """A loss function returned something that cannot be used as a loss."""


class StateError(RondelError):
    """State was registered twice, never claimed, or belongs to no registered module."""


class CheckpointError(RondelError):
    """A checkpoint or a bundle is damaged or does not fit."""


class LostProcessError(RondelError):
    """Another process of the group is gone; its own message tells more than this one."""


class DirectoryError(RondelError):
    """A run directory cannot be used."""


class LockedError(DirectoryError):
    """Another process works in the run directory."""

    exit_code = 73


class Interrupted(RondelError):  # noqa: N818 - not a fault: the run can be resumed
    """A signal stopped the run at a safe point; it can be resumed."""

    exit_code = 75
