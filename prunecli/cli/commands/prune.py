"""prunecli prune."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Publishing, Subject, Target
from prunecli.cli.pages import prune as pages
from prunecli.cli.part_options import Parting
from prunecli.cli.presenting import present
from prunecli.cli.pruning_options import Biting, Choosing, Judging, LossAware, Planning
from prunecli.cli.training_options import Going, Learning, Teaching
from prunecli.cli.tuning_options import Tuning

if TYPE_CHECKING:
    from prunecli.workflows.prune_result import PruneResult

EXAMPLES = """
prunecli prune model.safetensors --ratio 0.5 -o small.safetensors
prunecli prune model.safetensors --ratio 0.3 --scope global --criterion l1 --dry-run
prunecli prune model.safetensors --target macs=0.5 --round-to 8 -o small.safetensors
prunecli prune --ratio 0.5 --strategy ghfp --data digits --epochs 10 --max-drop 1.0
prunecli prune model.pt --ratio 0.7 --strategy hybrid --epochs 60 --data images/ -o small.safetensors
prunecli prune model.safetensors --ratio 0.5 -o - | prunecli inspect -
"""


def prune(
    subject: Subject,
    *,
    choosing: Choosing,
    parting: Parting,
    biting: Biting,
    loss_aware: LossAware,
    tuning: Tuning,
    learning: Learning,
    teaching: Teaching,
    going: Going,
    judging: Judging,
    planning: Planning,
    publishing: Publishing,
    target: Target,
    manner: Manner,
    epochs: options.StrategyEpochs = None,
) -> None:
    """Remove channels, prove the smaller network right, and write it."""
    measured = judging.data is not None or judging.max_drop is not None or subject.checkpoint is None
    wanted = choosing.arguments(max_drop=judging.max_drop)
    work = _work(tuning)

    present(
        "prune",
        lambda progress: work(
            subject.opening(),
            **wanted,
            epochs=epochs,
            training=learning.settings(seed=choosing.seed, **teaching.choices()),
            bites=biting.wishes(),
            parts=parting.wishes(),
            loss_aware=loss_aware.wishes(),
            **tuning.arguments(),
            rewind=parting.rewind,
            data=judging.data,
            batches=judging.batches,
            skip_bad_images=judging.skip_bad_images,
            recalibrate=judging.recalibrate,
            evaluate=measured if judging.evaluate is None else judging.evaluate,
            max_drop=judging.max_drop,
            **asdict(going),
            **asdict(planning),
            keep=publishing.keepsakes(force=target.force),
            **asdict(target),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        destination=target.output,
        following=pages.following,
    )


def _work(tuning: Tuning) -> Callable[..., PruneResult]:
    """Pruning by one strategy, or by one and another beside it."""
    if tuning.against is not None:
        from prunecli.workflows.prune_against import prune_against

        return prune_against
    from prunecli.workflows.prune import prune

    return prune
