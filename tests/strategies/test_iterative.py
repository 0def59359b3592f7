"""Bite by bite on the bundled network and its digits: widths, plan, proof and file of the whole way."""

from __future__ import annotations

import pytest
import torch

from prunecli.errors import GateNotMet, WorkFailed, WrongUse
from prunecli.graph.channel_graph import build_graph
from prunecli.strategies import iterative
from prunecli.strategies.bites import BiteWishes
from prunecli.surgery.verification import Verification
from prunecli.training import recalibration
from prunecli.training.settings import FitSettings
from prunecli.workflows.opening import Opening, load
from prunecli.workflows.prune import prune


def widths(result):
    return {layer["name"]: layer["after"] for layer in result.document()["layers"]}


@pytest.fixture(scope="module")
def bitten(tmp_path_factory):
    """Three bites of equal size with an epoch each, and the file that came of them."""
    path = str(tmp_path_factory.mktemp("bites") / "small.safetensors")
    bites = BiteWishes(steps=3)
    return prune(Opening(), ratio=0.5, strategy="iterative", epochs=3, bites=bites, output=path), path


def test_the_widths_are_those_of_one_shot(bitten):
    assert widths(bitten[0]) == widths(prune(Opening(), ratio=0.5))


def test_removed_channels_are_counted_in_the_coordinates_of_the_original(bitten):
    for layer in bitten[0].document()["layers"]:
        removed = layer["removed"]
        assert len(set(removed)) == layer["before"] - layer["after"]
        assert all(0 <= index < layer["before"] for index in removed)


def test_every_bite_is_proved_and_trained_for(bitten):
    document = bitten[0].document()
    assert document["verification"]["equivalent"]
    assert [record["epoch"] for record in document["history"]] == [1, 2, 3]
    assert [round(bite["ratio"], 4) for bite in document["bites"]] == [0.1667, 0.3333, 0.5]
    assert document["accuracy"]["cut"] is None
    assert document["accuracy"]["after"] > 80


def test_the_file_holds_one_plan_and_opens_to_the_trained_network(bitten):
    result, path = bitten
    images = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load(path)(images), result.model(images))


def test_a_bite_that_is_too_small_for_every_group_goes_with_the_next_one():
    result = prune(Opening(), ratio=0.1, strategy="iterative", epochs=1, bites=BiteWishes(steps=8))
    assert widths(result) == widths(prune(Opening(), ratio=0.1))
    assert len(result.history) == 8  # the epochs of a bite that takes nothing are the next one's
    assert "iterative takes 8 epochs: no bite goes without one" in result.notes


def test_the_ratio_of_a_layer_follows_the_bites():
    own = {"layer3*": 0.25}
    bites = BiteWishes(steps=2)
    result = prune(Opening(), ratio=0.5, layer_ratio=own, strategy="iterative", epochs=1, bites=bites)
    assert widths(result) == widths(prune(Opening(), ratio=0.5, layer_ratio=own))


def test_global_scope_removes_as_many_channels_in_bites_as_at_once():
    bites = BiteWishes(steps=2)
    whole = prune(Opening(), ratio=0.4, scope="global", strategy="geometric", epochs=1, bites=bites)
    once = prune(Opening(), ratio=0.4, scope="global")
    left = [
        sum(group.channels for group in build_graph(result.model, (1, 8, 8)).prunable)
        for result in (whole, once)
    ]
    assert left[0] == left[1]


def test_a_dry_run_shows_the_bites_and_trains_nothing():
    result = prune(Opening(), ratio=0.5, strategy="hybrid", dry_run=True)
    document = result.document()
    assert [round(bite["ratio"], 4) for bite in document["bites"]] == [0.35, 0.415, 0.4735, 0.5]
    assert document["history"] == []


def test_a_cut_that_is_not_proved_ends_the_way(monkeypatch):
    wrong = Verification("made", 1.0, 1.0, 1e-9, equivalent=False)
    monkeypatch.setattr("prunecli.surgery.verification.verify", lambda *_, **__: wrong)
    with pytest.raises(WorkFailed, match="does not compute"):
        prune(Opening(), ratio=0.5, strategy="iterative", epochs=1)


def test_batch_norms_are_measured_again_on_as_many_batches_as_were_asked_for(monkeypatch):
    counts = []
    measure = recalibration.recalibrate_batch_norm

    def counted(*given, batches, **more):
        counts.append(batches)
        return measure(*given, batches=batches, **more)

    monkeypatch.setattr(recalibration, "recalibrate_batch_norm", counted)
    bites = BiteWishes(steps=2)
    prune(Opening(), ratio=0.3, strategy="iterative", epochs=2, bites=bites, recalibrate=3)
    prune(Opening(), ratio=0.3, strategy="iterative", epochs=2, bites=bites, recalibrate=0)
    assert counts == [3, 3]


def test_nothing_is_trained_for_a_ratio_that_takes_nothing_and_without_one():
    with pytest.raises(GateNotMet, match="nothing could be pruned"):
        prune(Opening(), ratio=0.01, strategy="iterative", epochs=10**6)
    with pytest.raises(WrongUse, match="parts of a ratio"):
        prune(Opening(), layer_ratio={"conv1": 0.5}, strategy="geometric", epochs=10**6)


def test_manual_without_bites_is_wrong_use():
    with pytest.raises(WrongUse, match="bites of your own"):
        prune(Opening(), ratio=0.5, strategy="manual", epochs=1, training=FitSettings())


def test_patience_ends_a_bite_early():
    bites = BiteWishes(steps=2, patience=1, min_delta=100.0)
    result = prune(Opening(), ratio=0.3, strategy="iterative", epochs=12, bites=bites)
    assert len(result.history) == 4  # the first epoch of each bite, and the one that did not gain
    assert [record.epoch for record in result.history] == [0, 1, 2, 3]


def test_the_five_are_registered():
    from prunecli.strategies.contract import STRATEGIES

    names = {name for name, member in STRATEGIES.items() if member.function.__module__ == iterative.__name__}
    assert names == {"iterative", "geometric", "log", "hybrid", "manual"}
