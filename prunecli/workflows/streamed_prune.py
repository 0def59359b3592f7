"""Prune a checkpoint that does not fit in memory: read tensor by tensor, written as it goes."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunecli.checkpoints.safetensors_form import Outline
from prunecli.checkpoints.streamed_saving import write_streamed
from prunecli.errors import WrongUse
from prunecli.graph.layers import Layer
from prunecli.strategies.contract import PruningOutcome
from prunecli.strategies.diary import Diary
from prunecli.strategies.removal import remove_channels
from prunecli.surgery.sampled_rows import Side, prove_rows
from prunecli.surgery.single_tensors import (
    Change,
    changes_of,
    cut_pieces,
    first_names,
    is_of_single_tensors,
    narrowed,
)
from prunecli.surgery.verification import Verification
from prunecli.workflows.plan_files import write_plan
from prunecli.workflows.prune_request import PruneRequest
from prunecli.workflows.prune_result import PruneResult, refuse_nothing
from prunecli.workflows.pruning_steps import Pruning, steps_of
from prunecli.workflows.saving import saved_document, whole_plan
from prunecli.workflows.streamed_checkpoint import (
    NOT_HASHED,
    PIECE_BYTES,
    StreamedCheckpoint,
    streamed_checkpoint,
)


def prune_streamed(asked: PruneRequest) -> PruneResult:
    """The story of `prune` for a network on the disk; the `model` of its result has shapes only.

    Its outputs are held by the caller. Raises what `prune` raises.
    """
    with streamed_checkpoint(asked.opening, progress=asked.progress) as source:
        run = StreamedPruning(opened=source.opened, source=source, **steps_of(asked))
        run.survey()
        run.take_aim(asked.wanted, max_drop=None)
        outcome = run.cut(Diary())
        refuse_nothing(outcome)
        proof, written = run.proved_and_written(outcome, asked.output, force=asked.force)
        write_plan(outcome.planned.plan, asked.plan_out, force=asked.force)
        return run.result(outcome, verification=proof, accuracy=None, output=written)


@dataclass(kw_only=True)
class StreamedPruning(Pruning):
    """The steps of a pruning whose network stays on the disk."""

    source: StreamedCheckpoint

    def survey(self) -> None:
        """Read the file once: what is not finite is refused, and the filters are scored."""
        start = time.perf_counter()
        layers = () if self.plan is not None else self._scored()
        criteria = self.scorer.criteria
        self.saved = self.source.survey(self.graph, layers, criteria, seed=self.asked["seed"])
        self.seconds["score"] = time.perf_counter() - start

    def _scored(self) -> Iterable[Layer]:
        """The layers whose filters are the channels of groups that may leave."""
        places = {(member.tensor, member.axis) for group in self.graph.prunable for member in group.members}
        return [layer for layer in self.graph.layers if (layer.weight, layer.filter_axis) in places]

    def cut(self, diary: Diary) -> PruningOutcome:
        """The plan, tried out on shapes, and the shapes of the cut network."""
        if self.plan is not None:
            outcome = self.follow(self.plan)
        else:
            model = self.opened.model
            task = self.task(copy.deepcopy(model), self.graph, self.scorer, diary)
            outcome = remove_channels(task, model, task.choose(model, 1))
        names = self.source.opened.model.state_dict().keys()
        if not is_of_single_tensors(outcome.planned.plan) or outcome.cut.state_dict().keys() != names:
            raise WrongUse(
                "what the plan does to tensors cannot be done to one at a time",
                hints=["hold the network in memory: --no-stream"],
            )
        # Nothing but shapes was cut; what surgery takes shows when the tensors are.
        spent = {stage: seconds for stage, seconds in outcome.seconds.items() if stage != "surgery"}
        return replace(outcome, seconds=spent)

    def proved_and_written(
        self, outcome: PruningOutcome, output: str | None, *, force: bool
    ) -> tuple[Verification, dict[str, Any] | None]:
        """Write the cut network and prove what was written, before the file gets its name.

        Where nothing is to be written, what would be is proved.
        """
        plan = outcome.planned.plan
        removed = plan.removed
        seed, proofs = self.asked["seed"], list[Verification]()
        outlines = {
            name: Outline(tensor.dtype, tuple(tensor.shape))
            for name, tensor in outcome.cut.state_dict().items()
        }
        found = changes_of(plan)
        changes = {name: found.get(first, Change()) for name, first in first_names(self.opened.model).items()}

        def prove(side: Side, where: str) -> None:
            start = time.perf_counter()
            whole = _whole_side(self.source, outlines, changes)
            proofs.append(prove_rows(self.graph, whole, side, removed, where=where, seed=seed))
            self.seconds["verify"] = time.perf_counter() - start

        if self.dry_run or output is None:
            self.tell_not_written()
            prove(_planned_side(self.source, outlines, changes), "as they would be written")
            return proofs[0], None
        start = time.perf_counter()
        written = write_streamed(
            output,
            outlines,
            lambda name: _pieces(self.source, name, changes[name], outlines[name].dtype),
            draft=self._document(outcome),
            document=lambda: self._hashed_document(outcome),
            force=force,
            verify=lambda tensors: prove(_written_side(tensors), "of the written file"),
        )
        self.seconds["surgery"] = time.perf_counter() - start - self.seconds["verify"]
        return proofs[0], {**asdict(written), "path": output}

    def result(self, outcome: PruningOutcome, **shown: Any) -> PruneResult:
        """Everything that is to say of the pruning; a file that was not read whole has no digest yet."""
        found = super().result(outcome, **shown)
        summary = self.opened.summary()
        digest = None if summary["sha256"] == NOT_HASHED else summary["sha256"]
        return replace(found, checkpoint={**summary, "sha256": digest})

    def _document(self, outcome: PruningOutcome) -> dict[str, Any]:
        return saved_document(
            self.opened, plan=whole_plan(self.opened, outcome.planned.plan), step=self.step()
        )

    def _hashed_document(self, outcome: PruningOutcome) -> dict[str, Any]:
        self.source.hash()
        self.opened = replace(self.opened, checkpoint=self.source.opened.checkpoint)
        return self._document(outcome)


def _pieces(source: StreamedCheckpoint, name: str, change: Change, dtype: torch.dtype) -> Iterator[Tensor]:
    yield from cut_pieces(source.tensor(name), change, dtype, most_bytes=PIECE_BYTES)
    source.let_go(name)


def _whole_side(
    source: StreamedCheckpoint, outlines: Mapping[str, Outline], changes: Mapping[str, Change]
) -> Side:
    """The whole network; rows that the plan scales are scaled."""

    def rows(name: str, numbers: NDArray[np.int64]) -> Tensor:
        tensor, dtype = source.tensor(name), outlines[name].dtype
        found = tensor.index_select(0, torch.from_numpy(numbers))
        return changes[name].scaled(found, numbers, tensor.shape, dtype).to(dtype).double()

    return Side(lambda name: tuple(source.tensor(name).shape), rows)


def _planned_side(
    source: StreamedCheckpoint, outlines: Mapping[str, Outline], changes: Mapping[str, Change]
) -> Side:
    """The cut network as it would be written."""
    whole = _whole_side(source, outlines, changes)

    def rows(name: str, numbers: NDArray[np.int64]) -> Tensor:
        stays = changes[name].kept.get(0)
        return narrowed(whole.rows(name, numbers if stays is None else stays[numbers]), changes[name])

    return Side(lambda name: outlines[name].shape, rows)


def _written_side(tensors: Mapping[str, Tensor]) -> Side:
    return Side(
        lambda name: tuple(tensors[name].shape),
        lambda name, numbers: tensors[name].index_select(0, torch.from_numpy(numbers)).double(),
    )
