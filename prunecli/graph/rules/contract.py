"""The signature of a coupling rule, and the table in which the walker finds it.

A rule says how the axes of an operation's outputs come from the axes of its inputs. It reads axes with
`flow.axes(ref)`, ties what must leave together, names what is contracted away, and assigns the outputs'
axes. An operator without a rule protects every channel it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from prunecli.graph.labels import Axis, LabelSpace
from prunecli.registry import Registry

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation, TensorRef

SUM = "sum"  # a weighted sum over the axis: a removed position adds nothing
STATISTICS = "statistics"  # a mean, a maximum, a normalisation: computed over the kept positions only


class Flow(Protocol):
    """What a rule sees of the pass that is under way."""

    space: LabelSpace

    def axes(self, ref: TensorRef) -> list[Axis]:
        """The axes of a tensor, one a dimension."""

    def assign(self, ref: TensorRef, axes: Sequence[Axis]) -> None:
        """Give an output its axes; one a dimension, of its sizes."""

    def turn(self, ref: TensorRef, output: TensorRef) -> None:
        """The output is a matrix on its side."""

    def follow(self, ref: TensorRef, dim: int, axis: Axis, reason: str) -> None:
        """Positions of dimension `dim`, mostly of a parameter, leave with those of `axis`; else `reason`."""

    def contract(self, ref: TensorRef, dim: int, how: str = SUM) -> None:
        """Dimension `dim` of an input is summed over, or enters statistics."""

    def literal(self, path: tuple[int | str, ...], axis: Axis) -> None:
        """The integer at `path` of the arguments counts the positions of `axis`."""

    def fix(self, ref: TensorRef, dims: Sequence[int], reason: str) -> None:
        """These dimensions of a parameter hold no channels; of any other tensor they are protected."""

    def protect(self, ref: TensorRef, reason: str, dims: Sequence[int] | None = None) -> None:
        """The channels along these dimensions (all by default) must stay."""


CouplingRule = Callable[["Operation", Flow], None]

RULES: Registry[CouplingRule] = Registry(
    "coupling rule", package="prunecli.graph.rules", group="prunecli.coupling_rules"
)


def coupling_rule(*names: str) -> Callable[[CouplingRule], CouplingRule]:
    """Register a rule for operators by packet name, without overload or trailing underscore."""

    def register(rule: CouplingRule) -> CouplingRule:
        for name in names:
            RULES.register(name, rule)
        return rule

    return register


def rule_for(name: str) -> CouplingRule | None:
    """The rule of an operator; the in-place form `aten.add_` has the rule of `aten.add`."""
    for candidate in (name, name.rstrip("_")):
        if candidate in RULES:
            return RULES[candidate]
    return None
