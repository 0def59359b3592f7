"""Images that stay on disk and are decoded each time they are asked for: a set too large for memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.data.decoding import cut_out, to_pixels
from prunecli.data.pictures import Pictures, decode
from prunecli.data.shapes import ImageShape, decoded_bytes, in_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor


class ImageFiles:
    """What looks like a block of (N, C, H, W) bytes, and is decoded from disk where it is indexed.

    `image_shape` is the (C, H, W) that every image is turned into; with `exact` each must have it already.
    `rows` (N,) int64 choose from `pictures`, None for all. Nothing is kept: indexing twice decodes twice.
    Reading raises InputRefused, naming the file, for one that is corrupt or does not fit.
    """

    def __init__(
        self,
        pictures: Pictures,
        *,
        image_shape: ImageShape,
        exact: bool = False,
        rows: Tensor | None = None,
    ) -> None:
        import torch

        self._pictures = pictures
        self._image_shape = image_shape
        self._exact = exact
        self._rows = torch.arange(len(pictures)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"ImageFiles({len(self)} images of {in_words(self._image_shape)})"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the decoded whole."""
        return (len(self), *self._image_shape)

    @property
    def nbytes(self) -> int:
        """How many bytes the decoded whole would take."""
        return decoded_bytes(len(self), self._image_shape)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """The images at `index`, decoded by a pool of threads.       (B,) int64 → (B, C, H, W) uint8."""

        def whole(image: Image, place: int) -> NDArray[np.uint8]:
            name = self._pictures.name(rows[place])
            return to_pixels(image, shape=self._image_shape, exact=self._exact, name=name)

        rows = self._numbers(index)
        return decode(self._pictures, rows, whole, shape=self._image_shape)

    def subset(self, indices: Tensor) -> ImageFiles:
        """The images at `indices` (B,) int64, still on disk."""
        rows = self._rows[indices.cpu()]
        return ImageFiles(self._pictures, image_shape=self._image_shape, exact=self._exact, rows=rows)

    def cropped(self, indices: Tensor, boxes: Tensor) -> Tensor:
        """A part of each image, resized to the whole size.           (B,) int64, (B, 4) → (B, C, H, W) uint8.

        A row of `boxes` is left, top, width and height of the part as shares of the image as it lies on disk.
        """
        rows = self._numbers(indices)
        parts = boxes.tolist()

        def part(image: Image, place: int) -> NDArray[np.uint8]:
            name = self._pictures.name(rows[place])
            return cut_out(image, parts[place], shape=self._image_shape, exact=self._exact, name=name)

        return decode(self._pictures, rows, part, shape=self._image_shape)

    def _numbers(self, index: Tensor | slice) -> list[int]:
        chosen = self._rows[index if isinstance(index, slice) else index.cpu()]
        numbers: list[int] = chosen.tolist()
        return numbers
