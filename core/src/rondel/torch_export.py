"""A model as a torch program in one file, of plain values only."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import torch


def to_pt2(
    program: torch.export.ExportedProgram, facts: Mapping[str, Any], *, name: str = "facts.json"
) -> tuple[bytes, Callable[..., Any]]:
    """Return the content of a ``.pt2`` file without a pickle in it, and the program read back.

    Args:
        program: The model as a graph.
        facts: Plain values that are kept with it.
        name: Of the file inside that holds them.

    Raises:
        ValueError: Torch pickled a part of it.
    """
    program.example_inputs = None  # they alone would be pickled
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={name: json.dumps(dict(facts))})
    content = buffer.getvalue()
    check_plain(content)
    return content, torch.export.load(io.BytesIO(content)).module()


def check_plain(content: bytes) -> None:
    """Refuse a torch program that holds a pickle.

    Raises:
        ValueError: Names the part.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if "/sample_inputs/" in name and archive.getinfo(name).file_size:
                raise ValueError(f"{name} of the program is a pickle")
            if name.endswith("_config.json"):
                parts = json.loads(archive.read(name))["config"]
                pickled = [part for part in parts if parts[part]["use_pickle"]]
                if pickled:
                    raise ValueError(f"{pickled[0]} in {name} of the program is a pickle")
