from __future__ import annotations

from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from prunecli.data import Split
from prunecli.errors import InputRefused
from prunecli.training.batches import Batches
from prunecli.training.forward import check_fit, logits_of

LOGITS = torch.arange(6.0).reshape(2, 3)
Auxiliary = namedtuple("Auxiliary", ["logits", "aux"])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        SimpleNamespace(logits=LOGITS),
        {"logits": LOGITS, "other": None},
        Auxiliary(LOGITS, torch.zeros(2, 3)),
        (LOGITS, torch.zeros(2, 3)),
    ],
)
def test_logits_are_found_in_what_classifiers_return(output: object) -> None:
    assert logits_of(output) is LOGITS


@pytest.mark.parametrize("output", [torch.zeros(2, 3, 4), {"out": LOGITS}, [], None, torch.zeros(3)])
def test_what_is_no_classifier_is_refused(output: object) -> None:
    with pytest.raises(InputRefused, match="no image classifier"):
        logits_of(output)


def two_batches(classes: int | None) -> Batches:
    split = Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 1, 2, 1]), classes)
    return Batches(split, mean=(0.5,), std=(0.5,), batch_size=2, device=torch.device("cpu"))


def test_as_many_outputs_as_classes_fit() -> None:
    check_fit(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), two_batches(3), classes=3)
    check_fit(nn.Sequential(nn.Flatten(), nn.Linear(4, 9)), two_batches(None), classes=None)


@pytest.mark.parametrize(
    ("outputs", "words"), [(2, "3 classes and the model 2"), (9, "3 classes and the model 9")]
)
def test_another_number_of_outputs_is_refused(outputs: int, words: str) -> None:
    with pytest.raises(InputRefused, match=words):
        check_fit(nn.Sequential(nn.Flatten(), nn.Linear(4, outputs)), two_batches(3), classes=3)


def test_a_label_without_an_output_is_refused_also_when_the_classes_are_unknown() -> None:
    with pytest.raises(InputRefused, match="a class 2 and the model 1 outputs"):
        check_fit(nn.Sequential(nn.Flatten(), nn.Linear(4, 1)), two_batches(None), classes=None)


def test_images_the_model_does_not_take_are_refused_with_torchs_reason() -> None:
    with pytest.raises(InputRefused, match="does not take images of 1x2x2") as caught:
        check_fit(nn.Conv2d(3, 4, 1), two_batches(3), classes=3)
    assert "channels" in caught.value.hints[0]
