"""Small real and hand-written tables, and a short way to a trained loop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import pytest
import torch

from rondel import Callback, Run, keyed
from rondel.callbacks import Best, EarlyStopping
from rondel.config import parse_overrides, resolve
from rondel_tabular.build import build
from rondel_tabular.config import TabularConfig
from rondel_tabular.loops.supervised import Supervised

Write: TypeAlias = Callable[..., Path]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are faster on one thread, and by far on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def frame() -> pd.DataFrame:
    return mixed_frame()


@pytest.fixture
def make() -> Callable[..., Supervised]:
    return make_loop


@pytest.fixture
def train() -> Callable[..., Any]:
    return train_best


def config_of(*items: str) -> TabularConfig:
    return resolve(TabularConfig, [parse_overrides(TabularConfig, items)]).config


def make_loop(*items: str, frame: pd.DataFrame | None = None) -> Supervised:
    config = config_of(*items)
    keyed.reseed(config.run.seed)
    return build(config, frame)


def train_best(folder: Path, *items: str, **options: Any) -> tuple[Supervised, dict[str, float]]:
    """Train and return the loop in its best state, with the metrics of that state."""
    loop = make_loop(*items, frame=options.pop("frame", None))
    assert loop.watch is not None
    callbacks: list[Callback] = [Best(loop.watch)]
    if loop.config.patience:
        callbacks.append(EarlyStopping(loop.watch, loop.config.patience))
    with Run(folder, settings=loop.config.run, callbacks=callbacks, **options) as run:
        loop.train(run)
        best = json.loads((folder / "checkpoints" / "best.json").read_text())
        run.load_weights(best["step"])
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    values = [r["values"] for r in rows if r["event"] == "evaluation"]
    return loop, next(v for v in values if v[best["metric"]] == best["value"])


def mixed_frame(rows: int = 240) -> pd.DataFrame:
    """A table of every kind of column; 'bought' follows from age, colour and member."""
    draw = torch.Generator().manual_seed(1)
    age = 20 + 50 * torch.rand(rows, generator=draw)
    colour = torch.randint(0, 3, (rows,), generator=draw)
    member = torch.rand(rows, generator=draw) < 0.5
    score = (age - 45) / 15 + torch.tensor([1.5, 0.0, -1.5])[colour] + member.float() - 0.5
    day = torch.randint(0, 900, (rows,), generator=draw)
    frame = pd.DataFrame(
        {
            "id": range(rows),
            "age": age.round().tolist(),
            "colour": [("red", "green", "blue")[c] for c in colour.tolist()],
            "member": [("no", "yes")[m] for m in member.int().tolist()],
            "since": [
                str((pd.Timestamp("2021-01-01") + pd.Timedelta(days=d)).date())
                for d in day.tolist()
            ],
            "name": [f"customer {number}" for number in range(rows)],
            "country": "Italy",
            "fax": None,
            "bought": [("never", "often")[s] for s in (score > 0).int().tolist()],
        }
    )
    frame.loc[::7, "age"] = None
    frame.loc[::11, "colour"] = None
    return frame


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text, bytes or a frame as a file; the folder has blanks and accents in its name."""

    def written(content: str | bytes | pd.DataFrame, name: str = "däta sét.csv") -> Path:
        path = tmp_path / "mes données" / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, pd.DataFrame):
            content.to_csv(path, index=False)
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
        return path

    return written
