from __future__ import annotations

import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunecli.data import open_data
from prunecli.errors import InputRefused, WrongUse
from prunecli.torchvision_import import load_torchvision

load_torchvision()
pytest.importorskip("timm")

Grow = Callable[..., Path]


def test_a_folder_has_its_classes_in_timms_order(grow_folder: Grow) -> None:
    root = grow_folder(parts=("training", "val"), classes=("c10", "c2", "c1"), each=4)
    data = open_data(f"timm:folder:{root}", validation_share=0.25)
    assert data.classes == ("c1", "c2", "c10")
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 12)
    # Red was written as 40 times the place of c1, c10, c2 in the alphabet.
    place = {0: 0, 1: 2, 2: 1}
    for part, blue in ((data.train, 0), (data.validation, 0), (data.test, 1)):
        assert (part.images[:, 0, 0, 0] // 40).tolist() == [place[label] for label in part.labels.tolist()]
        assert part.images[:, 2].unique().tolist() == [blue]
    assert data.mean[0] == round(40 / 255, 4)


def test_all_three_parts_and_on_disk(grow_folder: Grow) -> None:
    root = grow_folder(parts=("train", "validation", "test"))
    data = open_data(f"timm:folder:{root}", on_disk=True)
    assert not data.train.in_memory
    parts = (data.train, data.validation, data.test)
    assert [part.pixels(slice(None))[:, 2].unique().tolist() for part in parts] == [[0], [1], [2]]


def test_a_corrupt_image_is_named_and_not_replaced_by_its_neighbour(grow_folder: Grow) -> None:
    root = grow_folder()
    (root / "test" / "cat" / "0001.png").write_bytes(b"")
    with pytest.raises(InputRefused, match=r"test/cat/0001\.png is not a readable image"):
        open_data(f"timm:folder:{root}")


def test_a_missing_part_is_refused_and_not_read_from_the_whole(grow_folder: Grow) -> None:
    root = grow_folder()
    shutil.rmtree(root / "test")
    with pytest.raises(InputRefused, match=r"has no folder test \(or validation\)"):
        open_data(f"timm:folder:{root}")
    with pytest.raises(InputRefused, match="has no folder train"):
        open_data(f"timm:folder:{root / 'absent'}")


def test_parts_with_other_classes_are_refused(grow_folder: Grow) -> None:
    root = grow_folder()
    shutil.copytree(root / "train" / "cat", root / "train" / "dog")
    with pytest.raises(InputRefused, match=r"train has 3 classes and .*test has 2") as caught:
        open_data(f"timm:folder:{root}")
    assert caught.value.hints == ("only in one of them: dog",)
    (root / "train" / "dog").rename(root / "train" / "empty")
    for path in (root / "test").rglob("*.png"):
        path.unlink()
    with pytest.raises(InputRefused, match=r"timm's .* cannot be opened in"):
        open_data(f"timm:folder:{root}")


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of CIFAR-10 with 20 images a batch, each of one value: 10 · class + 1 in the test part."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [f"class{index}" for index in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        labels = [index % 10 for index in range(20)]
        values = np.array(labels, np.uint8)[:, None] * 10 + (name == "test_batch")
        (folder / name).write_bytes(pickle.dumps({"data": values.repeat(3072, 1), "labels": labels}))
    dataset = load_torchvision().datasets.CIFAR10
    monkeypatch.setattr(dataset, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: True)
    return tmp_path


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_set_of_torchvision_by_timms_name(cifar10: Path, on_disk: bool) -> None:
    data = open_data(f"timm:torch/cifar10:{cifar10}", on_disk=on_disk)
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert data.train.in_memory is not on_disk
    assert data.classes[3] == "class3"
    found = data.test.pixels(slice(None))[:, 2, 9, 9].tolist()
    assert found == [10 * label + 1 for label in data.test.labels]
    assert data.train.pixels(slice(None))[:, 0, 0, 0].tolist() == [10 * label for label in data.train.labels]


@pytest.mark.parametrize(("name", "held"), [("torch/qmnist", "test"), ("torch/imagenet", "validation")])
def test_the_part_that_is_held_out_has_the_name_that_the_set_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, held: str
) -> None:
    asked: list[tuple[str, bool]] = []

    def create_dataset(name: str, *, root: str, split: str, download: bool) -> list[tuple[object, int]]:
        asked.append((split, download))
        return [(Image.new("L", (2, 2)), index % 2) for index in range(4)]

    monkeypatch.setattr("timm.data.create_dataset", create_dataset)
    assert len(open_data(f"timm:{name}:{tmp_path}").test) == 4
    assert asked == [("train", False), (held, False)]


def test_absent_files_are_refused_and_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="torch/cifar10 cannot be opened") as caught:
        open_data(f"timm:torch/cifar10:{tmp_path}")
    assert "nothing is downloaded" in caught.value.hints[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["hfds/beans", "tfds/mnist", "wds/any", "folders", "torch/image_folder"])
def test_streams_and_unknown_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=f"timm's '{name}' is not read here"):
        open_data(f"timm:{name}:{tmp_path}")


def test_an_unknown_set_of_torchvision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="torch/cifar11 cannot be opened") as caught:
        open_data(f"timm:torch/cifar11:{tmp_path}")
    assert caught.value.hints[0] == "Unknown torchvision dataset cifar11"


@pytest.mark.parametrize("spec", ["timm", "timm:folder", "timm::/data"])
def test_another_form_is_wrong_use(spec: str) -> None:
    with pytest.raises(WrongUse, match="NAME:FOLDER"):
        open_data(spec)


def test_without_timm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "timm.data", None)
    with pytest.raises(InputRefused, match="timm cannot be imported here") as caught:
        open_data(f"timm:folder:{tmp_path}")
    assert "prunecli[timm]" in caught.value.hints[1]
