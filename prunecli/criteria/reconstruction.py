"""Criteria that ask what the outputs of the next layers lose with a channel when nothing makes up for it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from prunecli.criteria.consumers import (
    REMEMBERED,
    Consumers,
    as_scores,
    by_filter,
    consumers_of,
    output_energy,
)
from prunecli.criteria.contract import Evidence, Needs, criterion
from prunecli.criteria.lasso import entry_penalties

if TYPE_CHECKING:
    from torch import Tensor

    from prunecli.criteria.consumers import Floats

# Entries of one block of a product: 16 MiB of float32.
BLOCK_ENTRIES = 1 << 22


@criterion("thinet", needs=Needs.CONSUMERS, source="Luo et al. 2017, arXiv:1707.06342", zero_is_lowest=True)
def removal_order(evidence: Evidence) -> Tensor:
    """When a channel leaves if always the one goes without which the next layers' outputs change least.

    score_f = (how many left before f) / F,  next: argmin_c E‖Σ_{d ∈ gone ∪ c} W_d u_d‖²      (S, C) → (F,)

    Nothing makes up for what is gone. Several consumers count by their errors' share of E‖y‖².
    """
    return as_scores(_removal_order(consumers_of(evidence), len(evidence.weight)), evidence)


@criterion("cp_lasso", needs=Needs.CONSUMERS, source="He et al. 2017, arXiv:1707.06168", zero_is_lowest=True)
def lasso_entry(evidence: Evidence) -> Tensor:
    """At which penalty the LASSO first takes a channel to reconstruct the next layers' outputs.

    score_f = sup {α: β_f(α) ≠ 0},  β(α) = argmin_β ½ E‖y − Σ_c β_c W_c u_c‖² + α Σ_c |β_c|   (S, C) → (F,)

    Errors are shares of E‖y‖², and with several consumers they add up. A channel that is never taken, as
    the second of two equal ones, scores 0.
    """
    return as_scores(_lasso_entry(consumers_of(evidence), len(evidence.weight)), evidence)


@lru_cache(maxsize=REMEMBERED)
def _removal_order(consumers: Consumers, filters: int) -> Floats:
    import numpy as np

    products = _error_products(consumers, filters)
    increase = products.diagonal().copy()
    place = np.empty(filters)
    for step in range(filters):
        gone = int(increase.argmin())
        place[gone] = step
        increase += 2 * products[:, gone]
        increase[gone] = np.inf
    return place / filters


@lru_cache(maxsize=REMEMBERED)
def _lasso_entry(consumers: Consumers, filters: int) -> Floats:
    products = _error_products(consumers, filters)
    return entry_penalties(products, products.sum(axis=1))


@lru_cache(maxsize=REMEMBERED)
def _error_products(consumers: Consumers, filters: int) -> Floats:
    """(F, F): E (W_c u_c)·(W_d u_d), of each consumer as a share of E‖y‖², summed over consumers.

    Σ_{c,d ∈ T} of it is the error of removing the channels T. Sums over samples and outputs are taken in the
    samples' own precision, which is at least float32.
    """
    import numpy as np

    total = np.zeros((filters, filters))
    for consumer in consumers:
        patches, weights = by_filter(consumer, filters)
        count, _, columns = patches.shape
        outputs = len(weights)
        wide = columns**2 * (count + outputs) > count * outputs
        made = (_products_of_outputs if wide else _products_of_columns)(patches, weights).cpu().numpy()
        # Where no other layer's channels come in, removing all channels loses all of y.
        energy = output_energy(consumer) if bool((consumer.owner < 0).any()) else float(made.sum())
        if energy > 0:
            total += made / energy
    return total


def _products_of_columns(patches: Tensor, weights: Tensor) -> Tensor:
    """(F, F): Σ_s (W_c u_c)·(W_d u_d) as Σ over columns of (Σ_s u u) (Σ_n w w), for few columns a channel."""
    import torch

    _, filters, columns = patches.shape
    flat, rows = patches.flatten(1), weights.flatten(1)
    products = torch.zeros(filters, filters, dtype=torch.float64, device=patches.device)
    for start, end in _blocks(filters, columns * flat.shape[1]):
        part = slice(start * columns, end * columns)
        behind = slice(start * columns, None)  # the blocks before are known by symmetry
        both = (flat[:, part].T @ flat[:, behind]) * (rows[:, part].T @ rows[:, behind])
        block = both.reshape(end - start, columns, filters - start, columns).sum(dim=(1, 3)).double()
        products[start:end, start:] = block
        products[start:, start:end] = block.T
    return products


def _products_of_outputs(patches: Tensor, weights: Tensor) -> Tensor:
    """The same from every channel's share of the outputs, for many columns a channel."""
    import torch

    count, filters, _ = patches.shape
    products = torch.zeros(filters, filters, dtype=torch.float64, device=patches.device)
    by_channel = patches.transpose(0, 1)
    for start, end in _blocks(len(weights), count * filters):
        made = torch.bmm(by_channel, weights[start:end].permute(1, 2, 0)).flatten(1)
        products += (made @ made.T).double()
    return products


def _blocks(count: int, entries: int) -> Iterator[tuple[int, int]]:
    """Ranges over `count` things of so many entries each."""
    size = max(1, BLOCK_ENTRIES // entries)
    for start in range(0, count, size):
        yield start, min(start + size, count)
