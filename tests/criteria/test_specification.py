"""Criteria by name, with options, and as ensembles."""

from __future__ import annotations

import pytest
import torch
from criteria.complete import complete

from prunecli.criteria.contract import CRITERIA, Needs, criterion
from prunecli.criteria.specification import criterion_named, split_outside
from prunecli.errors import WrongUse


@pytest.fixture
def weighted(monkeypatch):
    """A criterion with an option of each kind."""
    members = dict(CRITERIA)
    monkeypatch.setattr(CRITERIA, "_members", members)

    @criterion("weighted", needs=Needs.WEIGHT, source="a test")
    def weighted(evidence, *, power=2, share=0.5, how="sum"):
        """Powers of a filter's weights."""
        return evidence.weight.abs().pow(power).sum(dim=1) * share * (-1 if how == "minus" else 1)

    return weighted


def test_commas_inside_parentheses_split_nothing():
    assert split_outside("l1,ens(l2,ens(a,b)),x") == ["l1", "ens(l2,ens(a,b))", "x"]


def test_a_plain_name_is_the_registered_criterion():
    assert criterion_named(" l1 ") is CRITERIA["l1"]


def test_options_take_the_type_of_their_default(weighted):
    plain = criterion_named("weighted")
    changed = criterion_named("weighted( power = 3, how=minus )")
    evidence = complete()
    assert changed.name == "weighted(power=3,how=minus)"
    expected = -0.5 * evidence.weight.abs().pow(3).sum(1)
    torch.testing.assert_close(changed.function(evidence), expected)
    torch.testing.assert_close(plain.function(evidence), 0.5 * evidence.weight.square().sum(1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weighted(powr=3)", "weighted has no option 'powr'"),
        ("weighted(power=much)", "power of weighted takes a value like 2, not 'much'"),
        ("weighted(l1)", "weighted takes no criterion in parentheses"),
        ("l1(p=2)", "l1 has no option 'p'"),
        ("weightd", "unknown criterion 'weightd'"),
        ("l1(", "'l1\\(' is no criterion"),
        ("ens(l1)", "at least two"),
        ("ens(l1,l2,how=product)", "how=product"),
        ("ens(l1,nothing)", "unknown criterion 'nothing'"),
    ],
)
def test_what_is_wrong_is_said(weighted, text, message):
    with pytest.raises(WrongUse, match=message):
        criterion_named(text)


def test_an_ensemble_combines_ranks_and_ties_share_theirs(weighted):
    evidence = complete()
    evidence.weight[0] = evidence.weight[1]
    l1, linf = (CRITERIA[name].function(evidence) for name in ("l1", "linf"))

    def slow_ranks(scores):
        return torch.tensor(
            [sum(float(b < a) for b in scores) + (sum(float(b == a) for b in scores) + 1) / 2 for a in scores]
        )

    ranks = torch.stack([slow_ranks(l1), slow_ranks(linf)]) / 12
    for how, expected in (("mean", ranks.mean(0)), ("min", ranks.amin(0)), ("max", ranks.amax(0))):
        found = criterion_named(f"ens(l1,linf,how={how})").function(evidence)
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(criterion_named("ens(l1,linf)").function(evidence), ranks.mean(0))


def test_an_ensemble_needs_all_that_its_members_need():
    found = criterion_named("ens(l1, bn_gamma)")
    assert found.name == "ens(l1,bn_gamma)"
    assert found.needs == Needs.WEIGHT | Needs.BATCH_NORM
    assert not found.available(complete(without={"batch_norm"}))
    assert found.available(complete())


def test_ensembles_and_options_nest(weighted):
    nested = criterion_named("ens(ens(l1,l2,how=max),weighted(power=1))")
    scores = nested.function(complete())
    assert scores.shape == (12,)
    assert scores.argmax() == CRITERIA["l1"].function(complete()).argmax()
