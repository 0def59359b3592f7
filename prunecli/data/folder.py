"""Image folders: `train/` and `test/` (or `val/`), one subfolder a class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.decoding import SUFFIXES, check_memory, decode_files, file_shape
from prunecli.data.splits import ImageShape, Split
from prunecli.errors import InputRefused

# What torchvision's, timm's and most CIFAR checkpoints were trained with; grey is its mean.
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.449,), (0.226,)

_LAYOUT = "expected: FOLDER/train/CLASS/*.jpg and FOLDER/test/CLASS/*.jpg (or val/)"


@dataclass(frozen=True)
class _Part:
    """The files of one part, in order of class and name; `labels` are indices into `classes`."""

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]


@data_source("folder", source="the layout of torchvision.datasets.ImageFolder")
def folder(request: DataRequest) -> DataParts:
    """A folder of images: train/CLASS/* and test/CLASS/* (or val/), classes in alphabetical order.

    All images are decoded once into memory. Where `train`, `val` and `test` are all there, `val` is the
    validation part; else that part is split off `train`. Raises InputRefused for a missing part, an empty
    class, parts with different classes, a corrupt file, and images that do not fit `image_shape`.
    """
    root = Path(request.argument).expanduser()
    parts = {name: _list(root / name) for name in _part_names(root)}
    train = parts["train"]
    for part in parts.values():
        _check_classes(part, train)
    # Without a wanted shape the first image settles what every other one must look like.
    shape = request.image_shape or file_shape(train.paths[0])
    check_memory(sum(len(part.paths) for part in parts.values()), shape)
    splits = {name: _decode(part, shape=shape, request=request) for name, part in parts.items()}
    grey = splits["train"].image_shape[0] == 1
    return DataParts(
        train=splits["train"],
        test=splits["test"] if "test" in splits else splits["val"],
        validation=splits["val"] if "test" in splits and "val" in splits else None,
        classes=train.classes,
        mean=GREY_MEAN if grey else RGB_MEAN,
        std=GREY_STD if grey else RGB_STD,
    )


def _part_names(root: Path) -> list[str]:
    if not root.is_dir():
        raise InputRefused(f"{root} is not a folder of images", hints=[_LAYOUT])
    found = [name for name in ("train", "val", "test") if (root / name).is_dir()]
    if "train" not in found or len(found) < 2:
        missing = "train" if "train" not in found else "test (or val)"
        raise InputRefused(f"{root} has no folder {missing}", hints=[_LAYOUT])
    return found


def _list(part: Path) -> _Part:
    classes = tuple(sorted(entry.name for entry in part.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if not classes:
        raise InputRefused(f"{part} has no class folders", hints=[_LAYOUT])
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = _images_under(part / name)
        if not files:
            raise InputRefused(
                f"the class folder {part / name} has no images",
                hints=[
                    f"valid endings: {' '.join(SUFFIXES)}",
                    "remove the folder from every part, or fill it",
                ],
            )
        paths += files
        labels += [label] * len(files)
    return _Part(part, classes, tuple(paths), tuple(labels))


def _images_under(folder: Path) -> list[str]:
    found: list[str] = []
    for where, _, names in os.walk(folder):
        found += [
            os.path.join(where, name)  # noqa: PTH118 - a Path a file costs half a second on 60 000
            for name in names
            if name[0] != "." and name.lower().endswith(SUFFIXES)
        ]
    return sorted(found)


def _check_classes(part: _Part, train: _Part) -> None:
    if part.classes == train.classes:
        return
    odd = sorted(set(part.classes) ^ set(train.classes))
    raise InputRefused(
        f"{train.folder} has {len(train.classes)} classes and {part.folder} has {len(part.classes)}",
        hints=[f"only in one of them: {', '.join(odd[:5])}"],
    )


def _decode(part: _Part, *, shape: ImageShape, request: DataRequest) -> Split:
    import torch

    images = decode_files(
        part.paths,
        shape=shape,
        exact=request.image_shape is None,
        progress=request.progress,
        stage=f"decode {part.folder.name}",
    )
    return Split(images, torch.tensor(part.labels, dtype=torch.int64), len(part.classes))
