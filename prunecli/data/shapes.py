"""The shape that images are turned into, and how much memory a set of them takes."""

from __future__ import annotations

from prunecli.errors import InputRefused

# (channels, height, width)
ImageShape = tuple[int, int, int]

# All parts of a set together; a moment's copy while the validation part is split off comes on top.
MAX_DECODED_BYTES = 4 * 2**30


def check_shape(shape: ImageShape) -> None:
    """Refuse a (C, H, W) that images cannot be turned into: only grey and RGB are known."""
    if len(shape) != 3 or shape[0] not in {1, 3} or min(shape) < 1:
        raise InputRefused(
            f"images cannot be turned into inputs of shape {tuple(shape)}",
            hints=["valid: (1, height, width) for grey and (3, height, width) for RGB"],
        )


def in_words(shape: ImageShape) -> str:
    """(3, 32, 32) as "3x32x32"."""
    return "x".join(map(str, shape))


def decoded_bytes(count: int, shape: ImageShape) -> int:
    """How many bytes `count` decoded images of (C, H, W) take."""
    channels, height, width = shape
    return count * channels * height * width


def fits_memory(count: int, shape: ImageShape) -> bool:
    """Whether `count` images of (C, H, W) stay below `MAX_DECODED_BYTES`."""
    return decoded_bytes(count, shape) <= MAX_DECODED_BYTES
