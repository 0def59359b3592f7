"""Forward selection with compensation against least squares done anew for every candidate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from criteria.consumers import FILTERS, consumer, evidence

from prunecli.criteria import compensation
from prunecli.criteria.compensation import selection_order
from prunecli.criteria.evidence import ConsumerEvidence


def explained(each, channels):
    """The share of the outputs' variance that a ridge regression on the channels' columns explains."""
    samples, weight, owner = (tensor.numpy() for tensor in (each.samples, each.weight, each.owner))
    own = np.flatnonzero(owner >= 0)
    centred = samples - samples.mean(axis=0)
    outputs = centred[:, own] @ weight[:, own].T
    read = centred[:, np.isin(owner, channels)]
    ridge = 1e-6 * (centred[:, own] ** 2).sum() / len(own)
    solved = np.linalg.solve(read.T @ read + ridge * np.eye(read.shape[1]), read.T @ outputs)
    return float((outputs.T @ read @ solved).trace() / ((centred @ weight.T) ** 2).sum())


def slow_order(consumers, filters=FILTERS):
    chosen, scores = [], np.zeros(filters)
    for left in range(filters, 0, -1):
        rest = [f for f in range(filters) if f not in chosen]
        best = max(rest, key=lambda f: sum(explained(each, [*chosen, f]) for each in consumers))
        scores[best] = (left - 1) / filters
        chosen.append(best)
    return scores.tolist()


CASES = {
    "one": [consumer(samples=200)],
    "one column": [consumer(columns=1)],
    "others": [consumer(others=5, samples=200)],
    "more outputs than columns": [consumer(outputs=40, samples=200)],
    "two": [consumer(columns=1), consumer(columns=3, others=2, outputs=9, samples=200, seed=1)],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("held", [0, 1000], ids=["by factors", "held"])
@pytest.mark.parametrize("collected", [1, 4, 1000])
def test_the_best_comes_next(case, held, collected, monkeypatch):
    monkeypatch.setattr(compensation, "HELD_COLUMNS", held)
    monkeypatch.setattr(compensation, "COLLECTED", collected)
    compensation._selection_order.cache_clear()
    assert selection_order(evidence(*CASES[case])).tolist() == pytest.approx(slow_order(CASES[case]))


def test_a_channel_stands_for_others_that_follow_from_it():
    generator = torch.Generator().manual_seed(5)
    free = torch.randn(100, 3, generator=generator).double()
    # The first channel is the sum of the two that are read, and is not read itself.
    samples = torch.stack([free[:, 0] + free[:, 1], free[:, 0], free[:, 1] * 0.5, free[:, 2]], dim=1)
    weight = torch.tensor([[0.0, 1.0, 2.0, 0.1]]).double()
    given = ConsumerEvidence("next", weight, torch.arange(4), samples)
    assert selection_order(evidence(given, filters=4)).argmax() == 0


def test_what_is_the_same_in_all_samples_tells_nothing():
    first, second = CASES["two"]
    shifted = ConsumerEvidence("next", second.weight, second.owner, second.samples + 100)
    scores = selection_order(evidence(first, second))
    assert torch.equal(selection_order(evidence(first, shifted)), scores)
    assert not torch.equal(selection_order(evidence(first)), scores)


def test_a_search_ends_when_columns_fit_anything():
    given = consumer(columns=2, samples=8, filters=20, outputs=3)
    scores = selection_order(evidence(given, filters=20))
    assert sorted(scores.tolist()) == pytest.approx([place / 20 for place in range(20)])
    # Two channels have four columns, half as many as samples; the others follow by what each alone would add.
    first, second = scores.argsort(descending=True)[:2].tolist()
    alone = [explained(given, [first, second, f]) if f not in (first, second) else np.inf for f in range(20)]
    assert scores.argsort(descending=True).tolist()[2:] == np.argsort(-np.array(alone)).tolist()[2:]
