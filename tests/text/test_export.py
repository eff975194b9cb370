"""Exported models compute the same in other programs, or are not written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from rondel import keyed
from rondel.config import parse_overrides, resolve
from rondel.errors import RondelError, UsageError
from rondel_text import exporting
from rondel_text.build import build
from rondel_text.bundle import TextBundle
from rondel_text.config import TextConfig
from rondel_text.data.batch import Texts
from rondel_text.models.transformer import TransformerModel

BERT = (
    *("model.name=bert", "model.width=16", "model.layers=1", "model.heads=2"),
    *("model.vocabulary=400", "max_length=12"),
)
KINDS: Mapping[str, tuple[str, ...]] = {
    "bert": BERT,
    "gpt2": ("model.name=gpt2", *BERT[1:]),
    "tagger": BERT,
    "pairs": (*BERT, "pair=other"),
    "small": ("model.buckets=4096", "model.width=16"),
    "small tagger": ("model.width=8",),
    "gpt2 causal": ("model.name=gpt2", *BERT[1:], "task=causal"),
}
TEXTS = ["an apple", "the hammer is very very very very very very very very very nice", "a"]


def rows_of(kind: str) -> list[dict[str, Any]]:
    texts = [f"{('apple', 'hammer')[i % 2]} number {i} is nice" for i in range(30)]
    if "tagger" in kind:
        return [{"words": text.split(), "tags": ["X", "Y", "Z", "Y", "Y"]} for text in texts]
    return [
        {"text": text, "other": f"a {text}", "label": ("fruit", "tool")[i % 2]}
        for i, text in enumerate(texts)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TextBundle]:
    """Bundles of models as they are at the start, each made once."""
    folder = tmp_path_factory.mktemp("exported")
    bundles: dict[str, TextBundle] = {}

    def bundle(kind: str) -> TextBundle:
        if kind not in bundles:
            path = folder / f"{kind}.jsonl"
            path.write_text("\n".join(map(json.dumps, rows_of(kind))))
            words = (f"data={path}", *KINDS[kind])
            keyed.reseed(0)
            bundles[kind] = build(
                resolve(TextConfig, [parse_overrides(TextConfig, words)]).config
            ).bundle()
            with torch.no_grad():  # biases are 0 at the start, and would hide a fault
                for parameter in bundles[kind].model.parameters():
                    parameter.add_(0.05 * torch.randn(parameter.shape))
        return bundles[kind]

    return bundle


@torch.no_grad()
def logits_of(bundle: TextBundle, texts: list[str], pairs: list[str] | None = None) -> Tensor:
    encoded = bundle.tokenizer.encode(texts, pairs)
    answer: Tensor = bundle.model(encoded.texts(torch.arange(len(texts))))
    return answer


@pytest.mark.parametrize("kind", ["bert", "gpt2", "pairs"])
def test_transformers_loads_a_classifier_with_equal_logits(
    made: Callable[[str], TextBundle], tmp_path: Path, kind: str
) -> None:
    bundle = made(kind)
    folder = bundle.export(tmp_path / "deep" / "model", "transformers")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = ["x y", "the hammer", "an apple"] if kind == "pairs" else None
    inputs = tokenizer(TEXTS, pairs, padding=True, truncation=True, return_tensors="pt")
    assert inputs["input_ids"].shape == (3, 12)
    with torch.no_grad():
        found = model(**inputs).logits
    torch.testing.assert_close(found, logits_of(bundle, TEXTS, pairs), rtol=1e-4, atol=1e-5)
    assert model.config.id2label == {0: "fruit", 1: "tool"}
    assert sorted(file.name for file in tmp_path.glob("deep/*")) == ["model"]


def test_transformers_loads_a_tagger_with_equal_logits(
    made: Callable[[str], TextBundle], tmp_path: Path
) -> None:
    bundle = made("tagger")
    folder = bundle.export(tmp_path / "model", "transformers")
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = [["an", "apple"], ["the", "hammer", "is", "nice"]]
    inputs = tokenizer(
        words, is_split_into_words=True, padding=True, truncation=True, return_tensors="pt"
    )
    made_of = bundle.tokenizer.encode_words(words)
    with torch.no_grad():
        found = model(**inputs).logits
        expected = bundle.model(made_of.texts(torch.arange(2)))
    there = inputs["attention_mask"].bool()
    torch.testing.assert_close(found[there], expected[there], rtol=1e-4, atol=1e-5)


def test_transformers_loads_a_language_model_with_equal_logits(
    made: Callable[[str], TextBundle], tmp_path: Path
) -> None:
    bundle = made("gpt2 causal")
    folder = bundle.export(tmp_path / "model", "transformers")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    encoded = bundle.tokenizer.encode(TEXTS[:1])
    texts = encoded.texts(torch.tensor([0]))
    with torch.no_grad():
        found = model(input_ids=texts.ids).logits[0]
        expected = bundle.model.at(texts, torch.ones_like(texts.ids, dtype=torch.bool))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pad", [0, 7])
def test_what_stands_behind_a_text_means_nothing(
    made: Callable[[str], TextBundle], pad: int
) -> None:
    """Heads that look for the last token find it by the padding of the config."""
    bundle = made("gpt2")
    model = bundle.model
    assert isinstance(model, TransformerModel)
    encoded = bundle.tokenizer.encode(TEXTS)
    ids, lengths = encoded.ids.padded(torch.arange(3), pad)
    before = model.model.config.pad_token_id
    try:
        model.model.config.pad_token_id = bundle.tokenizer.size - 1
        with torch.no_grad():
            found = model(Texts(ids, lengths))
            program = exporting.AsTensors(model)(ids, lengths)
    finally:
        model.model.config.pad_token_id = before
    torch.testing.assert_close(found, logits_of(bundle, TEXTS), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(program, found, rtol=1e-4, atol=1e-5)


def check_onnx(bundle: TextBundle, path: Path) -> None:
    """Compare an ONNX program with the bundle on batches of other sizes and lengths."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for texts in (TEXTS, TEXTS[:1], TEXTS[1:2], [*TEXTS, *TEXTS]):
        batch = bundle.tokenizer.encode(texts).texts(torch.arange(len(texts)))
        inputs = {"ids": batch.ids.numpy(), "lengths": batch.lengths.numpy()}
        (found,) = session.run(None, inputs)
        expected = logits_of(bundle, texts)
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-4)


def test_an_onnx_program_of_the_small_classifier_has_equal_logits(
    made: Callable[[str], TextBundle], tmp_path: Path
) -> None:
    path = made("small").export(tmp_path / "deep" / "model.onnx", "onnx")
    check_onnx(made("small"), path)
    assert [file.name for file in path.parent.iterdir()] == ["model.onnx"]


@pytest.mark.slow
def test_an_onnx_program_of_a_transformer_has_equal_logits(
    made: Callable[[str], TextBundle], tmp_path: Path
) -> None:
    check_onnx(made("bert"), made("bert").export(tmp_path / "model.onnx", "onnx"))


# -- refusals --------------------------------------------------------------------------------------


def test_a_folder_that_computes_something_else_is_refused(
    made: Callable[[str], TextBundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shifted:
        @staticmethod
        def from_pretrained(*words: Any, **settings: Any) -> Any:
            model = AutoModelForSequenceClassification.from_pretrained(*words, **settings)
            with torch.no_grad():
                model.classifier.bias += 0.01
            return model

    monkeypatch.setattr(exporting, "HEADS", {"sequence": Shifted})
    with pytest.raises(RondelError) as caught:
        made("bert").export(tmp_path / "model", "transformers")
    assert str(caught.value).startswith("the exported model differs from the original by 1.00e-02")
    assert "Nothing was written." in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_difference_leaves_an_older_export_as_it_was(
    made: Callable[[str], TextBundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made("bert").export(tmp_path / "model", "transformers")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(RondelError, match="differs from the original"):
        made("bert").export(folder, "transformers")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    monkeypatch.undo()
    assert made("bert").export(folder, "transformers") == folder
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_not_a_number_is_a_difference() -> None:
    nan = torch.tensor([float("nan")])
    with pytest.raises(RondelError, match="differs from the original by nan"):
        exporting.check_equal(nan, torch.zeros(1))


def test_a_failure_in_the_middle_leaves_nothing(
    made: Callable[[str], TextBundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fails:
        @staticmethod
        def from_pretrained(*_: Any, **__: Any) -> Any:
            raise OSError("disk full")

    monkeypatch.setattr(exporting, "HEADS", {"sequence": Fails})
    with pytest.raises(OSError, match="disk full"):
        made("bert").export(tmp_path / "model", "transformers")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_never_replaced(
    made: Callable[[str], TextBundle], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for name in ("transformers", "onnx"):
        with pytest.raises(
            UsageError, match="the folder holds something else than an older export"
        ):
            made("bert").export(tmp_path, name)
    assert (tmp_path / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("small", "transformers", "the small models are none of transformers. Train with"),
        ("small tagger", "onnx", "a WordTagger cannot be exported as ONNX yet. Classifiers"),
        ("gpt2 causal", "onnx", "a TransformerModel cannot be exported as ONNX yet."),
        ("pairs", "onnx", "models of pairs of texts cannot be exported as ONNX yet. Choose"),
        ("small", "pt2", "text models cannot be exported as 'pt2'. Choose --format transformers"),
    ],
)
def test_what_cannot_be_exported_is_told(
    made: Callable[[str], TextBundle], tmp_path: Path, kind: str, name: str, told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        made(kind).export(tmp_path / "model", name)
    assert str(caught.value).startswith(told)
    assert list(tmp_path.iterdir()) == []
