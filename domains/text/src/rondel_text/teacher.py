"""A trained model that another one learns from: a bundle, or a folder of transformers with a head.

Letters: B texts, L tokens of the longest, C classes or labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rondel.errors import ConfigError
from rondel_text.bundle import TextBundle
from rondel_text.config import ModelConfig, TextConfig
from rondel_text.data.batch import Texts
from rondel_text.models.text_model import TextModel
from rondel_text.tasks import Regression, Task
from rondel_text.tokenizers import Tokenizer, tokenizer_of

if TYPE_CHECKING:
    from rondel_text.models.transformer import TransformerModel

KEY = "distil.teacher"


class Teacher(nn.Module):
    """Answers for a task as a trained model would.

    Args:
        model: It is set into evaluation mode, and is not trained.
        columns: (C,) where the task's classes stand among those of the model.
        scale: What the model's numbers are multiplied by, to be in the unit of the task.
        shift: What is added then.
    """

    columns: Tensor | None

    def __init__(
        self,
        model: TextModel,
        *,
        columns: Tensor | None = None,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.scale, self.shift = scale, shift
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, texts: Texts) -> Tensor:
        """Return logits (B, C) or (B, L, C), or standardised numbers (B, 1)."""
        logits: Tensor = self.model(texts)
        if self.columns is not None:
            logits = logits.index_select(-1, self.columns)
        return logits * self.scale + self.shift

    def fingerprint(self) -> str:
        """Return a hash of all weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def load_teacher(name: str | None, task: Task) -> Teacher:
    """Load a teacher for a task.

    Args:
        name: A bundle, a run that has one, a folder of transformers, or an installed model.
        task: What is learnt from it.

    Raises:
        ConfigError: There is none, it has no head, or it was trained for something else.
        CheckpointError: The bundle is damaged, or that of another domain.
    """
    place = found(name)
    return of_folder(place, task) if isinstance(place, Path) else of_bundle(place, task)


def of_bundle(bundle: TextBundle, task: Task) -> Teacher:
    """Return the teacher in a bundle."""
    known = bundle.task
    if known.kind != task.kind:
        raise ConfigError(
            f"the teacher was trained for task={known.kind}, the student is for {task.kind}",
            where=KEY,
            hint=f"Name a teacher that was trained for task={task.kind}.",
        )
    if isinstance(known, Regression) and isinstance(task, Regression):
        scale = known.spread / task.spread
        return Teacher(bundle.model, scale=scale, shift=(known.mean - task.mean) / task.spread)
    return Teacher(bundle.model, columns=columns_of(names_of(known), task))


def of_folder(folder: Path, task: Task) -> Teacher:
    """Return the teacher in a folder of transformers."""
    from rondel_text.models.loading import load_model
    from rondel_text.models.transformer import TransformerModel

    if isinstance(task, Regression):
        raise ConfigError(
            f"{str(folder)!r} does not say the unit of its numbers",
            where=KEY,
            hint="Name a bundle of rondel, which does.",
        )
    made, missing = load_model(folder, task.head)
    if missing:
        raise ConfigError(
            f"{str(folder)!r} has no head for task={task.kind}: it lacks {', '.join(missing[:4])}",
            where=KEY,
            hint="Fine-tune it first: rondel text train DATA model.name=FOLDER; the teacher is "
            "RUN/bundle then.",
        )
    known = made.config.id2label
    columns = columns_of([str(known[number]) for number in sorted(known)], task)
    return Teacher(TransformerModel(made, task.head), columns=columns)


def columns_of(known: Sequence[str], task: Task) -> Tensor | None:
    """Return where the classes of a task stand among those of a teacher; None if they agree.

    Raises:
        ConfigError: The teacher knows others; they are named.
    """
    wanted = names_of(task)
    if set(known) != set(wanted):
        lacking = sorted(set(wanted) - set(known)) or ["none"]
        beyond = sorted(set(known) - set(wanted)) or ["none"]
        raise ConfigError(
            f"the teacher has other labels than the data: it lacks {', '.join(lacking[:5])}; "
            f"the data lacks {', '.join(beyond[:5])}",
            where=KEY,
            hint="Name a teacher that was trained on the same labels.",
        )
    if tuple(known) == wanted:
        return None
    return torch.tensor([known.index(name) for name in wanted])


def names_of(task: Task) -> tuple[str, ...]:
    """Return the classes, labels or tags of a task."""
    names: tuple[str, ...] = getattr(getattr(task, "labels", None), "names", ())
    return names


def found(name: str | None) -> TextBundle | Path:
    """Return the bundle, or the folder of transformers, that a name stands for.

    Raises:
        ConfigError: There is none.
    """
    if name is None:
        raise ConfigError(
            "a student needs a teacher that was trained before",
            where=KEY,
            hint=f"Name its bundle: {KEY}=RUN/bundle; or choose distil.kind=ema or mutual.",
        )
    for place in (Path(name) / "bundle", Path(name)):
        if (place / "manifest.json").is_file():
            return TextBundle.load(place)
    from rondel_text.models import pretrained

    if name not in pretrained.PACKAGES and not (Path(name) / "config.json").is_file():
        raise ConfigError(
            f"{name!r} is no teacher: it is neither a bundle nor a folder with a config.json",
            where=KEY,
            hint="Name the bundle of a run, RUN/bundle, or a folder that save_pretrained wrote.",
        )
    return pretrained.folder_of(name)


def is_taught(config: TextConfig) -> bool:
    """Tell whether a config asks for a teacher that was trained before."""
    return config.loop == "distil" and config.distil.kind == "frozen"


def student_of(config: TextConfig, task: Task) -> TextModel:
    """Make a student of every k-th layer of its teacher.

    Raises:
        ConfigError: The teacher has too few, or knows the classes in another order.
    """
    from rondel_text.models.layers import with_fewer_layers

    teacher = load_teacher(config.distil.teacher, task)
    if teacher.columns is not None:
        raise ConfigError(
            "the teacher knows the labels of the data in another order",
            where="distil.start",
            hint="Leave it out, and choose the student by model.name.",
        )
    return with_fewer_layers(cast("TransformerModel", teacher.model), config.model)


# -- what both of them read ------------------------------------------------------------------------


def shared_tokenizer(config: TextConfig) -> Tokenizer:
    """Return the tokenizer of the teacher, which the student takes.

    Raises:
        ConfigError: The student's own model reads other tokens, or fewer.
    """
    taught = tokenizer_at(found(config.distil.teacher), config)
    name = config.model.name
    own = name in ("auto", "small")
    if taught.kind != "subwords":
        if not own or config.distil.start == "layers":
            raise other_tokens(config, f"the small model of the teacher reads {taught.kind}")
        return taught
    if config.distil.start == "layers":
        if name != "auto":
            raise ConfigError(
                f"the student is made of the teacher's layers, not of {name!r}",
                where="model.name",
                hint="Leave it out, or leave distil.start out.",
            )
        return taught
    if own:
        raise other_tokens(config, "the teacher reads the subwords of a transformer")
    from rondel_text.models import pretrained

    if name not in pretrained.SCRATCH:
        read = pretrained.make_tokenizer(config.model, (), max_length=taught.longest)
        if read.to_facts() != taught.to_facts():
            raise other_tokens(config, f"{name!r} has another vocabulary than the teacher")
    return taught


def tokenizer_at(place: TextBundle | Path, config: TextConfig) -> Tokenizer:
    """Return the tokenizer of a teacher, for at most ``max_length`` tokens.

    Raises:
        ConfigError: The teacher reads fewer.
    """
    if isinstance(place, Path):
        from rondel_text.models import pretrained

        model = ModelConfig(name=str(place))
        return pretrained.make_tokenizer(model, (), max_length=config.max_length)
    facts = place.tokenizer.to_facts()
    longest = config.max_length or facts["longest"]
    if facts["kind"] == "subwords":
        from rondel_text.models import pretrained

        model = cast("TransformerModel", place.model).model
        pretrained.check_length(longest, model.config)
    return tokenizer_of({**facts, "longest": longest})


def other_tokens(config: TextConfig, why: str) -> ConfigError:
    """Describe a student that does not read what its teacher reads."""
    start = "distil.start" if config.distil.start == "layers" else "model.name"
    return ConfigError(
        f"student and teacher must read the same tokens, and {why}",
        where=start,
        hint="Of a small teacher the student is small (model.name=small), of a transformer it is "
        "one with the same vocabulary: distil.start=layers, or model.name=bert.",
    )
