"""The data sets of torchvision, from files that are already on this machine: never a download."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol

from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.decoding import check_memory, native_shape, stack_images
from prunecli.data.splits import ImageShape, Split
from prunecli.errors import InputRefused, WrongUse, nearest

if TYPE_CHECKING:
    from PIL.Image import Image


class IndexedImages(Protocol):
    """What a torchvision data set is: a length, and an image with its class at every index."""

    def __len__(self) -> int:
        """How many images there are."""

    def __getitem__(self, index: int) -> tuple[object, object]:
        """Image and class."""


_FORM = "valid: torchvision:NAME:FOLDER, as in torchvision:CIFAR10:/data"


@data_source("torchvision", source="torchvision.datasets")
def torchvision_files(request: DataRequest) -> DataParts:
    """A data set of torchvision by name and folder, torchvision:CIFAR10:/data (no download).

    Taken are the classification sets that know a training and a test part (by their `train` or `split`
    argument). The normalisation is the training part's own mean and deviation. Raises WrongUse for an
    argument of another form, InputRefused for an unknown name, absent files or no torchvision.
    """
    name, _, root = request.argument.partition(":")
    if not name or not root:
        raise WrongUse(f"torchvision:{request.argument} is not NAME:FOLDER", hints=[_FORM])
    constructor = _constructor(name)
    train = _construct(constructor, name, root, train=True)
    test = _construct(constructor, name, root, train=False)
    shape = request.image_shape or native_shape(_item(train, 0, name)[0], f"image 0 of {name}")
    check_memory(len(train) + len(test), shape)
    classes = _class_names(train)
    train_split = _decode(train, f"{name} train", shape=shape, classes=len(classes), request=request)
    mean, std = _statistics(train_split)
    return DataParts(
        train=train_split,
        test=_decode(test, f"{name} test", shape=shape, classes=len(classes), request=request),
        classes=classes,
        mean=mean,
        std=std,
    )


def _constructor(name: str) -> Callable[..., IndexedImages]:
    from prunecli.torchvision_import import load_torchvision

    try:
        datasets = load_torchvision().datasets
    except ImportError as error:
        raise InputRefused(
            "torchvision cannot be imported here",
            hints=[str(error).partition("\n")[0], "an image folder serves without it: --data FOLDER"],
        ) from error
    if name not in datasets.__all__:
        near = nearest(name, datasets.__all__)
        raise InputRefused(
            f"torchvision has no data set {name!r}", hints=[f"did you mean {near!r}?"] if near else []
        )
    constructor: Callable[..., IndexedImages] = getattr(datasets, name)
    return constructor


def _construct(
    constructor: Callable[..., IndexedImages], name: str, root: str, *, train: bool
) -> IndexedImages:
    known = inspect.signature(constructor).parameters
    if "train" in known:
        part: dict[str, Any] = {"train": train}
    elif "split" in known:
        part = {"split": "train" if train else "test"}
    else:
        raise InputRefused(
            f"torchvision's {name} has no training and test part to choose from",
            hints=["images in class folders are opened by their folder: --data FOLDER"],
        )
    try:
        return constructor(root, **part, **({"download": False} if "download" in known else {}))
    except Exception as error:  # each data set has its own way to say that its files are absent
        raise InputRefused(
            f"torchvision's {name} cannot be opened in {root}",
            hints=[str(error).partition("\n")[0], "nothing is downloaded: the files must lie there already"],
        ) from error


def _item(dataset: IndexedImages, index: int, name: str) -> tuple[Image, int]:
    """Image and label at `index`; raises InputRefused when the set gives something else."""
    from PIL.Image import Image

    try:
        image, label = dataset[index]
    except Exception as error:
        raise InputRefused(f"image {index} of {name} cannot be read", hints=[str(error)]) from error
    if not isinstance(image, Image) or not isinstance(label, Integral):
        raise InputRefused(f"torchvision's {name} does not give an image and a class")
    return image, int(label)


def _class_names(dataset: IndexedImages) -> tuple[str, ...]:
    names = getattr(dataset, "classes", None)
    if names is None:
        labels = getattr(dataset, "labels", None)
        if labels is None:
            labels = [dataset[index][1] for index in range(len(dataset))]
        return tuple(str(label) for label in range(int(max(labels)) + 1))
    return tuple(name if isinstance(name, str) else " ".join(name) for name in names)


def _decode(
    dataset: IndexedImages, name: str, *, shape: ImageShape, classes: int, request: DataRequest
) -> Split:
    import torch

    labels = torch.empty(len(dataset), dtype=torch.int64)

    def images() -> Iterator[Image]:
        for index in range(len(dataset)):
            image, labels[index] = _item(dataset, index, name)
            yield image

    exact = request.image_shape is None
    block = stack_images(
        images(), count=len(dataset), shape=shape, exact=exact, name=name, progress=request.progress
    )
    return Split(block, labels, classes)


def _statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation a channel on the 0..1 scale, to four digits as they are usually written."""
    means, deviations = [], []
    for channel in range(split.images.shape[1]):
        # A histogram of 256 counts is exact and needs no floating-point copy of the images.
        counts = split.images[:, channel].flatten().bincount(minlength=256).double()
        values = counts.new_tensor(range(256)) / 255
        mean = (counts * values).sum() / counts.sum()
        variance = (counts * (values - mean) ** 2).sum() / counts.sum()
        means.append(round(float(mean), 4))
        deviations.append(max(round(float(variance.sqrt()), 4), 1e-4))
    return tuple(means), tuple(deviations)
