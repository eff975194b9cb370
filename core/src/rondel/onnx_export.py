"""Around torch's exporter to ONNX: what it needs, what it says, and why it failed."""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rondel.errors import UsageError

if TYPE_CHECKING:
    import torch

OPSET = 18
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
REASON = 300
"""Letters of the reason why something cannot be exported."""


def require_packages(distribution: str) -> None:
    """Refuse to go on without the packages for ONNX.

    Args:
        distribution: The one that has them as its extra ``onnx``.

    Raises:
        UsageError: Names what is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the export to ONNX needs {', '.join(missing)}",
            hint=f'Install them: pip install "{distribution}[onnx]"',
        )


def to_onnx(
    program: torch.export.ExportedProgram,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    facts: Mapping[str, Any],
) -> tuple[bytes, Any]:
    """Return the content of an ONNX file, and the session of onnxruntime that opened it.

    Args:
        program: The model as a graph.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        facts: Plain values that are kept with it, each as JSON.
    """
    import onnx
    import onnxruntime
    import torch

    made = torch.onnx.export(
        program,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamo=True,
        verbose=False,
    )
    assert made is not None
    model = made.model_proto
    onnx.helper.set_model_props(model, {key: json.dumps(facts[key]) for key in facts})
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    return content, onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def reason_of(error: BaseException) -> str:
    """Return the first line of what began a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:REASON]}" if lines else type(error).__name__


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings and log of torch's exporter back: failures are told by us, in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
