"""An ONNX program of the columns of a table says what the bundle says, or is not written."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import RondelError, UsageError
from rondel_tabular import exporting, parity
from rondel_tabular.build import build
from rondel_tabular.bundle import TabularBundle
from rondel_tabular.config import TabularConfig
from rondel_tabular.exporting import refuse_clashes
from rondel_tabular.program import inputs_of

SMALL = (
    "network.width=8",
    "network.layers=1",
    "network.number_width=2",
    "network.bins=4",
    "kinds.door=category",
)
FOLDS = ("loop=folds", "folds.count=2")
CASES: Mapping[str, tuple[str, ...]] = {
    "binary": ("target=bought", "network.name=tabm_mini", "network.members=3"),
    "gaussian": ("target=height", "head=gaussian", "network.name=tabm", "network.members=3"),
    "quantiles": (
        "target=height",
        "head=quantiles",
        "network.name=mlp",
        "network.numbers=periodic",
    ),
    "multiclass": ("target=size", "network.name=resnet", "network.one_hot=2"),
    "point": ("target=height", "network.name=ft_transformer", "network.heads=2"),
    "multihead": ("targets=size,height", "loop=multihead", "network.name=mlp"),
    "categories": ("target=bought", "network.name=ft_transformer", "network.heads=2", *FOLDS),
}


def table_of(rows: int = 120) -> pd.DataFrame:
    """A table of every kind of column, with cells missing in most, and three targets."""
    draw = np.random.default_rng(0)
    words = draw.integers(0, 60, (rows, 5))
    frame = pd.DataFrame(
        {
            "age in years": draw.normal(40, 12, rows),
            "stamp": 1.7e9 + draw.normal(0, 900, rows),
            "member": draw.choice(["yes", "no"], rows),
            "since": pd.Timestamp("2021-01-01")
            + pd.to_timedelta(draw.integers(0, 9000, rows), "h"),
            "colour": draw.choice(["red", "green", "bleu fonc\u00e9"], rows),
            "door": draw.choice([3, 5], rows),
            "note": [" ".join(f"w{word}" for word in row) for row in words],
            "bought": draw.choice(["never", "often"], rows),
            "size": draw.choice([1, 2, 4], rows),
            "height": draw.normal(1000, 5, rows),
        }
    )
    for step, name in ((7, "age in years"), (11, "colour"), (13, "since"), (17, "note")):
        frame.loc[::step, name] = None
    return frame


def unseen(rows: int = 50) -> pd.DataFrame:
    """Other rows, with levels that were never seen and wild numbers."""
    frame = table_of(200).iloc[-rows:].reset_index(drop=True)
    frame.loc[::5, "colour"] = "purple"
    frame["colour"] = frame["colour"].map(lambda cell: cell if cell is None else f" {cell} ")
    frame["door"] = frame["door"].astype(float)
    frame.loc[3, "age in years"] = 1e6
    frame.loc[4, "member"] = None
    return frame


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TabularBundle, Path]]:
    """Bundles of networks with random weights, each exported once."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("exported")
    known: dict[str, tuple[TabularBundle, Path]] = {}

    def bundle(case: str) -> tuple[TabularBundle, Path]:
        if case in known:
            return known[case]
        words = parse_overrides(TabularConfig, (*CASES[case], *SMALL))
        keyed.reseed(0)
        found = build(resolve(TabularConfig, [words]).config, frame_of(case)).bundle()
        with torch.no_grad():  # what is 0 at the start would hide a fault
            for parameter in found.model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
        for target in found.facts["targets"]:
            target["temperature"] = 0.6
        known[case] = found, found.export(folder / "deep" / f"{case}.onnx", "onnx")
        return known[case]

    return bundle


def frame_of(case: str) -> pd.DataFrame:
    """The table of a case; the other targets are left out of it."""
    targets = {"bought", "size", "height"}
    used = targets & set(CASES[case][0].partition("=")[2].split(","))
    frame = table_of().drop(columns=sorted(targets - used))
    return frame[["colour", "door", "bought"]].astype("string") if case == "categories" else frame


def run(path: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [1, 50])
def test_a_program_says_what_the_bundle_predicts(
    made: Callable[[str], tuple[TabularBundle, Path]], case: str, rows: int
) -> None:
    bundle, path = made(case)
    frame = unseen().head(rows)
    found, expected = run(path, inputs_of(bundle.schema, frame)), bundle.predict(frame)
    alone = len(bundle.targets) == 1
    for target in bundle.targets:
        if not target.labels:
            names = [str(name) for name in expected]
            mine = [name for name in names if name.partition("_")[0] == target.name]
            assert len(mine) == {"gaussian": 2, "quantiles": 4}.get(target.head, 1)
            for name in mine:
                np.testing.assert_allclose(
                    found[name], expected[name], rtol=0, atol=1e-4 * target.scale
                )
            continue
        prefix = "" if alone else f"{target.name}_"
        shares = expected[[f"{prefix}probability_{label}" for label in target.labels]].to_numpy()
        np.testing.assert_allclose(found[f"{prefix}probability"], shares, rtol=0, atol=1e-5)
        labels = json.loads(properties(path)["labels"])[target.name]
        assert [labels[place] for place in found[f"{prefix}label"]] == list(expected[target.name])


def properties(path: Path) -> dict[str, str]:
    return {each.key: each.value for each in onnx.load(path).metadata_props}


def test_inputs_are_the_columns_and_the_file_describes_itself(
    made: Callable[[str], tuple[TabularBundle, Path]],
) -> None:
    bundle, path = made("binary")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    types = {each.name: each.type for each in session.get_inputs()}
    assert types["age in years"] == types["member"] == types["since.month"] == "tensor(float)"
    assert types["stamp"] == types["since.days"] == "tensor(double)"
    assert types["colour"] == "tensor(string)"
    assert any(name.startswith("note.") for name in types)
    assert json.loads(properties(path)["labels"]) == {"bought": ["never", "often"]}
    assert json.loads(properties(path)["schema"]) == json.loads(json.dumps(bundle.facts["schema"]))
    assert not list(path.parent.glob(".*"))


def test_cells_written_by_hand_need_nothing_of_this_package(
    made: Callable[[str], tuple[TabularBundle, Path]],
) -> None:
    bundle, path = made("categories")
    cells = {"colour": [["red"], ["mauve"], [""]], "door": [["5"], ["3"], ["4"]]}
    found = run(path, {name: np.array(column, dtype=object) for name, column in cells.items()})
    rows: list[dict[str, Any]] = [
        {"colour": "red", "door": 5},
        {"colour": None, "door": 3},
        {"colour": "?", "door": 4},
    ]
    expected = bundle.predict(rows)[["probability_never", "probability_often"]]
    np.testing.assert_allclose(found["probability"], expected, rtol=0, atol=1e-5)


def test_a_program_that_says_something_else_is_removed(
    made: Callable[[str], tuple[TabularBundle, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, path = made("binary")
    other = TabularBundle(
        config=bundle.config,
        facts={**bundle.facts, "targets": [{**bundle.facts["targets"][0], "temperature": 0.61}]},
        modules=bundle.modules,
    )
    monkeypatch.setattr(exporting, "written", lambda *_: path.read_bytes())
    with pytest.raises(RondelError, match=r"differs from the model by .* in 'probability'"):
        other.export(tmp_path / "net.onnx", "onnx")
    assert not list(tmp_path.iterdir())
    bundle.export(tmp_path / "net.onnx", "onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_the_probe_has_missing_and_unknown_cells(
    made: Callable[[str], tuple[TabularBundle, Path]],
) -> None:
    bundle, _ = made("binary")
    frame = parity.probe(bundle.schema, 256)
    assert frame.isna().any().all()
    assert {"never seen", "red"} <= set(frame["colour"].dropna())


def test_the_command_line_exports_a_saved_bundle(
    made: Callable[[str], tuple[TabularBundle, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from rondel.cli.main import main

    bundle, path = made("binary")
    saved, out = bundle.save(tmp_path / "bundle"), tmp_path / "model.onnx"
    monkeypatch.setattr(exporting, "written", lambda *_: path.read_bytes())
    words = ["tabular", "export", str(saved), "--format", "onnx", "--out", str(out)]
    assert main(words) == 0
    assert out.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("format_", ["onnx", "pt2"])
def test_a_blend_is_refused(
    made: Callable[[str], tuple[TabularBundle, Path]], tmp_path: Path, format_: str
) -> None:
    bundle, _ = made("binary")
    blend = TabularBundle(
        config=bundle.config,
        facts={**bundle.facts, "trees": {"lightgbm": []}},
        modules=bundle.modules,
    )
    with pytest.raises(UsageError, match=r"its trees \(lightgbm\) .* Train with loop=folds"):
        blend.export(tmp_path / "net", format_)


def test_missing_packages_are_named(
    made: Callable[[str], tuple[TabularBundle, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, _ = made("binary")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "onnx" in name else found(name)
    )
    with pytest.raises(UsageError, match=r"needs onnx, onnxruntime, onnxscript.*tabular\[onnx\]"):
        bundle.export(tmp_path / "net.onnx", "onnx")


def test_a_column_that_is_called_like_an_output_is_refused(
    make: Callable[..., Any],
) -> None:
    frame = frame_of("binary").rename(columns={"colour": "label"})
    bundle = make("target=bought", *SMALL, frame=frame).bundle()
    with pytest.raises(UsageError, match="would be called 'label'"):
        refuse_clashes(bundle.schema, bundle.targets)


@pytest.mark.filterwarnings("ignore")  # what torch.export says of itself
def test_networks_of_folds_become_a_torch_program(make: Callable[..., Any], tmp_path: Path) -> None:
    bundle = make("target=bought", *FOLDS, *SMALL, frame=frame_of("binary")).bundle()
    inputs = bundle.schema.encode(unseen())
    program = torch.export.load(bundle.export(tmp_path / "net.pt2", "pt2"))
    torch.testing.assert_close(program.module()(*inputs), bundle.model(*inputs))
