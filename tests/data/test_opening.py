from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from prunecli.data import DATA_SOURCES, DataParts, DataRequest, DataSource, Split, open_data
from prunecli.errors import InputRefused, WrongUse


def parts_with(labels: list[int], *, classes: int = 2) -> DataParts:
    split = Split(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels), classes)
    full = Split(torch.zeros(classes, 1, 2, 2, dtype=torch.uint8), torch.arange(classes), classes)
    names = tuple(f"class{index}" for index in range(classes))
    return DataParts(train=split, test=full, classes=names, mean=(0.5,), std=(0.5,))


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[DataParts], None]]:
    """Register the source "planted" for one test."""
    len(DATA_SOURCES)

    def register(parts: DataParts) -> None:
        source = DataSource("planted", lambda request: parts, "a test", "Planted.")
        monkeypatch.setitem(DATA_SOURCES._members, "planted", source)

    yield register


def test_nothing_means_digits() -> None:
    assert open_data(None).name == "digits"


def test_validation_comes_from_the_training_part_alone(offer: Callable[[DataParts], None]) -> None:
    parts = parts_with([0, 1] * 10)
    numbered = torch.arange(20, dtype=torch.uint8).reshape(20, 1, 1, 1).expand(20, 1, 2, 2)
    offer(replace(parts, train=Split(numbered, parts.train.labels, 2)))
    data = open_data("planted", validation_share=0.2, seed=5)
    train, validation = data.train.images[:, 0, 0, 0].tolist(), data.validation.images[:, 0, 0, 0].tolist()
    assert sorted(train + validation) == list(range(20))
    assert data.validation.labels.bincount().tolist() == [2, 2]
    assert data.test is parts.test
    again = open_data("planted", validation_share=0.2, seed=5)
    assert torch.equal(again.validation.images, data.validation.images)
    other = open_data("planted", validation_share=0.2, seed=6)
    assert not torch.equal(other.validation.images, data.validation.images)


def test_a_sources_own_validation_part_is_taken(offer: Callable[[DataParts], None]) -> None:
    parts = parts_with([0, 1, 1])
    offer(replace(parts, validation=parts.test))
    data = open_data("planted")
    assert data.validation is parts.test
    assert data.train is parts.train


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 0], "training part of planted has no image of class 'class1'"),
        ([0, 1, 2], "has a label 2, but there are 2 classes"),
        ([0, 1, -1], "has a label -1"),
        ([], "has no images"),
        ([0, 1], "no class has two training images"),
    ],
)
def test_labels_that_cannot_be_are_refused(
    offer: Callable[[DataParts], None], labels: list[int], words: str
) -> None:
    parts = parts_with(labels or [0])
    empty = Split(torch.zeros(0, 1, 2, 2, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), 2)
    offer(parts if labels else replace(parts, train=empty))
    with pytest.raises(InputRefused, match=words):
        open_data("planted")


def test_what_the_test_part_holds_changes_nothing_before_the_final_evaluation(
    offer: Callable[[DataParts], None],
) -> None:
    parts = parts_with([0, 1] * 10)
    numbered = torch.arange(20, dtype=torch.uint8).reshape(20, 1, 1, 1).expand(20, 1, 2, 2)
    parts = replace(parts, train=Split(numbered, parts.train.labels, 2))
    offer(parts)
    first = open_data("planted", seed=3).for_training()
    others = Split(torch.full((2, 1, 2, 2), 9, dtype=torch.uint8), torch.tensor([1, 0]), 2)
    DATA_SOURCES._members.pop("planted")
    offer(replace(parts, test=others))
    second = open_data("planted", seed=3).for_training()
    for one, two in ((first.train, second.train), (first.validation, second.validation)):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.labels, two.labels)
    assert (first.mean, first.std, first.classes) == (second.mean, second.std, second.classes)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5])
def test_a_share_outside_is_wrong_use(share: float) -> None:
    with pytest.raises(WrongUse, match="validation share"):
        open_data("digits", validation_share=share)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputRefused, match="no data set and no folder 'digit'") as caught:
        open_data("digit")
    assert caught.value.hints[0] == "did you mean 'digits'?"
    assert "digits, folder, hf, own, timm, torchvision" in caught.value.hints[1]


def test_a_shape_that_is_no_image_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InputRefused, match="cannot be turned into inputs of shape"):
        open_data("no such folder", image_shape=(5, 8, 8))


def test_sources_are_listed_with_captions_and_without_torch() -> None:
    code = (
        "import sys; from prunecli.data import DATA_SOURCES;"
        "assert all(DATA_SOURCES[name].caption and DATA_SOURCES[name].source for name in DATA_SOURCES);"
        "names = ['digits', 'folder', 'hf', 'own', 'timm', 'torchvision'];"
        "assert list(DATA_SOURCES) == names, list(DATA_SOURCES);"
        "heavy = {'torch', 'torchvision', 'timm', 'datasets', 'numpy', 'PIL', 'sklearn'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr


def test_a_request_defaults_to_the_sources_own_shape() -> None:
    assert DATA_SOURCES["digits"].function(DataRequest()).train.image_shape == (1, 8, 8)
