"""Map-style data sets of other libraries, and one's own: an image and its class at every index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol

from prunecli.data.assembling import Listing, assemble
from prunecli.data.contract import DataParts, DataRequest
from prunecli.data.decoding import Read, UnreadableImage
from prunecli.data.pictures import for_each
from prunecli.data.pixels import channel_statistics
from prunecli.errors import InputRefused, PrunecliError
from prunecli.progress import Progress, silent

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_VALID = "valid: a PIL image or a uint8 tensor (C, H, W), and an integer"


class IndexedImages(Protocol):
    """What a map-style data set is: a length, and an image with its class at every index."""

    def __len__(self) -> int:
        """How many images there are."""

    def __getitem__(self, index: int) -> tuple[object, object]:
        """Image and class."""


class PictureItems:
    """The images of a map-style data set, read one at a time: such sets need not bear several threads.

    `labels` (N,) are its classes where they are known without reading images; else each is kept as its
    image is read, and what was not read yet is read for it.
    """

    concurrent = False

    def __init__(
        self,
        dataset: IndexedImages,
        *,
        name: str,
        labels: Sequence[int] | None = None,
        progress: Progress = silent,
    ) -> None:
        self._dataset = dataset
        self._name = name
        self._count = _length(dataset, name)
        self._labels: list[int | None] = [None] * self._count if labels is None else list(labels)
        self._progress = progress
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def name(self, index: int) -> str:
        """The number of the image, and the set."""
        return f"image {index} of {self._name}"

    def read(self, index: int, look: Callable[[Image], Read]) -> Read:
        """`look` of the image; raises InputRefused where the set gives no image and class."""
        with self._lock:
            image, self._labels[index] = self._item(index)
        return look(image)

    def labels(self, rows: Tensor) -> Tensor:
        """The classes (M,) int64 of `rows` (M,) int64; whatever is not known yet is read."""
        import torch

        unknown = [row for row in rows.tolist() if self._labels[row] is None]
        for_each(
            len(unknown),
            lambda place: self.read(unknown[place], lambda image: None),
            concurrent=False,
            progress=self._progress,
            stage=f"classes of {self._name}",
        )
        return torch.tensor([self._labels[row] for row in rows.tolist()], dtype=torch.int64)

    def _item(self, index: int) -> tuple[Image, int]:
        label: Any
        try:
            image, label = self._dataset[index]
            picture = _picture(image)
            if picture is not None:
                picture.load()
        except (PrunecliError, MemoryError):
            raise
        except Exception as error:  # each data set fails in its own way
            reason = str(error).partition("\n")[0]
            hint = f"{type(error).__name__}: {reason}"
            raise UnreadableImage(f"{self.name(index)} cannot be read", hint) from error
        if picture is None or not _is_integer(label):
            given = f"{self._name} does not give an image and a class: {_kind(image)} and {_kind(label)}"
            raise InputRefused(given, hints=[_VALID])
        return picture, int(label)


def parts_of_items(
    datasets: Mapping[str, IndexedImages],
    *,
    name: str,
    request: DataRequest,
    labels_known: bool = False,
) -> DataParts:
    """The parts "train", "test" and, where there is one, "validation" from map-style data sets.

    The normalisation is the training part's own mean and deviation. `labels_known` says that the sets'
    `targets` may be believed. Raises InputRefused for what is no set of images and classes.
    """
    for part, dataset in datasets.items():
        if getattr(dataset, "classes", None) != getattr(datasets["train"], "classes", None):
            raise InputRefused(
                f"the {part} part of {name} has other classes than its train part",
                hints=["the attribute `classes` of the two data sets differs"],
            )
    pictures = {
        part: PictureItems(
            dataset,
            name=f"{name}, {part} part",
            labels=known_labels(dataset) if labels_known else None,
            progress=request.progress,
        )
        for part, dataset in datasets.items()
    }
    found = assemble(
        [
            Listing(name=part, where=f"the {part} part of {name}", pictures=each, labels=each.labels)
            for part, each in pictures.items()
        ],
        classes=None,
        request=request,
    )
    names = class_names(datasets["train"], found.splits["train"].labels)
    splits = {part: replace(split, classes=len(names)) for part, split in found.splits.items()}
    mean, std = channel_statistics(splits["train"])
    return DataParts(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        classes=names,
        mean=mean,
        std=std,
        notes=found.notes,
    )


def class_names(dataset: object, labels: Tensor) -> tuple[str, ...]:
    """The `classes` that the set names, else the numbers up to the highest label."""
    names: Any = getattr(dataset, "classes", None)
    if not isinstance(names, Sequence) or isinstance(names, str):
        return tuple(str(label) for label in range(int(labels.max()) + 1))
    return tuple(name if isinstance(name, str) else _joined(name) for name in names)


def known_labels(dataset: IndexedImages) -> list[int] | None:
    """The `targets` of a set of torchvision, where they are one integer an image."""
    targets: Any = getattr(dataset, "targets", None)
    targets = targets.tolist() if hasattr(targets, "tolist") else targets
    if not isinstance(targets, list) or len(targets) != len(dataset) or not all(map(_is_integer, targets)):
        return None
    return [int(target) for target in targets]


def _joined(name: object) -> str:
    """ImageNet has several names a class."""
    return " ".join(map(str, name)) if isinstance(name, Sequence) else str(name)


def _length(dataset: IndexedImages, name: str) -> int:
    try:
        if hasattr(dataset, "__getitem__"):
            return len(dataset)
    except TypeError:
        pass
    raise InputRefused(
        f"{name} is {type(dataset).__name__}, which has no length or no images by number",
        hints=["valid: a map-style data set, with __len__ and __getitem__"],
    )


def _picture(image: object) -> Image | None:
    """A Pillow image of what the set gave, None where it is neither an image nor bytes of one."""
    import numpy as np
    import torch
    from PIL import Image as Pillow

    if isinstance(image, Pillow.Image):
        return image
    if not isinstance(image, torch.Tensor) or image.dtype != torch.uint8:
        return None
    pixels = image[0] if image.ndim == 3 and image.shape[0] == 1 else image
    if pixels.ndim == 2:
        return Pillow.fromarray(np.ascontiguousarray(pixels.numpy()))
    if pixels.ndim == 3 and pixels.shape[0] == 3:
        return Pillow.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    return None


def _is_integer(label: object) -> bool:
    import torch

    if isinstance(label, torch.Tensor):
        return label.ndim == 0 and not label.is_floating_point()
    return isinstance(label, Integral)


def _kind(value: object) -> str:
    """A tensor with its type and shape, anything else by its class."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return f"{dtype} {tuple(shape)}" if shape is not None and dtype is not None else type(value).__name__
