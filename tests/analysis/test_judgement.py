"""Criteria judged by their damage, in figures and in words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from prunecli.analysis.comparison import compare_scores
from prunecli.analysis.judgement import CriterionJudgement, Cut, Judgement, oracle_agreement, visibly_less


def cut(loss, accuracy, *, ratio=0.5, losses=None):
    return Cut(ratio, loss, accuracy, 0.25, 1000, 5000, losses)


def judgement(images=512, **cuts):
    criteria = tuple(
        CriterionJudgement(name, None, made if isinstance(made, tuple) else (made,))
        for name, made in cuts.items()
    )
    return Judgement(criteria, images, loss=0.2, accuracy=92.0)


def test_the_document():
    one = CriterionJudgement("l1", 0.4, (cut(1.5, 60.0), cut(float("inf"), float("nan"), ratio=0.7)))
    document = Judgement((one,), 512, loss=0.2, accuracy=92.0).document()
    assert document["judgement"] == [
        {
            "criterion": "l1",
            "oracle_spearman": 0.4,
            "cuts": [
                {
                    "ratio": 0.5,
                    "loss": 1.5,
                    "accuracy": 60.0,
                    "output_error": 0.25,
                    "params": 1000,
                    "macs": 5000,
                },
                {
                    "ratio": 0.7,
                    "loss": None,
                    "accuracy": None,
                    "output_error": 0.25,
                    "params": 1000,
                    "macs": 5000,
                },
            ],
        }
    ]
    assert document["judgement_before"] == {"images": 512, "loss": 0.2, "accuracy": 92.0}
    assert document["oracle_foretells"] == [
        {"ratio": 0.5, "spearman": None},
        {"ratio": 0.7, "spearman": None},
    ]
    json.dumps(document, allow_nan=False)


def test_the_least_loss_wins_and_chance_is_visibly_worse():
    found = judgement(l1=cut(1.5, 60.0), taylor_act=cut(1.25, 65.0), random=cut(2.5, 30.0))
    assert found.remarks() == (
        "at 0.5 taylor_act does least damage (loss 1.25, accuracy 65.0 %), "
        "visibly less than random (loss 2.5, accuracy 30.0 %)",
    )


def test_a_difference_within_the_error_is_not_called_one():
    found = judgement(images=64, l1=cut(2.25, 52.5), random=cut(2.5, 50.0))
    assert found.remarks() == (
        "at 0.5 l1 does least damage (loss 2.25, accuracy 52.5 %), but not visibly less than random "
        "(loss 2.5, accuracy 50.0 %): 64 images do not tell them apart",
    )


def test_chance_may_win_and_may_be_missing():
    assert judgement(l1=cut(2.5, 49.0), random=cut(2.25, 50.0)).remarks() == (
        "at 0.5 no criterion does less damage than random (loss 2.25, accuracy 50.0 %)",
    )
    assert judgement(l1=cut(2.5, 49.0), l2=cut(2.25, 50.0)).remarks() == (
        "at 0.5 l2 does least damage (loss 2.25, accuracy 50.0 %)",
    )


def test_each_ratio_has_its_own_remark_and_broken_networks_win_nothing():
    found = judgement(
        l1=(cut(1.0, 70.0, ratio=0.3), cut(float("nan"), 10.0, ratio=0.7)),
        l2=(cut(1.5, 65.0, ratio=0.3), cut(9.0, 61.0, ratio=0.7), cut(None, None, ratio=0.9)),
    )
    assert found.remarks() == (
        "at 0.3 l1 does least damage (loss 1, accuracy 70.0 %)",
        "at 0.7 l2 does least damage (loss 9, accuracy 61.0 %)",
    )


def test_where_every_cut_breaks_the_network_none_wins():
    found = judgement(l1=cut(2.3, 10.0), random=cut(9.0, 20.0), apoz=cut(5.0, 45.5))
    assert found.remarks() == (
        "at 0.5 every criterion breaks the network (accuracy at most 45.5 %, whole 92.0 %): "
        "a smaller ratio tells more about them",
    )
    found = judgement(l1=cut(2.3, 10.0), apoz=cut(5.0, 46.0))
    assert "does least damage" in found.remarks()[0]


def test_what_cannot_be_told_is_not_claimed():
    found = judgement(l1=cut(1.5, None), random=cut(2.5, None))
    assert found.remarks() == ("at 0.5 l1 does least damage (loss 1.5), random: loss 2.5",)


def test_the_same_images_tell_more_than_two_averages():
    generator = np.random.default_rng(0)
    images = generator.normal(2.0, 1.0, size=100)
    worse = images + 0.1 + generator.normal(0, 0.1, size=100)
    assert visibly_less(cut(2.0, 50.0, losses=images), cut(2.1, 49.0, losses=worse), images=100)
    assert not visibly_less(cut(2.0, 50.0), cut(2.1, 49.0), images=100)
    # Differences 3 and −1, by turns: their mean 1, its error 2.01 / √16 = 0.52; of nine, 0.78 and 0.70.
    unsure = np.tile([3.0, -1.0], 8)
    assert not visibly_less(
        cut(2.0, 50.0, losses=0 * unsure[1:10]), cut(2.1, 9.0, losses=unsure[1:10]), images=9
    )
    assert not visibly_less(cut(2.0, 50.0, losses=worse), cut(2.1, 49.0, losses=images), images=100)


def test_accuracies_count_as_shares_of_the_images():
    # 60 of 100 against 40: a difference of 0.20, its error 0.07; against 50: 0.10, less than two errors.
    assert visibly_less(cut(1.0, 60.0), cut(1.0, 40.0), images=100)
    assert not visibly_less(cut(1.0, 60.0), cut(1.0, 50.0), images=100)
    assert visibly_less(cut(1.0, 60.0), cut(1.0, 50.0), images=1000)
    assert visibly_less(cut(1.0, None), cut(1.0, 50.0), images=100) is None


def test_agreement_with_the_oracle_comes_from_the_comparison():
    up = np.array([1.0, 2.0, 3.0, 4.0])
    scores = {"conv": {"l1": up, "oracle": np.array([2.0, 1.0, 3.0, 4.0]), "l2": -up}}
    found = oracle_agreement(compare_scores(scores, criteria=["l1", "oracle", "l2"], ratios=[0.5]))
    assert found == {"l1": pytest.approx(0.8), "oracle": 1.0, "l2": pytest.approx(-0.8)}
    without = compare_scores(scores, criteria=["l1", "l2"], ratios=[0.5])
    assert oracle_agreement(without) == {"l1": None, "l2": None}


def test_the_oracle_foretells_damage_when_who_is_near_it_does_less():
    agreement = {"oracle": 1.0, "a": 0.9, "b": 0.5, "c": 0.1, "d": None}
    losses = {"oracle": 9.0, "a": 1.0, "b": 2.0, "c": 3.0, "d": 0.0}

    def report(names):
        criteria = tuple(
            CriterionJudgement(name, agreement[name], (cut(losses[name], 50.0),)) for name in names
        )
        return Judgement(criteria, 512)

    assert report("abcd").oracle_foretells(0.5) == pytest.approx(1)
    assert report(["oracle", "a", "b", "c"]).oracle_foretells(0.5) == pytest.approx(1)
    assert report("ab").oracle_foretells(0.5) is None
    losses["a"] = 9.0  # ranks 3 2 1 against 1 3 2: Σd² = 4 + 1 + 1
    assert report("abc").oracle_foretells(0.5) == pytest.approx(1 - 6 * 6 / 24)
