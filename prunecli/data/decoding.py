"""One image file or Pillow image to bytes of a wanted shape, and what of it is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, TypeVar

from prunecli.data.shapes import ImageShape, in_words
from prunecli.errors import InputRefused, PrunecliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Block = NDArray[np.uint8]

Read = TypeVar("Read")

# A single image of more pixels than this is a bomb or a mistake.
MAX_PIXELS = 64 * 2**20
# Only these decoders are tried: others (EPS) would start programs.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pnm", ".bmp", ".tif", ".tiff", ".webp")

_MODES = {1: "L", 3: "RGB"}
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBX": 3, "CMYK": 3, "YCbCr": 3}


class UnreadableImage(InputRefused):
    """An image that its decoder cannot read: truncated, empty, or no image at all; `reason` in its words."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, hints=[reason])
        self.reason = reason


def native_shape(image: Image, name: str) -> ImageShape:
    """(C, H, W) of an image as it is, grey as 1 and every colour mode as 3 channels.

    Raises InputRefused for more than `MAX_PIXELS` and for modes that bytes cannot hold (16 bit, float).
    """
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputRefused(f"{name} has {width}x{height} pixels, more than the {MAX_PIXELS} that are decoded")
    if image.mode not in _CHANNELS:
        raise InputRefused(
            f"{name} has pixels of mode {image.mode}, which are not bytes",
            hints=["convert the images to 8 bits a channel, grey or RGB"],
        )
    return _CHANNELS[image.mode], height, width


def to_pixels(image: Image, *, shape: ImageShape, exact: bool, name: str) -> Block:
    """One image as (C, H, W) bytes of `shape`.

    With `exact` it must have that shape already. Otherwise grey becomes RGB and the other way round; an
    image of another size is scaled (bilinear, with antialiasing) until it covers 8/7 of the wanted size,
    or just the wanted size if that is below 64, and its centre is cut out: 256 → 224 is what ImageNet
    networks are measured with.
    """
    import numpy as np

    found = native_shape(image, name)
    _check_exact(found, shape, exact=exact, name=name)
    channels, height, width = shape
    image = as_mode(image, channels)
    if found[1:] != (height, width):
        image = _cover_and_crop(image, height=height, width=width)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _check_exact(found: ImageShape, shape: ImageShape, *, exact: bool, name: str) -> None:
    if exact and found != shape:
        raise InputRefused(
            f"{name} is {in_words(found)} where the first image is {in_words(shape)}",
            hints=["give the input shape of the model, and the images are turned into it"],
        )


def _cover_and_crop(image: Image, *, height: int, width: int) -> Image:
    from PIL.Image import Resampling

    margin = 8 / 7 if min(height, width) >= 64 else 1.0
    scale = max(round(height * margin) / image.height, round(width * margin) / image.width)
    # At least the wanted size, whatever the rounding.
    scaled = (max(width, int(image.width * scale + 1e-6)), max(height, int(image.height * scale + 1e-6)))
    left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
    return image.resize(scaled, Resampling.BILINEAR).crop((left, top, left + width, top + height))


def cut_out(
    image: Image, box: Sequence[float], *, shape: ImageShape, exact: bool = False, name: str
) -> Block:
    """A part of one image, resized to (C, H, W) bytes of `shape`: bilinear, with antialiasing.

    `box` is left, top, width and height of the part as shares of an image of the wanted shape's aspect; of
    an image of another aspect the part has the same share of the area and the same aspect in pixels, as far
    as it fits. With `exact` the whole image must have the wanted shape.
    """
    import numpy as np
    from PIL.Image import Resampling

    _check_exact(native_shape(image, name), shape, exact=exact, name=name)
    channels, height, width = shape
    left, top, wide, high = _of_aspect(box, (width / height) / (image.width / image.height))
    # A JPEG file can be decoded at 1/2, 1/4 or 1/8: taken where twice the wanted size is left, so that the
    # resampling still has something to average. Photographs of many megapixels cost a fraction then.
    image.draft(None, (_times(2 * width, wide), _times(2 * height, high)))
    image = as_mode(image, channels)
    corners = (
        max(0.0, left * image.width),
        max(0.0, top * image.height),
        min(float(image.width), (left + wide) * image.width),
        min(float(image.height), (top + high) * image.height),
    )
    pixels = np.asarray(image.resize((width, height), Resampling.BILINEAR, box=corners))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _of_aspect(box: Sequence[float], stretch: float) -> tuple[float, float, float, float]:
    """A box for an image whose width over height is that of the box's own image divided by `stretch`."""
    left, top, wide, high = box
    new_wide, new_high = wide * math.sqrt(stretch), high / math.sqrt(stretch)
    longest = max(1.0, new_wide, new_high)
    new_wide, new_high = new_wide / longest, new_high / longest
    return _moved(left, wide, new_wide), _moved(top, high, new_high), new_wide, new_high


def _moved(start: float, length: float, new_length: float) -> float:
    """Where a part of another length begins, with the same share of what is left over before it."""
    share = start / (1 - length) if length < 1 else 0.5
    return share * (1 - new_length)


def _times(wanted: int, share: float) -> int:
    """How long the whole side must be for its `share` to have `wanted` pixels."""
    return math.ceil(wanted / max(share, 1e-6))


def as_mode(image: Image, channels: int) -> Image:
    """The image in grey (1 channel) or RGB (3 channels)."""
    if image.mode == _MODES[channels]:
        return image
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns when the transparent colours of a palette are dropped
    return image.convert(_MODES[channels])


def read_image(file: str | IO[bytes], name: str, look: Callable[[Image], Read]) -> Read:
    """`look` of the image in `file`, every failure of the decoder as UnreadableImage with `name`."""
    from PIL import Image

    try:
        with Image.open(file, formats=FORMATS) as image:
            return look(image)
    except (PrunecliError, MemoryError):
        raise
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, ValueError, struct.error
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UnreadableImage(f"{name} is not a readable image", reason) from error
