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
from prunecli.strategies.procedures import freezing_trial, rehearsal
from prunecli.strategies.procedures.recovering import Recovering
from prunecli.surgery.cutting import carry_out
from prunecli.workflows import prune_tuning
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.prune_tuning import DROPS, GRID, TuningRequest

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
        outcome = staticmethod(lambda parts, drop: (5.0, 50.0))
        most = 100.0
        trial = None

        def __init__(self, task, *, share):
            self.plans = [None]

        def untrained(self, stop):
            return 10.0, 1.0

        def ways(self, parts, *, drops, enough):
            for drop in sorted(drops):
                fall, seconds = self.outcome(parts, drop)
                if not enough(fall, seconds):
                    yield rehearsal.Rehearsed(drop=drop, fall=fall, seconds=seconds, trainings=1, stops=1)

    monkeypatch.setattr(prune_tuning, "Rehearsal", Told)
    return Told


def test_what_is_searched_are_the_values_of_the_paper_for_all_its_networks():
    assert size(GRID) == 4 * 2 * 3 * 3 * 3
    assert DROPS == (0.5, 1.5, 5.0, 7.0, 9.0, 10.0)


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
    tried = [each for each in document["tuning"]["trials"] if each["objective"] is not None]
    assert tried
    assert all(set(each["values"]) == {"drop", *GRID} for each in tried)
    assert document["seconds"]["tune"] == document["tuning"]["seconds"] > 0


def test_what_is_chosen_has_the_lowest_objective_and_is_carried_out(pruned):
    document = pruned(tuning=TuningRequest(trials=3)).document()["tuning"]
    tried = [each for each in document["trials"] if each["objective"] is not None]
    best = min(tried, key=lambda each: each["objective"])
    assert document["chosen"] == best["values"]


def test_the_chosen_values_are_those_of_the_run(pruned, figures, monkeypatch):
    figures.outcome = staticmethod(lambda parts, drop: (drop, parts.recovery.rate_base * 1000))
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
    figures.outcome = staticmethod(lambda parts, drop: (2.0, 90.0) if drop == 0.5 else (4.0, 10.0))
    found = prune_tuning.tune(task, TuningRequest(trials=2, weight=weight), PartWishes(), _silent)
    assert found.chosen["drop"] == chosen


def test_the_objective_weighs_both_by_their_worst_case(figures, task):
    figures.outcome = staticmethod(lambda parts, drop: (5.0, 20.0))
    found = prune_tuning.tune(task, TuningRequest(trials=1, weight=0.75), PartWishes(), _silent)
    assert found.trials[0]["objective"] == pytest.approx(0.75 * 5 / 10 + 0.25 * 20 / 100)


def test_of_drops_that_come_to_the_same_the_lowest_is_taken(figures, task):
    found = prune_tuning.tune(task, TuningRequest(trials=1), PartWishes(), _silent)
    assert found.chosen["drop"] == 0.5


def test_a_rise_counts_as_no_fall(figures, task):
    figures.outcome = staticmethod(lambda parts, drop: (-3.0, 30.0) if drop == 0.5 else (-1.0, 20.0))
    found = prune_tuning.tune(task, TuningRequest(trials=1), PartWishes(), _silent)
    assert found.chosen["drop"] == 1.5
    assert found.trials[0]["objective"] == pytest.approx(0.5 * 20 / 100)


@pytest.mark.parametrize(
    ("second", "ended"),
    [((1.0, 10.0), True), ((0.5, 10.0), False), ((1.0, 9.0), False), ((0.0, 21.0), True)],
)
def test_a_way_that_cannot_win_any_more_is_ended(figures, task, second, ended):
    """Worse than the best in both terms, or so slow that no fall makes it good."""
    told = iter([(1.0, 10.0), second])
    figures.outcome = staticmethod(lambda parts, drop: next(told))
    wishes = PartWishes(drop=2.0)
    found = prune_tuning.tune(task, TuningRequest(trials=2), wishes, _silent)
    assert [each["objective"] is None for each in found.trials] == [False, ended]


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
    assert set(found.chosen) == set(GRID) - {"rate_base"}


def test_where_the_drop_alone_is_left_it_is_tuned_in_one_trial(figures, task):
    figures.outcome = staticmethod(lambda parts, drop: (abs(drop - 7), 20.0))
    given = PartWishes(**{name: values[0] for name, values in GRID.items()})
    found = prune_tuning.tune(task, TuningRequest(), given, _silent)
    assert (found.chosen, len(found.trials)) == ({"drop": 7.0}, 1)


def test_the_same_seed_tries_the_same_values(figures, task):
    tried = [
        [
            each["values"]
            for each in prune_tuning.tune(
                replace(task, seed=seed), TuningRequest(trials=6), PartWishes(), _silent
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
        (
            {"parts": PartWishes(drop=1.0, **{name: values[0] for name, values in GRID.items()})},
            "nothing is left",
        ),
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
    whole = (len(images.data.train), len(images.data.validation))
    assert rehearsal.Rehearsal(task, share=0.02).images == (64, 20)
    assert rehearsal.Rehearsal(task, share=1.0).images == whole


def test_the_run_takes_over_the_trial_of_the_freezing(pruned, monkeypatch):
    made = []
    real = freezing_trial.freezing_trial
    for module in (rehearsal, freezing_trial):
        monkeypatch.setattr(module, "freezing_trial", lambda *asked: made.append(asked) or real(*asked))
    pruned()
    assert len(made) == 1


def test_the_most_is_a_training_after_every_block(task):
    found = rehearsal.Rehearsal(task, share=1.0)
    assert found.most == pytest.approx(4 * len(task.data.train) / found.trial.images_per_second)


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


@pytest.fixture
def rehearsed(task, monkeypatch):
    """Rehearse drops where judging finds `falls` in turn: the ways, and what was done for them."""

    def ways(falls, drops, *, final_epochs=0):
        done, left = [], iter(falls)
        monkeypatch.setattr(Recovering, "fall", lambda self, network: done.append("judged") or next(left))
        monkeypatch.setattr(
            rehearsal.Rehearsal,
            "trained",
            lambda self, recovering, network, *, epochs, done: _trained(network, epochs),
        )

        def _trained(network, epochs):
            done.append((epochs, network.conv1.out_channels, network.layer3[0].conv1.out_channels))
            return 1.0

        found = rehearsal.Rehearsal(task, share=1.0)
        parts = PartWishes(final_epochs=final_epochs).on(task.made_of())
        shown = [
            (way.drop, way.fall, way.trainings)
            for way in found.ways(parts, drops=drops, enough=lambda fall, seconds: False)
        ]
        return shown, done

    return ways


def test_what_no_training_changes_is_judged_once_for_all_drops(rehearsed):
    shown, done = rehearsed([0.0, 1.0, 2.0, 3.0], (50.0, 40.0))
    assert shown == [(40.0, 3.0, 0), (50.0, 3.0, 0)]
    assert done == ["judged"] * 4


def test_drops_part_where_a_fall_lies_between_them(rehearsed):
    # Untrained: 1, 6, 8, 8. The drops of 5 and 7 train at the second and at the third stop.
    falls = [1.0, 6.0, 8.0, 8.0, 2.5, 3.0, 0.5, 1.5]
    shown, done = rehearsed(falls, (5.0, 7.0, 9.0))
    assert shown == [(9.0, 8.0, 0), (7.0, 3.0, 1), (5.0, 1.5, 1)]
    assert [each for each in done if each != "judged"] == [(1, 8, 64), (1, 8, 64)]


def test_a_drop_that_would_fire_at_the_end_is_followed_stop_by_stop(rehearsed):
    # Trained at the first stop (level 0), and 4 at the very end: the third stop, with 3, is where it fires.
    falls = [3.0, 0.0, 4.0, 1.0, 3.0, 0.5, 0.7]
    shown, done = rehearsed(falls, (2.0,))
    assert shown == [(2.0, 0.7, 2)]
    assert done == [*["judged"], (1, 8, 64), *["judged"] * 4, (1, 8, 64), *["judged"] * 2]


def test_ways_that_part_after_a_training_go_on_with_networks_of_their_own(rehearsed):
    # Both drops train at the first stop; at the third one trains again, the other at the last only.
    falls = [6.0, 0.0, 6.0, 1.0, 3.0, 6.0, 0.5, 0.2, 0.1]
    shown, done = rehearsed(falls, (2.0, 5.0))
    assert shown == [(5.0, 0.5, 2), (2.0, 0.1, 2)]
    assert [each for each in done if each != "judged"] == [(1, 8, 64), (1, 8, 32), (1, 8, 64)]


def test_final_epochs_come_after_the_last_cut(rehearsed):
    shown, done = rehearsed([0.0, 1.0, 2.0, 3.0, 0.25], (50.0,), final_epochs=2)
    assert shown == [(50.0, 0.25, 0)]
    assert done == [*["judged"] * 4, (2, 8, 32), "judged"]


@pytest.mark.parametrize(
    ("room", "growth", "times"), [(5.0, 1.0, 1.4), (5.0, 0.0, 1.0), (0.5, 1.0, 7.0), (-1.0, 0.0, 7.0)]
)
def test_a_training_stands_for_as_many_as_the_fall_would_set_off(room, growth, times):
    assert rehearsal._times(room, growth, blocks=7.0) == pytest.approx(times)


def test_few_steps_move_running_statistics_as_far_as_an_epoch(task):
    layer = task.model.bn1
    before = layer.momentum
    with rehearsal._forgetting(task.model, 18.0):
        assert layer.momentum == pytest.approx(1 - 0.9**18)
    assert layer.momentum == before


def test_a_rehearsal_trains_where_the_trigger_fires(task):
    found = rehearsal.Rehearsal(task, share=1.0)
    drops = (0.0, 101.0)
    never, always = found.ways(task.made_of(), drops=drops, enough=lambda fall, seconds: False)
    assert (always.drop, never.drop, never.trainings) == (0.0, 101.0, 0)
    assert always.trainings > 0
    assert always.fall < never.fall
    assert always.seconds > never.seconds


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
