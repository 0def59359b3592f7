"""The data sets of timm, from files that are already on this machine: never a download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prunecli.data.assembling import Listing, assemble
from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.items import parts_of_items
from prunecli.data.pictures import PictureFiles
from prunecli.data.pixels import channel_statistics
from prunecli.errors import InputRefused, WrongUse

_FORM = "valid: timm:folder:FOLDER, or timm:torch/NAME:FOLDER as in timm:torch/cifar10:/data"
# timm itself falls back to the whole folder where a part is missing, so the parts are looked up here.
_SYNONYMS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "eval", "evaluation"),
    "test": ("test",),
}


@data_source("timm", source="timm.data.create_dataset (Wightman 2019), as an extra")
def timm_files(request: DataRequest) -> DataParts:
    """A data set of timm by name and folder, timm:folder:/data or timm:torch/cifar10:/data (no download).

    `folder` orders classes as timm's checkpoints do, numbers in names by value (class2 before class10), and
    takes the deepest folder for the class. `torch/NAME` are the sets of torchvision that timm knows. The
    normalisation is the training part's own mean and deviation. Raises WrongUse for an argument of another
    form, InputRefused for a name that is unknown or a stream, absent files or no timm.
    """
    name, _, root = request.argument.partition(":")
    if not name or not root:
        raise WrongUse(f"timm:{request.argument} is not NAME:FOLDER", hints=[_FORM])
    create = _create_dataset()
    if name == "folder":
        return _folder(create, Path(root).expanduser(), request)
    if not name.startswith("torch/") or name in {"torch/folder", "torch/image_folder"}:
        raise InputRefused(
            f"timm's {name!r} is not read here",
            hints=[_FORM, "sets of Hugging Face: hf:NAME", "image folders as torchvision reads them: FOLDER"],
        )
    # Those that know no validation part by this name give their test part for it; qmnist wants "test".
    held = "test" if name == "torch/qmnist" else "validation"
    opened = {
        part: _created(create, name, root, split) for part, split in (("train", "train"), ("test", held))
    }
    return parts_of_items(opened, name=f"timm's {name}", request=request, labels_known=True)


def _create_dataset() -> Callable[..., Any]:
    from prunecli.torchvision_import import load_torchvision

    try:
        load_torchvision()
        from timm.data import create_dataset
    except ImportError as error:
        raise InputRefused(
            "timm cannot be imported here",
            hints=[str(error).partition("\n")[0], "install it with: pip install 'prunecli[timm]'"],
        ) from error
    create: Callable[..., Any] = create_dataset
    return create


def _created(create: Callable[..., Any], name: str, root: str, split: str) -> Any:
    try:
        return create(name, root=root, split=split, download=False)
    except Exception as error:  # each data set has its own way to say that its files are absent
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputRefused(
            f"timm's {name} cannot be opened in {root}",
            hints=[reason, "nothing is downloaded: the files must lie there already"],
        ) from error


def _folder(create: Callable[..., Any], root: Path, request: DataRequest) -> DataParts:
    folders = _part_folders(root)
    # A missing test part is served by the validation part, as with image folders.
    if "test" not in folders:
        folders["test"] = folders.pop("validation")
    listings, found = [], {}
    for part, folder in folders.items():
        # Only the list of files is taken: the set itself gives the next image for one that is corrupt.
        reader = _created(create, "", str(folder), "").reader
        found[part] = tuple(reader.class_to_idx)
        if found[part] != found["train"]:
            odd = sorted(set(found[part]) ^ set(found["train"]))
            raise InputRefused(
                f"{folders['train']} has {len(found['train'])} classes and {folder} has {len(found[part])}",
                hints=[f"only in one of them: {', '.join(odd[:5])}"],
            )
        listings.append(_listing(part, folder, reader.samples))
    made = assemble(listings, classes=len(found["train"]), request=request)
    mean, std = channel_statistics(made.splits["train"])
    return DataParts(
        train=made.splits["train"],
        validation=made.splits.get("validation"),
        test=made.splits["test"],
        classes=found["train"],
        mean=mean,
        std=std,
        notes=made.notes,
    )


def _part_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for part, names in _SYNONYMS.items():
        for name in names:
            if (root / name).is_dir():
                found.setdefault(part, root / name)
    if "train" not in found or len(found) < 2:
        missing = "train" if "train" not in found else "test (or validation)"
        raise InputRefused(f"{root} has no folder {missing}", hints=[_FORM])
    return found


def _listing(part: str, folder: Path, samples: list[tuple[str, int]]) -> Listing:
    import torch

    labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
    paths = [path for path, _ in samples]
    return Listing(name=part, where=str(folder), pictures=PictureFiles(paths), labels=labels.__getitem__)
