from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunecli.data import decoding
from prunecli.data.decoding import UnreadableImage, _of_aspect, cut_out, native_shape, read_image, to_pixels
from prunecli.errors import InputRefused


def written(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def shape_of(path: str) -> tuple[int, int, int]:
    return read_image(path, path, lambda image: native_shape(image, path))


def decoded(path: str, *, shape: tuple[int, int, int]) -> np.ndarray:
    return read_image(path, path, lambda image: to_pixels(image, shape=shape, exact=False, name=path))


def test_the_shape_of_a_file(tmp_path: Path) -> None:
    assert shape_of(written(tmp_path / "grey.png", np.zeros((4, 5), np.uint8))) == (1, 4, 5)
    assert shape_of(written(tmp_path / "rgba.png", np.zeros((4, 5, 4), np.uint8))) == (3, 4, 5)


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


def test_an_odd_image_is_refused_by_name_when_nothing_says_what_all_should_be() -> None:
    image = Image.fromarray(np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(InputRefused, match=r"two\.png is 3x5x4 where the first image is 3x4x4"):
        to_pixels(image, shape=(3, 4, 4), exact=True, name="two.png")
    assert to_pixels(image, shape=(3, 5, 4), exact=True, name="two.png").shape == (3, 5, 4)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"truncated"])
def test_a_corrupt_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    good = Path(written(tmp_path / "good.png", _noise()))
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:700] if content == b"truncated" else content)
    with pytest.raises(UnreadableImage, match=r"bad\.png is not a readable image") as caught:
        decoded(str(bad), shape=(3, 32, 32))
    assert caught.value.exit_code == 3
    assert len(caught.value.hints) == 1


def _noise() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)


def test_an_absent_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"gone\.png"):
        shape_of(str(tmp_path / "gone.png"))


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "deep.png", np.zeros((4, 4), np.uint16))
    with pytest.raises(InputRefused, match=r"deep\.png has pixels of mode I;16"):
        shape_of(path)


def test_an_image_with_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "huge.png", np.zeros((10, 11), np.uint8))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 100)
    with pytest.raises(InputRefused, match=r"huge\.png has 11x10 pixels"):
        decoded(path, shape=(1, 10, 11))


def test_only_the_decoders_of_known_endings_are_tried(tmp_path: Path) -> None:
    # Pillow would open both by their content, the second by starting a program.
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(picture, format="GIF")
    page = tmp_path / "page.png"
    page.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n")
    for path in (picture, page):
        with pytest.raises(InputRefused, match=rf"{path.name} is not a readable image"):
            decoded(str(path), shape=(3, 4, 4))


def test_a_truncated_jpeg_is_refused_by_name(tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    Image.fromarray(_noise()).save(good)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(good.read_bytes()[:-300])
    assert decoded(str(good), shape=(3, 32, 32)).shape == (3, 32, 32)
    with pytest.raises(UnreadableImage, match=r"bad\.jpg is not a readable image"):
        decoded(str(bad), shape=(3, 32, 32))


def test_memory_that_runs_out_is_no_fault_of_the_file(tmp_path: Path) -> None:
    def look(image: Image.Image) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        read_image(written(tmp_path / "good.png", _noise()), "good.png", look)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_bytes_is_turned_into_grey_and_rgb(mode: str, channels: int) -> None:
    image = Image.new("L", (4, 5), 255).convert("RGB" if mode in {"CMYK", "YCbCr"} else "L").convert(mode)
    found = to_pixels(image, shape=(channels, 5, 4), exact=False, name="white")
    assert found.shape == (channels, 5, 4)
    assert found.tolist() == [[[255] * 4] * 5] * channels


def test_transparent_colours_of_a_palette_are_dropped_without_a_warning(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "p.png", transparency=bytes([0, 128]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decoded(str(tmp_path / "p.png"), shape=(3, 1, 2))
    assert found.tolist() == [[[10, 40]], [[20, 50]], [[30, 60]]]


def test_the_whole_image_cut_out_is_the_image() -> None:
    pixels = _noise()
    found = cut_out(Image.fromarray(pixels), (0, 0, 1, 1), shape=(3, 32, 32), name="i")
    assert (found == pixels.transpose(2, 0, 1)).all()


def test_a_part_is_cut_out_by_shares_of_width_and_height() -> None:
    pixels = np.arange(8 * 4, dtype=np.uint8).reshape(4, 8)
    # Left 2/8, top 1/4, half as wide and as high: columns 2..5 and rows 1..2.
    found = cut_out(Image.fromarray(pixels), (0.25, 0.25, 0.5, 0.5), shape=(1, 2, 4), name="i")
    assert (found[0] == pixels[1:3, 2:6]).all()


def test_a_part_is_resized_as_pillow_does_it() -> None:
    image = Image.fromarray(_noise())
    box = (0.1, 0.2, 0.55, 0.7)
    corners = (3.2, 6.4, 20.8, 28.8)
    wanted = image.resize((16, 16), Image.Resampling.BILINEAR, box=corners)
    found = cut_out(image, box, shape=(3, 16, 16), name="i")
    assert (found == np.asarray(wanted).transpose(2, 0, 1)).all()


def test_shares_that_rounding_brings_past_the_edge_are_taken() -> None:
    image = Image.fromarray(_noise())
    found = cut_out(image, (0.5, 0.5, 0.5 + 1e-5, 0.5 + 1e-5), shape=(3, 8, 8), name="i")
    assert (found == cut_out(image, (0.5, 0.5, 0.5, 0.5), shape=(3, 8, 8), name="i")).all()


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(20, 20, (160, 120)), (40, 40, (320, 240)), (10, 80, (160, 120)), (60, 10, (160, 120))],
)
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(
    tmp_path: Path, height: int, width: int, size: tuple[int, int]
) -> None:
    across = np.linspace(0, 255, 640)[None, :, None].repeat(480, 0).repeat(3, 2).astype(np.uint8)
    Image.fromarray(across).save(tmp_path / "large.jpg", quality=95)
    sizes = []

    def look(image: Image.Image) -> np.ndarray:
        found = cut_out(image, (0.5, 0.5, 0.5, 0.5), shape=(3, height, width), name="large")
        sizes.append(image.size)
        return found

    found = read_image(str(tmp_path / "large.jpg"), "large", look)
    # Of the part that is cut out, at least twice the wanted pixels are decoded each way.
    assert sizes == [size]
    wanted = cut_out(Image.fromarray(across), (0.5, 0.5, 0.5, 0.5), shape=(3, height, width), name="large")
    assert np.abs(found.astype(int) - wanted).max() <= 3


def test_bytes_in_memory_are_read_too() -> None:
    file = io.BytesIO()
    Image.fromarray(_noise()).save(file, format="PNG")
    file.seek(0)
    assert read_image(file, "bytes", lambda image: image.size) == (32, 32)


@pytest.mark.parametrize("size", [(300, 200), (64, 256), (96, 96)])
def test_a_part_has_its_share_of_the_area_and_its_aspect_in_pixels_whatever_the_file(
    size: tuple[int, int],
) -> None:
    width, height = size
    wanted = (100, 80)
    box = (0.3, 0.1, 0.4, 0.25)
    left, top, wide, high = _of_aspect(box, (wanted[0] / wanted[1]) / (width / height))
    assert wide * high == pytest.approx(0.4 * 0.25)
    assert (wide * width) / (high * height) == pytest.approx((0.4 * wanted[0]) / (0.25 * wanted[1]))
    assert left / (1 - wide) == pytest.approx(0.3 / 0.6)
    assert top / (1 - high) == pytest.approx(0.1 / 0.75)


def test_a_part_that_does_not_fit_is_made_smaller_and_a_whole_image_is_cut_in_the_middle() -> None:
    assert _of_aspect((0, 0, 1, 1), 0.25) == pytest.approx((0.375, 0.0, 0.25, 1.0))
    assert _of_aspect((0, 0, 1, 1), 4.0) == pytest.approx((0.0, 0.375, 1.0, 0.25))
