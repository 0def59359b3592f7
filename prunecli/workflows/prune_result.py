"""What a pruning gives back: the cut network, its costs, its proof and its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from prunecli.allocation.bounds import produced_by
from prunecli.allocation.choosing import Allocation
from prunecli.cost.differences import differences
from prunecli.cost.macs import measure
from prunecli.cost.thop_figures import thop_figures
from prunecli.errors import GateNotMet
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.strategies.bites import Bite
from prunecli.strategies.contract import PruningOutcome
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import Planned
from prunecli.surgery.verification import Verification
from prunecli.training.settings import EpochRecord
from prunecli.workflows.finetune import history_document
from prunecli.workflows.inspect import thop_document
from prunecli.workflows.prune_tuning import TuningResult

STAGES = ("trace", "score", "plan", "surgery", "verify", "train")
# Only of a strategy that looks at a trigger, freezes layers, or was tuned.
FURTHER_STAGES = ("judge", "trial", "tune", "aim")
COMPARED = ("params", "macs", "bytes")


@dataclass(frozen=True, kw_only=True)
class Against:
    """What another strategy came to with the same network, images, budget and seed.

    `accuracy` is as in the result itself, `seconds` are those of all stages, `trainings` how many there were;
    `speed_up` is how many times as long as the result's own it took.
    """

    strategy: str
    accuracy: Mapping[str, float | None] | None
    seconds: float
    trainings: int
    bites: int
    speed_up: float | None

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        accuracy = None if self.accuracy is None else dict(self.accuracy)
        return {**asdict(self), "accuracy": accuracy}


@dataclass(frozen=True, eq=False, kw_only=True)
class PruneResult(ShownInNotebooks, command="prune"):
    """A pruned network and what is to say of it.

    `asked` holds strategy, criterion, scope, ratio and seed; `before` and `after` the costs; `protected` the
    groups that kept all their channels, with the reason; `rules` what the bounds changed. `choices` are those
    of a strategy that takes step by step. `trained_after` are the numbers (from 0) of the bites after which
    the network was trained, `tuning` how its values were chosen, `against` what another strategy came to.
    `gate` is a gate that was missed, `target` what was to remain and what does, `widths` what machines like,
    `graph` the channel graph before pruning as JSON values, `data` names the images that `accuracy` is of.
    """

    asked: Mapping[str, Any]
    model: nn.Module
    plan: Plan
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    layers: Sequence[Mapping[str, Any]]
    protected: Sequence[Mapping[str, str]]
    rules: Mapping[str, str]
    verification: Verification
    accuracy: Mapping[str, float | None] | None
    history: Sequence[EpochRecord]
    seconds: Mapping[str, float]
    output: Mapping[str, Any] | None
    notes: tuple[str, ...]
    gate: GateNotMet | None = None
    bites: Sequence[Bite] = ()
    choices: Sequence[Mapping[str, Any]] = ()
    trained_after: Sequence[int] = ()
    tuning: TuningResult | None = None
    against: Against | None = None
    target: Mapping[str, Any] | None = None
    widths: Mapping[str, Any] | None = None
    checkpoint: Mapping[str, Any] | None = None
    graph: Mapping[str, Any] | None = None
    data: str | None = None

    def document(self) -> dict[str, Any]:
        """The JSON of `prune`."""
        return {
            "checkpoint": None if self.checkpoint is None else dict(self.checkpoint),
            **self.asked,
            "target": None if self.target is None else dict(self.target),
            "before": dict(self.before),
            "after": dict(self.after),
            "reduction": {
                key: 1 - self.after[key] / self.before[key] for key in COMPARED if self.before[key]
            },
            "layers": [dict(layer) for layer in self.layers],
            "protected": [dict(entry) for entry in self.protected],
            "graph": None if self.graph is None else dict(self.graph),
            "widths": None if self.widths is None else dict(self.widths),
            "rules": [{"group": name, "rule": rule} for name, rule in self.rules.items()],
            "verification": self.verification.document(),
            "data": self.data,
            "accuracy": None if self.accuracy is None else dict(self.accuracy),
            "bites": [bite.document() for bite in self.bites],
            "choices": [dict(choice) for choice in self.choices],
            "history": history_document(self.history),
            "trainings": self._trainings(),
            **({} if self.tuning is None else {"tuning": self.tuning.document()}),
            **({} if self.against is None else {"against": self.against.document()}),
            "seconds": {
                **{stage: self.seconds.get(stage, 0.0) for stage in STAGES},
                **{stage: self.seconds[stage] for stage in FURTHER_STAGES if stage in self.seconds},
            },
            "output": None if self.output is None else dict(self.output),
        }

    def _trainings(self) -> dict[str, Any] | None:
        """How many trainings fired, and after which of the bites (from 1)."""
        if not self.bites:
            return None
        return {
            "fired": len(self.trained_after),
            "bites": len(self.bites),
            "after": [number + 1 for number in self.trained_after],
        }


def refuse_nothing(outcome: PruningOutcome) -> None:
    """Raise GateNotMet when nothing was cut, with the reason."""
    if not outcome.planned.plan.cuts:
        reasons = [*outcome.planned.protected.values(), *outcome.allocation.protected.values()]
        hint = reasons[0] if reasons else "the ratio leaves every group whole: try a larger one"
        raise GateNotMet("nothing could be pruned", hints=[hint])


def costs(model: nn.Module, shape: Sequence[int]) -> dict[str, Any]:
    """Parameters, MACs, FLOPs and bytes of a network, thop's figures beside them, and why the two differ."""
    cost, thop = measure(model, shape), thop_figures(model, shape)
    reasons = [found.sentence for found in differences(model, shape, thop=thop)]
    return {**cost.document(), "thop": thop_document(thop), "differences": reasons}


def layer_rows(graph: ChannelGraph, plan: Plan) -> list[dict[str, Any]]:
    """Every layer with its filters before and after, and the indices that left."""
    cuts = {(cut.tensor, cut.axis): cut.removed for cut in plan.cuts}
    rows = []
    for layer in graph.layers:
        removed = cuts.get((layer.weight, layer.filter_axis), ())
        after = layer.channels - len(removed)
        rows.append(
            {
                "name": layer.name,
                "type": layer.type,
                "before": layer.channels,
                "after": after,
                "removed": [*removed],
            }
        )
    return rows


def protected_rows(graph: ChannelGraph, allocation: Allocation, planned: Planned) -> list[dict[str, str]]:
    """Groups that kept all their channels, with the reason; dimensions that no filter makes are left out."""
    reasons = {g.name: g.reason for g in graph.groups if g.reason and produced_by(graph, g)}
    found = {**reasons, **allocation.protected, **planned.protected}
    return [{"name": name, "reason": reason} for name, reason in found.items() if reason]
