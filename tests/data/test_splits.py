from __future__ import annotations

import dataclasses

import torch

from prunecli.data import DataSet, Split, TrainingData


def split_of(count: int) -> Split:
    return Split(torch.zeros(count, 3, 4, 5, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64), 2)


def test_a_split_knows_its_length_and_shape() -> None:
    assert len(split_of(7)) == 7
    assert split_of(7).image_shape == (3, 4, 5)


def test_for_training_has_every_field_but_the_test_part() -> None:
    data = DataSet("d", split_of(5), split_of(2), split_of(9), ("a", "b"), (0.5,), (0.25,))
    training = data.for_training()
    assert {field.name for field in dataclasses.fields(TrainingData)} == {
        "name", "train", "validation", "classes", "mean", "std",
    }  # fmt: skip
    assert training.train is data.train
    assert training.validation is data.validation
    assert (training.classes, training.mean, training.std) == (("a", "b"), (0.5,), (0.25,))
    assert not hasattr(training, "test")
    # Nothing that hangs on it leads back to the nine test images.
    assert all(len(value) != 9 for value in vars(training).values() if isinstance(value, Split))
