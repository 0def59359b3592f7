from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunecli.data import ImageFiles, open_data, shapes
from prunecli.data.splits import DataSet
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
    monkeypatch.setattr(shapes, "MAX_DECODED_BYTES", 12 * 90)
    whole = open_data(str(root))
    assert [part.in_memory for part in parts_of(whole)] == [True] * 3
    assert whole.notes == ()
    monkeypatch.setattr(shapes, "MAX_DECODED_BYTES", 12 * 90 - 1)
    data = open_data(str(root))
    assert [part.in_memory for part in parts_of(data)] == [False] * 3
    assert data.notes[0].startswith("12 images of 3x6x5 decode to 0.0 GiB, more than")


def parts_of(data: DataSet) -> tuple[object, ...]:
    return data.train, data.validation, data.test


def test_on_disk_the_parts_are_the_same_images(grow_folder: Grow) -> None:
    root = grow_folder(classes=("a", "b", "c"), each=7)
    whole = open_data(str(root), seed=4, validation_share=0.3, image_shape=(1, 4, 4))
    data = open_data(str(root), seed=4, validation_share=0.3, image_shape=(1, 4, 4), on_disk=True)
    for memory, disk in zip(parts_of(whole), parts_of(data), strict=True):
        assert isinstance(disk.images, ImageFiles)
        assert disk.images.nbytes == memory.images.nbytes
        assert torch.equal(disk.images[:], memory.images)
        assert torch.equal(disk.labels, memory.labels)
        assert (disk.classes, disk.image_shape) == (3, (1, 4, 4))
    assert (data.mean, data.std, data.classes) == (whole.mean, whole.std, whole.classes)


def test_on_disk_a_corrupt_image_shows_when_it_is_read(grow_folder: Grow) -> None:
    root = grow_folder()
    (root / "test" / "cat" / "0001.png").write_bytes(b"")
    data = open_data(str(root), on_disk=True)
    assert len(data.test.pixels(slice(0, 4))) == 4
    with pytest.raises(InputRefused, match=r"test/cat/0001\.png is not a readable image"):
        data.test.pixels(torch.tensor([4]))


@pytest.mark.parametrize("on_disk", [False, True])
def test_bad_images_are_left_out_where_that_is_allowed(grow_folder: Grow, on_disk: bool) -> None:
    root = grow_folder(each=200)
    for name in ("ant/0000", "ant/0005", "cat/0003", "cat/0199"):
        path = root / "train" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:45])  # within the pixels
    data = open_data(str(root), skip_bad=True, on_disk=on_disk)
    assert (len(data.train) + len(data.validation), len(data.test)) == (396, 400)
    # Red was written as 40 times the class, green as the index of the file: what is left is paired rightly.
    for part in (data.train, data.validation):
        assert (part.pixels(slice(None))[:, 0, 0, 0] // 40).tolist() == part.labels.tolist()
    both = torch.cat([part.pixels(slice(None)) for part in (data.train, data.validation)])
    ants = sorted(both[both[:, 0, 0, 0] == 0][:, 1, 0, 0].tolist())
    assert ants == [index for index in range(200) if index not in {0, 5}]
    (note,) = data.notes
    assert note.startswith(f"4 of 400 images of {root / 'train'} cannot be read and are left out: ")
    assert [name in note for name in ("ant/0000.png", "ant/0005.png", "cat/0003.png", "cat/0199.png")] == [
        True, True, True, False,
    ]  # fmt: skip
    with pytest.raises(InputRefused, match=r"ant/0000\.png is not a readable image"):
        open_data(str(root)).test.pixels(slice(None))


@pytest.mark.parametrize("on_disk", [False, True])
def test_too_many_bad_images_are_refused_all_the_same(grow_folder: Grow, on_disk: bool) -> None:
    root = grow_folder(each=100)
    for index in (1, 2, 3):
        (root / "test" / "cat" / f"{index:04d}.png").write_bytes(b"")
    with pytest.raises(
        InputRefused, match=r"3 of 200 images .*test cannot be read, and at most 1 %"
    ) as caught:
        open_data(str(root), skip_bad=True, on_disk=on_disk)
    assert "cat/0001.png" in caught.value.hints[0]
    shutil.copy(root / "test" / "cat" / "0004.png", root / "test" / "cat" / "0003.png")
    assert len(open_data(str(root), skip_bad=True, on_disk=on_disk).test) == 198


def test_a_class_of_which_nothing_is_left_is_refused(grow_folder: Grow) -> None:
    root = grow_folder(each=150)
    for index in range(150):
        if index:
            (root / "test" / "cat" / f"{index:04d}.png").unlink()
    (root / "test" / "cat" / "0000.png").write_bytes(b"")
    with pytest.raises(InputRefused, match="has no image of class 'cat'"):
        open_data(str(root), skip_bad=True)


def test_an_image_of_another_kind_is_not_left_out_as_bad(grow_folder: Grow) -> None:
    root = grow_folder(each=100)
    deep = Image.fromarray(np.zeros((6, 5), np.uint16))
    deep.save(root / "test" / "cat" / "0001.png")
    with pytest.raises(InputRefused, match=r"cat/0001\.png has pixels of mode I;16"):
        open_data(str(root), skip_bad=True, image_shape=(3, 6, 5))


def test_files_that_are_no_images_by_their_ending_are_told(grow_folder: Grow) -> None:
    root = grow_folder()
    (root / "train" / "ant" / "notes.txt").write_text("no image")
    (root / "test" / "cat" / "clip.gif").write_text("no image")
    (root / "test" / "cat" / ".DS_Store").write_text("hidden")
    (note,) = open_data(str(root)).notes
    assert note == (
        f"2 files have no ending of an image and did not count, the first: {root / 'train/ant/notes.txt'}"
    )


def test_a_file_that_only_calls_itself_an_image_is_refused(grow_folder: Grow) -> None:
    root = grow_folder()
    (root / "train" / "ant" / "readme.jpg").write_text("no image")
    with pytest.raises(InputRefused, match=r"ant/readme\.jpg is not a readable image"):
        open_data(str(root))


def test_hidden_folders_do_not_count(grow_folder: Grow) -> None:
    root = grow_folder()
    shutil.copytree(root / "train" / "ant", root / "train" / "ant" / ".ipynb_checkpoints")
    data = open_data(str(root))
    assert len(data.train) + len(data.validation) == 6
    assert data.notes == ()


def test_a_turn_that_may_surprise_is_told(grow_folder: Grow) -> None:
    root = grow_folder()
    assert open_data(str(root), image_shape=(3, 4, 4)).notes == ()
    for shape, words in (((1, 6, 5), "1x6x5"), ((3, 32, 32), "3x32x32")):
        (note,) = open_data(str(root), image_shape=shape).notes
        assert note == f"the first image is 3x6x5: all are turned into {words} for this model"


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_first_image_settles_the_shape_even_if_it_is_not_the_first_file(
    grow_folder: Grow, on_disk: bool
) -> None:
    root = grow_folder(each=120)
    (root / "train" / "ant" / "0000.png").write_bytes(b"")
    assert open_data(str(root), skip_bad=True, on_disk=on_disk).train.image_shape == (3, 6, 5)
    with pytest.raises(InputRefused, match=r"ant/0000\.png is not a readable image"):
        open_data(str(root), on_disk=on_disk)
