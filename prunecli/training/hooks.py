"""Where a strategy takes part in the training loop."""

from __future__ import annotations

from torch import nn


class Hooks:
    """What `fit` calls while it trains; a strategy overrides what it needs, the defaults do nothing.

    Parameters may be changed in place (zeroed, masked, scaled), never replaced: the optimiser holds them.
    """

    def after_step(self, model: nn.Module) -> None:
        """After every step of the optimiser: put a mask back on, say."""

    def after_epoch(self, model: nn.Module, epoch: int) -> None:
        """After the last step of `epoch` (from 0) and before it is evaluated: zero filters, say."""

    def may_be_best(self, epoch: int) -> bool:
        """Whether the state after `epoch` counts: False while the network is not yet what was asked for."""
        return True
