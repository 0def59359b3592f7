"""Exemplars and representatives against scikit-learn, and the messages against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import AffinityPropagation, KMeans

from prunecli.criteria.clusters import exemplar_evidence, farthest_first, lloyd, representative
from prunecli.criteria.contract import Evidence
from prunecli.errors import WrongUse


def evidence(weight):
    return Evidence(layer="conv", weight=weight, kernel_shape=tuple(weight.shape))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def planted(seed=0, spread=0.3):
    """Three clusters of 5, 7 and 9 filters, far from each other."""
    centres = 10 * torch.eye(3).repeat_interleave(torch.tensor([5, 7, 9]), dim=0)
    weight = torch.cat([centres, torch.zeros(21, 17)], dim=1) + spread * drawn(21, 20, seed=seed)
    return weight[torch.randperm(21, generator=torch.Generator().manual_seed(seed))]


def preferences(weight, beta):
    rows = weight.double().numpy()
    similarities = -((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    return similarities, beta * np.median(similarities, axis=0)


def messages(similarities, rounds):
    """a(k,k) + r(k,k) by the definition of Frey & Dueck, pair by pair, damped by a half."""
    count = len(similarities)
    r, a = np.zeros((count, count)), np.zeros((count, count))
    everyone = range(count)
    for _ in range(rounds):
        new = np.empty_like(r)
        for i in everyone:
            for k in everyone:
                rest = max(a[i, j] + similarities[i, j] for j in everyone if j != k)
                new[i, k] = similarities[i, k] - rest
        r = 0.5 * r + 0.5 * new
        for i in everyone:
            for k in everyone:
                others = sum(max(0, r[j, k]) for j in everyone if j not in {i, k})
                new[i, k] = others if i == k else min(0, r[k, k] + others)
        a = 0.5 * a + 0.5 * new
    return np.diag(a) + np.diag(r)


@pytest.mark.parametrize("seed", range(5))
def test_the_exemplars_of_planted_clusters_are_scikit_learns(seed):
    weight = planted(seed)
    _, preference = preferences(weight, 0.75)
    known = AffinityPropagation(preference=preference, random_state=0).fit(weight.double().numpy())
    found = torch.nonzero(exemplar_evidence(evidence(weight)) > 0)[:, 0]
    assert found.tolist() == known.cluster_centers_indices_.tolist()
    assert len(found) == 3


def test_the_messages_are_those_of_their_definition(monkeypatch):
    monkeypatch.setattr("prunecli.criteria.clusters.MESSAGE_ROUNDS", 25)
    monkeypatch.setattr("prunecli.criteria.clusters.SETTLED_ROUNDS", 100)
    weight = drawn(9, 4)
    similarities, preference = preferences(weight, 0.5)
    np.fill_diagonal(similarities, preference)
    expected = messages(similarities, 25)
    np.testing.assert_allclose(exemplar_evidence(evidence(weight), beta=0.5), expected, rtol=1e-5)


def test_a_larger_beta_leaves_fewer_exemplars():
    weight = drawn(60, 20)
    counts = [int((exemplar_evidence(evidence(weight), beta=beta) > 0).sum()) for beta in (0.1, 0.75, 3.0)]
    assert counts[0] > counts[1] > counts[2] >= 1


def test_messages_follow_the_size_of_the_filters():
    weight = planted()
    torch.testing.assert_close(
        exemplar_evidence(evidence(weight * 8)), 64 * exemplar_evidence(evidence(weight))
    )


@pytest.mark.parametrize("score", [exemplar_evidence, representative])
@pytest.mark.parametrize(
    "weight",
    [
        torch.ones(1, 4),
        torch.ones(6, 4),
        torch.zeros(5, 3),
        drawn(2, 3),
        drawn(8, 3) * 1e30,
        drawn(8, 3) * 1e-30,
    ],
    ids=["one", "equal", "zero", "two", "enormous", "tiny"],
)
def test_odd_layers_have_finite_scores(score, weight):
    assert torch.isfinite(score(evidence(weight))).all()
    assert torch.isfinite(score(evidence(weight.double() * 1e150))).all()


def test_copies_of_a_filter_take_part_as_one_and_share_its_exemplar_score():
    weight = planted()
    scores = exemplar_evidence(evidence(weight.repeat(2, 1)))
    assert torch.equal(scores[:21], scores[21:])
    assert torch.equal(scores[:21], exemplar_evidence(evidence(weight)))


def test_representatives_by_hand():
    # On a line: {0, 1, 3} around 4/3 and {20, 22} around 21.
    weight = torch.tensor([[0.0], [1.0], [3.0], [20.0], [22.0]])
    scores = representative(evidence(weight), share=0.4)
    # 1 stands for the first three; of 20 and 22, equally near, the longer does. The others are 1, 2, 2 away.
    torch.testing.assert_close(scores, torch.tensor([5 / 12, 1.0, 5 / 6, 5 / 6, 1.0]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("clusters", [1, 4, 12, 25])
def test_the_clusters_are_scikit_learns(seed, clusters):
    weight = drawn(40, 9, seed=seed).double()
    rows = weight - weight.mean(dim=0)
    start = farthest_first(rows @ rows.T, clusters)
    labels, distances = lloyd(rows @ rows.T, start)
    known = KMeans(clusters, init=rows[start].numpy(), n_init=1, algorithm="lloyd", tol=0).fit(rows.numpy())
    assert labels.tolist() == known.labels_.tolist()
    assert float(distances.sum()) == pytest.approx(known.inertia_, rel=1e-9)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.5, 1.0])
def test_each_cluster_has_one_representative_and_the_others_are_below_it(share):
    scores = representative(evidence(drawn(40, 9)), share=share)
    assert int((scores == 1).sum()) == max(1, round(share * 40))
    assert ((scores >= 0) & (scores <= 1)).all()


def test_the_starting_points_are_farthest_from_those_before():
    rows = torch.tensor([[0.0], [1.0], [5.0], [14.0]], dtype=torch.float64) - 5
    assert farthest_first(rows @ rows.T, 3).tolist() == [3, 0, 2]


def test_an_empty_cluster_takes_no_filter():
    rows = torch.tensor([[-2.0], [-1.0], [0.1], [0.9], [2.0]], dtype=torch.float64)
    labels, _ = lloyd(rows @ rows.T, torch.tensor([0, 0, 4]))
    assert labels.tolist() == [0, 0, 2, 2, 2]


def test_copies_stand_behind_one_of_them():
    weight = drawn(4, 6).repeat(3, 1)
    scores = representative(evidence(weight))
    assert sorted(scores.tolist()) == [0.0] * 8 + [1.0] * 4


@pytest.mark.parametrize("order_seed", range(3))
def test_the_order_of_the_filters_does_not_matter(order_seed):
    weight = planted(spread=1.0)
    order = torch.randperm(21, generator=torch.Generator().manual_seed(order_seed))
    for score in (exemplar_evidence, representative):
        plain, moved = score(evidence(weight)), score(evidence(weight[order]))
        torch.testing.assert_close(moved, plain[order])


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none(share):
    with pytest.raises(WrongUse, match="share of kmeans is above 0 and at most 1"):
        representative(evidence(drawn(4, 3)), share=share)
