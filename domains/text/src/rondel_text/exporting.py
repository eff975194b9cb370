"""A trained model for other programs, once it is found to compute the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rondel.errors import RondelError, UsageError
from rondel.onnx_export import require_packages
from rondel_text.data.batch import Texts
from rondel_text.models.seq2seq import Seq2SeqModel
from rondel_text.models.small import Bag
from rondel_text.models.text_model import TextModel
from rondel_text.models.transformer import HEADS, TransformerModel, logits_of
from rondel_text.tasks import Task
from rondel_text.tokenizers import Tokenizer
from rondel_text.tokenizers.subwords import SubwordTokenizer

FORMATS = ("transformers", "onnx")
TOLERANCE = 1e-4


def export(model: TextModel, tokenizer: Tokenizer, task: Task, out: Path, format: str) -> Path:  # noqa: A002
    """Write a model in a format.

    Raises:
        UsageError: There is no such format, or the model does not fit it.
        RondelError: What was written computes something else; it is removed.
    """
    older = format == "transformers" and (out / "config.json").is_file()
    if out.is_dir() and any(out.iterdir()) and not older:
        raise UsageError(
            "the folder holds something else than an older export",
            where=str(out),
            hint="Name another, which need not exist.",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    if format == "transformers":
        return to_folder(model, tokenizer, out)
    if format == "onnx":
        return to_onnx(model, task, out)
    raise UsageError(
        f"text models cannot be exported as {format!r}",
        hint=f"Choose --format {' or '.join(FORMATS)}.",
    )


def to_folder(model: TextModel, tokenizer: Tokenizer, out: Path) -> Path:
    """Write a folder that ``from_pretrained`` of transformers loads, with equal logits."""
    if not isinstance(model, TransformerModel | Seq2SeqModel) or not isinstance(
        tokenizer, SubwordTokenizer
    ):
        raise UsageError(
            "the small models are none of transformers",
            hint="Train with model.name=bert or a folder, or choose --format onnx.",
        )
    with staged(out) as staging:
        model.model.save_pretrained(staging)
        tokenizer.save(staging)
        again = HEADS[model.head].from_pretrained(staging, local_files_only=True).eval()
        texts = example(tokenizer.size)
        mask = (torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]).long()
        inputs = {"input_ids": texts.ids, "attention_mask": mask}
        if isinstance(model, Seq2SeqModel):
            inputs["decoder_input_ids"] = texts.ids
        with torch.no_grad():
            expected = logits_of(model.model.eval()(**inputs))
            found = logits_of(again(**inputs))
        check_equal(found, expected)
    return out


class AsTensors(nn.Module):
    """A model that takes ids and lengths, as an exported program does."""

    def __init__(self, model: TextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return logits."""
        if isinstance(self.model, TransformerModel):
            mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
            ids = ids.masked_fill(~mask, self.model.model.config.pad_token_id or 0)
            logits: Tensor = self.model.model(input_ids=ids, attention_mask=mask.long()).logits
            return logits
        answer: Tensor = self.model(Texts(ids, lengths))
        return answer


def to_onnx(model: TextModel, task: Task, out: Path) -> Path:
    """Write an ONNX program ``(ids, lengths) -> logits`` of any number and length of texts."""
    if not isinstance(model, TransformerModel | Bag) or task.head not in ("sequence", "tokens"):
        raise UsageError(
            f"a {type(model).__name__} cannot be exported as ONNX yet",
            hint="Classifiers, and taggers of transformers, can.",
        )
    if task.columns.pair is not None:
        raise UsageError(
            "models of pairs of texts cannot be exported as ONNX yet",
            hint="Choose --format transformers.",
        )
    require_packages("rondel-text")
    import onnxruntime

    with staged(out) as staging:
        write_program(AsTensors(model.cpu()).eval(), staging)
        session = onnxruntime.InferenceSession(str(staging), providers=["CPUExecutionProvider"])
        size = vocabulary_of(model)
        for texts in (example(size), example(size, length=9, count=3), example(size, count=1)):
            inputs = {"ids": texts.ids.numpy(), "lengths": texts.lengths.numpy()}
            answer: Any = session.run(None, inputs)
            with torch.no_grad():
                expected = model(texts)
            found = torch.from_numpy(answer[0])
            if task.head == "tokens":  # what stands behind a text means nothing
                there = torch.arange(texts.ids.shape[1]) < texts.lengths[:, None]
                found, expected = found[there], expected[there]
            check_equal(found, expected)
    return out


def write_program(program: AsTensors, path: Path) -> None:
    """Write a model as an ONNX program."""
    texts = example(vocabulary_of(program.model))
    free = torch.export.Dim.DYNAMIC
    with torch.no_grad():
        made = torch.onnx.export(
            program,
            (texts.ids, texts.lengths),
            input_names=["ids", "lengths"],
            output_names=["logits"],
            dynamo=True,
            dynamic_shapes=({0: free, 1: free}, {0: free}),
            verbose=False,
        )
    assert made is not None
    made.save(str(path))


def vocabulary_of(model: TextModel) -> int:
    """Return how many tokens a model knows."""
    if isinstance(model, TransformerModel):
        return len(model.base.get_input_embeddings().weight)
    assert isinstance(model, Bag)
    return model.network.vectors.num_embeddings


def example(size: int, *, count: int = 4, length: int = 16) -> Texts:
    """Return texts of different lengths, of tokens below ``size``."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(min(5, size - 1), size, (count, length), generator=draw)
    lengths = torch.linspace(length, 2, count).long()
    return Texts(ids, lengths)


def check_equal(found: Tensor, expected: Tensor) -> None:
    """Refuse an export that computes something else.

    Raises:
        RondelError: The distance is named.
    """
    distance = (found - expected).abs().max().item() / max(1.0, expected.abs().max().item())
    if not distance <= TOLERANCE:  # as NaN is
        raise RondelError(
            f"the exported model differs from the original by {distance:.2e}",
            hint="Nothing was written. Please report it with the versions of torch and "
            "transformers.",
        )


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Let a block write beside a place, and move it there, over an older one, if all went well."""
    staging = out.with_name(f".{out.name}.part")
    remove(staging)
    try:
        yield staging
        remove(out)
        staging.replace(out)
    finally:
        remove(staging)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
