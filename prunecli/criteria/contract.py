"""What a criterion is given, what it returns, and how one joins.

A criterion is one pure function with a decorator, in a family file of this room or in a package
that names a module under the entry-point group `prunecli.criteria`:

    @criterion("l1", needs=Needs.WEIGHT, source="Li et al. 2017, arXiv:1608.08710")
    def l1_norm(evidence: Evidence) -> Tensor:
        \"\"\"Sum of a filter's absolute weights.\"\"\"
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunecli.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor


class Needs(enum.Flag):
    """What a criterion reads from the evidence; `NOTHING` reads only how many filters there are."""

    NOTHING = 0
    WEIGHT = enum.auto()
    BATCH_NORM = enum.auto()


def _at_least_float32(tensor: Tensor) -> Tensor:
    # Sums over thousands of weights overflow or stall in half precision (largest float16: 65504).
    return tensor.float() if tensor.element_size() < 4 else tensor


@dataclass(frozen=True)
class BatchNormEvidence:
    """The affine batch normalisation that follows a layer: four tensors of shape (F,)."""

    weight: Tensor
    """The scale gamma, (F,)."""
    bias: Tensor
    """The shift beta, (F,)."""
    mean: Tensor
    """The running mean, (F,)."""
    variance: Tensor
    """The running variance, (F,)."""

    def __post_init__(self) -> None:
        for name in ("weight", "bias", "mean", "variance"):
            object.__setattr__(self, name, _at_least_float32(getattr(self, name)))


@dataclass(frozen=True)
class Evidence:
    """What is known about one layer's filters. Half-precision tensors are held as float32."""

    layer: str
    """The module path, as in `layer1.0.conv1`."""
    weight: Tensor
    """(F, K): one row a filter, its weights flattened; float32 or float64."""
    kernel_shape: tuple[int, ...]
    """The weight's own shape, (F, C / groups, *kernel); (F, C) for a linear layer."""
    batch_norm: BatchNormEvidence | None = None
    """The normalisation behind the layer, None when it has none or one without scale and shift."""
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _at_least_float32(self.weight))


CriterionFunction = Callable[[Evidence], "Tensor"]


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

    def available(self, evidence: Evidence) -> bool:
        """Whether the layer has all that the criterion reads; it is not to be called otherwise."""
        return Needs.BATCH_NORM not in self.needs or evidence.batch_norm is not None


CRITERIA: Registry[Criterion] = Registry("criterion", package=__package__, group="prunecli.criteria")


def criterion(
    name: str, *, needs: Needs, source: str, zero_is_lowest: bool = False
) -> Callable[[CriterionFunction], CriterionFunction]:
    """Register the decorated function as the criterion `name`; the function itself stays as it was.

    Raises DuplicateName when another criterion has that name.
    """

    def register(function: CriterionFunction) -> CriterionFunction:
        caption = (inspect.getdoc(function) or "").partition("\n")[0]
        CRITERIA.register(name, Criterion(name, function, needs, source, caption, zero_is_lowest))
        return function

    return register
