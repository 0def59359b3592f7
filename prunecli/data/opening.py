"""From what stands after `--data` to a data set in three parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli.data.contract import DATA_SOURCES, DataParts, DataRequest
from prunecli.data.shapes import ImageShape, check_shape
from prunecli.data.splits import DataSet, Split
from prunecli.data.splitting import stratified_share, take
from prunecli.errors import InputRefused, WrongUse, nearest
from prunecli.progress import Progress, silent
from prunecli.user_code import NoSuchModule, names_code

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = "digits"


def open_data(
    spec: str | None,
    *,
    seed: int = 0,
    validation_share: float = 0.1,
    image_shape: ImageShape | None = None,
    skip_bad: bool = False,
    on_disk: bool = False,
    progress: Progress = silent,
) -> DataSet:
    """The data set that `spec` names, decoded in memory where it fits, else on disk.

    `spec` is the name of a source ("digits"), a name with an argument ("torchvision:CIFAR10:/data"), an
    image folder, or a function of the user's own code ("FILE.py:FUNCTION"), which is run; None is "digits".
    A path that reads like a source's name is written with "./" before it. `image_shape` (C, H, W) is what
    the images are turned into; None leaves them as they are. `skip_bad` leaves out images that cannot be
    read, up to one in a hundred of a part, and says so in the notes; `on_disk` leaves even a small set on
    disk. Unless the source has a validation part of its own, `validation_share` of each class of the
    training part is set aside by `seed`; the test part is never touched.

    Raises WrongUse for a share outside 0..1 and InputRefused for data that is missing, corrupt, empty
    in some class or unlike `image_shape`.
    """
    if not 0 < validation_share < 1:
        raise WrongUse(f"the validation share must lie between 0 and 1, got {validation_share}")
    if image_shape is not None:
        check_shape(image_shape)
    request = DataRequest("", image_shape, progress, skip_bad, on_disk)
    name, parts = _read(spec or DEFAULT, request)
    _check_parts(parts, name)
    train, validation = _with_validation(parts, share=validation_share, seed=seed)
    return DataSet(
        name=name,
        train=train,
        validation=validation,
        test=parts.test,
        classes=parts.classes,
        mean=parts.mean,
        std=parts.std,
        notes=parts.notes,
    )


def _read(spec: str, request: DataRequest) -> tuple[str, DataParts]:
    head, _, argument = spec.partition(":")
    if head in DATA_SOURCES:
        source = DATA_SOURCES[head]
    elif Path(spec).expanduser().exists():
        source, argument = DATA_SOURCES["folder"], spec
    elif names_code(spec):
        source, argument = DATA_SOURCES["own"], spec
    else:
        raise _unknown(spec)
    try:
        return spec, source.function(replace(request, argument=argument))
    except NoSuchModule as error:
        raise (_unknown(spec) if argument == spec else error) from error


def _unknown(spec: str) -> InputRefused:
    near = nearest(spec.partition(":")[0], DATA_SOURCES)
    hints = [f"did you mean {near!r}?"] if near else []
    hints.append(f"valid: an image folder, or one of {', '.join(sorted(DATA_SOURCES))}")
    hints.append("one's own: FILE.py:FUNCTION or package.module:FUNCTION")
    return InputRefused(f"there is no data set and no folder {spec!r}", hints=hints)


def _check_parts(parts: DataParts, name: str) -> None:
    for part, split in (("training", parts.train), ("validation", parts.validation), ("test", parts.test)):
        if split is not None:
            _check_labels(split.labels, parts.classes, f"{part} part of {name}")


def _check_labels(labels: Tensor, classes: tuple[str, ...], where: str) -> None:
    if len(labels) == 0:
        raise InputRefused(f"the {where} has no images")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= len(classes):
        odd = lowest if lowest < 0 else highest
        raise InputRefused(f"the {where} has a label {odd}, but there are {len(classes)} classes")
    empty = [classes[index] for index in (labels.bincount(minlength=len(classes)) == 0).nonzero().flatten()]
    if empty:
        raise InputRefused(
            f"the {where} has no image of class {empty[0]!r}",
            hints=[f"{len(empty)} of {len(classes)} classes are empty there"],
        )


def _with_validation(parts: DataParts, *, share: float, seed: int) -> tuple[Split, Split]:
    if parts.validation is not None:
        return parts.train, parts.validation
    stay, aside = stratified_share(parts.train.labels, share=share, seed=seed)
    if len(aside) == 0:
        raise InputRefused(
            "no class has two training images, so none can be set aside for validation",
            hints=["give the data set a validation part of its own: val/ beside train/ and test/"],
        )
    return take(parts.train, stay), take(parts.train, aside)
