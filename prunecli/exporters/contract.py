"""What an exporter is given, what it must prove, and how one joins.

An exporter writes to the path it is given and reads it back in the runtime that will use it. One that is
registered by a package under the entry-point group `prunecli.exporters` joins like this:

    @exporter("onnx", packages=("onnx", "onnxruntime"), extra="onnx", source="...", suffix=".onnx")
    def export_onnx(model, path, task) -> ExportCheck:
        \"\"\"ONNX with a free batch dimension, checked in onnxruntime.\"\"\"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prunecli.errors import WrongUse
from prunecli.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

OPTIONS = ("opset", "dtype", "weights", "fuse")
"""What can be said of an export beside its format; each format says which it has."""
# Done to the network before any exporter sees it.
EVERYWHERE = ("dtype", "fuse")


@dataclass(frozen=True)
class Batch:
    """Inputs of one run, batch first, and what the network before any conversion gives for them.

    `expected` are the tensors among its outputs, in order; `real` says that the inputs are no random numbers.
    """

    inputs: tuple[Tensor, ...]
    expected: tuple[Tensor, ...]
    real: bool = False


@dataclass(frozen=True)
class ExportTask:
    """What is exported with, beside the network.

    `batches` are what to compare on, of several sizes; `names` are those of the inputs; `example` is one
    more batch, of two, to trace with; `tolerance` is the largest error over the largest output that counts
    as equivalent. `folded` batch norms are in the layers before them.
    """

    batches: tuple[Batch, ...]
    names: tuple[str, ...]
    example: tuple[Tensor, ...]
    tolerance: float = 1e-4
    opset: int | None = None
    weights: str | None = None
    folded: int = 0


@dataclass(frozen=True)
class ExportCheck:
    """What the check of what was written found."""

    runtime: str
    """What read the file back, with its version."""
    max_abs_error: float
    """The largest difference of any output to the model's own."""
    tolerance: float
    """The largest difference that counts as equivalent, in the same unit."""
    equivalent: bool
    notes: tuple[str, ...] = ()
    """Lines for people: which route was taken and why, how the predictions agree."""
    top1_agreement: float | None = None
    """The share of inputs with the same largest output; None where outputs are no classes."""
    inputs: int = 0
    """On how many inputs the two were compared, and how many of them were no random numbers."""
    real_inputs: int = 0

    def document(self) -> dict[str, Any]:
        """The JSON of the check."""
        return {name: value for name, value in asdict(self).items() if name != "notes"}


class ExportFunction(Protocol):
    """The signature of every exporter."""

    def __call__(self, model: nn.Module, path: Path, task: ExportTask, /) -> ExportCheck:
        """Write `model` to `path` and check it.

        `model` is on the CPU, in evaluation mode, takes its inputs by position, and is the exporter's to
        change. Files that belong to it are written beside `path`, under the names that `beside` says of it.
        Raises WorkFailed when what was written is not equivalent, WrongUse for a value of an option that
        the format does not have.
        """


@dataclass(frozen=True)
class Exporter:
    """A registered exporter."""

    name: str
    function: ExportFunction
    packages: tuple[str, ...]
    """Packages that must be importable."""
    extra: str | None
    """The extra of prunecli that installs them."""
    source: str
    suffix: str
    """How the name of such a file ends, with the dot."""
    caption: str
    """The first line of the function's docstring."""
    options: tuple[str, ...] = EVERYWHERE
    """Which of `OPTIONS` it has."""
    beside: tuple[str, ...] = ()
    """Names of files that may lie beside the main one, with {name} and {stem} of its name in them; of a
    folder, what may lie in it, the main file first."""
    always_beside: bool = False
    """Whether some of them always do, so that one stream cannot hold it all."""
    fixed_suffix: bool = False
    """Whether the runtime opens no file of another suffix."""
    folder: bool = False
    """Whether what is written is a folder."""
    runs: bool = True
    """Whether the network is run: one that is only stored need not be callable."""

    def require(self) -> None:
        """Check that the packages are there, without importing them; raises WrongUse with what to install."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            install = f'"prunecli[{self.extra}]"' if self.extra else " ".join(missing)
            raise WrongUse(
                f"exporting to {self.name} needs {', '.join(missing)}", hints=[f"pip install {install}"]
            )

    def refuse(self, given: dict[str, Any]) -> None:
        """Raise WrongUse for the first option with a value that this format does not have."""
        for option, value in given.items():
            if value and option not in self.options:
                have = ", ".join(f"--{each}" for each in self.options) or "none"
                raise WrongUse(
                    f"--to {self.name} has no --{option}", hints=[f"options of {self.name}: {have}"]
                )

    def companions(self, path: Path) -> tuple[Path, ...]:
        """The files that may lie beside `path`."""
        return tuple(path.with_name(each.format(name=path.name, stem=path.stem)) for each in self.beside)

    def export(self, model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
        """Check the packages, then write `model` to `path` and check what was written."""
        self.require()
        return self.function(model, path, task)


EXPORTERS: Registry[Exporter] = Registry("exporter", package=__package__, group="prunecli.exporters")


def exporter(
    name: str,
    *,
    packages: tuple[str, ...] = (),
    extra: str | None = None,
    source: str,
    suffix: str,
    options: tuple[str, ...] = EVERYWHERE,
    beside: tuple[str, ...] = (),
    always_beside: bool = False,
    fixed_suffix: bool = False,
    folder: bool = False,
    runs: bool = True,
) -> Callable[[ExportFunction], ExportFunction]:
    """Register the decorated function as the exporter `name`; the function itself stays as it was.

    Raises DuplicateName when another exporter has that name.
    """

    def register(function: ExportFunction) -> ExportFunction:
        caption = (inspect.getdoc(function) or "").partition("\n")[0]
        EXPORTERS.register(
            name,
            Exporter(
                name,
                function,
                packages,
                extra,
                source,
                suffix,
                caption,
                options=options,
                beside=beside,
                always_beside=always_beside,
                fixed_suffix=fixed_suffix,
                folder=folder,
                runs=runs,
            ),
        )
        return function

    return register
