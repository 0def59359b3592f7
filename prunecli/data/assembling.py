"""From listed images to the parts of a set: decoded once where they fit into memory, else left on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from prunecli.data import shapes
from prunecli.data.contract import DataRequest
from prunecli.data.decoding import UnreadableImage, native_shape, to_pixels
from prunecli.data.files import ImageFiles
from prunecli.data.pictures import Pictures, decode, for_each
from prunecli.data.shapes import ImageShape, in_words
from prunecli.data.splits import Split
from prunecli.errors import InputRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor

# More unreadable images than this say that something is wrong with the set, not with an image.
MAX_BAD_SHARE = 0.01
_NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One part before it is decoded.

    `name` is "train", "validation" or "test" as the source calls it; `where` names the part in messages.
    `labels` gives the classes (M,) int64 of some rows (M,) int64; it is asked after the images were read,
    since some sets give both together.
    """

    name: str
    where: str
    pictures: Pictures
    labels: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Assembled:
    """The parts by name, all in memory or all on disk, and what is to be said about them."""

    splits: Mapping[str, Split]
    notes: tuple[str, ...]


def assemble(listings: Sequence[Listing], *, classes: int | None, request: DataRequest) -> Assembled:
    """Read what was listed; the first listing is the training part.

    `classes` is how many there are, None where that shows in the labels alone.
    Without a wanted shape the first training image settles what every other one must look like. Raises
    InputRefused, naming the file, for images that are corrupt or do not fit, and for a part of which more
    than `MAX_BAD_SHARE` cannot be read where bad images may be left out. On disk, and unless bad images
    are looked for, a file is read only when it is wanted.
    """
    for listing in listings:
        if len(listing.pictures) == 0:
            raise InputRefused(f"{listing.where} has no images")
    found = _first_shape(listings[0], request)
    shape = request.image_shape or found
    notes = _turned(found, shape)
    count = sum(len(listing.pictures) for listing in listings)
    stays = request.on_disk or not shapes.fits_memory(count, shape)
    if stays and not request.on_disk:
        size, bound = shapes.decoded_bytes(count, shape) / 2**30, shapes.MAX_DECODED_BYTES / 2**30
        notes.append(
            f"{count} images of {in_words(shape)} decode to {size:.1f} GiB, more than the {bound:.1f} GiB"
            " that are kept in memory: they stay on disk and are decoded each time"
        )
    read = _left_on_disk if stays else _decoded
    splits = {}
    for listing in listings:
        bad: dict[int, str] = {}
        splits[listing.name] = read(listing, bad, shape=shape, classes=classes, request=request)
        notes += _left_out(listing, bad)
    return Assembled(splits, tuple(notes))


def _first_shape(listing: Listing, request: DataRequest) -> ImageShape:
    """(C, H, W) of the first image that can be opened."""
    for index in range(len(listing.pictures)):
        look = partial(native_shape, name=listing.pictures.name(index))
        try:
            return listing.pictures.read(index, look)
        except UnreadableImage:
            if not request.skip_bad or index >= MAX_BAD_SHARE * len(listing.pictures):
                raise
    raise InputRefused(f"{listing.where} has no image that can be read")


def _turned(found: ImageShape, shape: ImageShape) -> list[str]:
    """A note where the images lose or gain something that nobody may expect."""
    if found[0] != shape[0] or found[1] < shape[1] or found[2] < shape[2]:
        return [f"the first image is {in_words(found)}: all are turned into {in_words(shape)} for this model"]
    return []


def _decoded(
    listing: Listing,
    bad: dict[int, str],
    *,
    shape: ImageShape,
    classes: int | None,
    request: DataRequest,
) -> Split:
    pictures, exact = listing.pictures, request.image_shape is None

    def whole(image: Image, index: int) -> NDArray[np.uint8]:
        return to_pixels(image, shape=shape, exact=exact, name=pictures.name(index))

    block = decode(
        pictures,
        range(len(pictures)),
        whole,
        shape=shape,
        bad=bad if request.skip_bad else None,
        progress=request.progress,
        stage=f"decode {listing.name}",
    )
    rows = _good(len(pictures), bad)
    return Split(block[rows] if bad else block, listing.labels(rows), classes)


def _left_on_disk(
    listing: Listing,
    bad: dict[int, str],
    *,
    shape: ImageShape,
    classes: int | None,
    request: DataRequest,
) -> Split:
    if request.skip_bad:
        _look_for_bad(listing, bad, request)
    rows = _good(len(listing.pictures), bad)
    images = ImageFiles(listing.pictures, image_shape=shape, exact=request.image_shape is None, rows=rows)
    return Split(images, listing.labels(rows), classes)


def _look_for_bad(listing: Listing, bad: dict[int, str], request: DataRequest) -> None:
    """Read every image once, as small as its decoder can: what is truncated shows all the same."""

    def look(image: Image) -> None:
        image.draft(None, (1, 1))
        image.load()

    def check(index: int) -> None:
        try:
            listing.pictures.read(index, look)
        except UnreadableImage as error:
            bad[index] = error.reason

    for_each(
        len(listing.pictures),
        check,
        concurrent=listing.pictures.concurrent,
        progress=request.progress,
        stage=f"check {listing.name}",
    )


def _good(count: int, bad: Mapping[int, str]) -> Tensor:
    import torch

    rows = torch.arange(count)
    return rows[[index not in bad for index in range(count)]] if bad else rows


def _left_out(listing: Listing, bad: Mapping[int, str]) -> list[str]:
    if not bad:
        return []
    count, some = len(listing.pictures), sorted(bad)[:_NAMES_SHOWN]
    named = ", ".join(listing.pictures.name(index) for index in some)
    if len(bad) > MAX_BAD_SHARE * count:
        raise InputRefused(
            f"{len(bad)} of {count} images of {listing.where} cannot be read,"
            f" and at most {100 * MAX_BAD_SHARE:g} % may be left out",
            hints=[f"the first: {named}", bad[some[0]]],
        )
    more = ", …" if len(bad) > len(some) else ""
    return [f"{len(bad)} of {count} images of {listing.where} cannot be read and are left out: {named}{more}"]
