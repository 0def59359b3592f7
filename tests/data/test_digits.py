from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from prunecli.data import DataRequest, open_data
from prunecli.data.digits import MEAN, STD, digits
from prunecli.errors import WrongUse


def test_the_parts_hold_every_digit_once() -> None:
    data = open_data("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (1211, 136, 450)
    assert data.classes == tuple("0123456789")
    assert data.train.images.dtype == torch.uint8
    assert data.train.image_shape == (1, 8, 8)
    rows = torch.cat([part.images for part in (data.train, data.validation, data.test)]).flatten(1)
    wanted = torch.from_numpy(load_digits().data).mul(255 / 16).round().to(torch.uint8)
    assert sorted(rows.tolist()) == sorted(wanted.tolist())


def test_the_test_part_is_the_same_for_every_seed_and_stratified() -> None:
    first, second = open_data("digits", seed=0), open_data("digits", seed=7, validation_share=0.3)
    assert torch.equal(first.test.images, second.test.images)
    assert not torch.equal(first.validation.images, second.validation.images[: len(first.validation)])
    assert first.test.labels.bincount().tolist() == [44, 46, 44, 46, 45, 46, 45, 45, 44, 45]
    # Where the fixed split puts them: another numpy or another seed would show here.
    assert first.test.labels[:8].tolist() == [0, 2, 3, 6, 0, 3, 9, 2]


def test_labels_stay_with_their_images() -> None:
    data = open_data("digits")
    known = {
        tuple(row): label
        for row, label in zip(load_digits().data.astype(int).tolist(), load_digits().target, strict=True)
    }
    for image, label in list(zip(data.test.images, data.test.labels, strict=True))[:50]:
        row = tuple((image.flatten().double() * 16 / 255).round().int().tolist())
        assert known[row] == label


def test_the_normalisation_is_the_training_parts_own() -> None:
    values = digits(DataRequest()).train.images.double() / 255
    assert float(values.mean()) == pytest.approx(MEAN, abs=5e-5)
    assert float(values.std(correction=0)) == pytest.approx(STD, abs=5e-5)


def test_another_shape_is_made_on_request_and_noted() -> None:
    data = open_data("digits", image_shape=(3, 32, 32))
    assert data.train.image_shape == (3, 32, 32)
    assert torch.equal(data.train.images[:, 0], data.train.images[:, 2])
    assert data.mean == (MEAN,) * 3
    assert data.notes == ("digits are 1x8x8, turned into 3x32x32 for this model",)
    assert open_data("digits", image_shape=(1, 8, 8)).notes == ()


def test_an_argument_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="takes no argument"):
        open_data("digits:3")
