"""Every gate that there is: the figure that it reads, the side on which it lies, and its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prunecli.gates import figures, wording
from prunecli.gates.figures import Figure
from prunecli.gates.wording import Unit

Change = Callable[[float, float], float]


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A limit on a figure, or on how it has changed from the network before.

    `says` begins the line of a gate that is missed, before the amount that was found.
    """

    name: str
    figure: Figure
    unit: Unit
    at_most: bool = False
    change: Change | None = None
    says: str

    @property
    def option(self) -> str:
        """How the command line spells it."""
        return f"--{self.name}"

    def answered_by(self, command: str, *, with_baseline: bool) -> bool:
        """Whether a document of `command` has a place for what the gate asks."""
        if self.change is None or with_baseline:
            return command in self.figure.after
        return self.figure.changes_in(command)

    def line(self, found: float, asked: float) -> str:
        """What was missed, in words."""
        if self.unit is wording.FLAG:
            return self.says
        side = "more" if self.at_most else "less"
        return f"{self.says} {self.unit.beside(found, asked)}, {side} than {self.unit.exactly(asked)}"


def _drop(before: float, after: float) -> float:
    return before - after


def _cut(before: float, after: float) -> float:
    return 1 - after / before


def _ratio(before: float, after: float) -> float:
    return after / before


def _speed_up(before: float, after: float) -> float:
    return before / after


def _limit(name: str, figure: Figure, unit: Unit, says: str, change: Change | None = None) -> Gate:
    at_most = name.startswith("max-")
    return Gate(name=name, figure=figure, unit=unit, at_most=at_most, change=change, says=says)


GATES = {
    gate.name: gate
    for gate in (
        _limit("max-drop", figures.ACCURACY, wording.POINTS, "accuracy fell by", _drop),
        _limit("min-accuracy", figures.ACCURACY, wording.PERCENT, "accuracy is"),
        _limit("max-loss", figures.LOSS_VALUE, wording.LOSS, "the loss is"),
        _limit("min-macs-cut", figures.MACS_LEFT, wording.SHARE, "MACs were cut by", _cut),
        _limit("min-params-cut", figures.PARAMS_LEFT, wording.SHARE, "parameters were cut by", _cut),
        _limit("min-size-cut", figures.WEIGHT_BYTES, wording.SHARE, "bytes were cut by", _cut),
        _limit("max-macs", figures.MACS_LEFT, wording.MACS, "the network has"),
        _limit("max-params", figures.PARAMS_LEFT, wording.PARAMS, "the network has"),
        _limit("max-size", figures.FILE_BYTES, wording.BYTES, "the network takes"),
        _limit("max-latency", figures.LATENCY, wording.SECONDS, "a batch takes"),
        _limit("max-latency-ratio", figures.LATENCY, wording.TIMES, "the latency ratio is", _ratio),
        _limit("min-speedup", figures.LATENCY, wording.TIMES, "the measured speed-up is", _speed_up),
        _limit("max-memory", figures.MEMORY, wording.BYTES, "peak memory is"),
        _limit("max-error", figures.LARGEST_ERROR, wording.ERROR, "the largest error is"),
        _limit("min-agreement", figures.AGREEMENT, wording.SHARE, "the first class agrees in"),
        _limit(
            "require-equivalent", figures.EQUIVALENT, wording.FLAG, "the outputs are not proved equivalent"
        ),
        _limit("require-target", figures.TARGET_MET, wording.FLAG, "the target was not met"),
        _limit("require-identical", figures.IDENTICAL, wording.FLAG, "the two checkpoints differ"),
    )
}
