"""Where a strategy takes part in the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class Hooks:
    """What `fit` calls while it trains; a strategy overrides what it needs, the defaults do nothing.

    Parameters may be changed in place (zeroed, masked, scaled), never replaced: the optimiser holds them.
    What a strategy knows beside the weights and cannot compute anew goes through `state` and `restore`, so
    that a run which goes on ends like one that never stopped.
    """

    def begin(self, model: nn.Module, steps: int) -> None:
        """Before the first step of a run, not of one that goes on; an epoch has `steps` of the optimiser.

        The first chance to prune. An average of the weights begins from what is left here.
        """

    def after_step(self, model: nn.Module, step: int) -> None:
        """After `step` of the optimiser (from 0, since the run began): put a mask back on, say."""

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """After the last step of `epoch` (from 0) and before it is evaluated: zero filters, say."""

    def may_be_best(self, epoch: int) -> bool:
        """Whether the state after `epoch` counts: False while the network is not yet what was asked for."""
        return True

    def state(self) -> dict[str, Any]:
        """What a run that goes on needs of the strategy, in JSON values: lists for tuples, text for keys."""
        return {}

    def restore(self, model: nn.Module, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, in place of `begin`; weights and optimiser are back already.

        References to tensors are taken anew from `model`. The state of an older file is empty.
        """
