"""Two ways to run a transformers model over a padded batch, with the same result.

`Unpadded` computes the tokens alone, `Padded` everything; both return `Hidden`.
B texts, L longest text.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel

from rondel.errors import UsageError
from rondel_text.models.unpadded.blocks import Blocks, Cost
from rondel_text.models.unpadded.hidden import Hidden
from rondel_text.models.unpadded.implementation import select
from rondel_text.models.unpadded.network import Batch, Network
from rondel_text.models.unpadded.probe import Verdict, probe


class Encoder(Protocol):
    """A transformers model, called on a padded batch; gives the states of its tokens."""

    model: PreTrainedModel
    reason: str
    """Why the model is run in this way."""

    def __call__(
        self, ids: Tensor, lengths: Tensor, *, token_types: Tensor | None = None
    ) -> Hidden:
        """Compute the states of a batch.

        Args:
            ids: (B, L) int64; what lies behind the end of a text does not matter.
            lengths: (B,) int64, at least 1. On a device they are read back, which waits for it
                once per call; on the host nothing waits.
            token_types: (B, L) int64, for models with segments.

        Raises:
            UsageError: The lengths do not fit the ids.
        """


class Padded:
    """Runs a model on the padded batch, cut to its longest text.

    Args:
        model: Of transformers; of a model with a head, the base model is run.
        head: Run the head too: the states are what it returns for each token, its logits.
        reason: Why the model is run in this way.
    """

    def __init__(
        self, model: PreTrainedModel, *, head: bool = False, reason: str = "asked for"
    ) -> None:
        self.model = model
        self.reason = reason
        self._network = Network.of(model, head=head)

    def __call__(
        self, ids: Tensor, lengths: Tensor, *, token_types: Tensor | None = None
    ) -> Hidden:
        """Compute the states of a batch; see `Encoder`."""
        batch = Batch.of(ids, lengths, token_types)
        layout = batch.layout
        rows = self._network.padded(batch).flatten(0, 1)
        return Hidden(rows, layout.texts * layout.longest + layout.positions, layout)


class Unpadded:
    """Runs a model on the tokens of a batch alone, as one row with attention within each text.

    From then on the model's attention implementation is `rondel_unpadded`, which is SDPA when
    the model is called in any other way; what is saved with the model does not change.

    Args:
        model: Of transformers; of a model with a head, the base model is run.
        head: Run the head too: the states are what it returns for each token, its logits.
        verdict: What `probe` found, if it was asked before.

    Raises:
        UsageError: The model gives other states than padded; `encoder_for` falls back instead.

    Example::

        encoder = Unpadded(BertModel(BertConfig()))
        hidden = encoder(ids, lengths)
        logits = classifier(hidden.first())
    """

    def __init__(
        self, model: PreTrainedModel, *, head: bool = False, verdict: Verdict | None = None
    ) -> None:
        verdict = verdict or probe(model, head=head)
        if verdict.position_offset is None:
            raise UsageError(
                f"{type(model).__name__} cannot run without padding: {verdict.reason}",
                hint="Use encoder_for(model), which runs it padded if it must.",
            )
        select(model)
        self.model = model
        self.reason = verdict.reason
        self._network = Network.of(model, head=head)
        self._offset = verdict.position_offset

    def __call__(
        self, ids: Tensor, lengths: Tensor, *, token_types: Tensor | None = None
    ) -> Hidden:
        """Compute the states of a batch; see `Encoder`."""
        batch = Batch.of(ids, lengths, token_types)
        blocks = Blocks.of(batch.layout, Cost.on(ids.device, width=self._network.width))
        rows = self._network.row(batch, blocks, position_offset=self._offset)
        return Hidden(rows, blocks.rows, batch.layout)


def encoder_for(model: PreTrainedModel, *, head: bool = False) -> Unpadded | Padded:
    """Return `Unpadded` if the model gives the same states without padding, else `Padded`.

    The `reason` of what is returned says why.

    Args:
        model: Of transformers; of a model with a head, the base model is run.
        head: Run the head too.
    """
    verdict = probe(model, head=head)
    if not verdict:
        return Padded(model, head=head, reason=verdict.reason)
    return Unpadded(model, head=head, verdict=verdict)
