"""Prune a checkpoint: choose channels, remove them by a strategy, prove the result, write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from prunecli.progress import Progress, silent
from prunecli.reports.pictures import kept_channels
from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.parts import PartWishes
from prunecli.training.settings import FitSettings
from prunecli.workflows.data import Images
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.plan_files import write_plan
from prunecli.workflows.prune_request import PruneRequest
from prunecli.workflows.prune_result import PruneResult
from prunecli.workflows.prune_tuning import TuningRequest
from prunecli.workflows.pruning_steps import Pruning, steps_of
from prunecli.workflows.saving import destination

_NO_KEEPSAKES = Keepsakes()
_TRAINING, _BITES, _PARTS, _LOSS_AWARE = FitSettings(), BiteWishes(), PartWishes(), LossAwareWishes()


def prune(
    opening: Opening,
    *,
    ratio: float | None = None,
    target: str | None = None,
    criterion: str | None = None,
    strategy: str = "one-shot",
    scope: str = "local",
    normalization: str | None = None,
    sensitivity: str | None = None,
    residual: str = "coupled",
    round_to: int | str = 1,
    min_channels: int = 1,
    protect: Sequence[str] = (),
    layer_ratio: Mapping[str, float] | None = None,
    seed: int = 0,
    data: str | None = None,
    evaluate: bool = False,
    judge: str = "test",
    epochs: int | None = None,
    training: FitSettings = _TRAINING,
    batches: int = 8,
    skip_bad_images: bool = False,
    recalibrate: int | None = None,
    bites: BiteWishes = _BITES,
    parts: PartWishes = _PARTS,
    loss_aware: LossAwareWishes = _LOSS_AWARE,
    tuning: TuningRequest | None = None,
    rewind: str | None = None,
    scores: str | None = None,
    max_drop: float | None = None,
    plan: str | None = None,
    plan_out: str | None = None,
    checkpoint_every: int | None = None,
    checkpoint_dir: str | None = None,
    resume: str | None = None,
    latency_batch: int = 1,
    stream: bool | None = None,
    dry_run: bool = False,
    keep: Keepsakes = _NO_KEEPSAKES,
    output: str | None = None,
    force: bool = False,
    opened: Opened | None = None,
    images: Images | None = None,
    progress: Progress = silent,
) -> PruneResult:
    """Prune a checkpoint at `ratio` (fraction removed), until a `target` is met, or as the saved `plan` says.

    The arguments are the fields of `PruneRequest`, which says what each asks for. Nothing is written unless
    the cut network equals the masked original. Raises WrongUse, InputRefused for what does not fit,
    GateNotMet when nothing can be pruned, WorkFailed without a proof, Interrupted when the command line was
    asked to stop.
    """
    return _carried_out(PruneRequest(**locals()))


def _carried_out(asked: PruneRequest) -> PruneResult:
    """The story from the checkpoint to the result."""
    keeping, force, progress = asked.keeping, asked.force, asked.progress
    with ExitStack() as held:
        paths = (asked.output, asked.plan_out, *asked.keep.paths)
        held.enter_context(destination(asked.opening, *paths, force=force, inputs=asked.inputs))
        if asked.is_streamed:
            from prunecli.workflows.streamed_prune import prune_streamed

            return _kept(asked, prune_streamed(asked))
        opened = asked.opened or open_checkpoint(asked.opening, progress=progress)
        run = Pruning(opened=opened, images=asked.images, **steps_of(asked))
        run.take_scores(asked.scores)
        run.read_images(wanted=asked.evaluate or asked.max_drop is not None)
        run.take_earlier(asked.rewind)
        run.take_aim(asked.wanted, max_drop=asked.max_drop if asked.searches else None)
        run.tune(asked.tuning, resume=asked.resume)
        kept = held.enter_context(
            keeping.open_diary(run.origin, trains=run.procedure.trains, force=force, progress=progress)
        )
        outcome, proof, accuracy = run.judged(kept, part=asked.judge, max_drop=asked.max_drop)
        write_plan(outcome.planned.plan, asked.plan_out, force=force)
        written = run.write(outcome, asked.output, force=force)
        kept.close()
        return _kept(asked, run.result(outcome, verification=proof, accuracy=accuracy, output=written))


def _kept(asked: PruneRequest, result: PruneResult) -> PruneResult:
    """The same, once the picture and the report are written that were asked for."""
    asked.keep.write("prune", result.document(), plot=kept_channels)
    return result
