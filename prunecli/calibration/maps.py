"""Feature maps as matrices, on a sample of images: their ranks, and what each adds to the nuclear norm."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from prunecli.calibration.activations import PerLayerSums
from prunecli.calibration.observing import Observer, Scene
from prunecli.calibration.places import Place

# Entries of the matrices that are taken together: they stay in the processor's cache.
BLOCK_ENTRIES = 1 << 17
# Eigenvalues of a Gram matrix below this share of the largest, times its size, are rounding.
ROUNDING = torch.finfo(torch.float64).eps
# The trapezoid rule's step in the logarithm, and how far beyond the singular values it goes: what is left
# out and what the step costs are both below 1e-7 of a drop.
STEP = 0.5
REACH = 18.0


def sampled_images(images: int, most: int) -> list[int]:
    """Indices of `most` of the images, evenly apart; of all of them when there are no more."""
    chosen = min(images, most)
    return [index * images // chosen for index in range(chosen)]


class SampledMeans(Observer):
    """Means by layer of an (F,) number that a sample of the images gives; calls of a layer are averaged."""

    most: ClassVar[int]
    """How many images are looked at."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.sums = PerLayerSums()
        self._sample = sampled_images(scene.images, self.most)
        self._seen = 0
        self.chosen: list[int] = []
        """Which images of the batch are in the sample."""

    def begin(self, labels: Tensor) -> None:
        """Find out which images of the batch are in the sample."""
        end = self._seen + len(labels)
        self.chosen = [index - self._seen for index in self._sample if self._seen <= index < end]
        self._seen = end

    def result(self) -> dict[str, Any]:
        """Layer → (F,) means."""
        self.sums.unite(self.scene)
        return {layer: self.sums.mean(layer) for layer in self.sums.sums}


class MapRankObserver(SampledMeans):
    """Mean rank of two-dimensional feature maps."""

    most = 16

    def pictured(self, place: Place, feature_map: Tensor) -> None:
        """Add the ranks of a feature map (B, F, H, W)."""
        for index in self.chosen:
            self.sums.add(place.layer, map_ranks(feature_map[index]), 1)


class NuclearDropObserver(SampledMeans):
    """Mean fall of the nuclear norm of an image's feature maps without each of them."""

    most = 8

    def mapped(self, place: Place, feature_map: Tensor) -> None:
        """Add the falls of a feature map (B, F, P)."""
        for index in self.chosen:
            self.sums.add(place.layer, nuclear_drops(feature_map[index]), 1)


def map_ranks(maps: Tensor) -> Tensor:
    """Ranks (F,) of matrices (F, H, W): singular values above max(H, W) ε of the largest, ε of float32.

    A singular value is above a bound when the eigenvalue of the Gram matrix is above its square, and a
    symmetric matrix has as many positive eigenvalues as the middle factor of its LDLᵀ has (Sylvester): a
    third of the time of the singular values. The largest is taken as (Σ σ¹⁶)^(1/16), which is between it and
    1.4 times it, and mostly within a hundredth.
    """
    block = max(1, BLOCK_ENTRIES // max(1, maps[0].numel()))
    return torch.cat([_ranks(maps[start : start + block]) for start in range(0, len(maps), block)])


def _ranks(maps: Tensor) -> Tensor:
    rows = maps.double()
    rows = rows if rows.shape[1] <= rows.shape[2] else rows.mT
    gram = rows @ rows.mT
    scale = gram.diagonal(dim1=1, dim2=2).sum(dim=1)
    small = (gram / scale.where(scale > 0, 1.0)[:, None, None]).float()
    square = small @ small
    largest = torch.linalg.matrix_norm(square @ square).double() ** 0.25 * scale
    bound = largest * (max(maps.shape[1:]) * torch.finfo(torch.float32).eps) ** 2
    gram.diagonal(dim1=1, dim2=2).sub_(bound[:, None])
    return positive_eigenvalues(gram)


def positive_eigenvalues(matrices: Tensor) -> Tensor:
    """How many eigenvalues of symmetric matrices (F, n, n) are positive: (F,)."""
    # On a GPU the factorisations would run one after the other.
    factors, pivots, _ = torch.linalg.ldl_factor_ex(matrices.cpu())
    single = pivots > 0
    positive = (single & (factors.diagonal(dim1=1, dim2=2) > 0)).sum(dim=1)
    # A pivot of two rows has one eigenvalue of each sign.
    counts: Tensor = positive + (~single).sum(dim=1) // 2
    return counts.to(matrices.device)


def nuclear_drops(rows: Tensor) -> Tensor:
    """‖A‖_* − ‖A without row f‖_* for every row f of A (F, P): (F,) in float64, from one decomposition.

    With A = U S Vᵀ, u the row of U and λ = S², det(AᵀA − a aᵀ + t) = det(AᵀA + t) r(t), where
    r(t) = 1 − Σ u² + Σ u² t/(λ + t), and tr √M is an integral over t of the logarithm's derivative:

    drop = 1/π ∫ √t r′(t)/r(t) dt,  r′(t) = Σ u² λ/(λ + t)²

    over t = e^{2y} the integrand is smooth and falls off exponentially on both sides.
    """
    squares, values, outside = _decomposed(rows.double())
    if not values.numel():
        return squares.new_zeros(len(rows))
    logarithms = values.log() / 2
    low, high = float(logarithms.min()) - REACH, float(logarithms.max()) + REACH
    nodes = torch.arange(math.ceil((high - low) / STEP) + 1, dtype=values.dtype, device=values.device)
    shift = (2 * (low + STEP * nodes)).exp()
    remaining = outside[:, None] + squares @ (shift / (values[:, None] + shift))
    slope = (squares * values) @ (values[:, None] + shift).square().reciprocal()
    drops = (slope / remaining) @ shift.pow(1.5) * (2 * STEP / math.pi)
    return drops.where(rows.any(dim=1), 0.0)  # the decomposition leaves some rounding in silent rows


def _decomposed(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u² (F, r), λ (r,) of the non-zero singular values, and 1 − Σ u² (F,), from the smaller Gram matrix."""
    few = len(rows) <= rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    kept = values > values.amax() * max(rows.shape) * ROUNDING
    if few:
        squares = vectors.square()
        return squares[:, kept], values[kept], squares[:, ~kept].sum(dim=1)
    squares = (rows @ vectors[:, kept]).square() / values[kept]
    return squares, values[kept], (1 - squares.sum(dim=1)).clamp(min=0)
