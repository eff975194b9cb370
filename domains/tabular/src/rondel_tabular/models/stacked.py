"""Several networks of one form, computed side by side: each has weights of its own.

Shapes: N rows, C copies, k members of each, O outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state


class Stacked(nn.Module):
    """C networks whose parameters lie in one tensor each, so that one product serves all of them.

    The parameters have the names that they have in one network, and one axis more, in front.

    Args:
        networks: Of the same form.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        parameters, _ = stack_module_state(list(networks))
        self.copies = len(networks)
        self.members = self.copies * int(networks[0].members)  # type: ignore[arg-type]
        self.each = networks[0]
        for name, stacked in parameters.items():
            owner, _, leaf = name.rpartition(".")
            setattr(self.each.get_submodule(owner), leaf, nn.Parameter(stacked.detach()))
        # what says how one of them is computed; held in a tuple, it is no part of the state
        self._form = (copy.deepcopy(self.each).to("meta"),)

    def forward(
        self,
        numbers: Tensor,  # (N, P), or (N, C, P) or (N, C * k, P) where each has rows of its own
        levels: Tensor,  # (N, K), or (N, C, K) or (N, C * k, K)
    ) -> Tensor:  # (N, C * k, O)
        """Return the outputs of all members, those of one copy next to each other."""
        return self.outputs_of_copies(numbers, levels).flatten(1, 2)

    def outputs_of_copies(self, numbers: Tensor, levels: Tensor) -> Tensor:  # -> (N, C, k, O)
        """Return the outputs of all members, those of a copy apart from the others'."""
        along = 1 if numbers.ndim > 2 else None
        if along and numbers.shape[1] > self.copies:  # each member has rows of its own
            numbers, levels = (
                rows.reshape(len(rows), self.copies, self.members // self.copies, rows.shape[-1])
                for rows in (numbers, levels)
            )
        (form,) = self._form
        form.train(self.training)
        parameters: dict[str, Tensor] = dict(self.each.named_parameters())
        buffers = dict(self.each.named_buffers())

        def one(own: dict[str, Tensor], numbers: Tensor, levels: Tensor) -> Tensor:
            out: Tensor = functional_call(form, {**own, **buffers}, (numbers, levels))
            return out

        computed = torch.func.vmap(
            one, in_dims=(0, along, along), out_dims=1, randomness="different"
        )
        out: Tensor = computed(parameters, numbers, levels)
        return out
