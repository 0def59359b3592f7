"""Scores that need images, kept in files, taken again, judged: on the bundled sample and its digits."""

from __future__ import annotations

import dataclasses
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from prunecli.analysis.gates import Gate
from prunecli.checkpoints import sample_models
from prunecli.errors import GateNotMet, InputRefused, WrongUse
from prunecli.training.settings import FitSettings
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.compare import compare
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.saved_scores import weights_fingerprint
from prunecli.workflows.score import score

SMALL = Calibration(data="digits", batches=2, batch_size=16)
NAMES = ("l2", "apoz", "taylor")


@pytest.fixture(scope="module")
def opening():
    return Opening(checkpoint=str(sample_models()["resnet8-digits"]))


@pytest.fixture(scope="module")
def saved(opening, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("scores") / "scores.safetensors")
    return path, score(opening, criteria=NAMES, calibration=SMALL, save=path)


def test_saved_scores_are_taken_again_bit_for_bit(opening, saved):
    path, result = saved
    assert result.document()["data"]["images"] == 32
    again = compare(opening, scores=path, ratios=[0.5])
    fresh = compare(opening, criteria=NAMES, calibration=SMALL, ratios=[0.5], noise_floor=False)
    assert again.document()["pairs"] == fresh.document()["pairs"]
    assert again.comparison.criteria == NAMES
    assert "taken from" in again.notes[-1]


def test_what_a_layer_cannot_have_is_not_available_in_the_file_either(opening, saved):
    path, result = saved
    tensors = load_file(path)
    # The sum of the residual block comes between the batch norm and the rectifier.
    assert result.layers["layer1.0.conv2"]["apoz"] is None
    assert "apoz|layer1.0.conv2" not in tensors
    torch.testing.assert_close(tensors["apoz|conv1"], result.layers["conv1"]["apoz"], rtol=0, atol=0)


def test_a_criterion_that_was_not_saved_is_computed_beside(opening, saved):
    both = compare(opening, criteria=("l1", "apoz"), scores=saved[0], ratios=[0.5])
    fresh = compare(opening, criteria=("l1", "apoz"), calibration=SMALL, ratios=[0.5], noise_floor=False)
    assert both.document()["pairs"] == fresh.document()["pairs"]


def test_scores_of_other_weights_are_refused(saved, tmp_path):
    other = Opening(checkpoint=str(sample_models()["vgg6bn-digits"]))
    with pytest.raises(InputRefused, match="stale: they are of other weights"):
        compare(other, scores=saved[0], ratios=[0.5])


def test_scores_of_the_same_weights_in_another_file_are_taken(opening, saved, tmp_path):
    copy = tmp_path / "copy.safetensors"
    shutil.copy(opening.checkpoint, copy)
    assert compare(Opening(checkpoint=str(copy)), scores=saved[0], ratios=[0.5]).comparison.pairs


def test_scores_of_other_images_are_refused_when_data_is_given(opening, saved):
    more = dataclasses.replace(SMALL, batches=3)
    with pytest.raises(InputRefused, match="stale: they were calibrated on other images"):
        compare(opening, scores=saved[0], calibration=more, ratios=[0.5])
    assert compare(opening, scores=saved[0], calibration=SMALL, ratios=[0.5]).comparison.pairs


def test_prune_takes_saved_scores_and_cuts_the_same_channels(opening, saved):
    asked = {"ratio": 0.5, "criterion": "taylor", "dry_run": True}
    by_file = prune(opening, **asked, scores=saved[0])
    by_images = prune(opening, **asked, data="digits", batches=2, training=FitSettings(batch_size=16))
    assert by_file.plan == by_images.plan
    assert by_file.plan != prune(opening, ratio=0.5, criterion="l2", dry_run=True).plan
    with pytest.raises(InputRefused, match="has no scores by l1"):
        prune(opening, ratio=0.5, criterion="l1", scores=saved[0], dry_run=True)


def test_a_strategy_that_trains_takes_no_saved_scores(opening, saved):
    with pytest.raises(WrongUse, match="sfp trains and ranks it anew"):
        prune(opening, ratio=0.5, criterion="l2", scores=saved[0], strategy="sfp", epochs=1)


def test_a_file_of_scores_is_no_checkpoint_and_a_checkpoint_no_scores(opening, saved):
    with pytest.raises(InputRefused, match="holds saved scores, not a network"):
        open_checkpoint(Opening(checkpoint=saved[0]))
    with pytest.raises(InputRefused, match="holds no saved scores"):
        compare(opening, scores=opening.checkpoint, ratios=[0.5])


def test_scores_that_do_not_fit_together_are_refused(opening, saved, tmp_path):
    from safetensors import safe_open

    with safe_open(saved[0], "pt") as file:
        metadata = file.metadata()
    tensors = load_file(saved[0])
    tensors["l2|conv1"] = torch.zeros(3)
    path = str(tmp_path / "odd.safetensors")
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(InputRefused, match=r"do not fit together: 'l2\|conv1'"):
        compare(opening, scores=path, ratios=[0.5])


def test_the_fingerprint_follows_every_weight(opening):
    first, second = open_checkpoint(opening).model, open_checkpoint(opening).model
    assert weights_fingerprint(first) == weights_fingerprint(second)
    with torch.no_grad():
        second.conv1.weight.view(-1)[0] += 1e-6
    assert weights_fingerprint(first) != weights_fingerprint(second)


def test_the_noise_floor_is_of_other_images_and_weights_have_none(opening):
    found = compare(opening, criteria=("l2", "taylor", "random"), calibration=SMALL, ratios=[0.5])
    noise = {one.criterion: one for one in found.comparison.noise}
    assert noise["l2"].exact
    assert noise["l2"].average.spearman == 1
    assert not noise["taylor"].exact
    assert 0.1 < noise["taylor"].average.spearman < 0.999
    assert abs(noise["random"].average.spearman) < 0.4
    exact = compare(opening, criteria=("l1", "l2"), ratios=[0.5])
    assert exact.comparison.noise is None


def test_a_second_choice_of_images_needs_as_many_again(opening):
    greedy = Calibration(data="digits", batches=20, batch_size=64)
    found = compare(opening, criteria=("apoz", "l2"), calibration=greedy, ratios=[0.5])
    assert found.comparison.noise is None
    assert found.notes[-1].startswith("no noise floor: 1211 training images are too few to choose again")
    assert found.notes[-1].endswith("try --batches 9")


def test_judging_measures_what_prune_then_cuts(opening):
    few = Calibration(data="digits", batches=1, batch_size=8)
    found = compare(
        opening, criteria=("l2", "random"), calibration=few, ratios=[0.5], judge_cuts=True, noise_floor=False
    )
    document = found.document()
    assert found.comparison.criteria == ("l2", "random", "oracle")
    by_name = {one["criterion"]: one["cuts"][0] for one in document["judgement"]}
    cut = prune(opening, ratio=0.5, criterion="l2", dry_run=True)
    assert by_name["l2"]["params"] == cut.document()["after"]["params"]
    assert by_name["l2"]["macs"] == cut.document()["after"]["macs"]
    assert 0 < by_name["l2"]["output_error"] < 2
    assert by_name["l2"]["loss"] > document["judgement_before"]["loss"]
    assert document["judgement_before"]["images"] == 8
    assert {one["criterion"]: one["oracle_spearman"] for one in document["judgement"]}["oracle"] == 1


def test_a_missed_gate_is_shown_and_then_raised(opening):
    found = compare(
        opening,
        criteria=("l1", "l2", "random"),
        ratios=[0.5],
        fail_above=[Gate("jaccard", 0.5, ("l1", "l2"))],
    )
    assert isinstance(found.gate, GateNotMet)
    assert found.gate.message.startswith("jaccard of l1 and l2 is 0.77 at 0.5, above 0.5")
    assert found.document()["gates"][0]["met"] is False
    fine = compare(opening, criteria=("l1", "random"), ratios=[0.5], fail_above=[Gate("spearman", 0.5)])
    assert fine.gate is None


def test_distributions_know_first_and_pointwise_layers(opening):
    found = compare(opening, criteria=("l1", "l2"), ratios=[0.5], cwda=True)
    verdicts = {one["name"]: one["verdict"] for one in found.document()["cwda"]}
    assert verdicts["conv1"] == "outside the assumption: first layer"
    assert verdicts["layer2.0.shortcut.0"] == "outside the assumption: 1x1"
    assert verdicts["linear"] == "outside the assumption: linear"
    assert "outside" not in verdicts["layer1.0.conv1"]


def test_pictures_and_reports_are_written_beside_the_result(opening, tmp_path):
    paths = {name: str(tmp_path / name) for name in ("heat.svg", "ranks.png", "report.html", "scores.pdf")}
    keep = Keepsakes(plot=paths["heat.svg"], plot_ranks=paths["ranks.png"], report=paths["report.html"])
    compare(opening, criteria=("l1", "l2"), ratios=[0.5], keep=keep)
    score(opening, criteria=("l1",), keep=Keepsakes(plot=paths["scores.pdf"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(paths)
    with pytest.raises(WrongUse, match="exists"):
        compare(opening, criteria=("l1", "l2"), ratios=[0.5], keep=keep)
    odd = Keepsakes(plot_ranks=str(tmp_path / "other.svg"), plot_layer="conv9")
    with pytest.raises(WrongUse, match="no layer is called 'conv9'"):
        compare(opening, criteria=("l1", "l2"), ratios=[0.5], keep=odd)
    with pytest.raises(WrongUse, match=r"'x\.jpg' names no picture"):
        Keepsakes(plot="x.jpg")


def test_half_precision_networks_are_calibrated_in_single(opening, tmp_path):
    tensors = {
        name: t.half() if t.is_floating_point() else t for name, t in load_file(opening.checkpoint).items()
    }
    path = str(tmp_path / "half.safetensors")
    from safetensors import safe_open

    with safe_open(opening.checkpoint, "pt") as file:
        save_file(tensors, path, metadata=file.metadata())
    half = score(Opening(checkpoint=path), criteria=("taylor",), calibration=SMALL)
    whole = score(opening, criteria=("taylor",), calibration=SMALL)
    from scipy.stats import spearmanr

    for layer, found in whole.layers.items():
        assert spearmanr(found["taylor"], half.layers[layer]["taylor"]).statistic > 0.9
