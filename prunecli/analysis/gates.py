"""Limits on agreement that a comparison must keep, for CI: `jaccard=0.9:l1,l2`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prunecli.analysis.agreement import Agreement
from prunecli.analysis.comparison import Comparison
from prunecli.errors import WrongUse, unknown_name
from prunecli.gates.wording import apart

METRICS = ("spearman", "kendall", "jaccard", "rbo")
"""All averaged over layers; Jaccard at each ratio of the comparison."""


@dataclass(frozen=True)
class Gate:
    """Fails when the metric of any two of the criteria is above the limit."""

    metric: str
    limit: float
    criteria: tuple[str, ...] = ()
    """Two or more; none stands for all that are compared."""


@dataclass(frozen=True)
class GateResult:
    """One pair under one gate."""

    metric: str
    limit: float
    a: str
    b: str
    value: float | None
    """The highest over the ratios, for Jaccard; None when it is undefined."""
    met: bool
    """False also when the value is undefined: a gate passes only what was measured."""
    ratio: float | None = None
    """Where Jaccard has that value, or is undefined."""

    def document(self) -> dict[str, Any]:
        """The JSON of one pair."""
        return asdict(self)

    @property
    def line(self) -> str:
        """What was missed, in words."""
        at = "" if self.ratio is None else f" at {self.ratio}"
        of = f"{self.metric} of {self.a} and {self.b} is"
        if self.value is None:
            return f"{of} undefined{at}, so that it cannot be said to be at most {self.limit}"
        return f"{of} {apart(self.value, self.limit)}{at}, above {self.limit}"


def check_gates(gates: Iterable[Gate], criteria: Sequence[str]) -> None:
    """Raises WrongUse for a gate on an unknown metric, on fewer than two criteria, or on one not compared."""
    for gate in gates:
        if gate.metric not in METRICS:
            raise unknown_name("metric", gate.metric, METRICS)
        for name in gate.criteria:
            if name not in criteria:
                raise WrongUse(
                    f"the gate on {gate.metric} names {name!r}, which is not compared",
                    hints=[f"compared: {', '.join(criteria)}"],
                )
        if len(set(gate.criteria or criteria)) < 2:
            raise WrongUse(f"the gate on {gate.metric} needs two criteria")


def judge_gates(gates: Sequence[Gate], comparison: Comparison) -> tuple[GateResult, ...]:
    """Every pair of every gate, in the order of the gates; raises WrongUse as `check_gates` does."""
    check_gates(gates, comparison.criteria)
    return tuple(
        _judge(gate, pair.a, pair.b, pair.average, comparison.ratios)
        for gate in gates
        for pair in comparison.pairs
        if not gate.criteria or {pair.a, pair.b} <= set(gate.criteria)
    )


def missed_gates(results: Iterable[GateResult]) -> tuple[str, ...]:
    """One line for each pair that misses its gate."""
    return tuple(result.line for result in results if not result.met)


def _judge(gate: Gate, a: str, b: str, agreement: Agreement, ratios: Sequence[float]) -> GateResult:
    value, ratio = _highest(gate, agreement, ratios)
    met = value is not None and value <= gate.limit
    return GateResult(gate.metric, gate.limit, a, b, value, met, ratio)


def _highest(gate: Gate, agreement: Agreement, ratios: Sequence[float]) -> tuple[float | None, float | None]:
    """The value to judge, and its ratio: the highest if that fails, else the first that is undefined."""
    if gate.metric != "jaccard":
        value: float | None = getattr(agreement, gate.metric)
        return value, None
    shares = [(agreement.jaccard[str(ratio)], ratio) for ratio in ratios]
    known = [(share, ratio) for share, ratio in shares if share is not None]
    highest = max(known, default=None, key=lambda each: each[0])
    unknown = next((ratio for share, ratio in shares if share is None), None)
    if highest is not None and (unknown is None or highest[0] > gate.limit):
        return highest
    return None, unknown
