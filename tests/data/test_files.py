from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunecli.data import ImageFiles
from prunecli.data.decoding import UnreadableImage
from prunecli.data.pictures import PictureFiles
from prunecli.errors import InputRefused

BLOCKS = np.random.RandomState(0).randint(0, 256, (10, 4, 6, 3)).astype(np.uint8)
WHOLE = torch.from_numpy(BLOCKS).permute(0, 3, 1, 2)


@pytest.fixture
def files(tmp_path: Path) -> ImageFiles:
    for index, block in enumerate(BLOCKS):
        Image.fromarray(block).save(tmp_path / f"{index}.png")
    paths = [str(tmp_path / f"{index}.png") for index in range(10)]
    return ImageFiles(PictureFiles(paths), image_shape=(3, 4, 6))


def test_it_has_the_shape_and_size_of_the_decoded_whole(files: ImageFiles) -> None:
    assert files.shape == tuple(WHOLE.shape)
    assert files.nbytes == WHOLE.nbytes
    assert len(files) == 10
    assert repr(files) == "ImageFiles(10 images of 3x4x6)"


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(3, 7),
        slice(8, 99),
        slice(None, None, 3),
        torch.tensor([9, 0, 0, -1]),
        torch.arange(0),
    ],
)
def test_indexing_gives_what_the_decoded_block_gives(files: ImageFiles, index: slice | torch.Tensor) -> None:
    found = files[index]
    assert found.dtype == torch.uint8
    assert torch.equal(found, WHOLE[index])


def test_a_subset_of_a_subset_stays_on_disk(files: ImageFiles, tmp_path: Path) -> None:
    part = files.subset(torch.tensor([8, 3, 5])).subset(torch.tensor([2, 0]))
    assert isinstance(part, ImageFiles)
    assert torch.equal(part[:], WHOLE[[5, 8]])
    # It is read when it is asked for, not before.
    Image.fromarray(255 - BLOCKS[5]).save(tmp_path / "5.png")
    assert torch.equal(part[:1], 255 - WHOLE[5:6])
    with pytest.raises(IndexError):
        part[torch.tensor([2])]


def test_boxes_are_cut_out_of_the_images_of_the_subset(files: ImageFiles) -> None:
    part = files.subset(torch.tensor([4, 7]))
    boxes = torch.tensor([[0, 0, 1, 1], [0.5, 0.25, 0.5, 0.5]], dtype=torch.float64)
    found = part.cropped(torch.tensor([1, 0]), boxes)
    assert torch.equal(found[0], WHOLE[7])
    wanted = Image.fromarray(BLOCKS[4]).resize((6, 4), Image.Resampling.BILINEAR, box=(3, 1, 6, 3))
    assert (found[1].permute(1, 2, 0).numpy() == np.asarray(wanted)).all()


def test_boxes_are_shares_of_the_image_as_it_lies_on_disk(tmp_path: Path) -> None:
    wide = np.zeros((4, 16), np.uint8)
    wide[:, 12:] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    files = ImageFiles(PictureFiles([str(tmp_path / "wide.png")]), image_shape=(1, 4, 4))
    # The middle of the whole image, and its last quarter.
    assert files[:].unique().tolist() == [0]
    box = torch.tensor([[0.75, 0.0, 0.25, 1.0]])
    assert files.cropped(torch.tensor([0]), box).unique().tolist() == [200]


def test_a_corrupt_file_shows_when_it_is_read(files: ImageFiles, tmp_path: Path) -> None:
    (tmp_path / "6.png").write_bytes(b"")
    assert len(files[:6]) == 6
    with pytest.raises(UnreadableImage, match=r"6\.png is not a readable image"):
        files[torch.tensor([5, 6])]
    with pytest.raises(UnreadableImage, match=r"6\.png"):
        files.cropped(torch.tensor([6]), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))


def test_every_image_is_turned_into_the_shape_unless_it_must_have_it(
    files: ImageFiles, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "2.png")
    assert files[2:3].shape == (1, 3, 4, 6)
    paths = [str(tmp_path / f"{index}.png") for index in range(3)]
    strict = ImageFiles(PictureFiles(paths), image_shape=(3, 4, 6), exact=True)
    assert torch.equal(strict[:2], WHOLE[:2])
    with pytest.raises(InputRefused, match=r"2\.png is 1x9x9 where the first image is 3x4x6"):
        strict[2:]
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(InputRefused, match=r"2\.png is 1x9x9 where the first image is 3x4x6"):
        strict.subset(torch.tensor([2])).cropped(torch.tensor([0]), boxes)


def test_threads_may_ask_at_the_same_time(files: ImageFiles) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda start: files[start : start + 2], range(8)))
    assert all(torch.equal(block, WHOLE[start : start + 2]) for start, block in enumerate(found))
