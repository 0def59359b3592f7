"""Prune by one strategy and by another beside it: what the first saves, and at what accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prunecli.errors import WrongUse
from prunecli.progress import Progress, remark, silent
from prunecli.strategies.contract import STRATEGIES
from prunecli.strategies.parts import Parts, PartWishes
from prunecli.workflows.data import Images, open_images
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.prune_result import Against, PruneResult

# What is of the first strategy alone: its file, the run that it goes on with, its gate, its tuning.
_OF_THE_FIRST = ("output", "plan_out", "resume", "checkpoint_dir", "checkpoint_every", "max_drop", "tuning")


def prune_against(
    opening: Opening, *, against: str, strategy: str = "one-shot", progress: Progress = silent, **asked: Any
) -> PruneResult:
    """Prune by `strategy` as `asked` of `prune`, then by the strategy `against`, and compare the two.

    The other one has the same network, images, ratio, bounds, criterion, epochs, settings of the training and
    seed; of parts that were asked for, it has how long it trains. What is written is the first one's.
    Raises WrongUse for a dry run, a saved plan and a strategy against itself; else what `prune` raises.
    """
    if asked.get("dry_run") or asked.get("plan") is not None:
        raise WrongUse("strategies are compared by carrying them out", hints=["leave --against out"])
    if against == strategy:
        raise WrongUse(
            f"{strategy} would be compared with itself", hints=["for example: --against every-step"]
        )
    wishes = _wishes_of_other(against, asked.get("parts") or PartWishes())
    asked["opened"] = asked.get("opened") or open_checkpoint(opening, progress=progress)
    asked["images"] = asked.get("images") or _images(progress=progress, **asked)
    asked["evaluate"] = True
    first = prune(opening, strategy=strategy, progress=progress, **asked)
    remark(progress, [f"the same by {against}"])
    same = {name: value for name, value in asked.items() if name not in _OF_THE_FIRST}
    second = prune(opening, **{**same, "strategy": against, "parts": wishes}, progress=progress)
    return replace(first, against=_compared(first, second))


def _images(
    *,
    opened: Opened,
    data: str | None = None,
    seed: int = 0,
    skip_bad_images: bool = False,
    progress: Progress,
    **_others: Any,
) -> Images:
    """The images of both, opened once."""
    return open_images(opened, data, seed=seed, skip_bad_images=skip_bad_images, progress=progress)


def _wishes_of_other(name: str, wishes: PartWishes) -> PartWishes:
    """The budget of each training, where the other strategy has such."""
    parts = STRATEGIES[name].parts
    if not isinstance(parts, Parts) or not parts.in_bites:
        return PartWishes()
    return PartWishes(epochs_each=wishes.epochs_each, final_epochs=wishes.final_epochs)


def _compared(first: PruneResult, second: PruneResult) -> Against:
    own, other = (sum(each.seconds.values()) for each in (first, second))
    return Against(
        strategy=second.asked["strategy"],
        accuracy=second.accuracy,
        seconds=other,
        trainings=len(second.trained_after) if second.bites else int(bool(second.history)),
        bites=len(second.bites),
        speed_up=other / own if own else None,
    )
