"""What next layers lose with a channel, against the outputs themselves."""

from __future__ import annotations

import pytest
import torch
from criteria.consumers import FILTERS, consumer, evidence
from sklearn.linear_model import Lasso

from prunecli.criteria import reconstruction
from prunecli.criteria.contract import CRITERIA
from prunecli.criteria.evidence import ConsumerEvidence, Evidence
from prunecli.criteria.reconstruction import lasso_entry, removal_order


def shares(each, filters=FILTERS):
    """(F, S, N): what every channel brings to the outputs, one channel and sample after the other."""
    return torch.stack(
        [
            torch.stack([each.weight[:, each.owner == f] @ u[each.owner == f] for u in each.samples])
            for f in range(filters)
        ]
    )


def lost(consumers, gone, filters=FILTERS):
    """The error of removing channels as a share of the outputs' energy, summed over consumers."""
    return sum(
        float(shares(each, filters)[list(gone)].sum(0).square().sum())
        / float((each.samples @ each.weight.T).square().sum())
        for each in consumers
    )


CASES = {
    "one": [consumer()],
    "one column": [consumer(columns=1)],
    "others": [consumer(others=5)],
    "two": [consumer(columns=1), consumer(columns=3, others=2, outputs=9, seed=1)],
}


@pytest.mark.parametrize("case", CASES)
def test_channels_leave_in_the_order_of_the_least_error(case):
    given, gone, order = CASES[case], [], {}
    while len(gone) < FILTERS:
        rest = [f for f in range(FILTERS) if f not in gone]
        least = min(rest, key=lambda f: lost(given, [*gone, f]))
        order[least] = len(gone) / FILTERS
        gone.append(least)
    scores = removal_order(evidence(*given))
    assert scores.tolist() == [pytest.approx(order[f]) for f in range(FILTERS)]


def test_what_has_left_already_counts():
    # Shares of two outputs: (0.5, 0) leaves first; without it −0.9 brings the error back from 0.25 to 0.16.
    weight = torch.tensor([[0.5, -0.9, 0.0], [0.0, 0.0, 0.55]])
    given = ConsumerEvidence("next", weight, torch.arange(3), torch.ones(4, 3))
    assert removal_order(evidence(given, filters=3)).tolist() == pytest.approx([0, 1 / 3, 2 / 3])


@pytest.mark.parametrize("case", ["one", "one column", "others"])
def test_the_penalty_at_which_a_channel_is_taken(case):
    (given,) = CASES[case]
    scores = lasso_entry(evidence(given))
    energy = float((given.samples @ given.weight.T).square().sum())
    brought = shares(given).flatten(1) / energy**0.5
    for channel, entry in enumerate(scores.tolist()):
        for factor, taken in ((1.001, False), (0.999, True)):
            # scikit-learn's LASSO has the mean squared error where the criterion has the sum.
            fitted = Lasso(alpha=entry * factor / brought.shape[1], fit_intercept=False, tol=1e-14)
            weights = fitted.fit(brought.T.numpy(), brought.sum(0).numpy()).coef_
            assert bool(abs(weights[channel]) > 1e-9) is taken


@pytest.mark.parametrize("block", [1, 1 << 22])
@pytest.mark.parametrize("columns", [1, 3])
def test_both_ways_to_the_products_of_errors(columns, block, monkeypatch):
    monkeypatch.setattr(reconstruction, "BLOCK_ENTRIES", block)
    given = consumer(columns=columns)
    expected = torch.einsum("csn,dsn->cd", shares(given), shares(given))
    patches, weights = reconstruction.by_filter(given, FILTERS)
    for way in (reconstruction._products_of_columns, reconstruction._products_of_outputs):
        torch.testing.assert_close(way(patches, weights), expected)


@pytest.mark.parametrize("name", ["thinet", "cp_lasso", "cap"])
class TestPlanted:
    """Channels of which everybody knows what they are worth."""

    def test_a_silent_channel_is_lowest(self, name):
        given = consumer()
        given.samples[:, given.owner == 4] = 0
        scores = CRITERIA[name].function(evidence(given))
        assert scores.argmin() == 4
        assert scores[4] == 0

    def test_a_channel_that_is_not_read_is_lowest(self, name):
        given = consumer(columns=1)
        # Independent channels: what is not read cannot stand for another one either.
        given.samples[:] = torch.linalg.qr(given.samples - given.samples.mean(0)).Q
        given.weight[:, given.owner == 2] = 0
        scores = CRITERIA[name].function(evidence(given))
        assert scores.argmin() == 2

    def test_of_two_equal_channels_one_is_enough_unless_nothing_makes_up_for_what_leaves(self, name):
        given = consumer(columns=1)
        third, fifth = (int(torch.nonzero(given.owner == f)) for f in (3, 5))
        given.samples[:, fifth] = given.samples[:, third]
        given.weight[:, fifth] = given.weight[:, third]
        scores = CRITERIA[name].function(evidence(given))
        if name == "thinet":
            assert abs(scores[3] - scores[5]) > 0
        else:
            assert int(scores.argmin()) in (3, 5)
            assert int(scores.argsort()[1]) not in (3, 5)

    def test_what_is_common_to_a_consumer_changes_nothing(self, name):
        given = consumer()
        louder = ConsumerEvidence("next", given.weight * 7, given.owner, given.samples * 0.1)
        scores = CRITERIA[name].function(evidence(given))
        torch.testing.assert_close(CRITERIA[name].function(evidence(louder)), scores)
        torch.testing.assert_close(
            CRITERIA[name].function(evidence(given, louder)) / (2 if name == "cp_lasso" else 1), scores
        )

    def test_the_order_of_samples_does_not_matter(self, name):
        given = consumer()
        turned = ConsumerEvidence("next", given.weight, given.owner, given.samples.flip(0))
        scores = CRITERIA[name].function(evidence(given))
        torch.testing.assert_close(CRITERIA[name].function(evidence(turned)), scores)

    def test_a_consumer_that_reads_only_some_channels(self, name):
        given, small = consumer(), consumer(columns=1, filters=3, seed=4)
        owner = torch.tensor([5, 0, 2])[small.owner]
        partly = ConsumerEvidence("other", small.weight, owner, small.samples)
        scores = CRITERIA[name].function(evidence(given, partly))
        assert torch.isfinite(scores).all()
        assert not torch.equal(scores, CRITERIA[name].function(evidence(given)))
        # What nobody reads comes last in any case.
        alone = CRITERIA[name].function(evidence(partly))
        assert max(alone[[1, 3, 4]]) < min(alone[[0, 2, 5]])

    def test_nothing_is_read_at_all(self, name):
        given = consumer()
        given.weight.zero_()
        assert torch.isfinite(CRITERIA[name].function(evidence(given))).all()

    def test_single_precision_and_no_consumers(self, name):
        given = consumer()
        single = ConsumerEvidence("next", given.weight.float(), given.owner, given.samples.float())
        scores = CRITERIA[name].function(evidence(single, dtype=torch.float32))
        assert scores.dtype == torch.float32
        torch.testing.assert_close(
            scores.double(), CRITERIA[name].function(evidence(given)), rtol=1e-5, atol=1e-6
        )
        bare = Evidence("conv", torch.ones(6, 9), (6, 1, 3, 3))
        assert not CRITERIA[name].available(bare)
        with pytest.raises(ValueError, match="no known layer reads conv"):
            CRITERIA[name].function(bare)
