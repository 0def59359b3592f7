from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from prunecli.data import ImageFiles, Split, normalise, pixels
from prunecli.data.pictures import PictureFiles
from prunecli.data.pixels import channel_statistics
from prunecli.errors import InputRefused


def test_bytes_become_normalised_floats_channel_by_channel() -> None:
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 3, 1, 1)
    found = normalise(images, (0.5, 0.25, 0.2), (0.5, 0.25, 0.1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.0, 3.0, 0.0]), atol=1e-6, rtol=0)
    assert images.flatten().tolist() == [0, 255, 51]


def test_it_agrees_with_the_definition_on_every_byte() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)
    wanted = (torch.arange(256, dtype=torch.float64) / 255 - 0.485) / 0.229
    torch.testing.assert_close(
        normalise(images, (0.485,), (0.229,)).flatten().double(), wanted, atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "3 means and 3 deviations for images of 1 channel"),
        ((0.5,), (0.5, 0.5), "1 means and 2 deviations"),
        ((0.5,), (0.0,), "not positive"),
    ],
)
def test_constants_that_do_not_fit_are_refused(
    mean: tuple[float, ...], std: tuple[float, ...], words: str
) -> None:
    with pytest.raises(InputRefused, match=words):
        normalise(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), mean, std)


def test_mean_and_deviation_a_channel() -> None:
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))
    images[:, 1] //= 2
    mean, std = channel_statistics(Split(images, torch.zeros(50, dtype=torch.int64)))
    values = images.double().transpose(0, 1).flatten(1) / 255
    assert mean == tuple(round(float(each), 4) for each in values.mean(1))
    assert std == tuple(round(float(each), 4) for each in values.std(1, unbiased=False))


def test_images_of_one_colour_have_a_deviation_that_one_can_divide_by() -> None:
    images = torch.full((3, 1, 2, 2), 51, dtype=torch.uint8)
    assert channel_statistics(Split(images, torch.zeros(3, dtype=torch.int64))) == ((0.2,), (1e-4,))


def test_of_images_on_disk_an_even_sample_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(9):
        Image.new("L", (2, 2), 255 if index % 4 == 0 else 0).save(tmp_path / f"{index}.png")
    files = PictureFiles([str(tmp_path / f"{index}.png") for index in range(9)])
    split = Split(ImageFiles(files, image_shape=(1, 2, 2)), torch.zeros(9, dtype=torch.int64))
    assert channel_statistics(split)[0] == (0.3333,)
    monkeypatch.setattr(pixels, "SAMPLE", 3)  # images 0, 4 and 8
    assert channel_statistics(split)[0] == (1.0,)
