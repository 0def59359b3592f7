"""Small image folders whose every pixel is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Grow = Callable[..., Path]


@pytest.fixture
def grow_folder(tmp_path: Path) -> Grow:
    """Write PART/CLASS/INDEX.png of one colour: red = class · 40, green = index, blue = part."""

    def grow(
        *,
        parts: tuple[str, ...] = ("train", "test"),
        classes: tuple[str, ...] = ("cat", "ant"),
        each: int = 3,
    ) -> Path:
        for number, part in enumerate(parts):
            for label, name in enumerate(sorted(classes)):
                folder = tmp_path / part / name
                folder.mkdir(parents=True)
                for index in range(each):
                    pixels = np.full((6, 5, 3), (label * 40, index, number), dtype=np.uint8)
                    Image.fromarray(pixels).save(folder / f"{index:04d}.png")
        return tmp_path

    return grow
