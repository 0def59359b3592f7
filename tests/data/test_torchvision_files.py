from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from prunecli import torchvision_import
from prunecli.data import open_data
from prunecli.errors import InputRefused, WrongUse


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """The files of MNIST with 40 training and 20 test images, each of one grey value: 20 · class + part."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for number, (part, count) in enumerate((("train", 40), ("t10k", 20))):
        labels = (np.arange(count) % 10).astype(np.uint8)
        pixels = np.repeat(labels * 20 + number, 28 * 28).astype(np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 2051, count, 28, 28) + pixels.tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, count) + labels.tobytes())
    return tmp_path


def test_files_on_this_machine_are_read_in_both_parts(mnist: Path) -> None:
    data = open_data(f"torchvision:MNIST:{mnist}", validation_share=0.25)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 20)
    assert data.classes[3] == "3 - three"
    assert data.test.image_shape == (1, 28, 28)
    assert (data.test.images[:, 0, 5, 5] == data.test.labels * 20 + 1).all()
    assert (data.train.images[:, 0, 5, 5] == data.train.labels * 20).all()


def test_the_normalisation_is_measured_on_the_training_part(mnist: Path) -> None:
    data = open_data(f"torchvision:MNIST:{mnist}")
    values = np.arange(10) * 20 / 255
    assert data.mean == (round(values.mean(), 4),)
    assert data.std == (round(values.std(), 4),)


def test_images_are_turned_into_the_models_shape(mnist: Path) -> None:
    data = open_data(f"torchvision:MNIST:{mnist}", image_shape=(3, 32, 32))
    assert data.train.image_shape == (3, 32, 32)
    assert len(data.mean) == 3


def test_what_stays_on_disk_is_read_when_it_is_wanted(mnist: Path) -> None:
    whole = open_data(f"torchvision:MNIST:{mnist}")
    data = open_data(f"torchvision:MNIST:{mnist}", on_disk=True)
    for memory, disk in (
        (whole.train, data.train),
        (whole.validation, data.validation),
        (whole.test, data.test),
    ):
        assert not disk.in_memory
        assert torch.equal(disk.pixels(slice(None)), memory.images)
        assert torch.equal(disk.labels, memory.labels)
    assert (data.mean, data.std, data.classes) == (whole.mean, whole.std, whole.classes)


def test_absent_files_are_refused_and_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="MNIST cannot be opened") as caught:
        open_data(f"torchvision:MNIST:{tmp_path}")
    assert "nothing is downloaded" in caught.value.hints[1]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no data set 'CIFAR11'") as caught:
        open_data(f"torchvision:CIFAR11:{tmp_path}")
    assert caught.value.hints[0] in {"did you mean 'CIFAR10'?", "did you mean 'CIFAR100'?"}


def test_a_set_without_parts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no training and test part"):
        open_data(f"torchvision:ImageFolder:{tmp_path}")


@pytest.mark.parametrize("spec", ["torchvision", "torchvision:MNIST", "torchvision::/data"])
def test_another_form_is_wrong_use(spec: str) -> None:
    with pytest.raises(WrongUse, match="NAME:FOLDER"):
        open_data(spec)


def test_without_torchvision_there_is_a_way_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent() -> None:
        raise ImportError("No module named 'torchvision'")

    monkeypatch.setattr(torchvision_import, "load_torchvision", absent)
    with pytest.raises(InputRefused, match="torchvision cannot be imported") as caught:
        open_data(f"torchvision:MNIST:{tmp_path}")
    assert caught.value.hints == (
        "No module named 'torchvision'",
        "an image folder serves without it: --data FOLDER",
    )
