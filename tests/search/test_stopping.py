"""The three layers of early stopping, on figures computed by hand."""

from __future__ import annotations

import pytest

from prunecli.search.stopping import (
    MAXIMISE,
    MINIMISE,
    falls_behind,
    is_active,
    is_out_of_reach,
    is_rung,
    optimistic_estimate,
    trimmed_mean,
)


def test_the_trimmed_mean_leaves_out_a_fifth_at_each_end():
    assert trimmed_mean([7.0]) == 7.0
    assert trimmed_mean([1.0, 2.0, 3.0, 100.0]) == 26.5  # floor(0.2 * 4) is none
    assert trimmed_mean([100.0, 3.0, 2.0, 4.0, -50.0]) == 3.0
    assert trimmed_mean([float(value) for value in range(10)]) == 4.5


def test_successive_halving_looks_after_one_three_and_nine_steps():
    assert [step for step in range(1, 28) if is_rung(step)] == [1, 3, 9, 27]


@pytest.mark.parametrize(
    ("own", "others", "stopped"),
    [
        (1.0, [], False),  # nobody to compare with
        (1.0, [2.0], True),  # of fewer than six only the best goes on
        (2.0, [1.0, 1.5], False),
        (2.0, [2.0, 1.5], False),  # ties go on
        (4.0, [1.0, 2.0, 3.0, 5.0], True),
        (4.0, [1.0, 2.0, 3.0, 3.5, 5.0], False),  # of six the best two
        (3.5, [1.0, 2.0, 3.0, 4.0, 5.0], True),
    ],
)
def test_successive_halving_lets_the_best_third_go_on(own, others, stopped):
    assert falls_behind(own, others) is stopped
    assert falls_behind(-own, [-each for each in others], direction=MINIMISE) is stopped


def test_successive_halving_decides_as_optuna_does():
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    figures = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0, 5.5, 3.5, 8.0, 9.5]
    for direction, sign in (("maximize", MAXIMISE), ("minimize", MINIMISE)):
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=1, reduction_factor=3, min_early_stopping_rate=0
        )
        study = optuna.create_study(direction=direction, pruner=pruner)
        for place, figure in enumerate(figures):
            trial = study.ask()
            trial.report(figure, 1)
            assert trial.should_prune() == falls_behind(figure, figures[:place], direction=sign), figure


def test_what_is_left_is_taken_at_the_optimum():
    # median 90 over 4 steps, 2 left at 99: (90 * 4 + 99 * 2) / 6
    assert optimistic_estimate([80.0, 90.0, 90.0, 95.0], left=2, optimum=99.0) == 93.0
    assert optimistic_estimate([80.0, 90.0, 94.0], left=0, optimum=99.0) == 90.0


@pytest.mark.parametrize(
    ("steps", "inner", "outer", "active"),
    [
        (3, 5, 0, False),  # s > 3
        (4, 5, 0, True),
        (4, 9, 0, True),  # s >= floor(9 / 2)
        (4, 10, 0, False),
        (5, 10, 0, True),
        (4, 4, 6, False),  # floor(4 / 2) < 6 / 3 does not hold
        (4, 4, 7, True),
    ],
)
def test_the_threshold_looks_when_the_paper_says(steps, inner, outer, active):
    assert is_active(steps, inner=inner, outer=outer) is active


def test_the_threshold_may_look_earlier():
    assert is_active(1, inner=3, settled=0)
    assert not is_active(1, inner=4, settled=0)


ALIKE = (
    # history, left, optimum, threshold, stopped
    ([90.0, 90.0, 90.0, 90.0], 1, 99.0, 92.0, True),  # (360 + 99) / 5 = 91.8
    ([90.0, 90.0, 90.0, 90.0], 1, 99.0, 91.8, False),  # exactly met
    ([98.0, 98.5, 97.0, 98.0], 4, 99.0, 97.5, False),
    ([50.0, 98.0, 98.0, 98.0], 0, 99.0, 97.0, False),  # the median forgives one bad step
)


@pytest.mark.parametrize(("history", "left", "optimum", "threshold", "stopped"), ALIKE)
def test_maximising_and_minimising_the_negated_figures_decide_alike(
    history, left, optimum, threshold, stopped
):
    kept = {"left": left, "optimum": optimum, "threshold": threshold}
    assert is_out_of_reach(history, **kept) is stopped
    negated = {"left": left, "optimum": -optimum, "threshold": -threshold}
    assert is_out_of_reach([-each for each in history], **negated, direction=MINIMISE) is stopped


def test_a_promising_trial_is_not_stopped_when_maximising():
    """The first published bug: history and threshold are negated and the optimum is not.

    The estimate is then pulled away from the threshold instead of towards it: here
    (-96 * 4 + 99 * 4) / 8 = 1.5 > -97.
    """
    history = [96.0] * 4
    assert not is_out_of_reach(history, left=4, optimum=99.0, threshold=97.0)
    negated = [-each for each in history]
    assert optimistic_estimate(negated, left=4, optimum=99.0) > -97.0


def test_the_bad_ones_are_stopped_when_minimising_and_not_the_good_ones():
    """The second published bug: `median < threshold` stops, which when minimising are the good ones."""
    kept = {"left": 0, "optimum": 0.0, "threshold": 0.5, "direction": MINIMISE}
    assert not is_out_of_reach([0.1, 0.2, 0.1, 0.2], **kept)
    assert is_out_of_reach([0.9, 0.8, 0.9, 0.8], **kept)
