"""Bite by bite: rank, remove, train, and again; what is left of the network is ranked anew each time.

Every bite is cut physically and proved by itself, so that the training after it costs what the smaller
network costs. The best epoch of a bite is what the next one begins with, with a fresh optimiser.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from prunecli.errors import WrongUse
from prunecli.progress import remark
from prunecli.strategies.bites import Bite, bites_of
from prunecli.strategies.contract import PruningOutcome, PruningTask, strategy
from prunecli.strategies.removal import remove_channels

if TYPE_CHECKING:
    from torch import nn

    from prunecli.training.settings import EpochRecord

SOURCE = "Janusz et al. 2025, One Shot vs. Iterative"
EPOCHS = 20


@strategy("iterative", trains=True, epochs=EPOCHS, source=SOURCE)
def iterative(task: PruningTask) -> PruningOutcome:
    """Bites of equal size, each a part of what there once was, with training after each."""
    return bite_by_bite(task, "iterative")


@strategy("geometric", trains=True, epochs=EPOCHS, source=SOURCE)
def geometric(task: PruningTask) -> PruningOutcome:
    """Bites that each take the same part of what is left, with training after each."""
    return bite_by_bite(task, "geometric")


@strategy("log", trains=True, epochs=EPOCHS, source=SOURCE)
def logarithmic(task: PruningTask) -> PruningOutcome:
    """Large bites first, then smaller ones, with training after each."""
    return bite_by_bite(task, "log")


@strategy("hybrid", trains=True, epochs=EPOCHS, source=SOURCE)
def hybrid(task: PruningTask) -> PruningOutcome:
    """One large bite with a long training, then small ones with short ones."""
    return bite_by_bite(task, "hybrid")


@strategy("manual", trains=True, epochs=EPOCHS, source=SOURCE)
def manual(task: PruningTask) -> PruningOutcome:
    """Bites as they are given by --bites, with training after each."""
    return bite_by_bite(task, "manual")


def bite_by_bite(task: PruningTask, name: str) -> PruningOutcome:
    """Carry out the bites of the strategy `name`; raises WorkFailed for a cut that is not proved."""
    from prunecli.surgery.verification import prove

    _, settings = task.training()
    if not task.ratio:
        raise WrongUse("bites are parts of a ratio", hints=["give one beside --layer-ratio: --ratio 0.5"])
    bites = bites_of(name, task.ratio, task.bites, epochs=settings.epochs)
    now, outcome = task, None
    history: tuple[EpochRecord, ...] = ()
    spare = 0  # epochs of bites that took nothing
    seconds: dict[str, float] = {}
    for number, bite in enumerate(bites, start=1):
        remark(task.progress, [f"bite {number} of {len(bites)}: {100 * bite.ratio:.3g} % of the channels"])
        start = time.perf_counter()
        allocation = now.choose(now.model, bite.share)
        found = remove_channels(now, now.model, allocation, seconds={"score": time.perf_counter() - start})
        removed = {group.name: group.removed for group in found.planned.plan.groups}
        if not removed and bite is not bites[-1]:
            spare += bite.epochs  # too small a bite for the narrowest group: the next one takes it along
            continue
        if not removed and outcome is None:
            return found  # nothing leaves at all, and nothing is trained for it
        start = time.perf_counter()
        found = replace(
            found,
            proof=prove(now.graph, found.reference, found.cut, removed, seed=task.seed) if removed else None,
        )
        _add(seconds, {**found.seconds, "verify": time.perf_counter() - start})
        start = time.perf_counter()
        longer = replace(bite, epochs=bite.epochs + spare)
        history, spare = (*history, *_trained(now, found.cut, longer, len(history))), 0
        _add(seconds, {"train": time.perf_counter() - start})
        outcome = found if outcome is None else _joined(outcome, found)
        now = now.after(found.cut)
    assert outcome is not None  # the last bite is always taken
    return replace(outcome, history=history, seconds=seconds, trained_since=True)


def _trained(task: PruningTask, network: nn.Module, bite: Bite, done: int) -> tuple[EpochRecord, ...]:
    """Train the cut network in place; the epochs are counted on from those that are `done`."""
    from prunecli.training.fitting import fit
    from prunecli.training.recalibration import recalibrate_batch_norm

    data, settings = task.training()
    if task.recalibrate:
        recalibrate_batch_norm(
            network,
            data.train,
            mean=settings.mean or data.mean,
            std=settings.std or data.std,
            batches=task.recalibrate,
            seed=settings.seed,
            device=settings.device,
        )
    own = replace(
        settings,
        epochs=bite.epochs,
        warmup_epochs=min(settings.warmup_epochs, bite.epochs - 1),
        patience=bite.patience,
        min_delta=task.bites.min_delta,
        seed=settings.seed + done,
    )
    result = fit(network, data, settings=own, progress=task.progress)
    network.cpu()
    return tuple(replace(record, epoch=record.epoch + done) for record in result.history)


def _joined(before: PruningOutcome, after: PruningOutcome) -> PruningOutcome:
    """Two cuts, one after the other, as one outcome: one plan, the worse proof."""
    plan = before.planned.plan.then(after.planned.plan)
    protected = {**before.planned.protected, **after.planned.protected}
    proofs = [each.proof for each in (before, after) if each.proof is not None]
    return replace(
        after,
        planned=replace(after.planned, plan=plan, protected=protected),
        proof=max(proofs, key=lambda proof: proof.max_rel_error, default=None),
    )


def _add(total: dict[str, float], more: dict[str, float]) -> None:
    for stage, spent in more.items():
        total[stage] = total.get(stage, 0.0) + spent
