"""Every registered criterion keeps the promises of the contract; a new one is covered by being registered."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from criteria.complete import FILTERS
from criteria.complete import complete as evidence

from prunecli.criteria.contract import CRITERIA, Needs, criterion
from prunecli.errors import WrongUse
from prunecli.registry import DuplicateName

NAMES = list(CRITERIA)


def test_the_built_in_criteria_are_registered():
    expected = {"l1", "l2", "linf", "fpgm", "fermat", "cosine", "bn_gamma", "bn_beta", "random"}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_one_finite_number_a_filter(name):
    scores = CRITERIA[name].function(evidence())
    assert scores.shape == (FILTERS,)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert len(set(scores.tolist())) > 1


@pytest.mark.parametrize("name", NAMES)
def test_permuting_filters_permutes_scores(name):
    member = CRITERIA[name]
    order = torch.randperm(FILTERS, generator=torch.Generator().manual_seed(3))
    plain, permuted = member.function(evidence()), member.function(evidence(order=order))
    # A criterion that reads nothing of a filter cannot follow it.
    expected = plain if member.needs is Needs.SEED else plain[order]
    torch.testing.assert_close(permuted, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_scores_and_the_evidence_is_left_alone(name):
    given = evidence(seed=5)
    before = given.weight.clone()
    first = CRITERIA[name].function(given)
    torch.manual_seed(99)
    assert torch.equal(first, CRITERIA[name].function(evidence(seed=5)))
    assert torch.equal(given.weight, before)


@pytest.mark.parametrize("name", [name for name in NAMES if CRITERIA[name].zero_is_lowest])
@pytest.mark.parametrize("zero", [0, 8])
def test_a_zero_filter_is_lowest_where_the_definition_says_so(name, zero):
    scores = CRITERIA[name].function(evidence(zero=zero))
    assert scores.argmin() == zero
    assert scores[zero] == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    from scipy.stats import spearmanr

    given = evidence(dtype=dtype)
    assert given.weight.dtype == torch.float32
    scores = CRITERIA[name].function(given)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    # Rounding moves a number over the edge of a bin or a cluster, so the order is what has to stay.
    assert spearmanr(scores, CRITERIA[name].function(evidence())).statistic > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_double_precision_stays_double(name):
    assert CRITERIA[name].function(evidence(dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("name", NAMES)
def test_a_criterion_says_what_it_is_and_where_it_comes_from(name):
    member = CRITERIA[name]
    assert member.name == name
    assert member.caption.endswith(".")
    assert len(member.caption) > 20
    assert member.source
    assert "score_f" in (member.function.__doc__ or "")
    assert "(F,)" in (member.function.__doc__ or "")


def test_available_only_where_the_layer_has_what_is_read():
    without = evidence(without={"batch_norm"})
    assert not CRITERIA["bn_gamma"].available(without)
    assert not CRITERIA["bn_beta"].available(without)
    assert CRITERIA["bn_gamma"].available(evidence())
    assert CRITERIA["l1"].available(without)
    assert CRITERIA["random"].available(without)
    with pytest.raises(ValueError, match="conv1 has no batch normalisation"):
        CRITERIA["bn_gamma"].function(without)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(WrongUse, match="unknown criterion 'fpg'") as caught:
        CRITERIA["fpg"]
    assert caught.value.hints[0] == "did you mean 'fpgm'?"


def test_a_name_is_taken_once():
    with pytest.raises(DuplicateName, match="'l1' is registered twice"):
        criterion("l1", needs=Needs.WEIGHT, source="nowhere")(lambda given: given.weight.sum(1))


def test_the_names_are_listed_without_torch():
    code = (
        "import sys; from prunecli.criteria.contract import CRITERIA; names = list(CRITERIA);"
        "sys.exit('torch' in sys.modules or 'l1' not in names)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
