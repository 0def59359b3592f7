"""Values of ICE chosen in rehearsals: what they look at, what they leave alone, and how they are compared."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from quarter_of_digits import quarter_of_digits

from prunecli.data.splits import TrainingData
from prunecli.errors import WrongUse
from prunecli.search.space import size
from prunecli.strategies.parts import PartWishes
from prunecli.strategies.procedures import rehearsal
from prunecli.strategies.procedures.recovering import Recovering
from prunecli.surgery.cutting import carry_out
from prunecli.workflows import prune_tuning
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.prune_tuning import GRID, TuningRequest

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def opened():
    return open_checkpoint(Opening())


@pytest.fixture(scope="module")
def images(opened):
    return quarter_of_digits(opened)


@pytest.fixture
def pruned(opened, images):
    def prune_it(**asked):
        given = {
            "strategy": "ice",
            "tuning": TuningRequest(trials=2),
            "opened": opened,
            "images": images,
            **asked,
        }
        return prune(Opening(), ratio=0.5, recalibrate=1, **given)

    return prune_it


@pytest.fixture
def tasks(monkeypatch):
    """The tasks that are rehearsed."""
    seen = []
    real = prune_tuning.Rehearsal
    monkeypatch.setattr(
        prune_tuning, "Rehearsal", lambda task, **more: (seen.append(task), real(task, **more))[1]
    )
    return seen


@pytest.fixture
def figures(monkeypatch):
    """Rehearsals that come to what `outcome` says: (fall, seconds); the worst are 10 points and 100 s."""

    class Told:
        outcome = staticmethod(lambda parts: (5.0, 50.0))

        def __init__(self, task, *, share):
            self.plans = [None]

        def untrained(self, stop):
            return 10.0, 1.0

        def every_stop(self, parts):
            return 100.0

        def go(self, parts, *, enough):
            fall, seconds = self.outcome(parts)
            enough(seconds)
            return rehearsal.Rehearsed(fall=fall, seconds=seconds, trainings=1, stops=1)

    monkeypatch.setattr(prune_tuning, "Rehearsal", Told)
    return Told


def test_the_grid_is_that_of_the_paper():
    assert size(GRID) == 216


def test_tuning_sees_neither_test_part_nor_changes_the_network(pruned, tasks, opened, images):
    before = copy.deepcopy(opened.model.state_dict())
    found = pruned(tuning=TuningRequest(trials=3))
    [task] = tasks
    assert isinstance(task.data, TrainingData)
    assert not hasattr(task.data, "test")
    assert task.model is not opened.model
    assert all(torch.equal(before[name], tensor) for name, tensor in opened.model.state_dict().items())
    assert all(torch.equal(before[name], tensor) for name, tensor in task.model.state_dict().items())
    document = found.document()
    assert [set(each["values"]) for each in document["tuning"]["trials"]] == [set(GRID)] * 3
    assert document["seconds"]["tune"] == document["tuning"]["seconds"] > 0


def test_what_is_chosen_has_the_lowest_objective_and_is_carried_out(pruned):
    document = pruned(tuning=TuningRequest(trials=3)).document()["tuning"]
    tried = [each for each in document["trials"] if each["objective"] is not None]
    best = min(tried, key=lambda each: each["objective"])
    assert document["chosen"] == best["values"]


def test_the_chosen_values_are_those_of_the_run(pruned, figures, monkeypatch):
    figures.outcome = staticmethod(lambda parts: (parts.drop, parts.recovery.rate_base * 1000))
    seen = []
    monkeypatch.setattr(Recovering, "__init__", lambda self, task: seen.append(task.made_of()) or _stop())
    with pytest.raises(_Stop):
        pruned(tuning=TuningRequest(trials=216))
    assert (seen[0].drop, seen[0].recovery.rate_base) == (0.5, 0.001)


class _Stop(Exception):
    pass


def _stop():
    raise _Stop


@pytest.mark.parametrize(("weight", "chosen"), [(0.0, 1.5), (1.0, 0.5)])
def test_a_slower_trial_is_never_the_better_one(figures, task, weight, chosen):
    """The objective of the published code prefers it."""
    figures.outcome = staticmethod(lambda parts: (2.0, 90.0) if parts.drop == 0.5 else (4.0, 10.0))
    found = prune_tuning.tune(task, TuningRequest(trials=40, weight=weight), PartWishes(), _silent)
    assert found.chosen["drop"] == chosen


def test_the_objective_weighs_both_by_their_worst_case(figures, task):
    figures.outcome = staticmethod(lambda parts: (5.0, 20.0))
    found = prune_tuning.tune(task, TuningRequest(trials=1, weight=0.75), PartWishes(), _silent)
    assert found.trials[0]["objective"] == pytest.approx(0.75 * 5 / 10 + 0.25 * 20 / 100)


def test_a_trial_that_cannot_win_any_more_is_abandoned(figures, task):
    seconds = iter([10.0, 99.0])
    figures.outcome = staticmethod(lambda parts: (0.0, next(seconds)))
    found = prune_tuning.tune(task, TuningRequest(trials=2), PartWishes(), _silent)
    assert [each["objective"] is None for each in found.trials] == [False, True]
    assert found.chosen == found.trials[0]["values"]


@pytest.fixture
def task(pruned, monkeypatch):
    held = []
    name = "prunecli.workflows.pruning_steps.tune"
    monkeypatch.setattr(name, lambda task, *_: held.append(task) or _stop())
    with pytest.raises(_Stop):
        pruned()
    return held[0]


def test_values_that_were_given_are_not_tuned(figures, task):
    found = prune_tuning.tune(task, TuningRequest(trials=1), PartWishes(drop=2.0, rate_base=0.01), _silent)
    assert set(found.chosen) == set(GRID) - {"drop", "rate_base"}


def test_the_same_seed_tries_the_same_values(figures, task):
    tried = [
        [
            each["values"]
            for each in prune_tuning.tune(
                replace(task, seed=seed), TuningRequest(), PartWishes(), _silent
            ).trials
        ]
        for seed in (0, 0, 1)
    ]
    assert tried[0] == tried[1] != tried[2]
    assert len({tuple(values.items()) for values in tried[0]}) == 6


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"strategy": "one-shot"}, "block by block"),
        ({"strategy": "every-step"}, "block by block"),
        ({"dry_run": True}, "nothing is trained"),
        ({"parts": PartWishes(**{name: values[0] for name, values in GRID.items()})}, "nothing is left"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_any_work(pruned, asked, said):
    with pytest.raises(WrongUse, match=said):
        pruned(opened="never looked at", **asked)


def test_without_optuna_one_line_names_the_extra(pruned, monkeypatch):
    def missing():
        raise WrongUse("this needs the extra: pip install 'prunecli[tune]'")

    monkeypatch.setattr(prune_tuning, "needed", missing)
    with pytest.raises(WrongUse, match=r"prunecli\[tune\]"):
        pruned(opened="never looked at")


def test_a_rehearsal_samples_both_parts_down_to_a_floor(task, images, monkeypatch):
    monkeypatch.setattr(rehearsal, "TRAINING_IMAGES", 64)
    monkeypatch.setattr(rehearsal, "VALIDATION_IMAGES", 20)
    found = rehearsal.Rehearsal(task, share=0.02)
    whole = (len(images.data.train), len(images.data.validation))
    assert found.images == (64, 20)
    assert found.more == pytest.approx((whole[0] / 64, whole[1] / 20))
    assert rehearsal.Rehearsal(task, share=1.0).images == whole


def test_cuts_on_the_way_come_to_the_cut_of_all(task, monkeypatch):
    plans, apart = rehearsal._plans(task)
    assert (len(plans), apart) == (4, 1)
    on_the_way = carry_out(plans[0], copy.deepcopy(task.model))
    for done, plan in itertools.pairwise(plans):
        rehearsal.cut_on(on_the_way, done, plan)
    at_once = carry_out(plans[-1], copy.deepcopy(task.model))
    for name, tensor in at_once.state_dict().items():
        assert torch.equal(tensor, on_the_way.state_dict()[name]), name
    monkeypatch.setattr(rehearsal, "STOPS", 2)
    fewer, apart = rehearsal._plans(task)
    assert (fewer, apart) == ([plans[1], plans[3]], 2)


def test_what_no_training_changes_is_judged_once_for_all_rehearsals(task, monkeypatch):
    judged = []
    falls = [0.0, 1.0, 2.0, 3.0]
    monkeypatch.setattr(
        Recovering, "fall", lambda self, network: judged.append(network) or falls[len(judged) - 1]
    )
    found = rehearsal.Rehearsal(task, share=1.0)
    parts = [PartWishes(drop=drop).on(task.made_of()) for drop in (50.0, 40.0)]
    results = [found.go(each, enough=lambda seconds: None) for each in parts]
    assert len(judged) == 4
    assert [(each.fall, each.trainings, each.stops) for each in results] == [(3.0, 0, 4)] * 2
    assert results[0].seconds == pytest.approx(results[1].seconds)


def test_a_rehearsal_trains_where_the_trigger_fires(task):
    found = rehearsal.Rehearsal(task, share=1.0)
    always = found.go(PartWishes(drop=0.0, freeze_share=0.9).on(task.made_of()), enough=lambda seconds: None)
    never = found.go(PartWishes(drop=101.0).on(task.made_of()), enough=lambda seconds: None)
    assert (always.trainings, never.trainings) == (4, 0)
    assert always.fall < never.fall


def test_values_of_an_interrupted_run_are_taken_up_again(pruned, monkeypatch, tmp_path):
    kept = {"tuned": {"drop": 1.5}}
    monkeypatch.setattr(prune_tuning, "read_standing", lambda folder: (None, kept))
    monkeypatch.setattr(prune_tuning, "read_run", lambda folder: None)
    found = prune_tuning.chosen_before(str(tmp_path))
    assert (found.chosen, found.trials, found.seconds) == ({"drop": 1.5}, (), 0.0)
    assert prune_tuning.chosen_before(None) is None


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"share": 0.0}, {"share": 1.5}, {"weight": -0.1}])
def test_a_request_out_of_range_is_wrong_use(wrong):
    with pytest.raises(WrongUse, match=next(iter(wrong))):
        TuningRequest(**wrong)


def _silent(stage, done, total, figures=None):
    pass
