"""Sweeps with runs that are made up, so that what is decided about them can be known beforehand."""

from __future__ import annotations

import json
import math

import pytest

from prunecli.documents import as_json, complete
from prunecli.errors import GateNotMet, InputRefused, Interrupted, WorkFailed, WrongUse
from prunecli.search.space import Span
from prunecli.workflows import sweep as story
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening
from prunecli.workflows.sweep import sweep
from prunecli.workflows.sweep_request import Budget, StudyWish, SweepSpace
from prunecli.workflows.sweep_trials import Run

DENSE_MACS = 763520
KEYS = {
    "checkpoint",
    "data",
    "study",
    "space",
    "limit",
    "seeds",
    "seed",
    "epochs",
    "max_drop",
    "stop_by",
    "dense",
    "trials",
    "front",
    "best",
    "saved",
    "seconds",
    "chosen",
    "output",
}
TRIAL_KEYS = {
    "number",
    "state",
    "values",
    "seeds",
    "accuracy",
    "macs",
    "params",
    "epochs",
    "seconds",
    "stopped",
    "failed",
    "command",
}


class Runs:
    """Runs by ratio and criterion: a list of accuracies, seed after seed, or an error to be raised."""

    def __init__(self, accuracies, *, channels=None):
        self.accuracies, self.channels, self.calls = accuracies, channels or {}, []

    def __call__(self, values, seed, progress):
        key = (values["ratio"], values["criterion"])
        self.calls.append((key, seed))
        found = self.accuracies[key][seed]
        if not isinstance(found, float):
            raise found
        progress("train", 1, 1, {})
        return Run(
            accuracy=found,
            macs=round((1 - values["ratio"]) * DENSE_MACS),
            params=1000,
            epochs=10,
            channels=self.channels.get(key, repr(key)),
        )


@pytest.fixture
def journal(tmp_path):
    return str(tmp_path / "s.journal")


def swept(journal, runs, *, ratios=None, criteria=("l2",), seeds=3, command="", keep=None, **given):
    budget = {
        name: given.pop(name)
        for name in ("max_drop", "trials", "threshold_from", "timeout", "stop_by")
        if name in given
    }
    return sweep(
        Opening(),
        space=SweepSpace(ratios=ratios or sorted({key[0] for key in runs.accuracies}), criteria=criteria),
        budget=Budget(seeds=seeds, **budget),
        study=StudyWish(storage=journal, **given.pop("study", {})),
        run_trial=runs,
        keep=keep or Keepsakes(command=command),
        **given,
    )


def by_values(result):
    return {(each.values["ratio"], each.values["criterion"]): each for each in result.trials}


def test_every_point_of_a_grid_is_run_and_the_front_is_found(journal):
    runs = Runs({(0.3, "l2"): [97.0, 98.0, 99.0], (0.5, "l2"): [95.0] * 3, (0.7, "l2"): [80.0, 90.0, 70.0]})
    found = swept(journal, runs)
    rows = by_values(found)
    assert sorted(runs.calls) == [((ratio, "l2"), seed) for ratio in (0.3, 0.5, 0.7) for seed in range(3)]
    assert [each.values["ratio"] for each in found.front] == [0.7, 0.5, 0.3]
    assert rows[0.3, "l2"].accuracy == 98.0
    assert rows[0.3, "l2"].spread == 1.0
    assert rows[0.7, "l2"].accuracy == 80.0
    assert found.best is rows[0.3, "l2"]
    document = found.document()
    assert set(document) == KEYS
    assert all(set(each) == TRIAL_KEYS for each in document["trials"])
    assert document["dense"]["macs"] == DENSE_MACS
    assert json.loads(as_json(complete("sweep", document)))["schema"] == "prunecli.sweep/1"


def test_the_best_is_the_cheapest_that_loses_no_more_than_is_allowed(journal):
    # the dense network has 99.26 %
    runs = Runs({(0.3, "l2"): [99.0] * 3, (0.5, "l2"): [98.5] * 3, (0.7, "l2"): [80.0] * 3})
    found = swept(journal, runs, max_drop=1.0)
    assert found.best.values["ratio"] == 0.5
    assert found.gate is None


def test_a_gate_is_missed_when_every_trial_loses_more(journal):
    found = swept(journal, Runs({(0.5, "l2"): [90.0] * 3}), max_drop=1.0)
    assert found.best is None
    assert "more than the 1 points allowed" in found.gate.message
    assert found.document()["best"] is None


def test_what_is_dominated_after_the_first_seed_is_stopped_by_comparison(journal):
    good, bad = [97.0] * 3, [90.0] * 3
    runs = Runs({(0.5, "l1"): good, (0.5, "l2"): bad})
    found = swept(journal, runs, criteria=("l1", "l2"))
    rows = by_values(found)
    first, second = sorted(found.trials, key=lambda each: each.number)
    if first.values["criterion"] == "l1":  # the better one was there before
        assert second.stopped["layer"] == "comparison"
        assert second.stopped["reason"] == "1 of 1 trials that cost no more are more accurate after 1 seed"
        assert second.seeds == 1
        assert second.stopped["seconds_saved"] == pytest.approx(2 * second.seconds)
        assert found.document()["saved"] == {
            "seconds": second.stopped["seconds_saved"],
            "trials": 1,
            "layers": {"comparison": 1, "semantic": 0, "threshold": 0},
        }
        assert [each.number for each in found.front] == [first.number]
    else:
        assert rows[0.5, "l2"].complete
    assert rows[0.5, "l1"].complete


def test_a_cheaper_trial_is_not_compared_with_dearer_ones(journal):
    """The one with the fewest MACs goes on however low its accuracy is: it is on the front."""
    runs = Runs({(ratio, "l2"): [99.0 - 20 * ratio] * 3 for ratio in (0.1, 0.3, 0.5, 0.7)})
    found = swept(journal, runs)
    assert all(each.complete for each in found.trials)
    assert len(found.front) == 4


def test_accuracy_at_chance_is_stopped_as_senseless(journal):
    runs = Runs({(0.5, "l2"): [10.0] * 3})
    (row,) = swept(journal, runs).trials
    assert row.stopped["layer"] == "semantic"
    assert "at chance" in row.stopped["reason"]
    assert row.seeds == 1


@pytest.mark.parametrize(
    "error",
    [
        GateNotMet("nothing could be pruned"),
        WorkFailed("the loss is nan in epoch 1, step 2"),
        WrongUse("manual goes by bites of your own"),
    ],
)
def test_values_that_cannot_be_carried_out_stop_their_trial_alone(journal, error):
    runs = Runs({(0.5, "l1"): [error] * 3, (0.5, "l2"): [97.0] * 3})
    found = swept(journal, runs, criteria=("l1", "l2"))
    rows = by_values(found)
    assert rows[0.5, "l1"].stopped == {
        "layer": "semantic",
        "reason": error.message,
        "seconds_saved": 0.0,
    }
    assert rows[0.5, "l2"].complete
    assert found.gate is None


def test_when_nothing_can_be_carried_out_that_is_a_missed_gate(journal):
    found = swept(journal, Runs({(0.5, "l2"): [GateNotMet("nothing could be pruned")] * 3}))
    assert found.gate.message == "no trial came to its end"
    assert found.gate.hints == ("nothing could be pruned",)


def test_the_same_channels_by_the_same_strategy_are_not_run_again(journal):
    # Equal accuracy: comparison does not stop the second one.
    same = {(0.5, "l1"): "same", (0.5, "l2"): "same"}
    runs = Runs({key: [97.0] * 3 for key in same}, channels=same)
    found = swept(journal, runs, criteria=("l1", "l2"))
    first, second = sorted(found.trials, key=lambda each: each.number)
    assert first.complete
    assert second.stopped["layer"] == "semantic"
    assert second.stopped["reason"] == f"the same channels leave as in trial {first.number}"


def test_what_cannot_come_up_to_the_dense_network_is_stopped_by_the_threshold(journal):
    # After four of five seeds: (90 * 4 + 99.26 * 1) / 5 = 91.85 < 99.26 - 1
    runs = Runs({(0.5, "l2"): [90.0] * 5})
    (row,) = swept(journal, runs, seeds=5, max_drop=1.0).trials
    assert row.stopped["layer"] == "threshold"
    assert row.stopped["reason"] == "at best 91.85 %, and 98.26 % are wanted"
    assert row.seeds == 4


def test_the_threshold_may_be_told_to_look_earlier(journal):
    runs = Runs({(0.5, "l2"): [90.0] * 3})
    found = swept(journal, runs, max_drop=1.0, threshold_from=1)
    (row,) = found.trials
    assert (row.stopped["layer"], row.seeds) == ("threshold", 1)
    assert not any("stops nothing" in note for note in found.notes)


@pytest.mark.parametrize(
    ("layers", "seeds", "stopped"),
    [
        ((), 5, None),
        (("comparison",), 5, None),
        (("semantic",), 1, "semantic"),
        (("threshold",), 4, "threshold"),
        (("comparison", "semantic", "threshold"), 1, "semantic"),
    ],
)
def test_only_the_layers_that_are_named_stop_a_trial(journal, layers, seeds, stopped):
    runs = Runs({(0.5, "l2"): [10.0] * 5})
    (row,) = swept(journal, runs, seeds=5, max_drop=1.0, stop_by=layers).trials
    assert row.seeds == seeds
    assert (row.stopped or {}).get("layer") == stopped


def test_a_threshold_that_can_stop_nothing_is_told(journal):
    found = swept(journal, Runs({(0.5, "l2"): [99.0] * 3}), max_drop=1.0)
    assert any("the threshold stops nothing: it looks from seed 4 on" in note for note in found.notes)


def test_an_error_of_the_work_ends_its_trial_and_the_sweep_and_the_next_call_goes_on(journal):
    runs = Runs({(0.5, "l1"): [RuntimeError("broken")] * 3, (0.5, "l2"): [97.0] * 3})
    with pytest.raises(RuntimeError, match="broken"):
        while True:  # the order of a grid is shuffled
            swept(journal, runs, criteria=("l1", "l2"))
    found = swept(journal, runs, criteria=("l1", "l2"))
    rows = by_values(found)
    assert (rows[0.5, "l1"].state, rows[0.5, "l1"].failed) == ("failed", "broken")
    assert rows[0.5, "l2"].complete


def test_an_input_that_is_refused_leaves_its_trial_to_the_next_call(journal):
    runs = Runs({(0.5, "l2"): [InputRefused("img.png cannot be read")] * 3})
    with pytest.raises(InputRefused):
        swept(journal, runs)
    runs.accuracies[0.5, "l2"] = [97.0] * 3
    (row,) = swept(journal, runs).trials
    assert row.complete


def test_an_interruption_keeps_the_seeds_that_are_finished(journal):
    runs = Runs({(0.5, "l2"): [97.0, KeyboardInterrupt(), 97.0]})
    with pytest.raises(Interrupted, match="stopped with 0 of 1 trials done") as stopped:
        swept(journal, runs, command="prunecli sweep --ratio 0.5")
    assert stopped.value.exit_code == 130
    assert stopped.value.hints == ("to go on: prunecli sweep --ratio 0.5",)
    runs.accuracies[0.5, "l2"][1] = 98.0
    (row,) = swept(journal, runs).trials
    assert row.complete
    assert [seed for _, seed in runs.calls] == [0, 1, 1, 2]


def test_a_training_that_was_asked_to_stop_is_told_in_the_words_of_a_sweep(journal):
    runs = Runs({(0.5, "l2"): [Interrupted("stopped in epoch 1", signal=15)] * 3})
    with pytest.raises(Interrupted, match="0 of 1 trials done") as stopped:
        swept(journal, runs)
    assert stopped.value.exit_code == 143
    assert stopped.value.hints == ("the same command goes on",)


def test_a_study_in_memory_says_that_nothing_was_kept():
    runs = Runs({(0.5, "l2"): [KeyboardInterrupt()] * 3})
    with pytest.raises(Interrupted) as stopped:
        swept("memory", runs)
    assert stopped.value.hints == ("nothing was kept: --storage FILE keeps it",)


def test_when_the_time_is_up_no_run_begins_and_what_is_done_is_kept(journal, monkeypatch):
    runs = Runs({(ratio, "l2"): [97.0] * 3 for ratio in (0.3, 0.5)})
    found = swept(journal, runs, timeout=1e-6)
    assert (runs.calls, found.trials) == ([], [])
    assert found.gate is None
    monkeypatch.setattr(story._Sweeping, "time_is_up", lambda self: len(runs.calls) == 2)
    found = swept(journal, runs)
    assert len(runs.calls) == 2
    assert found.front == ()
    monkeypatch.undo()
    swept(journal, runs)
    assert len(runs.calls) == len(set(runs.calls))


def test_the_same_command_goes_on_and_another_has_a_study_of_its_own(journal):
    runs = Runs({(ratio, "l2"): [97.0] * 3 for ratio in (0.3, 0.5, 0.7)})
    first = swept(journal, runs, trials=1)
    again = swept(journal, runs, trials=3)
    assert first.study["name"] == again.study["name"]
    assert len(runs.calls) == 9 - 2 * len([each for each in again.trials if each.stopped])
    other = swept(journal, runs, trials=1, seeds=2)
    assert other.study["name"] != first.study["name"]
    assert len(other.trials) == 1


def test_a_named_study_of_other_settings_is_refused(journal):
    runs = Runs({(0.5, "l2"): [97.0] * 3})
    swept(journal, runs, study={"name": "mine"})
    with pytest.raises(WrongUse, match="begun with epochs 10, not 20"):
        swept(journal, runs, study={"name": "mine"}, pruning={"epochs": 20})
    with pytest.raises(WrongUse, match="begun with seeds 3, not 2"):
        swept(journal, runs, study={"name": "mine"}, seeds=2)


def test_a_range_of_ratios_is_gone_through_by_tpe(journal):
    class Anything(Runs):
        def __call__(self, values, seed, progress):
            self.accuracies[values["ratio"], "l2"] = [99 - 20 * values["ratio"]]
            return super().__call__(values, seed, progress)

    found = swept(journal, Anything({}), ratios=Span(0.2, 0.8, 0.01), seeds=1, trials=12)
    assert found.study["sampler"] == "tpe"
    ratios = [each.values["ratio"] for each in found.trials]
    assert len(set(ratios)) == 12
    assert all(math.isclose(ratio, round(ratio, 2)) and 0.2 <= ratio <= 0.8 for ratio in ratios)
    assert found.document()["space"]["ratios"] == {"from": 0.2, "to": 0.8, "step": 0.01}


def test_targets_stand_in_the_place_of_ratios(journal, tmp_path):
    output = str(tmp_path / "best.safetensors")
    found = sweep(
        Opening(),
        space=SweepSpace(targets=("macs=0.5", "params=0.3")),
        budget=Budget(seeds=1, max_drop=100),
        study=StudyWish(storage=journal),
        pruning={"epochs": 0},
        output=output,
    )
    rows = {each.values["target"]: each for each in found.trials}
    assert set(rows) == {"macs=0.5", "params=0.3"}
    assert all("ratio" not in each.values for each in found.trials)
    assert 0.49 < rows["macs=0.5"].macs / DENSE_MACS <= 0.5
    assert 0.29 < rows["params=0.3"].params / 77754 <= 0.3
    assert found.document()["space"]["targets"] == ["macs=0.5", "params=0.3"]
    assert found.document()["space"]["ratios"] == []
    assert found.chosen["macs"] == found.best.macs


def test_a_target_that_cannot_be_met_stops_its_trial_alone(journal):
    found = sweep(
        Opening(),
        space=SweepSpace(targets=("macs=0.5", "macs=0.0001")),
        budget=Budget(seeds=2, stop_by=()),
        study=StudyWish(storage=journal),
        pruning={"epochs": 0},
    )
    states = {each.values["target"]: each for each in found.trials}
    assert states["macs=0.5"].complete
    assert states["macs=0.0001"].stopped["layer"] == "semantic"
    assert "macs=0.0001" in states["macs=0.0001"].stopped["reason"]


def test_what_is_no_target_is_refused_when_the_space_is_made():
    with pytest.raises(WrongUse, match="is no target"):
        SweepSpace(targets=("mac=0.5",))


def test_a_space_of_ratios_is_written_as_before():
    """A study remembers its space: another key would make it another one."""
    assert set(SweepSpace().document()) == {"ratios", "criteria", "strategies", "scopes"}


def test_trials_are_judged_by_the_validation_part_and_the_chosen_one_by_the_test_part(
    journal, tmp_path, monkeypatch
):
    calls = []
    real = story.prune

    def recorded(opening, **given):
        calls.append(given)
        return real(opening, **given)

    monkeypatch.setattr(story, "prune", recorded)
    output = str(tmp_path / "best.safetensors")
    found = sweep(
        Opening(),
        space=SweepSpace(ratios=(0.5,)),
        budget=Budget(seeds=2, seed=3),
        study=StudyWish(storage=journal),
        pruning={"epochs": 0},
        output=output,
    )
    assert [each["judge"] for each in calls] == ["validation", "validation", "test"]
    assert [each["seed"] for each in calls] == [3, 4, 3]
    assert len({id(each["opened"]) for each in calls}) == 1
    assert len({id(each["images"]) for each in calls}) == 1
    (row,) = found.trials
    assert row.macs == 193344
    assert found.output["path"] == output
    assert found.chosen["number"] == row.number
    assert found.chosen["macs"] == row.macs
    # 136 images of the validation part, 450 of the test part
    runs = round(row.accuracy * 2 * 136 / 100, 6)
    assert runs == round(runs)
    tested = round(found.chosen["accuracy"]["test"] * 450 / 100, 6)
    assert tested == round(tested)


def test_another_trial_may_be_picked_if_it_is_complete(journal, tmp_path):
    runs = Runs({(0.3, "l2"): [98.0], (0.5, "l2"): [97.0]})
    found = swept(journal, runs, seeds=1, pruning={"epochs": 0})
    other = next(each for each in found.trials if each is not found.best)
    output = str(tmp_path / "picked.safetensors")
    picked = swept(journal, runs, seeds=1, pruning={"epochs": 0}, pick=other.number, output=output)
    assert picked.chosen["number"] == other.number
    assert picked.chosen["macs"] < DENSE_MACS * 0.3
    with pytest.raises(WrongUse, match="trial 7 is not complete"):
        swept(journal, runs, seeds=1, pruning={"epochs": 0}, pick=7, output=str(tmp_path / "x.safetensors"))


def test_a_picture_and_a_report_are_written(journal, tmp_path):
    runs = Runs({(0.3, "l2"): [98.0], (0.5, "l2"): [10.0], (0.7, "l2"): [90.0]})
    keep = Keepsakes(plot=str(tmp_path / "f.svg"), report=str(tmp_path / "f.md"), command="prunecli sweep")
    swept(journal, runs, seeds=1, keep=keep, command_of=lambda values: f"prunecli prune {values['ratio']}")
    assert "validation accuracy" in (tmp_path / "f.svg").read_text()
    report = (tmp_path / "f.md").read_text()
    assert "Accuracy against MACs" in report
    assert "prunecli prune 0.7" in report


def test_a_launcher_is_refused(journal, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(WrongUse, match="not by a launcher"):
        swept(journal, Runs({(0.5, "l2"): [97.0] * 3}))


def test_what_cannot_be_is_refused_before_anything_is_opened(journal, tmp_path):
    nowhere = Opening(checkpoint=str(tmp_path / "missing.safetensors"))
    for given, said in (
        ({"study": StudyWish(sampler="tpa")}, "unknown sampler"),
        ({"study": StudyWish(storage=str(tmp_path / "none" / "a.journal"))}, "does not exist"),
        ({"space": SweepSpace(ratios=())}, "ratio has no value"),
        ({"output": str(tmp_path / "none" / "x.safetensors")}, "does not exist"),
    ):
        with pytest.raises(WrongUse, match=said):
            sweep(nowhere, **given)
    with pytest.raises(WrongUse, match="seeds cannot be 0"):
        Budget(seeds=0)
    with pytest.raises(WrongUse, match="unknown layer 'sematic'"):
        Budget(stop_by=("sematic",))
