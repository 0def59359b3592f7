from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from PIL import Image

from prunecli.data import DataSet, ImageFiles, Split, TrainingData
from prunecli.data.pictures import PictureFiles


def split_of(count: int) -> Split:
    return Split(torch.zeros(count, 3, 4, 5, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64), 2)


def test_a_split_knows_its_length_and_shape() -> None:
    assert len(split_of(7)) == 7
    assert split_of(7).image_shape == (3, 4, 5)


def test_pixels_are_the_same_from_memory_and_from_disk(tmp_path: Path) -> None:
    whole = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 1, 2, 3)
    for index, image in enumerate(whole):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{index}.png")
    files = PictureFiles([str(tmp_path / f"{index}.png") for index in range(5)])
    memory = Split(whole, torch.arange(5), 5)
    disk = Split(ImageFiles(files, image_shape=(1, 2, 3)), torch.arange(5), 5)
    assert (memory.in_memory, disk.in_memory) == (True, False)
    assert (len(disk), disk.image_shape, repr(disk)) == (len(memory), memory.image_shape, repr(memory))
    for index in (torch.tensor([3, 0, 3]), slice(1, 4)):
        assert torch.equal(disk.pixels(index), memory.pixels(index))
        assert torch.equal(disk.pixels(index), whole[index])


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
