from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunecli.data.contract import DataRequest
from prunecli.data.decoding import UnreadableImage
from prunecli.data.items import PictureItems, class_names, known_labels, parts_of_items
from prunecli.errors import InputRefused


class Numbered:
    """`count` grey images of 2x3 whose value is 10 · index, of class index modulo 2."""

    def __init__(self, count: int, *, broken: Sequence[int] = ()) -> None:
        self.count = count
        self.broken = broken
        self.inside = 0
        self.read = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[object, object]:
        self.inside += 1
        assert self.inside == 1, "two threads at once"
        time.sleep(0.0002)
        self.inside -= 1
        self.read += 1
        if index in self.broken:
            raise OSError("gone")
        return Image.new("L", (3, 2), 10 * index), np.int64(index % 2)


def test_parts_are_read_once_each_with_their_classes() -> None:
    train, test = Numbered(8), Numbered(4)
    parts = parts_of_items({"train": train, "test": test}, name="numbers", request=DataRequest())
    assert parts.train.pixels(slice(None))[:, 0, 1, 2].tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert parts.train.labels.tolist() == [0, 1] * 4
    assert (parts.classes, parts.train.classes, parts.test.classes) == (("0", "1"), 2, 2)
    assert parts.train.image_shape == (1, 2, 3)
    assert parts.mean == (round(35 / 255, 4),)
    # The first image once more, for its shape.
    assert (train.read, test.read) == (9, 4)


def test_on_disk_the_classes_are_read_first_and_the_images_when_they_are_wanted() -> None:
    request = DataRequest(on_disk=True)
    parts = parts_of_items({"train": Numbered(8), "test": Numbered(4)}, name="n", request=request)
    assert not parts.train.in_memory
    assert parts.train.labels.tolist() == [0, 1] * 4
    assert parts.train.pixels(torch.tensor([5, 2]))[:, 0, 0, 0].tolist() == [50, 20]


def test_several_threads_wait_for_each_other() -> None:
    pictures = PictureItems(Numbered(40), name="numbers")
    seen = set()

    def look(image: Image.Image) -> int:
        seen.add(threading.get_ident())
        return image.getpixel((0, 0))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: pictures.read(index, look), range(20)))
    assert found == [10 * index for index in range(20)]
    assert len(seen) > 1


@pytest.mark.parametrize("on_disk", [False, True])
def test_items_that_cannot_be_read_are_named_or_left_out(on_disk: bool) -> None:
    sets = {"train": Numbered(200, broken=[3, 150]), "test": Numbered(4)}
    with pytest.raises(UnreadableImage, match="image 3 of numbers, train part cannot be read") as caught:
        parts_of_items(sets, name="numbers", request=DataRequest(on_disk=on_disk))
    assert caught.value.hints == ("OSError: gone",)
    request = DataRequest(on_disk=on_disk, skip_bad=True, image_shape=(1, 2, 3))
    parts = parts_of_items(sets, name="numbers", request=request)
    assert len(parts.train) == 198
    assert parts.train.labels.tolist() == [index % 2 for index in range(200) if index not in {3, 150}]
    assert parts.notes == (
        "2 of 200 images of the train part of numbers cannot be read and are left out:"
        " image 3 of numbers, train part, image 150 of numbers, train part",
    )


class Given:
    def __init__(self, *items: tuple[object, object], classes: object = None) -> None:
        self.items = items
        self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[object, object]:
        return self.items[index]


def looked(image: object, label: object = 0) -> torch.Tensor:
    pictures = PictureItems(Given((image, label)), name="given")
    return torch.from_numpy(pictures.read(0, lambda each: np.asarray(each).copy()))


def test_tensors_of_bytes_are_images() -> None:
    grey = torch.arange(6, dtype=torch.uint8).reshape(2, 3)
    assert torch.equal(looked(grey), grey)
    assert torch.equal(looked(grey[None], torch.tensor(1)), grey)
    colour = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3)
    assert torch.equal(looked(colour), colour.permute(1, 2, 0))


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [
        (torch.zeros(3, 2, 2), 0, r"torch.float32 \(3, 2, 2\) and int"),
        (torch.zeros(2, 2, 2, dtype=torch.uint8), 0, r"torch.uint8 \(2, 2, 2\)"),
        ("a.png", 0, "str and int"),
        (Image.new("L", (2, 2)), "cat", "Image and str"),
        (Image.new("L", (2, 2)), 1.0, "Image and float"),
        (Image.new("L", (2, 2)), torch.tensor([1]), r"Image and torch.int64 \(1,\)"),
    ],
)
def test_items_that_are_no_image_and_class_are_refused(image: object, label: object, words: str) -> None:
    with pytest.raises(InputRefused, match=f"given does not give an image and a class: {words}") as caught:
        looked(image, label)
    assert not isinstance(caught.value, UnreadableImage)
    assert "uint8 tensor" in caught.value.hints[0]


def test_what_has_no_length_is_refused() -> None:
    with pytest.raises(InputRefused, match="stream is generator, which has no length"):
        PictureItems((each for each in []), name="stream")  # type: ignore[arg-type]


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(InputRefused, match="the test part of numbers has no images"):
        parts_of_items({"train": Numbered(4), "test": Numbered(0)}, name="numbers", request=DataRequest())


def test_the_names_of_the_classes() -> None:
    labels = torch.tensor([0, 2, 1])
    assert class_names(Given(), labels) == ("0", "1", "2")
    assert class_names(Given(classes=["a", "b", "c"]), labels) == ("a", "b", "c")
    several = Given(classes=[("tench", "Tinca"), "shark", 7])
    assert class_names(several, labels) == ("tench Tinca", "shark", "7")


def test_labels_are_known_only_where_there_is_one_integer_an_image() -> None:
    def with_targets(targets: object) -> list[int] | None:
        given = Given((0, 0), (0, 0))
        given.targets = targets  # type: ignore[attr-defined]
        return known_labels(given)

    assert (
        with_targets([1, 0]) == with_targets(torch.tensor([1, 0])) == with_targets(np.array([1, 0])) == [1, 0]
    )
    for odd in ([1], [1.0, 2.0], [[1, 0], [0, 1]], "ab", None):
        assert with_targets(odd) is None


def test_a_file_that_was_opened_but_not_decoded_is_read_again(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 3), 7, np.uint8)).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    pictures = PictureItems(Given((image, 0)), name="given")
    assert pictures.read(0, lambda each: each.size) == (3, 2)
    assert pictures.read(0, lambda each: each.getpixel((0, 0))) == 7


def test_a_truncated_file_that_was_only_opened_is_named(tmp_path: Path) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:700])
    pictures = PictureItems(Given((Image.open(tmp_path / "a.png"), 0)), name="given")
    with pytest.raises(UnreadableImage, match="image 0 of given cannot be read"):
        pictures.read(0, np.asarray)
