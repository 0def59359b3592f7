from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunecli.data import decoding, open_data
from prunecli.errors import InputRefused

Grow = Callable[..., Path]


def test_classes_are_subfolders_in_alphabetical_order(grow_folder: Grow) -> None:
    data = open_data(str(grow_folder(classes=("cat", "ant", "bee"), each=4)), validation_share=0.25)
    assert data.classes == ("ant", "bee", "cat")
    assert data.test.image_shape == (3, 6, 5)
    # Red was written as 40 times the class, green as the index of the file.
    assert (data.test.images[:, 0, 0, 0] // 40).tolist() == data.test.labels.tolist()
    assert data.test.images[:, 1, 0, 0].tolist() == [0, 1, 2, 3] * 3
    assert set(data.test.images[:, 2].flatten().tolist()) == {1}
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 3, 12)
    assert set(data.validation.images[:, 2].flatten().tolist()) == {0}
    assert (data.mean, data.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert data.test.classes == 3


def test_val_serves_as_the_test_part_where_there_is_no_other(grow_folder: Grow) -> None:
    data = open_data(str(grow_folder(parts=("train", "val"))))
    assert set(data.test.images[:, 2].flatten().tolist()) == {1}
    assert set(data.validation.images[:, 2].flatten().tolist()) == {0}


def test_with_all_three_folders_val_is_the_validation_part(grow_folder: Grow) -> None:
    data = open_data(str(grow_folder(parts=("train", "val", "test"))))
    blues = [set(part.images[:, 2].flatten().tolist()) for part in (data.train, data.validation, data.test)]
    assert blues == [{0}, {1}, {2}]
    assert len(data.train) == 6


def test_images_are_turned_into_the_models_shape(grow_folder: Grow) -> None:
    data = open_data(str(grow_folder()), image_shape=(1, 4, 4))
    assert data.train.image_shape == (1, 4, 4)
    assert len(data.mean) == len(data.std) == 1


def test_files_in_deeper_folders_count_and_others_do_not(grow_folder: Grow) -> None:
    root = grow_folder()
    (root / "train" / "ant" / "deeper").mkdir()
    (root / "train" / "ant" / "0000.png").replace(root / "train" / "ant" / "deeper" / "0000.PNG")
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "train" / "ant" / ".hidden.png").write_text("no image")
    (root / "train" / ".cache").mkdir()
    data = open_data(str(root))
    assert len(data.train) + len(data.validation) == 6


@pytest.mark.parametrize(
    ("remove", "words"),
    [("train", "has no folder train"), ("test", r"has no folder test \(or val\)")],
)
def test_a_missing_part_is_refused(grow_folder: Grow, remove: str, words: str) -> None:
    root = grow_folder()
    shutil.rmtree(root / remove)
    with pytest.raises(InputRefused, match=words) as caught:
        open_data(str(root))
    assert "FOLDER/train/CLASS" in caught.value.hints[0]


def test_an_empty_class_is_refused_with_its_folder(grow_folder: Grow) -> None:
    root = grow_folder()
    for path in (root / "test" / "cat").iterdir():
        path.unlink()
    with pytest.raises(InputRefused, match="test/cat has no images"):
        open_data(str(root))


def test_parts_with_other_classes_are_refused(grow_folder: Grow) -> None:
    root = grow_folder()
    shutil.copytree(root / "train" / "cat", root / "train" / "dog")
    with pytest.raises(InputRefused, match=r"train has 3 classes and .*test has 2") as caught:
        open_data(str(root))
    assert caught.value.hints == ("only in one of them: dog",)


def test_a_corrupt_image_is_named(grow_folder: Grow) -> None:
    root = grow_folder()
    (root / "test" / "cat" / "0001.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputRefused, match=r"test/cat/0001\.png is not a readable image"):
        open_data(str(root))


def test_a_grey_image_among_colours_is_named_unless_a_shape_is_asked_for(grow_folder: Grow) -> None:
    root = grow_folder()
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(root / "test" / "cat" / "0001.png")
    with pytest.raises(InputRefused, match=r"test/cat/0001\.png is 1x6x5 where the first image is 3x6x5"):
        open_data(str(root))
    assert open_data(str(root), image_shape=(3, 6, 5)).test.image_shape == (3, 6, 5)


def test_the_parts_share_one_memory_bound(grow_folder: Grow, monkeypatch: pytest.MonkeyPatch) -> None:
    root = grow_folder()  # 12 images of 90 bytes
    monkeypatch.setattr(decoding, "MAX_DECODED_BYTES", 12 * 90)
    assert len(open_data(str(root)).test) == 6
    monkeypatch.setattr(decoding, "MAX_DECODED_BYTES", 12 * 90 - 1)
    with pytest.raises(InputRefused, match="12 images of 3x6x5"):
        open_data(str(root))
