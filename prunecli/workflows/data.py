"""The images of a command, with the normalisation that the network needs."""

from __future__ import annotations

from dataclasses import dataclass

from prunecli.data import DataSet, open_data
from prunecli.errors import InputRefused
from prunecli.progress import Progress, remark, silent
from prunecli.workflows.opening import Opened

DIGITS = (1, 8, 8)


@dataclass(frozen=True, eq=False)
class Images:
    """A data set in the network's input shape; `mean` and `std` as the network was trained with."""

    data: DataSet
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: tuple[str, ...]


def open_images(
    opened: Opened,
    spec: str | None,
    *,
    seed: int = 0,
    validation_share: float = 0.1,
    skip_bad_images: bool = False,
    progress: Progress = silent,
) -> Images:
    """The data that `spec` names, the bundled digits for None. Raises InputRefused when it does not fit."""
    shape = opened.architecture.input_shape
    if len(shape) != 3:
        raise InputRefused(
            f"{opened.architecture.name} reads no images: its input has {len(shape)} dimensions"
        )
    channels, height, width = shape
    if spec is None and shape != DIGITS:
        size = "x".join(str(each) for each in shape)
        raise InputRefused(
            f"no data was given, and the bundled digits do not fit a network for {size}",
            hints=["give it: --data FOLDER or --data torchvision:NAME:FOLDER"],
        )
    data = open_data(
        spec,
        seed=seed,
        validation_share=validation_share,
        image_shape=(channels, height, width),
        skip_bad=skip_bad_images,
        progress=progress,
    )
    notes = list(data.notes)
    if spec is None:
        notes.append(f"no data was given: taking {data.name}")
    if opened.mean is None or opened.std is None:
        notes.append(f"normalising with mean {_list(data.mean)} and std {_list(data.std)}: see --mean, --std")
    remark(progress, notes)
    return Images(data, opened.mean or data.mean, opened.std or data.std, tuple(notes))


def _list(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
