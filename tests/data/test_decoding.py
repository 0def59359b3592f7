from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prunecli.data import decoding
from prunecli.data.decoding import check_memory, check_shape, decode_files, file_shape, to_pixels
from prunecli.errors import InputRefused


def written(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def test_files_keep_their_order_and_their_pixels(tmp_path: Path) -> None:
    # More files than one task of the pool takes.
    blocks = np.random.RandomState(0).randint(0, 256, (600, 4, 5, 3)).astype(np.uint8)
    paths = [written(tmp_path / f"{index}.png", block) for index, block in enumerate(blocks)]
    heard: list[tuple[int, int]] = []
    found = decode_files(
        paths,
        shape=(3, 4, 5),
        exact=True,
        progress=lambda stage, done, total, figures=None: heard.append((done, total)),
    )
    assert torch.equal(found, torch.from_numpy(blocks).permute(0, 3, 1, 2))
    assert heard[-1] == (600, 600)


def test_the_shape_of_a_file(tmp_path: Path) -> None:
    assert file_shape(written(tmp_path / "grey.png", np.zeros((4, 5), np.uint8))) == (1, 4, 5)
    assert file_shape(written(tmp_path / "rgba.png", np.zeros((4, 5, 4), np.uint8))) == (3, 4, 5)


def test_grey_becomes_rgb_and_rgb_becomes_grey() -> None:
    grey = Image.fromarray(np.array([[7, 200]], np.uint8))
    assert to_pixels(grey, shape=(3, 1, 2), exact=False, name="g").tolist() == [[[7, 200]]] * 3
    red = Image.fromarray(np.array([[[255, 0, 0]]], np.uint8))
    assert to_pixels(red, shape=(1, 1, 1), exact=False, name="r").tolist() == [[[76]]]  # ITU-R 601 luma


def test_an_image_of_the_right_size_is_left_alone_and_a_larger_one_cropped_in_the_middle() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image = Image.fromarray(pixels)
    assert (to_pixels(image, shape=(1, 8, 8), exact=False, name="i")[0] == pixels).all()
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = pixels
    assert (to_pixels(Image.fromarray(wide), shape=(1, 8, 8), exact=False, name="i")[0] == pixels).all()


@pytest.mark.parametrize("size", [(375, 500), (500, 375), (256, 256), (100, 90), (225, 1000)])
def test_large_inputs_are_cut_as_imagenet_networks_are_measured(size: tuple[int, int]) -> None:
    pixels = np.random.RandomState(1).randint(0, 256, (*size, 3)).astype(np.uint8)
    image = Image.fromarray(pixels)
    # Written out from the definition: shorter side to 256, bilinear, the middle 224.
    short = min(size)
    height, width = int(256 * size[0] / short), int(256 * size[1] / short)
    top, left = round((height - 224) / 2), round((width - 224) / 2)
    wanted = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
    found = to_pixels(image, shape=(3, 224, 224), exact=False, name="i")
    assert (found == np.asarray(wanted).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("shape", [(1, 7, 31), (3, 33, 64), (3, 65, 100)])
@pytest.mark.parametrize("size", [(5, 97), (64, 64), (211, 13)])
def test_every_size_can_be_turned_into_every_shape(
    shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    image = Image.fromarray(np.full((*size, 3), 9, np.uint8))
    found = to_pixels(image, shape=shape, exact=False, name="i")
    assert found.shape == shape
    assert (found == 9).all()


def test_an_odd_image_is_refused_by_name_when_nothing_says_what_all_should_be(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / "one.png", np.zeros((4, 4, 3), np.uint8)),
        written(tmp_path / "two.png", np.zeros((5, 4, 3), np.uint8)),
    ]
    with pytest.raises(InputRefused, match=r"two\.png is 3x5x4 where the first image is 3x4x4"):
        decode_files(paths, shape=(3, 4, 4), exact=True)
    assert decode_files(paths, shape=(3, 4, 4)).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"truncated"])
def test_a_corrupt_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    good = Path(written(tmp_path / "good.png", _noise()))
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:700] if content == b"truncated" else content)
    with pytest.raises(InputRefused, match=r"bad\.png is not a readable image"):
        decode_files([str(good), str(bad)], shape=(3, 32, 32))


def _noise() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)


def test_an_absent_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"gone\.png"):
        file_shape(str(tmp_path / "gone.png"))


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "deep.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(InputRefused, match=r"deep\.png has pixels of mode I;16"):
        file_shape(path)


def test_an_image_with_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "huge.png", np.zeros((10, 11), np.uint8))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    with pytest.raises(InputRefused, match=r"huge\.png has 11x10 pixels"):
        decode_files([path], shape=(1, 10, 11))


def test_only_the_decoders_of_known_endings_are_tried(tmp_path: Path) -> None:
    # Pillow would open both by their content, the second by starting a program.
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(picture, format="GIF")
    page = tmp_path / "page.png"
    page.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n")
    for path in (picture, page):
        with pytest.raises(InputRefused, match=rf"{path.name} is not a readable image"):
            decode_files([str(path)], shape=(3, 4, 4))


def test_what_would_not_fit_the_memory_is_refused_before_it_is_decoded() -> None:
    check_memory(28_000, (3, 224, 224))
    with pytest.raises(
        InputRefused, match=r"29000 images of 3x224x224 decode to 4\.1 GiB, more than the 4\.0 GiB"
    ):
        check_memory(29_000, (3, 224, 224))
    with pytest.raises(InputRefused, match="GiB"):
        decode_files(["absent.png"] * 70_000, shape=(3, 224, 224))


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 8, 8), (3, 0, 8), (3, 8)])
def test_only_grey_and_rgb_shapes_are_taken(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputRefused, match="cannot be turned into inputs"):
        check_shape(shape)  # type: ignore[arg-type]
