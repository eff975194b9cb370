"""Models of transformers from a folder, read without bars and reports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig
from transformers.utils import logging

from rondel.errors import DataError
from rondel_text.models.transformer import HEADS


def load_model(
    folder: Path, head: str, config: PretrainedConfig | None = None
) -> tuple[Any, list[str]]:
    """Load a model of transformers, and name the weights that its folder lacks.

    Args:
        folder: That ``save_pretrained`` wrote.
        head: As in `rondel_text.tasks.task.Task`.
        config: Another one than that of the folder; weights that do not fit it are made anew.

    Raises:
        DataError: It cannot be read.
    """
    with reading(folder), quietly():
        made, found = HEADS[head].from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            ignore_mismatched_sizes=config is not None,
            output_loading_info=True,
        )
    return made, sorted(found["missing_keys"])


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Say of an error of transformers which folder it read.

    Raises:
        DataError: There was one.
    """
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"transformers cannot read the model: {str(error).splitlines()[0]}",
            where=str(folder),
            hint="It must be a folder that save_pretrained wrote, with safetensors.",
        ) from error


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from drawing bars, and from reporting that a new head is new."""
    level, drawn = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if drawn:
            logging.enable_progress_bar()
