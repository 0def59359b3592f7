"""What an exporter is given, what it must prove, and how one joins.

An exporter writes one file to the path it is given and reads it back in the runtime that will use it.
One that is registered by a package under the entry-point group `prunecli.exporters` joins like this:

    @exporter("onnx", packages=("onnx", "onnxruntime"), extra="onnx", source="...", suffix=".onnx")
    def export_onnx(model, path, *, input_shape, samples, opset) -> ExportCheck:
        \"\"\"ONNX with a free batch dimension, checked in onnxruntime.\"\"\"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from prunecli.errors import WrongUse
from prunecli.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class ExportCheck:
    """What the check of a written file found."""

    runtime: str
    """What read the file back, with its version."""
    max_abs_error: float
    """The largest difference of any output to the model's own."""
    tolerance: float
    """The largest difference that counts as equivalent, in the same unit."""
    equivalent: bool
    notes: tuple[str, ...] = ()
    """Lines for people: which route was taken and why, how the predictions agree."""

    def document(self) -> dict[str, Any]:
        """The JSON of the check."""
        return {
            "runtime": self.runtime,
            "max_abs_error": self.max_abs_error,
            "tolerance": self.tolerance,
            "equivalent": self.equivalent,
        }


class ExportFunction(Protocol):
    """The signature of every exporter."""

    def __call__(
        self,
        model: nn.Module,
        path: Path,
        *,
        input_shape: tuple[int, ...],
        samples: Tensor | None,
        opset: int | None,
    ) -> ExportCheck:
        """Write `model` to `path` and check it; `model` is left as it is.

        `input_shape` is without the batch axis, `samples` (N, *input_shape) are inputs as the model takes
        them, `opset` the version of the format's operators. Raises WorkFailed when what was written is not
        equivalent, WrongUse for an option that the format does not have.
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

    def require(self) -> None:
        """Check that the packages are there, without importing them; raises WrongUse with what to install."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            install = f'"prunecli[{self.extra}]"' if self.extra else " ".join(missing)
            raise WrongUse(
                f"exporting to {self.name} needs {', '.join(missing)}", hints=[f"pip install {install}"]
            )

    def export(
        self,
        model: nn.Module,
        path: Path,
        *,
        input_shape: tuple[int, ...],
        samples: Tensor | None = None,
        opset: int | None = None,
    ) -> ExportCheck:
        """Check the packages, then write `model` to `path` and check what was written."""
        self.require()
        return self.function(model, path, input_shape=input_shape, samples=samples, opset=opset)


EXPORTERS: Registry[Exporter] = Registry("exporter", package=__package__, group="prunecli.exporters")


def exporter(
    name: str, *, packages: tuple[str, ...] = (), extra: str | None = None, source: str, suffix: str
) -> Callable[[ExportFunction], ExportFunction]:
    """Register the decorated function as the exporter `name`; the function itself stays as it was.

    Raises DuplicateName when another exporter has that name.
    """

    def register(function: ExportFunction) -> ExportFunction:
        caption = (inspect.getdoc(function) or "").partition("\n")[0]
        EXPORTERS.register(name, Exporter(name, function, packages, extra, source, suffix, caption))
        return function

    return register
