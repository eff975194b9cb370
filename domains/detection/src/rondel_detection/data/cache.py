"""Scaled pictures in memory, one copy for all loader processes.

The memory is an anonymous shared mapping: forked loader workers see the same pages, so that what
one has decoded all have, the budget holds for all together, and the small shared-memory file
system of containers plays no part. Pages are taken from the machine when they are written.
"""

from __future__ import annotations

import mmap
import multiprocessing
from multiprocessing.synchronize import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rondel.errors import UsageError

Integers = npt.NDArray[np.int64]


class Room(NamedTuple):
    """The memory, and which of it is filled."""

    pixels: npt.NDArray[np.uint8]  # (bytes,) the pictures one after the other
    filled: npt.NDArray[np.uint8]  # (I,) 1 where a picture is there
    lock: Lock


class PictureCache:
    """Keeps the first pictures that fit into a budget; nothing is ever thrown out.

    Under another start method than fork, a worker has a cache of its own and its share of the
    budget.

    Args:
        sizes: (I, 2) height and width of each scaled picture; zeros are never kept.
        budget: Bytes.
    """

    def __init__(self, sizes: Integers, budget: int) -> None:
        self._sizes = sizes
        self._budget = budget
        self._ends = np.cumsum(3 * sizes.prod(1))
        self._arrived = False  # in a process that was not forked, where it has to be opened anew
        self._room = self._open(budget)

    def get(self, index: int) -> Tensor | None:
        """Return a copy of a picture, (3, h, w) uint8, if it is there."""
        room = self._opened()
        if room is None or index >= len(room.filled):
            return None
        with room.lock:  # also orders what is read here after what another process wrote
            filled = room.filled[index]
        return torch.from_numpy(self._slot(room, index)).clone() if filled else None

    def put(self, index: int, picture: Tensor) -> None:
        """Keep a picture if there is room for it; two processes may both write the same one."""
        room = self._opened()
        if room is None or index >= len(room.filled):
            return
        slot = self._slot(room, index)
        if slot.shape != picture.shape:  # its size was not known beforehand
            return
        slot[...] = picture.numpy()
        with room.lock:
            room.filled[index] = 1

    def __len__(self) -> int:
        """Return how many pictures are kept now."""
        room = self._opened()
        return 0 if room is None else int(room.filled.sum())

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory behind: it cannot travel to a process that is not forked."""
        return {**self.__dict__, "_room": None, "_arrived": True}

    def _opened(self) -> Room | None:
        if self._arrived:
            worker = torch.utils.data.get_worker_info()
            self._room = self._open(self._budget // (worker.num_workers if worker else 1))
            self._arrived = False
        return self._room

    def _open(self, budget: int) -> Room | None:
        kept = int(np.searchsorted(self._ends, budget, side="right"))
        size = int(self._ends[kept - 1]) if kept else 0
        if not size:
            return None
        try:
            memory = np.frombuffer(mmap.mmap(-1, size + kept), dtype=np.uint8)
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"{size} bytes cannot be reserved for pictures: {error}",
                where="cache",
                hint="Set a smaller cache=..., 0 is none.",
            ) from error
        return Room(memory[:size], memory[size:], multiprocessing.Lock())

    def _slot(self, room: Room, index: int) -> npt.NDArray[np.uint8]:
        height, width = self._sizes[index].tolist()
        end = int(self._ends[index])
        return room.pixels[end - 3 * height * width : end].reshape(3, height, width)
