"""The layers of a model of transformers: fewer of them, and what comes out of each.

Letters: B texts, L tokens of the longest, T tokens in all, H width, M layers of a student, N of a
teacher.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rondel.errors import ConfigError
from rondel_text.config import ModelConfig
from rondel_text.data.batch import Texts
from rondel_text.models.lora import add_adapters
from rondel_text.models.pretrained import with_dropout
from rondel_text.models.transformer import HEADS, TransformerModel, layers_of
from rondel_text.models.unpadded.attention import CURRENT
from rondel_text.models.unpadded.rows import take


def kept_layers(count: int, wanted: int) -> list[int]:
    """Return which of some layers are kept: the first, and then every k-th."""
    return [place * count // wanted for place in range(wanted)]


def with_fewer_layers(teacher: TransformerModel, config: ModelConfig) -> TransformerModel:
    """Make a model of every k-th layer of another, and of all that is no layer.

    As a student is begun in Sanh et al., 2019 (DistilBERT, section 3).

    Args:
        teacher: Where the weights come from; left as it is.
        config: ``layers`` are kept; dropout, padding and adapters as it says.

    Raises:
        ConfigError: There are not as many, or the model is not built of equal layers.
    """
    source = teacher.model
    layers = layers_of(source.base_model)
    if config.layers > len(layers):
        raise ConfigError(
            f"the student cannot have {config.layers} of the teacher's {len(layers)} layers",
            where="model.layers",
            hint=f"Set it to {len(layers)} or lower.",
        )
    kept = kept_layers(len(layers), config.layers)
    settings = copy.deepcopy(source.config)
    settings.num_hidden_layers = len(kept)
    if getattr(settings, "layer_types", None):
        settings.layer_types = [settings.layer_types[place] for place in kept]
    made = HEADS[teacher.head].from_config(with_dropout(settings, config.dropout))
    try:
        made.load_state_dict(renumbered(source, layers, kept))
    except RuntimeError as error:
        raise ConfigError(
            f"a {type(source).__name__} is not built of equal layers",
            where="distil.start",
            hint="Leave it out, and choose the student by model.name.",
        ) from error
    adapters = add_adapters(made, config.lora) if config.lora.rank else ""
    model = TransformerModel(made, teacher.head, unpadded=config.padding != "padded")
    model.adapters = adapters
    return model


def renumbered(
    model: nn.Module, layers: Sequence[nn.Module], kept: Sequence[int]
) -> dict[str, Tensor]:
    """Return the state of a model with some of its layers, numbered anew."""
    (path,) = (name for name, part in model.named_modules() if part is layers[0])
    prefix = path.removesuffix("0")
    numbers = {f"{prefix}{old}.": f"{prefix}{new}." for new, old in enumerate(kept)}
    found = {}
    for name, tensor in model.state_dict().items():
        if not name.startswith(prefix):
            found[name] = tensor
            continue
        number, _, rest = name.removeprefix(prefix).partition(".")
        if f"{prefix}{number}." in numbers:
            found[numbers[f"{prefix}{number}."] + rest] = tensor
    return found


class Matching(nn.Module):
    """How far the states of a student's layers are from those of a teacher's.

    The input of the first layer is compared with the teacher's, and the output of layer m with that
    of layer g(m) = m N / M, by the mean squared error after a learnt linear map where the widths
    differ (Jiao et al., 2020: TinyBERT, section 3.1; Romero et al., 2015: FitNets, section 2.2).

    Args:
        student: Width and layers are those of the maps.
        teacher: It has as many layers as the student, or more.

    Raises:
        ConfigError: The student has more layers.
    """

    def __init__(self, student: TransformerModel, teacher: TransformerModel) -> None:
        super().__init__()
        mine, theirs = (len(layers_of(model.base)) for model in (student, teacher))
        if mine > theirs:
            raise ConfigError(
                f"the student has {mine} layers, the teacher only {theirs}",
                where="distil.hidden_weight",
                hint="Choose a student of fewer layers, or leave it out.",
            )
        self.places = [layer * theirs // mine for layer in range(mine + 1)]
        self.maps = nn.ModuleList(
            nn.Linear(student.width, teacher.width, bias=False)
            for _ in self.places
            if student.width != teacher.width
        )

    def forward(self, mine: Sequence[Tensor], theirs: Sequence[Tensor], lengths: Tensor) -> Tensor:
        """Return for each text the mean over its tokens, summed over the layers: (B,).

        Args:
            mine: (T, H) states of the student, M + 1 of them.
            theirs: (T, H) states of the teacher, N + 1 of them.
            lengths: (B,) tokens of the texts.
        """
        mapped = mine
        if len(self.maps):
            mapped = [layer(states) for layer, states in zip(self.maps, mine, strict=True)]
        errors = torch.stack(
            [
                (states.float() - theirs[place].float()).square().mean(1)
                for states, place in zip(mapped, self.places, strict=True)
            ]
        ).sum(0)
        texts = torch.arange(len(lengths), device=lengths.device)
        texts = texts.repeat_interleave(lengths, output_size=len(errors))
        return errors.new_zeros(len(lengths)).index_add(0, texts, errors) / lengths


@contextmanager
def collected(model: TransformerModel, lengths: Tensor) -> Iterator[list[Tensor]]:
    """Collect what enters the first layer of a model and what leaves each, while it is called.

    Args:
        model: It is called once, on texts of these lengths.
        lengths: (B,).

    Yields:
        (T, H) each, text after text; filled by the call.
    """
    found: list[Tensor] = []

    def enters(_: nn.Module, inputs: tuple[Tensor, ...], settings: dict[str, Any]) -> None:
        found.append(in_order(inputs[0] if inputs else settings["hidden_states"], lengths))

    def leaves(_: nn.Module, __: object, output: Any) -> None:
        found.append(in_order(output[0] if isinstance(output, tuple) else output, lengths))

    layers = layers_of(model.base)
    handles = [layers[0].register_forward_pre_hook(enters, with_kwargs=True)]
    handles += [layer.register_forward_hook(leaves) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def in_order(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the states of tokens text after text, (T, H): of (B, L, H), or of one row (1, T, H)."""
    call = CURRENT.get()
    if call is not None:
        return take(states[0], call.blocks.rows)
    return states[torch.arange(states.shape[1], device=states.device) < lengths[:, None]]


@torch.no_grad()
def has_states(model: TransformerModel, texts: Texts) -> bool:
    """Tell whether a model calls each of its layers once, so that their states can be compared."""
    layers = layers_of(model.base)
    if not layers:
        return False
    with collected(model, texts.lengths) as found:
        model(texts)
    return [len(states) for states in found] == [int(texts.lengths.sum())] * (len(layers) + 1)
