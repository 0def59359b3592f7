"""A search in memory."""

from __future__ import annotations

import importlib.util
import math

import pytest

from prunecli.errors import WrongUse
from prunecli.search import SAMPLERS, Abandoned, Span, minimise

SPACE = {"a": [0, 1, 2, 3, 4, 5], "b": Span(0.0, 1.0, 0.25)}


def bowl(values):
    return (values["a"] - 3) ** 2 + values["b"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_point_is_tried_twice_and_all_of_them_find_the_lowest(sampler):
    found = minimise(bowl, SPACE, sampler=sampler, trials=100, seed=1)
    assert len(found.trials) == 30
    assert len({tuple(tried.values.items()) for tried in found.trials}) == 30
    assert found.best is not None
    assert (dict(found.best.values), found.best.figure) == ({"a": 3, "b": 0.0}, 0.0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_tries_the_same_points(sampler):
    def tried(seed):
        return [
            dict(each.values) for each in minimise(bowl, SPACE, sampler=sampler, trials=8, seed=seed).trials
        ]

    assert tried(2) == tried(2)
    assert tried(2) != tried(3)


def test_a_few_points_of_a_grid_are_spread_over_it():
    found = minimise(bowl, SPACE, sampler="grid", trials=6, seed=0)
    assert len({tried.values["a"] for tried in found.trials}) > 2


def test_tpe_goes_where_it_is_low_though_no_point_is_tried_twice():
    space = {"x": Span(-5.0, 5.0, 0.1), "name": ["a", "b", "c"]}

    def objective(values):
        return values["x"] ** 2 + 10 * (values["name"] != "b")

    found = minimise(objective, space, sampler="tpe", trials=40, seed=0)
    early, late = found.trials[:10], found.trials[-10:]
    mean = [sum(each.figure for each in part) / 10 for part in (early, late)]
    assert mean[1] < mean[0] / 2


def test_what_is_not_finite_or_abandoned_is_no_candidate():
    def objective(values):
        if values["name"] == "a":
            return math.nan
        if values["name"] == "b":
            raise Abandoned("takes too long")
        return 7.0

    found = minimise(objective, {"name": ["a", "b", "c"]}, sampler="grid", trials=3)
    assert found.best is not None
    assert found.best.values == {"name": "c"}
    reasons = {tried.values["name"]: tried.abandoned for tried in found.trials}
    assert reasons == {"a": "the figure is nan", "b": "takes too long", "c": None}
    assert found.document()["best"]["figure"] == 7.0


def test_another_error_passes_through():
    def objective(values):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        minimise(objective, {"a": [1]}, trials=1)


def test_progress_counts_the_trials():
    told = []
    minimise(
        lambda values: float(values["a"]),
        {"a": [1, 2]},
        sampler="grid",
        trials=5,
        progress=lambda *given: told.append(given[:3]),
    )
    assert told == [("tuning", 1, 2), ("tuning", 2, 2)]


def test_wrong_use_is_said():
    with pytest.raises(WrongUse, match="unknown sampler 'grit'") as refused:
        minimise(bowl, SPACE, sampler="grit", trials=3)
    assert refused.value.hints[0] == "did you mean 'grid'?"
    with pytest.raises(WrongUse, match="trials cannot be 0"):
        minimise(bowl, SPACE, trials=0)


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WrongUse, match=r"pip install 'prunecli\[tune\]'"):
        minimise(bowl, SPACE, trials=1)
