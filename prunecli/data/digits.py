"""Handwritten digits, 8x8 grey, that come with scikit-learn: nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.decoding import to_pixels
from prunecli.data.shapes import ImageShape, in_words
from prunecli.data.splits import Split
from prunecli.data.splitting import stratified_share, take
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from torch import Tensor

TEST_SHARE = 0.25
# The split into training and test part never changes, whatever the seed of a run.
_SPLIT_SEED = 20211103
# Of the training part's 1347 images on the 0..1 scale.
MEAN, STD = 0.3054, 0.3758


@data_source("digits", source="Alpaydin & Kaynak 1998, UCI optical recognition of handwritten digits")
def digits(request: DataRequest) -> DataParts:
    """1797 handwritten digits, 8x8 grey, 10 classes, part of scikit-learn (no download).

    The pixels 0..16 become bytes 0..255. A quarter of each class, always the same, is the test part. With an
    `image_shape` other than (1, 8, 8) the images are scaled and, for 3 channels, repeated.
    """
    if request.argument:
        raise WrongUse(f"the data source 'digits' takes no argument, got {request.argument!r}")
    images, labels = _load()
    notes: tuple[str, ...] = ()
    channels = 1
    if request.image_shape is not None and request.image_shape != (1, 8, 8):
        images = _reshaped(images, request.image_shape)
        channels = request.image_shape[0]
        notes = (f"digits are 1x8x8, turned into {in_words(request.image_shape)} for this model",)
    whole = Split(images, labels, 10)
    train, test = stratified_share(labels, share=TEST_SHARE, seed=_SPLIT_SEED)
    return DataParts(
        train=take(whole, train),
        test=take(whole, test),
        classes=tuple(str(digit) for digit in range(10)),
        mean=(MEAN,) * channels,
        std=(STD,) * channels,
        notes=notes,
    )


def _load() -> tuple[Tensor, Tensor]:
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(pixels)[:, None], torch.from_numpy(bunch.target.astype(np.int64))


def _reshaped(images: Tensor, shape: ImageShape) -> Tensor:
    import numpy as np
    import torch
    from PIL import Image

    pictures = (Image.fromarray(image[0].numpy()) for image in images)
    blocks = [to_pixels(picture, shape=shape, exact=False, name="a digit") for picture in pictures]
    return torch.from_numpy(np.stack(blocks))
