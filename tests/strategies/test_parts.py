"""Parts in other places than their presets', on the bundled network and its digits."""

from __future__ import annotations

import copy

import pytest
import torch

from prunecli.errors import WrongUse
from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.contract import STRATEGIES
from prunecli.strategies.parts import Parts, PartWishes, Recovery
from prunecli.surgery import verification
from prunecli.surgery.cutting import carry_out
from prunecli.training import fitting
from prunecli.training.pruning_rate import pruning_aware_rate
from prunecli.training.settings import EpochRecord, FitResult, FitSettings
from prunecli.workflows.opening import Opening, load
from prunecli.workflows.prune import prune


def widths(result):
    return {layer["name"]: layer["after"] for layer in result.document()["layers"]}


@pytest.fixture
def trainings(monkeypatch):
    """What `fit` was called with; nothing is trained, one record an epoch is made up."""
    calls = []

    def noted(network, data, *, settings, teacher=None, **_):
        calls.append((copy.deepcopy(network), settings, teacher))
        records = [
            EpochRecord(epoch, settings.lr, 1.0, 1.0, 50.0, 0.1, 9.0) for epoch in range(settings.epochs)
        ]
        return FitResult(tuple(records), 0, 50.0)

    monkeypatch.setattr(fitting, "fit", noted)
    return calls


def in_bites(*, steps=3, **asked):
    bites = BiteWishes(steps=steps)
    return prune(Opening(), ratio=0.5, strategy="iterative", bites=bites, recalibrate=0, **asked)


def test_one_shot_trains_when_epochs_are_asked_for():
    result = prune(Opening(), ratio=0.5, epochs=2)
    assert widths(result) == widths(prune(Opening(), ratio=0.5))
    assert [record.epoch for record in result.history] == [0, 1]
    assert result.accuracy["cut"] is None
    assert result.accuracy["after"] > 85


def test_a_drop_that_is_never_reached_trains_nothing_and_one_of_zero_always(trainings):
    never = in_bites(epochs=3, parts=PartWishes(trigger="drop", drop=100.0))
    assert (trainings, never.history) == ([], ())
    assert widths(never) == widths(prune(Opening(), ratio=0.5))
    in_bites(epochs=3, parts=PartWishes(trigger="drop", drop=0.0))
    assert [settings.epochs for _, settings, _ in trainings] == [1, 1, 1]


def test_epochs_of_bites_that_were_not_trained_go_to_the_next_training(trainings, monkeypatch):
    falls = iter([0.5, 2.0, 0.1])
    monkeypatch.setattr(
        "prunecli.strategies.procedures.recovering.Recovering.fall", lambda self, network, **_: next(falls)
    )
    in_bites(epochs=6, parts=PartWishes(trigger="drop", drop=1.0))
    assert [settings.epochs for _, settings, _ in trainings] == [4]


def test_never_trains_after_the_last_bite_only(trainings):
    in_bites(epochs=6, parts=PartWishes(trigger="never"))
    assert [settings.epochs for _, settings, _ in trainings] == [6]


def test_final_epochs_come_whatever_the_trigger(trainings):
    parts = PartWishes(trigger="drop", drop=100.0, epochs_each=2, final_epochs=3)
    in_bites(epochs=6, parts=parts)
    assert [settings.epochs for _, settings, _ in trainings] == [3]


def test_cuts_without_training_between_are_proved_once_and_as_one(trainings, monkeypatch):
    proofs = []
    prove = verification.prove

    def counted(graph, original, cut, removed, **more):
        proofs.append({name: len(gone) for name, gone in removed.items()})
        return prove(graph, original, cut, removed, **more)

    monkeypatch.setattr(verification, "prove", counted)
    in_bites(epochs=3, parts=PartWishes(trigger="never"))
    assert len(proofs) == 1
    assert proofs[0]["layer1.0.conv1"] == 8
    in_bites(epochs=3)
    assert len(proofs) == 4


def test_the_dense_network_teaches(trainings):
    in_bites(epochs=3, parts=PartWishes(distill=True))
    dense = load("sample_models/resnet8-digits.safetensors").state_dict()
    assert len(trainings) == 3
    for _, _, teacher in trainings:
        assert all(torch.equal(tensor, dense[name]) for name, tensor in teacher.state_dict().items())
    in_bites(epochs=3)
    assert trainings[-1][2] is None


def test_rewinding_begins_every_training_with_the_earlier_weights(trainings, tmp_path):
    earlier = str(tmp_path / "earlier.safetensors")
    from prunecli.workflows.finetune import finetune

    finetune(Opening(), settings=FitSettings(epochs=1, lr=0.1), output=earlier)
    trainings.clear()
    result = in_bites(epochs=3, rewind=earlier)
    expected = carry_out(result.plan, load(earlier)).state_dict()
    begun = trainings[-1][0].state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in begun.items())


def test_the_pruning_aware_rate_is_that_of_the_weights_that_are_left(trainings):
    in_bites(epochs=3, parts=PartWishes(rate="pruning-aware", rate_midpoint=0.5))
    weights = sum(
        m.weight.numel() for m in load("sample_models/resnet8-digits.safetensors").modules() if convolves(m)
    )
    assert len(trainings) == 3
    for network, settings, _ in trainings:
        left = sum(m.weight.numel() for m in network.modules() if convolves(m)) / weights
        assert settings.lr == pytest.approx(pruning_aware_rate(left, p=0.5), rel=1e-12)
        assert settings.schedule == "constant"


def convolves(module):
    return isinstance(module, torch.nn.Conv2d)


def test_a_curve_is_read_at_the_bites(trainings):
    document = in_bites(epochs=3, parts=PartWishes(schedule="cubic")).document()
    assert [bite["ratio"] for bite in document["bites"]] == pytest.approx([0.5 * 19 / 27, 0.5 * 26 / 27, 0.5])


def test_a_soft_strategy_can_take_bites_and_the_other_way_round(trainings):
    removed = prune(Opening(), ratio=0.5, strategy="sfp", epochs=1, parts=PartWishes(hardness="removed"))
    assert widths(removed) == widths(prune(Opening(), ratio=0.5))
    with pytest.raises(WrongUse, match="no bite to recover from"):
        prune(Opening(), ratio=0.5, strategy="sfp", parts=PartWishes(trigger="never"))


def test_block_by_block_takes_each_block_once(trainings):
    result = prune(
        Opening(), ratio=0.5, strategy="iterative", residual="inner", epochs=3, recalibrate=0,
        parts=PartWishes(schedule="blocks"),
    )  # fmt: skip
    assert [bite["block"] for bite in result.document()["bites"]] == [
        "conv1",
        "layer1.0",
        "layer2.0",
        "layer3.0",
    ]
    left = [[m.weight.shape[0] for m in network.modules() if convolves(m)] for network, _, _ in trainings]
    assert left[0] != left[1] != left[2]
    assert widths(result) == widths(prune(Opening(), ratio=0.5, residual="inner"))


def test_a_strategy_without_parts_takes_none():
    with pytest.raises(WrongUse, match="not made of parts"):
        STRATEGIES["laasp"].made_of(PartWishes(hardness="masked"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"schedule": "cubik"}, "cubic"),
        ({"hardness": "mask"}, "masked"),
        ({"drop": -1.0}, "drop"),
        ({"alpha": 0.0}, "alpha"),
    ],
)
def test_a_part_that_there_is_not_is_wrong_use(wrong, said):
    with pytest.raises(WrongUse) as error:
        Parts(**{"schedule": "constant", "hardness": "removed", **wrong})
    assert said in " ".join([error.value.message, *error.value.hints])


def test_recovery_says_what_it_is():
    assert Recovery().words == "epochs divided among the bites"
    ice = Recovery(epochs_each=1, rate="pruning-aware", freeze_share=0.3, distill=True)
    assert (
        ice.words == "1 epoch each, pruning-aware rate, 30% of the layers frozen, taught by the dense network"
    )


def test_drive_goes_by_its_own_criterion_unless_another_is_named():
    assert prune(Opening(), ratio=0.3, strategy="drive", dry_run=True).document()["criterion"] == "drive"
    assert prune(Opening(), ratio=0.3, criterion="l1").document()["criterion"] == "l1"
