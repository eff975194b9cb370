"""Where a run stands: a tree of cursors that mirrors the iterators that are open.

The k-th iterator (or ``once``, or evaluation) opened in a body is the k-th child of that body's
cursor. The tree, and the state registered in the open bodies, is all that a checkpoint needs to
say where a plain Python loop was cut; the same Python, run again, finds its way back to the cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from rondel.errors import LoopError, StateError

T = TypeVar("T")
END = object()


@runtime_checkable
class Stateful(Protocol):
    """Anything whose state can be read and put back."""

    def state_dict(self) -> Any:
        """Return the state: tensors, numbers, strings and containers of them."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Put a state back."""


@dataclass(slots=True)
class Cursor:
    """One iterator: how many items it has finished, and the iterators opened in the current one."""

    index: int = 0
    done: bool = False
    left: bool = False
    """Done by ``break`` or by a stop, not by running out of items."""
    value: Any = None
    """What the iterator keeps for itself: the pass of a stream, the result of an evaluation."""
    children: list[Cursor] = field(default_factory=list)
    states: dict[str, Any] = field(default_factory=dict)
    """Saved states of the current item, still to be claimed. Empty in a straight run."""

    def to_tree(self) -> dict[str, Any]:
        """Return the cursor as plain containers; states of open bodies are added by the course."""
        children = [child.to_tree() for child in self.children]
        return {
            "index": self.index,
            "done": self.done,
            "left": self.left,
            "value": self.value,
            "children": children,
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Cursor:
        """Rebuild a cursor and everything below it."""
        children = [cls.from_tree(child) for child in tree["children"]]
        return cls(
            index=tree["index"],
            done=tree["done"],
            left=tree["left"],
            value=tree["value"],
            children=children,
            states=dict(tree.get("states", {})),
        )


class Body:
    """The body of an open iterator: what was opened and registered during the current item."""

    __slots__ = ("cursor", "kind", "offset", "opened", "tracked")

    def __init__(self, cursor: Cursor, kind: str, offset: int = 0) -> None:
        self.cursor = cursor
        self.kind = kind
        self.offset = offset
        self.opened = 0
        self.tracked: dict[str, Stateful] = {}

    def release(self) -> None:
        """End the current item: what was opened and registered in it is over."""
        if self.cursor.states:
            raise unclaimed(self.cursor.states, self.kind)
        self.opened = 0
        if self.tracked:
            self.tracked.clear()
        if self.cursor.children:
            self.cursor.children.clear()


class Course:
    """The way through a loop: the cursor tree, the open bodies, and the cut of a resumed run.

    Args:
        safe_point: Called between two items of any iterator; may write `state_dict`.
        reached: Called once, when a resumed run arrives where it was cut.
    """

    def __init__(self, safe_point: Callable[[], None], reached: Callable[[], None]) -> None:
        self.root = Cursor()
        self.bodies = [Body(self.root, "run")]
        self.step = 0
        """How many safe points were passed; names checkpoints and rows of the log."""
        self.replaying = False
        """A resumed run is on its way back to the cut: its effects are in the state already."""
        self.stopped: str | None = None
        """Why the run was stopped; every iterator ends at its next item."""
        self._path: list[int] = []
        self._cut = self._at = self.root
        self._saved: list[dict[str, Any]] = []
        self._safe_point = safe_point
        self._reached = reached
        self._atomic = 0

    # -- opening and walking -------------------------------------------------------------------

    def open(self) -> Cursor:
        """Return the cursor of the next iterator of the current body."""
        body = self.bodies[-1]
        children = body.cursor.children
        if body.opened == len(children):
            children.append(Cursor())
        body.opened += 1
        return children[body.opened - 1]

    def walk(
        self, cursor: Cursor, kind: str, items: Iterator[T], length: int | None, offset: int = 0
    ) -> Iterator[T]:
        """Hand out items, which start at ``cursor.index``, with a safe point after each.

        Leaving by ``break`` marks the cursor as done; so does an exception, but no safe point
        follows one, so no checkpoint ever holds that.
        """
        if cursor.done and not self._reopen(cursor, length):
            self.pass_by(cursor)
            return
        bodies, body = self.bodies, Body(cursor, kind, offset)
        bodies.append(body)
        cursor.left = True
        try:
            while True:
                if self.replaying:
                    self._arrive(cursor)
                item = next(items, END)
                if item is END:
                    break
                if self.stopped is not None and not (self._atomic or self.replaying):
                    break
                yield cast(T, item)
                if bodies[-1] is not body:
                    raise left_open(bodies[-1].kind, kind)
                cursor.index += 1
                body.release()
                if cursor.index == length:
                    break
                self.pass_safe_point(cursor)
            cursor.left = self.stopped is not None
        finally:
            self._drop(body)
            cursor.done = True
        cursor.children.clear()
        self.pass_safe_point(cursor)

    def _drop(self, body: Body) -> None:
        """Close a body, and those inside it that an error has left open."""
        if body in self.bodies:
            del self.bodies[self.bodies.index(body) :]

    def _reopen(self, cursor: Cursor, length: int | None) -> bool:
        """Continue an iterator that had run out of items and is now longer (more epochs)."""
        if not self.replaying or cursor.left or length is None or cursor.index >= length:
            return False
        body = self.bodies[-1]
        after = body.cursor.children[body.opened :]
        if self._cut is not cursor and not any(self._cut is sibling for sibling in after):
            return False
        del body.cursor.children[body.opened :]
        cursor.done, self._cut = False, cursor
        return True

    def complete(self, cursor: Cursor, value: Any) -> None:
        """Mark something that happens once as done, and keep its result."""
        cursor.done, cursor.value = True, value
        cursor.children.clear()
        self.pass_safe_point(cursor)

    def pass_by(self, cursor: Cursor) -> None:
        """Skip what was done before the cut; the cut itself may be the end of it."""
        if self.replaying and cursor is self._cut:
            self._arrive(cursor)

    def pass_safe_point(self, cursor: Cursor) -> None:
        """Count a safe point and let the run save there, unless an evaluation is under way."""
        if self._atomic:
            return
        self.step += 1
        self._at = cursor
        self._safe_point()

    @contextmanager
    def atomic(self, cursor: Cursor, kind: str) -> Iterator[None]:
        """Suspend safe points: what happens in the block is done whole or not at all."""
        body = Body(cursor, kind)
        self.bodies.append(body)
        self._atomic += 1
        try:
            yield
        finally:
            self._atomic -= 1
            self._drop(body)

    @property
    def is_atomic(self) -> bool:
        """Safe points are suspended: an evaluation is under way."""
        return self._atomic > 0

    # -- registered state ----------------------------------------------------------------------

    def track(self, name: str, item: Stateful, *, at_root: bool = False) -> None:
        """Register state in the current body (or for the whole run) and load what was saved."""
        body = self.bodies[0] if at_root else self.bodies[-1]
        if name in body.tracked:
            raise StateError(
                f"{name!r} is registered twice",
                where=f"the body of '{body.kind}'",
                hint="Give each object a name of its own.",
            )
        if self.replaying:
            if name not in body.cursor.states:
                raise missing(name, body.cursor.states)
            item.load_state_dict(body.cursor.states.pop(name))
        body.tracked[name] = item

    def tracked(self) -> Iterator[tuple[str, Stateful]]:
        """Yield everything registered in the open bodies, the run's own first."""
        for body in self.bodies:
            yield from body.tracked.items()

    # -- saving and finding back ---------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return cursors, the path to the cut, and the states of every open body."""
        tree = self.root.to_tree()
        path, node = [], tree
        for body, below in zip(self.bodies, [*self.bodies[1:], None], strict=True):
            node["states"] = {name: item.state_dict() for name, item in body.tracked.items()}
            target = below.cursor if below else self._at
            if target is body.cursor:
                break
            position = next(i for i, c in enumerate(body.cursor.children) if c is target)
            path.append(position)
            node = node["children"][position]
        return {"cursors": tree, "path": path, "step": self.step, "stopped": self.stopped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Start a replay: from now on the course finds its way back to the saved cut."""
        self.root = Cursor.from_tree(state["cursors"])
        self.bodies = [Body(self.root, "run")]
        self.step, self.stopped = state["step"], state["stopped"]
        self._path = list(state["path"])
        self._cut = self._at = self._along_path()
        self.replaying = True

    def _along_path(self) -> Cursor:
        """Find the cut, and keep the states on the way: they are put back once more there."""
        cursor = self.root
        self._saved = [dict(cursor.states)]
        for position in self._path:
            cursor = cursor.children[position]
            self._saved.append(dict(cursor.states))
        return cursor

    def _arrive(self, cursor: Cursor) -> None:
        """End the replay if this is the cut.

        States are loaded a second time here: whatever the replayed code did to registered objects
        between registration and the cut (a re-initialised head, say) is undone.
        """
        if cursor is not self._cut:
            return
        for body in self.bodies:
            if body.cursor.states:
                raise unclaimed(body.cursor.states, body.kind)
        for body, saved in zip(self.bodies, self._saved, strict=False):
            for name, item in body.tracked.items():
                item.load_state_dict(saved[name])
        self._saved = []
        self.replaying = False
        self._reached()

    def check_arrived(self) -> None:
        """Raise if a resumed loop ended without coming back to where it was cut."""
        if self.replaying:
            raise LoopError(
                "the resumed loop ended before it reached the point at which it was saved",
                hint="The loop must open the same iterators again; decide by the config or by "
                "saved values, not by the clock, the environment or unregistered variables.",
            )


def left_open(inner: str, outer: str) -> LoopError:
    """Describe an iterator that was neither finished nor left when its outer one moved on."""
    return LoopError(
        f"'{inner}' was still open when the next item of '{outer}' was asked for",
        hint="Use an iterator of the run in a for statement only; "
        "to walk two streams side by side write run.batches(first, second).",
    )


def missing(name: str, saved: Mapping[str, Any]) -> StateError:
    """Describe an object that has no saved state although the run was resumed."""
    known = ", ".join(sorted(saved)) or "nothing more in this body"
    return StateError(
        f"the checkpoint holds no state for {name!r}; it has {known}",
        hint="Resume with the loop that wrote the checkpoint.",
    )


def unclaimed(states: Mapping[str, Any], kind: str) -> StateError:
    """Describe saved states that the resumed loop did not register again."""
    names = ", ".join(repr(name) for name in sorted(states))
    return StateError(
        f"saved state was never registered again: {names}",
        where=f"the body of '{kind}'",
        hint="What must outlive a phase is registered before it, at the top of train(): "
        "run.track(name, object).",
    )


def stateful(item: object, name: str) -> Stateful:
    """Return the item if its state can be read and put back.

    Raises:
        StateError: It lacks ``state_dict`` or ``load_state_dict``.
    """
    if not isinstance(item, Stateful):
        raise StateError(
            f"{name!r} ({type(item).__name__}) has no state_dict and load_state_dict",
            hint="Give it both, or keep its values in rondel.Values.",
        )
    return item
