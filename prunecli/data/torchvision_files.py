"""The data sets of torchvision, from files that are already on this machine: never a download."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.items import IndexedImages, parts_of_items
from prunecli.errors import InputRefused, WrongUse, nearest

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
    return parts_of_items(
        {"train": train, "test": test}, name=f"torchvision's {name}", request=request, labels_known=True
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
