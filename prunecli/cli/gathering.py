"""Groups of options as one parameter: a dataclass in a command's signature spreads over the command line."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from prunecli.cli import options
from prunecli.processes import launched

if TYPE_CHECKING:
    from prunecli.workflows.calibration_request import Calibration
    from prunecli.workflows.keeping import Keepsakes
    from prunecli.workflows.opening import Opening


@dataclass(frozen=True, kw_only=True)
class Described:
    """What is said of checkpoints, one or several."""

    arch: options.Arch = None
    model: options.Model = None
    input_shape: options.InputShape = None
    trust_pickle: options.TrustPickle = None
    ema: options.Ema = False
    device: options.Device = "cpu"

    def _opening(self, checkpoint: str | None, **more: Any) -> Opening:
        from prunecli.workflows.opening import Opening

        given = {field.name: getattr(self, field.name) for field in fields(Described)}
        shape = None if self.input_shape is None else tuple(self.input_shape)
        return Opening(**{**given, "input_shape": shape, "checkpoint": checkpoint, **more})


@dataclass(frozen=True, kw_only=True)
class Subject(Described):
    """Which model: the options that every command on a checkpoint has."""

    checkpoint: options.Checkpoint = None
    threads: options.Threads = None
    mean: options.Mean = None
    std: options.Std = None

    def opening(self) -> Opening:
        """The same as the workflows take it."""
        mean, std = (None if each is None else tuple(each) for each in (self.mean, self.std))
        return self._opening(self.checkpoint, threads=self.threads, mean=mean, std=std)


@dataclass(frozen=True, kw_only=True)
class Subjects(Described):
    """Which models: several checkpoints side by side."""

    checkpoint: options.Checkpoints = None

    def openings(self) -> list[Opening]:
        """The same as the workflows take them; without a checkpoint the sample's."""
        return [self._opening(path) for path in self.checkpoint or (None,)]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the file goes that a command writes."""

    output: options.Output = None
    force: options.Force = False


@dataclass(frozen=True, kw_only=True)
class CalibrationImages:
    """Which images criteria look at the network with."""

    data: options.Data = None
    batches: options.Batches = 8
    batch_size: options.BatchSize = 64
    skip_bad_images: options.SkipBadImages = False

    def calibration(self) -> Calibration:
        """The same as the workflows take it."""
        from prunecli.workflows.calibration_request import Calibration

        return Calibration(
            data=self.data,
            batches=self.batches,
            batch_size=self.batch_size,
            skip_bad_images=self.skip_bad_images,
        )


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A picture and a report of the result."""

    plot: options.Plot = None
    report: options.Report = None

    def keepsakes(self, *, force: bool, **more: Any) -> Keepsakes:
        """The same as the workflows take them."""
        from prunecli.workflows.keeping import Keepsakes

        return Keepsakes(plot=self.plot, report=self.report, force=force, command=command_line(), **more)


@dataclass(frozen=True, kw_only=True)
class Publishing(Drawing):
    """The same, and a model card for what was written."""

    card: options.Card = None
    base_model: options.BaseModel = None

    def keepsakes(self, *, force: bool, **more: Any) -> Keepsakes:
        """The same as the workflows take them."""
        return super().keepsakes(force=force, card=self.card, base_model=self.base_model, **more)


def command_line() -> str:
    """The command as it was typed, for a shell to take again."""
    return shlex.join(["prunecli", *sys.argv[1:]])


def resuming_line(folder: str) -> str:
    """The command as it was typed, going on with the run that is kept in `folder`."""
    said = any(word.partition("=")[0] == "--resume" for word in sys.argv)
    line = command_line() if said else f"{command_line()} {shlex.join(['--resume', folder])}"
    return f"by the same launcher, -m {line}" if launched()[1] > 1 else line


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How the result is shown; `format` is "path" where only the written file's path is wanted."""

    format: options.Format = "table"
    json: options.Json = False
    quiet: options.Quiet = False
    verbose: options.Verbose = False


def gathered(function: Callable[..., None]) -> Callable[..., None]:
    """`function` with each dataclass parameter replaced by that dataclass's fields."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        hint = _as_written(hints[name])
        if isinstance(hint, type) and is_dataclass(hint):
            groups[name] = hint
            parameters.extend(_parameters(hint))
        else:
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))

    def command(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        function(**made, **given)

    command.__name__ = function.__name__
    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _as_written(hint: Any) -> Any:
    """Python 3.10 puts an Optional around an annotation whose default is None, which hides the option."""
    inner = [each for each in get_args(hint) if hasattr(each, "__metadata__")]
    return inner[0] if get_origin(hint) is Union and inner else hint


def _parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
