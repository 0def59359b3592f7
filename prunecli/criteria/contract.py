"""What a criterion is given, what it returns, and how one joins.

A criterion is one pure function with a decorator, in a family file of this room or in a package
that names a module under the entry-point group `prunecli.criteria`:

    @criterion("l1", needs=Needs.WEIGHT, source="Li et al. 2017, arXiv:1608.08710")
    def l1_norm(evidence: Evidence) -> Tensor:
        \"\"\"Sum of a filter's absolute weights.\"\"\"

Keyword-only parameters with a default are its options: `entropy(bins=100)` sets one.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prunecli.criteria.evidence import BatchNormEvidence, Evidence
from prunecli.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CRITERIA", "BatchNormEvidence", "Criterion", "Evidence", "Needs", "criterion"]


class Needs(enum.Flag):
    """What a criterion reads from the evidence; how many filters there are it always knows."""

    NOTHING = 0
    SEED = enum.auto()
    WEIGHT = enum.auto()
    BATCH_NORM = enum.auto()
    COUPLED = enum.auto()
    COST = enum.auto()
    SYNAPTIC_FLOW = enum.auto()
    ACTIVATION = enum.auto()
    ZERO_SHARE = enum.auto()
    MAP_RANK = enum.auto()
    NUCLEAR_DROP = enum.auto()
    CONSUMERS = enum.auto()
    GATE_GRADIENT = enum.auto()
    WEIGHT_GRADIENT = enum.auto()
    NORM_PRODUCTS = enum.auto()
    OUTPUT = enum.auto()
    CURVATURE = enum.auto()
    HESSIAN_PRODUCT = enum.auto()
    MOVEMENT = enum.auto()
    GATE_PATH = enum.auto()
    ABLATION = enum.auto()

    def parts(self) -> tuple[Needs, ...]:
        """The single needs in it."""
        return tuple(need for need in Needs if need in self and need is not Needs.NOTHING)

    @property
    def attribute(self) -> str:
        """The attribute of `Evidence` that a single need reads."""
        return (self.name or "").lower()


WEIGHT_ONLY = Needs.SEED | Needs.WEIGHT | Needs.BATCH_NORM | Needs.COUPLED | Needs.COST | Needs.SYNAPTIC_FLOW
"""What is known without running the network on images; everything else takes a calibration."""

CriterionFunction = Callable[..., "Tensor"]


@dataclass(frozen=True)
class Criterion:
    """A registered criterion. `function` maps evidence to (F,) scores; higher means keep."""

    name: str
    function: CriterionFunction
    needs: Needs
    source: str
    """Where the score was published: authors, year, arXiv number."""
    caption: str
    """The first line of the function's docstring."""
    zero_is_lowest: bool
    """By its definition nothing scores below a filter whose evidence is all zero."""
    per_batch: bool = False
    """By its definition the scores depend on how the images are batched."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The function's keyword-only parameters and their defaults."""
    each_alone: bool = False
    """A filter's score follows from its own weights: a layer may be scored some filters at a time."""

    def available(self, evidence: Evidence) -> bool:
        """Whether the layer has all that the criterion reads; it is not to be called otherwise."""
        return all(getattr(evidence, need.attribute) is not None for need in self.needs.parts())

    @property
    def needs_data(self) -> bool:
        """Whether the network has to be run on images."""
        return bool(self.needs & ~WEIGHT_ONLY)

    @property
    def exact(self) -> bool:
        """Whether the scores follow from the network alone, and from no choice of images or seed."""
        return not self.needs_data and Needs.SEED not in self.needs


CRITERIA: Registry[Criterion] = Registry("criterion", package=__package__, group="prunecli.criteria")


def criterion(
    name: str,
    *,
    needs: Needs,
    source: str,
    zero_is_lowest: bool = False,
    per_batch: bool = False,
    each_alone: bool = False,
) -> Callable[[CriterionFunction], CriterionFunction]:
    """Register the decorated function as the criterion `name`; the function itself stays as it was.

    Raises DuplicateName when another criterion has that name.
    """

    def register(function: CriterionFunction) -> CriterionFunction:
        caption = (inspect.getdoc(function) or "").partition("\n")[0]
        parameters = inspect.signature(function).parameters.values()
        options = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
        made = Criterion(
            name, function, needs, source, caption, zero_is_lowest, per_batch, options, each_alone
        )
        CRITERIA.register(name, made)
        return function

    return register
