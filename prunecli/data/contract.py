"""What a data source is: a function from a request to decoded parts, registered under a name.

A new source is one function in a file of this folder, or of a third party's package that joins
through the entry-point group `prunecli.data`:

    @data_source("digits", source="Alpaydin & Kaynak 1998, by scikit-learn")
    def digits(request: DataRequest) -> DataParts:
        '''Caption for the catalog.'''
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prunecli.data.shapes import ImageShape
from prunecli.progress import Progress, silent
from prunecli.registry import Registry

if TYPE_CHECKING:
    from prunecli.data.splits import Split


@dataclass(frozen=True)
class DataRequest:
    """What is asked of a source: `NAME:argument`, the (C, H, W) wanted (None: its own), and a listener.

    `skip_bad` allows it to leave out images that cannot be read, with a note; `on_disk` asks for images that
    are decoded each time, however few they are. A source whose images are in memory may pass both over.
    """

    argument: str = ""
    image_shape: ImageShape | None = None
    progress: Progress = silent
    skip_bad: bool = False
    on_disk: bool = False


@dataclass(frozen=True, kw_only=True)
class DataParts:
    """What a source gives: its training and test part, and a validation part only if it comes with one."""

    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation: Split | None = None
    notes: tuple[str, ...] = ()


SourceFunction = Callable[[DataRequest], DataParts]


@dataclass(frozen=True)
class DataSource:
    """A registered source: its name, what opens it, where the images come from and its catalog line."""

    name: str
    function: SourceFunction
    source: str
    caption: str


DATA_SOURCES: Registry[DataSource] = Registry("data source", package="prunecli.data", group="prunecli.data")


def data_source(name: str, *, source: str) -> Callable[[SourceFunction], SourceFunction]:
    """Register the decorated function as the data source `name`; its first docstring line is the caption."""

    def register(function: SourceFunction) -> SourceFunction:
        caption = (function.__doc__ or "").strip().partition("\n")[0]
        DATA_SOURCES.register(name, DataSource(name, function, source, caption))
        return function

    return register
