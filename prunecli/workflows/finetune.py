"""Train a checkpoint, pruned or not, and keep its best epoch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from prunecli.checkpoints import refuse_twice
from prunecli.errors import InputRefused, WrongUse
from prunecli.progress import Progress, remark, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.reports.pictures import training_curves
from prunecli.training.evaluation import Evaluation, evaluate
from prunecli.training.fitting import fit
from prunecli.training.logs import log_files
from prunecli.training.recalibration import RECALIBRATION_BATCHES, recalibrate_batch_norm
from prunecli.training.settings import EpochRecord, FitResult, FitSettings
from prunecli.workflows.data import Images, open_images
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening, open_checkpoint
from prunecli.workflows.run_keeping import Keeping, Kept, run_origin
from prunecli.workflows.saving import destination, save

# The network, the data or the machine say these; they are no choice of the training.
_NO_CHOICE = ("mean", "std", "device")


@dataclass(frozen=True, kw_only=True)
class FinetuneResult(ShownInNotebooks, command="finetune"):
    """The course of the training, and the test part before, after recalibration (None without) and after."""

    checkpoint: Mapping[str, Any]
    teacher: Mapping[str, Any] | None
    data: str
    settings: Mapping[str, Any]
    fit: FitResult
    before: Evaluation
    recalibrated: Evaluation | None
    after: Evaluation
    output: Mapping[str, Any] | None
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON of `finetune`; epochs count from 1, `best` and `history` are of the validation part."""
        return {
            "checkpoint": dict(self.checkpoint),
            "teacher": None if self.teacher is None else dict(self.teacher),
            "data": self.data,
            "settings": dict(self.settings),
            "epochs": len(self.fit.history),
            "stopped_early": self.fit.stopped_early,
            "best": {"epoch": self.fit.best_epoch + 1, "accuracy": self.fit.best_accuracy},
            "before": _figures(self.before),
            "recalibrated": None if self.recalibrated is None else _figures(self.recalibrated),
            "after": _figures(self.after),
            "history": history_document(self.fit.history),
            "output": self.output,
        }


def finetune(
    opening: Opening,
    *,
    settings: FitSettings | None = None,
    data: str | None = None,
    validation_share: float = 0.1,
    skip_bad_images: bool = False,
    recalibrate: int | None = None,
    teacher: str | None = None,
    logs: Sequence[str] = (),
    checkpoint_every: int | None = None,
    checkpoint_dir: str | None = None,
    resume: str | None = None,
    output: str | None = None,
    force: bool = False,
    keep: Keepsakes | None = None,
    progress: Progress = silent,
) -> FinetuneResult:
    """Train on the training part, choose the epoch by the validation part, read the test part at the end.

    Before the first step batch norms are measured again on `recalibrate` batches: 10 for a pruned network
    and 0, none, for a whole one where nothing is said. `teacher` is a checkpoint whose outputs are learnt
    as well. `logs` are as `open_logs` takes them. Where the run stands is kept in `checkpoint_dir` (beside
    the output if nothing is said) every `checkpoint_every` steps and when the run is stopped; `resume` is
    such a folder, to go on from. `keep` names a picture and a report to write. Under a launcher every
    process calls this; the first one writes.

    Raises WrongUse for an output that cannot be, InputRefused for data or a teacher that does not fit,
    WorkFailed when the loss is not finite, Interrupted when the command line was asked to stop.
    """
    keeping = Keeping.of(checkpoint_dir, resume=resume, output=output, every=checkpoint_every, logs=logs)
    kept_beside = keep or Keepsakes()
    refuse_twice((output, *kept_beside.paths, *log_files(logs)))
    with ExitStack() as held:
        paths = (output, *kept_beside.paths)
        held.enter_context(destination(opening, *paths, force=force, inputs=(teacher,)))
        run = _Finetuning.open(
            opening,
            settings or FitSettings(),
            data=data,
            validation_share=validation_share,
            skip_bad_images=skip_bad_images,
            recalibrate=recalibrate,
            teacher=teacher,
            progress=progress,
        )
        kept = held.enter_context(
            keeping.open(run.origin(), inputs=run.inputs, force=force, progress=progress)
        )
        done = run.judged(run.train(kept), kept)
        done = replace(done, output=run.write(done.after, output, force=force))
        document = done.document()
        kept_beside.write("finetune", {**document, "notes": list(done.notes)}, plot=training_curves)
        kept.finish({name: document[name] for name in ("best", "before", "recalibrated", "after")})
        return done


@dataclass(frozen=True, kw_only=True, eq=False)
class _Finetuning:
    """What a fine-tuning works on.

    `untrained` is the network as it came, `recalibrated` the one that training begins with where batch
    norms were measured again, else None.
    """

    opening: Opening
    opened: Opened
    images: Images
    settings: FitSettings
    batches: int
    teacher: Opened | None
    progress: Progress
    untrained: nn.Module
    recalibrated: nn.Module | None

    @classmethod
    def open(
        cls,
        opening: Opening,
        settings: FitSettings,
        *,
        data: str | None,
        validation_share: float,
        skip_bad_images: bool,
        recalibrate: int | None,
        teacher: str | None,
        progress: Progress,
    ) -> _Finetuning:
        """Open checkpoint, data and teacher, and measure the batch norms again."""
        if teacher is None and settings.similarity:
            raise WrongUse(
                "there is nothing to be similar to", hints=["name a teacher: --teacher CHECKPOINT"]
            )
        opened = open_checkpoint(opening, progress=progress)
        images = open_images(
            opened,
            data,
            seed=settings.seed,
            validation_share=validation_share,
            skip_bad_images=skip_bad_images,
            progress=progress,
        )
        untrained = copy.deepcopy(opened.model)
        default = RECALIBRATION_BATCHES if opened.plan is not None else 0
        batches = default if recalibrate is None else recalibrate
        changed = batches > 0 and recalibrate_batch_norm(
            opened.model,
            images.data.train,
            mean=images.mean,
            std=images.std,
            batches=batches,
            seed=settings.seed,
            device=opening.device,
        )
        return cls(
            opening=opening,
            opened=opened,
            images=images,
            settings=replace(settings, mean=images.mean, std=images.std, device=opening.device),
            batches=batches,
            teacher=None if teacher is None else _teacher(teacher, opened, opening, progress),
            progress=progress,
            untrained=untrained,
            recalibrated=copy.deepcopy(opened.model) if changed else None,
        )

    def origin(self) -> dict[str, Any]:
        """What makes this run this run and no other."""
        return run_origin(
            self.opened, self.images, self.settings, teacher=self.teacher, recalibrate=self.batches
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The files that are read and must stay."""
        paths = (self.opened.checkpoint.path, self.teacher.checkpoint.path if self.teacher else "-")
        return tuple(path for path in paths if path != "-")

    def train(self, kept: Kept) -> FitResult:
        """The training itself."""
        kept.logs.start(
            {
                "settings": stored(self.settings),
                "data": self.images.data.name,
                "checkpoint": self.opened.summary(),
                "step": kept.steps_done,
            }
        )
        return fit(
            self.opened.model,
            self.images.data.for_training(),
            settings=self.settings,
            teacher=None if self.teacher is None else self.teacher.model,
            keeper=kept.keeper,
            logs=kept.logs,
            progress=self.progress,
        )

    def judged(self, result: FitResult, kept: Kept) -> FinetuneResult:
        """What came of it, on the test part: by the network before, after recalibration, and now."""
        return FinetuneResult(
            checkpoint=self.opened.summary(),
            teacher=None if self.teacher is None else self.teacher.summary(),
            data=self.images.data.name,
            settings=stored(self.settings),
            fit=result,
            before=self._evaluated(self.untrained),
            recalibrated=None if self.recalibrated is None else self._evaluated(self.recalibrated),
            after=self._evaluated(self.opened.model),
            output=None,
            notes=(*self.opened.notes, *self.images.notes, *kept.notes, *kept.logs.notes),
        )

    def _evaluated(self, model: nn.Module) -> Evaluation:
        images = self.images
        return evaluate(model, images.data.test, mean=images.mean, std=images.std, device=self.opening.device)

    def write(self, after: Evaluation, output: str | None, *, force: bool) -> dict[str, Any] | None:
        """Write the network with its history."""
        step = {
            "command": "finetune",
            "data": self.images.data.name,
            **stored(self.settings),
            "recalibrate": self.batches,
            "teacher": None if self.teacher is None else self.teacher.checkpoint.sha256,
            "accuracy": after.accuracy,
        }
        return save(
            self.opened,
            self.opened.model,
            plan=self.opened.plan,
            step=step,
            output=output,
            force=force,
            mean=self.images.mean,
            std=self.images.std,
        )


def history_document(history: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    """Epoch records as JSON values, epochs counted from 1."""
    return [{**asdict(record), "epoch": record.epoch + 1} for record in history]


def stored(settings: FitSettings) -> dict[str, Any]:
    """The choices of a training as JSON values."""
    values = {name: value for name, value in asdict(settings).items() if name not in _NO_CHOICE}
    return {**values, "freeze": list(settings.freeze)}


def _teacher(path: str, student: Opened, opening: Opening, progress: Progress) -> Opened:
    """The network to learn from; raises InputRefused for one that reads other images."""
    found = open_checkpoint(
        Opening(checkpoint=path, model=opening.model, mean=opening.mean, std=opening.std), progress=progress
    )
    if found.architecture.input_shape != student.architecture.input_shape:
        shapes = ["x".join(map(str, each.architecture.input_shape)) for each in (found, student)]
        raise InputRefused(f"the teacher reads images of {shapes[0]}, the network that learns {shapes[1]}")
    if found.mean and student.mean and (found.mean, found.std) != (student.mean, student.std):
        raise InputRefused(
            "the teacher was trained with another normalisation than the network that learns",
            hints=[f"{found.mean} and {found.std}, not {student.mean} and {student.std}"],
        )
    remark(progress, [f"learning from {found.architecture.name} in {path}"])
    return found


def _figures(found: Evaluation) -> dict[str, float]:
    return {"accuracy": found.accuracy, "loss": found.loss}
