from __future__ import annotations

import pytest

from prunecli.data.shapes import check_shape, decoded_bytes, fits_memory, in_words
from prunecli.errors import InputRefused


@pytest.mark.parametrize("shape", [(2, 8, 8), (4, 8, 8), (3, 0, 8), (3, 8)])
def test_only_grey_and_rgb_shapes_are_taken(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputRefused, match="cannot be turned into inputs"):
        check_shape(shape)  # type: ignore[arg-type]


def test_what_fits_the_memory() -> None:
    assert decoded_bytes(28_000, (3, 224, 224)) == 4_214_784_000
    assert fits_memory(28_000, (3, 224, 224))
    assert not fits_memory(29_000, (3, 224, 224))


def test_a_shape_in_words() -> None:
    assert in_words((3, 8, 16)) == "3x8x16"
