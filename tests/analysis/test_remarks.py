"""What is said of pairs, of noise and of contrast."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.analysis.comparison import compare_scores

UNITS = 64
LAYERS = 40


def noisy(signal, *, reliability, generator):
    """A score of which the share `reliability` of the variance is the signal's."""
    noise = generator.normal(size=len(signal))
    return reliability**0.5 * signal + (1 - reliability) ** 0.5 * noise + 100


def scored(reliabilities, *, seed=0, signals=None):
    """Criteria that see the signal named in `signals` (all the same by default), scored twice."""
    generator = np.random.default_rng(seed)
    once, again = {}, {}
    for layer in range(LAYERS):
        drawn = {name: generator.normal(size=UNITS) for name in {"same", *(signals or {}).values()}}
        once[f"conv{layer}"], again[f"conv{layer}"] = {}, {}
        for name, share in reliabilities.items():
            signal = drawn[(signals or {}).get(name, "same")]
            first = noisy(signal, reliability=share, generator=generator)
            second = noisy(signal, reliability=share, generator=generator)
            once[f"conv{layer}"][name] = first
            if share < 1:  # what has no noise needs no second scoring
                again[f"conv{layer}"][name] = second
    found = compare_scores(once, criteria=list(reliabilities), ratios=[0.5], again=again)
    return found, [line for line in found.remarks() if "contrast" not in line]


def test_two_views_of_one_signal_differ_by_noise_alone():
    found, remarks = scored({"taylor_act": 0.6, "apoz": 0.6}, seed=1)
    between = found.pairs[0].average.spearman
    least = min(found.noise, key=lambda one: one.average.spearman)
    assert between >= least.average.spearman
    assert remarks == [
        f"taylor_act and apoz differ no more than {least.criterion} differs from itself on other images "
        f"(Spearman {between:.2f} against {least.average.spearman:.2f}): the difference is noise"
    ]


def test_two_signals_differ_by_more_than_noise():
    _, remarks = scored({"taylor_act": 0.6, "apoz": 0.6}, signals={"taylor_act": "a", "apoz": "b"})
    assert remarks == []


def test_of_the_same_signal_the_sure_one_is_not_told_from_the_unsure_one():
    # √(1 · 0.6) = 0.77 is what l1 and taylor_act would have in common if they saw the same thing.
    found, remarks = scored({"l1": 1, "taylor_act": 0.6}, seed=4)
    assert found.noise[0].exact
    assert found.pairs[0].average.spearman == pytest.approx(0.6**0.5, abs=0.03)
    assert len(remarks) == 1
    assert "l1 and taylor_act differ no more than taylor_act differs from itself" in remarks[0]


def test_less_in_common_than_noise_explains_is_left_open():
    # Correlated signals: 0.8 · √0.5 = 0.57 between them, more than taylor_act has with itself (0.5),
    # less than one signal would have (0.71).
    generator = np.random.default_rng(0)
    once, again = {}, {}
    for layer in range(LAYERS):
        signal = generator.normal(size=UNITS)
        other = noisy(signal, reliability=0.64, generator=generator)
        once[f"conv{layer}"] = {
            "l1": other,
            "taylor_act": noisy(signal, reliability=0.5, generator=generator),
        }
        again[f"conv{layer}"] = {"taylor_act": noisy(signal, reliability=0.5, generator=generator)}
    found = compare_scores(once, criteria=["l1", "taylor_act"], ratios=[0.5], again=again)
    between, own = found.pairs[0].average.spearman, found.noise[1].average.spearman
    assert own < between < own**0.5
    assert (
        f"l1 and taylor_act differ no more than taylor_act differs from itself on other images "
        f"(Spearman {between:.2f} against {own:.2f}): more images would tell whether they differ"
    ) in found.remarks()


def test_what_is_mostly_noise_is_named_and_compared_with_nothing():
    found, remarks = scored({"l1": 1, "random": 0.001, "shuffled": 0.001})
    own = [one.average.spearman for one in found.noise[1:]]
    assert remarks == [
        f"{name} is more noise than signal here: scored again, it agrees with itself only at "
        f"Spearman {value:.2f}"
        for name, value in zip(("random", "shuffled"), own, strict=True)
    ]


def test_noise_counts_on_the_layers_that_both_have():
    # apoz exists in the first layer alone, where both are sure of themselves. In the other one taylor_act is
    # not: over both layers it would agree with itself less than with apoz.
    up = np.arange(1.0, 33.0)
    swapped, other = up.copy(), up.copy()
    swapped[[3, 20]] = up[[20, 3]]
    other[[0, 31]] = up[[31, 0]]
    once = {"a": {"taylor_act": up, "apoz": swapped}, "b": {"taylor_act": up, "apoz": None}}
    again = {"a": {"taylor_act": up, "apoz": swapped}, "b": {"taylor_act": other, "apoz": None}}
    found = compare_scores(once, criteria=["taylor_act", "apoz"], ratios=[0.5], again=again)
    assert found.noise[0].average.spearman < found.pairs[0].average.spearman
    assert not any("differ no more" in line for line in found.remarks())


def test_criteria_without_noise_do_not_differ_by_noise():
    up = np.arange(1.0, 33.0)
    found = compare_scores({"a": {"l1": up, "l2": up}}, criteria=["l1", "l2"], ratios=[0.01], again={})
    assert found.remarks() == ("l1 and l2 rank alike (Spearman 1.00)",)


def alike(*, inside, scale):
    """Two criteria that agree inside layers, one of them with another scale in every layer."""
    generator = np.random.default_rng(0)
    scores = {}
    for layer in range(12):
        signal = generator.normal(size=UNITS) + 5
        other = signal + inside * generator.normal(size=UNITS)
        scores[f"conv{layer}"] = {"l1": signal, "l2": other * scale**layer}
    return compare_scores(scores, criteria=["l1", "l2"], ratios=[0.5])


def test_agreement_inside_layers_that_the_network_hides_is_told():
    found = alike(inside=0.3, scale=2.0)
    inside, over = found.pairs[0].average.spearman, found.overall[0].spearman
    assert inside > 0.9
    assert over < 0.5
    expected = f"l1 and l2 agree inside layers ({inside:.2f}) but not over the network ({over:.2f})"
    assert found.remarks() == (expected,)


def test_agreement_everywhere_is_one_ranking():
    (line,) = alike(inside=0.3, scale=1.0).remarks()
    assert line.startswith("l1 and l2 rank alike (Spearman 0.9")


def test_criteria_that_all_choose_alike_are_one_remark():
    generator = np.random.default_rng(0)
    up = np.arange(1.0, 81.0)

    def moved(one, other):
        scores = up.copy()
        scores[[one, other]] = up[[other, one]]
        return scores

    # Of 40 removed the first two share 40, the third 39 of 41 with either; the others are no one's kin.
    scores = {
        "l1": up,
        "far": generator.permutation(up),
        "l2": moved(3, 5),
        "fpgm": moved(0, 79),
        "other": generator.permutation(up),
    }
    found = compare_scores({"conv": scores}, criteria=list(scores), ratios=[0.5])
    assert found.remarks() == (
        f"l1, l2 and fpgm choose the same filters here (Jaccard at least {39 / 41:.2f} at 0.5): "
        "choosing between them changes nothing",
    )


def test_a_pair_outside_a_group_is_a_remark_of_its_own():
    # a and b, b and c choose alike; a and c do not: 38 of 42.
    up = np.arange(1.0, 81.0)
    a, c = up.copy(), up.copy()
    a[[0, 79]] = up[[79, 0]]
    c[[1, 78]] = up[[78, 1]]
    scores = {"a": a, "b": up, "c": c}
    found = compare_scores({"conv": scores}, criteria=["a", "b", "c"], ratios=[0.5])
    same = [line for line in found.remarks() if "same filters" in line]
    assert [line.split(" choose")[0] for line in same] == ["a and b", "b and c"]


def test_scores_that_are_not_finite_are_left_out_and_told():
    up = np.arange(1.0, 9.0)
    broken = up.copy()
    broken[3] = np.inf
    scores = {"a": {"l1": up, "l2": broken}, "b": {"l1": up, "l2": -up}}
    found = compare_scores(scores, criteria=["l1", "l2"], ratios=[0.5])
    assert found.pairs[0].average.spearman == pytest.approx(-1)
    assert found.pairs[0].layers["a"].spearman is None
    assert found.remarks() == ("l2 has scores that are not finite in a: left out there",)
