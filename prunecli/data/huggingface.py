"""Sets of Hugging Face `datasets`: from a folder on this machine, or by a name of the hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.data.assembling import Listing, assemble
from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.decoding import Read, UnreadableImage, read_image
from prunecli.data.pixels import channel_statistics
from prunecli.errors import InputRefused, PrunecliError, WrongUse

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_FORM = "valid: hf:FOLDER, hf:NAME or hf:NAME:CONFIGURATION, as in hf:/data/flowers or hf:cifar10"
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_VALIDATION = ("validation", "valid", "val", "dev")


@data_source("hf", source="Lhoest et al. 2021, arXiv:2109.02846, by the datasets package, as an extra")
def huggingface(request: DataRequest) -> DataParts:
    """A set of Hugging Face datasets: hf:FOLDER (no download), or hf:NAME from the hub.

    The folder is one that `save_to_disk` wrote, or one of images or Parquet files; data sets that bring
    code are not run. The first column of images and the first of class labels are taken, and the parts
    "train" and "test", or "validation" where there is no other with labels. The normalisation is the
    training part's own mean and deviation. Raises WrongUse for no name, InputRefused for what cannot be
    opened, has no such column or no two parts.
    """
    loaded = _load(request.argument)
    name = f"hf:{request.argument}"
    train = _first(loaded, ("train",))
    if train is None:
        raise InputRefused(f"{name} has no part train", hints=[f"its parts: {', '.join(loaded)}"])
    columns, notes = _columns(loaded[train], name)
    chosen, more = _parts(loaded, train, columns, name)
    classes = tuple(loaded[train].features[columns.label].names)
    listings = [_listing(part, loaded[key], columns, classes, name) for part, key in chosen.items()]
    found = assemble(listings, classes=len(classes), request=request)
    mean, std = channel_statistics(found.splits["train"])
    return DataParts(
        train=found.splits["train"],
        validation=found.splits.get("validation"),
        test=found.splits["test"],
        classes=classes,
        mean=mean,
        std=std,
        notes=(*notes, *more, *found.notes),
    )


@dataclass(frozen=True)
class _Columns:
    """Which column holds the images, and which the classes."""

    image: str
    label: str


@dataclass(frozen=True, eq=False)
class _Rows:
    """The undecoded images of a column: bytes, or the path of a file."""

    dataset: Any
    column: str
    where: str

    @property
    def concurrent(self) -> bool:
        """Arrow tables may be read by several threads."""
        return True

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """The number of the image, and the part."""
        return f"image {index} of {self.where}"

    def read(self, index: int, look: Callable[[Image], Read]) -> Read:
        """`look` of the image."""
        cell = self.dataset[index][self.column] or {}
        content, path = cell.get("bytes"), cell.get("path")
        if content is not None:
            return read_image(BytesIO(content), self.name(index), look)
        if path is None:
            raise UnreadableImage(f"{self.name(index)} is not there", "the cell is empty")
        # A path, never an address: nothing is fetched here.
        return read_image(path, f"{path}, {self.name(index)},", look)


def _load(argument: str) -> Mapping[str, Any]:
    """Part → `datasets.Dataset`."""
    if not argument:
        raise WrongUse("hf: is not followed by a folder or a name", hints=[_FORM])
    datasets = _package()
    folder = Path(argument).expanduser()
    name, _, configuration = argument.partition(":")
    local = folder.is_dir()
    if not local and not _HUB_NAME.fullmatch(name):
        raise InputRefused(f"there is no folder {argument}, and it is no name of the hub", hints=[_FORM])
    try:
        with _no_bars(datasets):
            if not local:
                loaded = datasets.load_dataset(name, configuration or None)
            elif any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json")):
                loaded = datasets.load_from_disk(str(folder))
            else:
                _refuse_addresses(folder)
                loaded = datasets.load_dataset(str(folder))
    except PrunecliError:
        raise
    except Exception as error:  # it fails in many ways: files, features, the network
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise InputRefused(f"hf:{argument} cannot be opened", hints=[reason, _FORM]) from error
    if not isinstance(loaded, Mapping):
        raise InputRefused(
            f"hf:{argument} is one part, not a training and a test part",
            hints=["save a DatasetDict with the parts train and test"],
        )
    return loaded


def _package() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise InputRefused(
            "the package datasets is not installed", hints=["install it with: pip install 'prunecli[data]'"]
        ) from error


def _refuse_addresses(folder: Path) -> None:
    """A card beside the files may send the package to the network, which nobody asked for."""
    yaml = importlib.import_module("yaml")
    for name in (".huggingface.yaml", "README.md"):
        card = folder / name
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        if name == "README.md":
            text = text.split("---\n", 2)[1] if text.startswith("---\n") else ""
        settings = yaml.safe_load(text)
        if isinstance(settings, dict) and "://" in str(settings.get("configs")):
            raise InputRefused(f"{card} names files by an address: nothing is fetched for a folder")


@contextmanager
def _no_bars(datasets: Any) -> Iterator[None]:
    """Without the package's own bars on standard error."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _first(loaded: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in loaded), None)


def _columns(dataset: Any, name: str) -> tuple[_Columns, list[str]]:
    """The first column of each kind, with a note where there are several."""
    datasets, features = _package(), dataset.features
    chosen, notes = [], []
    for kind, words in ((datasets.Image, "images"), (datasets.ClassLabel, "class labels")):
        found = [key for key, feature in features.items() if isinstance(feature, kind)]
        if not found:
            there = ", ".join(f"{key} ({_kind(feature)})" for key, feature in features.items())
            raise InputRefused(f"{name} has no column of {words}", hints=[f"its columns: {there}"])
        if len(found) > 1:
            notes.append(f"{name} has several columns of {words} ({', '.join(found)}): taking {found[0]}")
        chosen.append(found[0])
    return _Columns(*chosen), notes


def _kind(feature: object) -> str:
    return str(getattr(feature, "dtype", None) or type(feature).__name__)


def _parts(
    loaded: Mapping[str, Any], train: str, columns: _Columns, name: str
) -> tuple[dict[str, str], list[str]]:
    """What serves as which part: "train", "test" and, where there is one, "validation"."""
    test, validation = _first(loaded, ("test",)), _first(loaded, _VALIDATION)
    notes = []
    if test is not None and validation is not None and not _labelled(loaded[test], columns):
        notes.append(f"the part {test} of {name} has no labels: {validation} is the test part")
        test = None
    if test is None:
        test, validation = validation, None
    if test is None:
        raise InputRefused(
            f"{name} has no part test or validation", hints=[f"its parts: {', '.join(loaded)}"]
        )
    return {"train": train, "test": test, **({"validation": validation} if validation else {})}, notes


def _labelled(dataset: Any, columns: _Columns) -> bool:
    """Whether any image has a class: the hub's test parts often have −1 throughout."""
    return columns.label not in dataset.features or any(
        label is not None and label >= 0 for label in _labels(dataset, columns)
    )


def _labels(dataset: Any, columns: _Columns) -> list[int | None]:
    labels: list[int | None] = dataset.with_format(None).select_columns([columns.label])[:][columns.label]
    return labels


def _listing(part: str, dataset: Any, columns: _Columns, classes: tuple[str, ...], name: str) -> Listing:
    import torch

    where = f"the {part} part of {name}"
    for column in (columns.image, columns.label):
        if column not in dataset.features:
            raise InputRefused(f"{where} has no column {column}", hints=["the training part has it"])
    if tuple(getattr(dataset.features[columns.label], "names", ())) != classes:
        raise InputRefused(f"{where} has other classes than the training part")
    labels = _labels(dataset, columns)
    if None in labels:
        raise InputRefused(f"image {labels.index(None)} of {where} has no label")
    numbers: Tensor = torch.tensor(labels, dtype=torch.int64)
    raw = dataset.with_format(None).select_columns([columns.image])
    rows = _Rows(raw.cast_column(columns.image, _package().Image(decode=False)), columns.image, where)
    return Listing(name=part, where=where, pictures=rows, labels=numbers.__getitem__)
