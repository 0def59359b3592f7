"""The records that hold images: one part, the two that may steer training, and the whole set.

The test part lies in `DataSet` only. Whatever chooses something (the best epoch, a trigger, a tuned
setting) is given `DataSet.for_training()`, which has no test part to look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunecli.data.files import ImageFiles
from prunecli.data.shapes import ImageShape, in_words

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a data set: decoded in memory, or on disk and decoded when asked for.

    `images` (N, C, H, W) uint8 0..255, `labels` (N,) int64; `classes` is how many classes the whole set
    has, where that is known, so that a network with another number of outputs is noticed.
    """

    images: Tensor | ImageFiles
    labels: Tensor
    classes: int | None = None

    def __len__(self) -> int:
        """How many images there are."""
        return int(self.images.shape[0])

    def __repr__(self) -> str:
        return f"Split({len(self)} images of {in_words(self.image_shape)}, classes={self.classes})"

    @property
    def image_shape(self) -> ImageShape:
        """(C, H, W) of every image."""
        channels, height, width = self.images.shape[1:]
        return int(channels), int(height), int(width)

    @property
    def in_memory(self) -> bool:
        """Whether the images are decoded already: then taking some of them costs a copy."""
        return not isinstance(self.images, ImageFiles)

    def pixels(self, indices: Tensor | slice) -> Tensor:
        """The images at `indices`, decoded now where they are not.    (B,) int64 → (B, C, H, W) uint8.

        Raises InputRefused, naming the file, for an image on disk that cannot be read.
        """
        return self.images[indices]


@dataclass(frozen=True)
class TrainingData:
    """What a procedure that chooses anything may see: the training and the validation part.

    There is no test part here on purpose: a best epoch or a setting that was chosen on the images that
    measure the result makes that result worthless.
    """

    name: str
    train: Split
    validation: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class DataSet:
    """A data set in its three parts; `test` is for the evaluation of a final result and nothing else.

    `mean` and `std` are the source's own normalisation per channel on the 0..1 scale, for a model that
    does not name its own. `notes` say what was decided on the way (images resized, say).
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def for_training(self) -> TrainingData:
        """The same set without its test part: what `fit` and every other chooser is given."""
        return TrainingData(
            name=self.name,
            train=self.train,
            validation=self.validation,
            classes=self.classes,
            mean=self.mean,
            std=self.std,
        )
