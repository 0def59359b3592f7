"""LAASP: in every step the layer and the criterion whose channels cost the least loss."""

from __future__ import annotations

from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy


@strategy("laasp", epochs=20, source="Ghimire et al. 2025, arXiv:2506.20152", costs=("macs", "flops"))
def laasp(task: PruningTask) -> PruningOutcome:
    """By steps of 1 % of the MACs: the layer and criterion with the lowest loss, with training between.

    As many MACs leave as the uniform cut at the ratio would remove, or as a target says. The network is taken
    as it comes; the training before the first step, with which the paper begins, is left to `finetune`.
    """
    from prunecli.strategies.procedures.loss_aware import prune_by_loss

    return prune_by_loss(task, task.loss_aware, task.bounds)
