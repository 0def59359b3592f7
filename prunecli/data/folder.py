"""Image folders: `train/` and `test/` (or `val/`), one subfolder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prunecli.data.assembling import Listing, assemble
from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.decoding import SUFFIXES
from prunecli.data.pictures import PictureFiles
from prunecli.errors import InputRefused

# What torchvision's, timm's and most CIFAR checkpoints were trained with; grey is its mean.
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_MEAN, GREY_STD = (0.449,), (0.226,)

_LAYOUT = "expected: FOLDER/train/CLASS/*.jpg and FOLDER/test/CLASS/*.jpg (or val/)"


@dataclass(frozen=True)
class _Part:
    """The files of one part, in order of class and name; `labels` are indices into `classes`.

    `others` are the files that have no image's ending.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    others: tuple[str, ...]


@data_source("folder", source="the layout of torchvision.datasets.ImageFolder")
def folder(request: DataRequest) -> DataParts:
    """A folder of images: train/CLASS/* and test/CLASS/* (or val/), classes in alphabetical order.

    All images are decoded once into memory, or stay on disk where that is too small. Where `train`, `val`
    and `test` are all there, `val` is the validation part; else that part is split off `train`. Hidden files
    and folders do not count; files of other endings are left out with a note. Raises InputRefused for a
    missing part, an empty class, parts with different classes, a corrupt file, and images that do not fit.
    """
    root = Path(request.argument).expanduser()
    parts = {name: _list(root / name) for name in _part_names(root)}
    train = parts["train"]
    for part in parts.values():
        _check_classes(part, train)
    found = assemble([_listing(part) for part in parts.values()], classes=len(train.classes), request=request)
    splits = found.splits
    grey = splits["train"].image_shape[0] == 1
    return DataParts(
        train=splits["train"],
        test=splits["test"] if "test" in splits else splits["val"],
        validation=splits["val"] if "test" in splits and "val" in splits else None,
        classes=train.classes,
        mean=GREY_MEAN if grey else RGB_MEAN,
        std=GREY_STD if grey else RGB_STD,
        notes=(*_passed_over(parts.values()), *found.notes),
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
    classes = _class_folders(part)
    if not classes:
        raise InputRefused(f"{part} has no class folders", hints=[_LAYOUT])
    paths: list[str] = []
    labels: list[int] = []
    others: list[str] = []
    for label, name in enumerate(classes):
        files, odd = _files_under(part / name)
        if not files:
            raise InputRefused(
                f"the class folder {part / name} has no images",
                hints=[
                    f"valid endings: {' '.join(SUFFIXES)}",
                    "remove the folder from every part, or fill it",
                ],
            )
        paths += files
        others += odd
        labels += [label] * len(files)
    return _Part(part, classes, tuple(paths), tuple(labels), tuple(others))


def _class_folders(part: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(each.name for each in part.iterdir() if each.is_dir() and each.name[0] != "."))
    except OSError as error:
        raise _unlisted(error) from error


def _files_under(folder: Path) -> tuple[list[str], list[str]]:
    """Images, and files that are none, each sorted by path."""
    images: list[str] = []
    others: list[str] = []

    def refuse(error: OSError) -> None:
        raise _unlisted(error) from error

    for where, folders, names in os.walk(folder, onerror=refuse):
        # Hidden folders hold copies: of a notebook, of a file browser.
        folders[:] = [name for name in folders if name[0] != "."]
        for name in names:
            if name[0] != ".":
                kind = images if name.lower().endswith(SUFFIXES) else others
                kind.append(os.path.join(where, name))  # noqa: PTH118 - a Path a file costs half a second on 60 000
    return sorted(images), sorted(others)


def _unlisted(error: OSError) -> InputRefused:
    return InputRefused(f"{error.filename} cannot be listed", hints=[error.strerror or type(error).__name__])


def _passed_over(parts: Iterable[_Part]) -> list[str]:
    others = [path for part in parts for path in part.others]
    if not others:
        return []
    files = "1 file has" if len(others) == 1 else f"{len(others)} files have"
    return [f"{files} no ending of an image and did not count, the first: {others[0]}"]


def _check_classes(part: _Part, train: _Part) -> None:
    if part.classes == train.classes:
        return
    odd = sorted(set(part.classes) ^ set(train.classes))
    raise InputRefused(
        f"{train.folder} has {len(train.classes)} classes and {part.folder} has {len(part.classes)}",
        hints=[f"only in one of them: {', '.join(odd[:5])}"],
    )


def _listing(part: _Part) -> Listing:
    import torch

    labels = torch.tensor(part.labels, dtype=torch.int64)
    return Listing(
        name=part.folder.name,
        where=str(part.folder),
        pictures=PictureFiles(part.paths),
        labels=labels.__getitem__,
    )
