"""What differs between two checkpoints: architecture, costs, and layer by layer channels and weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from prunecli.analysis.differences import SAME, Kept, TensorDifference, differences, worst
from prunecli.cost.macs import measure
from prunecli.errors import GateNotMet
from prunecli.progress import Progress, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.workflows.opening import Opened, Opening, open_checkpoint


@dataclass(frozen=True, kw_only=True)
class DiffResult(ShownInNotebooks, command="diff"):
    """Two checkpoints side by side.

    `layers` are the modules that hold tensors in either, each with its tensors; `identical` says that all
    tensors have the same names, shapes and bits. `gate` is missed when they are to be and are not.
    """

    checkpoints: Sequence[Mapping[str, Any]]
    architecture: Mapping[str, Any]
    layers: Sequence[Mapping[str, Any]]
    attributes: Sequence[Mapping[str, Any]]
    identical: bool
    notes: tuple[str, ...]
    gate: GateNotMet | None = None

    def document(self) -> dict[str, Any]:
        """The JSON of `diff`."""
        return {
            "a": dict(self.checkpoints[0]),
            "b": dict(self.checkpoints[1]),
            "architecture": dict(self.architecture),
            "identical": self.identical,
            "layers": [dict(layer) for layer in self.layers],
            "attributes": [dict(change) for change in self.attributes],
        }


def diff(
    first: Opening, second: Opening, *, must_equal: bool = False, progress: Progress = silent
) -> DiffResult:
    """Compare two checkpoints of one architecture, or of two.

    Channels are told by their place in the architecture, so that a cut layer's weights are compared with
    those of the channels that it kept. With `must_equal` a difference is a missed gate.
    Raises InputRefused for a file that is no network.
    """
    opened = [open_checkpoint(each, progress=progress) for each in (first, second)]
    documents = [each.architecture.document() for each in opened]
    kept = (Kept(opened[0].plan), Kept(opened[1].plan)) if documents[0] == documents[1] else None
    tensors = [each.model.state_dict() for each in opened]
    found = differences(tensors[0], tensors[1], kept=kept)
    identical = all(each.status == SAME for each in found)
    told = [note for each in opened for note in each.notes]
    return DiffResult(
        checkpoints=[_summary(each) for each in opened],
        architecture={"a": documents[0], "b": documents[1], "same": documents[0] == documents[1]},
        layers=_layers(found, opened, kept),
        attributes=_attributes(opened),
        identical=identical,
        notes=tuple(dict.fromkeys(told)),
        gate=None if identical or not must_equal else GateNotMet("the two checkpoints differ"),
    )


def _summary(opened: Opened) -> dict[str, Any]:
    cost = measure(opened.model, opened.architecture.input_shape)
    commands = [str(step.get("command")) for step in opened.history]
    return {**opened.summary(), "dtype": opened.dtype, **cost.document(), "history": commands}


def _layers(
    found: Sequence[TensorDifference], opened: Sequence[Opened], kept: tuple[Kept, Kept] | None
) -> list[dict[str, Any]]:
    types = [{name: type(module).__name__ for name, module in each.model.named_modules()} for each in opened]
    by_layer: dict[str, list[TensorDifference]] = {}
    for each in found:
        by_layer.setdefault(each.name.rpartition(".")[0], []).append(each)
    return [
        {
            "name": name,
            "type": types[0].get(name) or types[1].get(name),
            "status": worst(each.status for each in own),
            "changed": _largest(each.changed for each in own),
            # Counters of batches say nothing of weights.
            "max_abs_change": _largest(each.max_abs_change for each in own if each.floating),
            **_channels(own[0], kept),
            "tensors": [asdict(each) for each in own],
        }
        for name, own in by_layer.items()
    ]


def _largest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _channels(tensor: TensorDifference, kept: tuple[Kept, Kept] | None) -> dict[str, Any]:
    """The first axis of a layer's first tensor in both, and the channels that only one of them has."""
    sizes = [None if not shape else shape[0] for shape in (tensor.first, tensor.second)]
    only: list[list[int]] = [[], []]
    if kept is not None and sizes[0] is not None and sizes[1] is not None:
        places = [set(k.positions(tensor.name, 0, s).tolist()) for k, s in zip(kept, sizes, strict=True) if s]
        if len(places) == len(sizes):
            only = [sorted(places[0] - places[1]), sorted(places[1] - places[0])]
    return {"channels": {"a": sizes[0], "b": sizes[1]}, "only_a": only[0], "only_b": only[1]}


def _attributes(opened: Sequence[Opened]) -> list[dict[str, Any]]:
    """Attributes of modules that a plan has changed in either, where the two now differ."""
    changed = {
        (change.module, change.attribute)
        for each in opened
        for change in (() if each.plan is None else each.plan.attributes)
    }
    rows = []
    for module, attribute in sorted(changed):
        values = [_value(each, module, attribute) for each in opened]
        if values[0] != values[1]:
            rows.append({"module": module, "attribute": attribute, "a": values[0], "b": values[1]})
    return rows


def _value(opened: Opened, module: str, attribute: str) -> Any:
    modules = dict(opened.model.named_modules())
    found = getattr(modules.get(module), attribute, None)
    return None if isinstance(found, Tensor) else found
