"""Image files and Pillow images to one block of bytes in memory, decoded once by a pool of threads.

Pillow lets go of the interpreter while it decodes, so threads use every core and nothing has to be
pickled between processes. The block is allocated whole before the first image is opened, and a set
that would not fit the bound is refused then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from prunecli.data.splits import ImageShape
from prunecli.errors import InputRefused, PrunecliError
from prunecli.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

    Block = NDArray[np.uint8]

Read = TypeVar("Read")

# All parts of a set together; a moment's copy while the validation part is split off comes on top.
MAX_DECODED_BYTES = 4 * 2**30
# A single image of more pixels than this is a bomb or a mistake.
MAX_PIXELS = 64 * 2**20
# Only these decoders are tried: others (EPS) would start programs.
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pnm", ".bmp", ".tif", ".tiff", ".webp")

_IMAGES_PER_TASK = 256
_MODES = {1: "L", 3: "RGB"}
_CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3, "RGBX": 3, "CMYK": 3, "YCbCr": 3}


def check_shape(shape: ImageShape) -> None:
    """Refuse a (C, H, W) that images cannot be turned into: only grey and RGB are known."""
    if len(shape) != 3 or shape[0] not in _MODES or min(shape) < 1:
        raise InputRefused(
            f"images cannot be turned into inputs of shape {tuple(shape)}",
            hints=["valid: (1, height, width) for grey and (3, height, width) for RGB"],
        )


def check_memory(count: int, shape: ImageShape) -> None:
    """Refuse `count` images of (C, H, W) bytes that would pass `MAX_DECODED_BYTES`, before any is decoded."""
    wanted = count * shape[0] * shape[1] * shape[2]
    if wanted > MAX_DECODED_BYTES:
        raise InputRefused(
            f"{count} images of {'x'.join(map(str, shape))} decode to {wanted / 2**30:.1f} GiB,"
            f" more than the {MAX_DECODED_BYTES / 2**30:.1f} GiB that are kept in memory",
            hints=["use a subset of the images, or a smaller input shape"],
        )


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
    if exact and found != shape:
        sizes = ["x".join(map(str, each)) for each in (found, shape)]
        raise InputRefused(
            f"{name} is {sizes[0]} where the first image is {sizes[1]}",
            hints=["give the input shape of the model, and the images are turned into it"],
        )
    channels, height, width = shape
    mode = _MODES[channels]
    if image.mode != mode:
        image = image.convert(mode)
    if found[1:] != (height, width):
        image = _cover_and_crop(image, height=height, width=width)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _cover_and_crop(image: Image, *, height: int, width: int) -> Image:
    from PIL.Image import Resampling

    margin = 8 / 7 if min(height, width) >= 64 else 1.0
    scale = max(round(height * margin) / image.height, round(width * margin) / image.width)
    # At least the wanted size, whatever the rounding.
    scaled = (max(width, int(image.width * scale + 1e-6)), max(height, int(image.height * scale + 1e-6)))
    left, top = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
    return image.resize(scaled, Resampling.BILINEAR).crop((left, top, left + width, top + height))


def stack_images(
    images: Iterable[Image],
    *,
    count: int,
    shape: ImageShape,
    exact: bool = False,
    name: str,
    progress: Progress = silent,
) -> Tensor:
    """`count` Pillow images of `name` as (N, C, H, W) uint8, turned into `shape` as `to_pixels` says."""
    import numpy as np
    import torch

    check_memory(count, shape)
    block = np.empty((count, *shape), dtype=np.uint8)
    for index, image in enumerate(images):
        block[index] = to_pixels(image, shape=shape, exact=exact, name=f"image {index} of {name}")
        if index % _IMAGES_PER_TASK == 0:
            progress(f"decode {name}", index, count, {})
    return torch.from_numpy(block)


def file_shape(path: str) -> ImageShape:
    """(C, H, W) of the image file `path`; raises InputRefused, naming it, when it cannot be read."""
    return _open(path, lambda image: native_shape(image, path))


def decode_files(
    paths: Sequence[str],
    *,
    shape: ImageShape,
    exact: bool = False,
    progress: Progress = silent,
    stage: str = "decode",
) -> Tensor:
    """The image files `paths`, in that order, as (N, C, H, W) uint8, turned into `shape` as `to_pixels` says.

    Raises InputRefused, naming the file, for one that is corrupt or, with `exact`, of another shape.
    """
    import numpy as np
    import torch

    check_memory(len(paths), shape)
    block = np.empty((len(paths), *shape), dtype=np.uint8)

    def decode(start: int) -> int:
        stop = min(start + _IMAGES_PER_TASK, len(paths))
        for index in range(start, stop):
            path = paths[index]
            block[index] = _open(path, partial(to_pixels, shape=shape, exact=exact, name=path))
        return stop - start

    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        tasks = [pool.submit(decode, start) for start in range(0, len(paths), _IMAGES_PER_TASK)]
        done = 0
        for task in as_completed(tasks):
            done += task.result()
            progress(stage, done, len(paths), {})
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return torch.from_numpy(block)


def _open(path: str, read: Callable[[Image], Read]) -> Read:
    """`read` of the image at `path`, every failure of the decoder as InputRefused with the file's name."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            return read(image)
    except PrunecliError:
        raise
    except Exception as error:  # decoders fail in many ways: OSError, SyntaxError, ValueError, struct.error
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputRefused(f"{path} is not a readable image", hints=[reason]) from error
