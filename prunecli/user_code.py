"""A function of the user's own code, by "FILE.py:FUNCTION" or "package.module:FUNCTION"."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from prunecli.errors import InputRefused, PrunecliError, nearest


class NoSuchModule(InputRefused):
    """A function was named in a module that is not installed and does not lie in the working folder."""


def names_code(spec: str) -> bool:
    """Whether `spec` has the form of a function in a file or a module; nothing is looked up."""
    location, _, word = spec.rpartition(":")
    if not word.isidentifier():
        return False
    return location.endswith(".py") or all(part.isidentifier() for part in location.split("."))


def load_function(spec: str) -> Callable[..., Any]:
    """Run the file, or import the module, and give its function. Only for what the user named.

    Raises InputRefused when the file, the module or the name in it is missing, or when the code raises.
    """
    location = spec.rpartition(":")[0]
    return function_in(run_file(Path(location)) if location.endswith(".py") else _imported(location), spec)


def function_in(module: ModuleType, spec: str) -> Callable[..., Any]:
    """The function that `spec` names in `module`; InputRefused, with the nearest, when it is not there."""
    location, _, word = spec.rpartition(":")
    function = getattr(module, word, None)
    if not callable(function):
        valid = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
        near = nearest(word, valid)
        hints = [f"did you mean {near!r}?"] if near else []
        raise InputRefused(f"{location} has no function {word!r}", hints=hints)
    found: Callable[..., Any] = function
    return found


def run_file(path: Path) -> ModuleType:
    """Run `path` as a module that can import its neighbours; InputRefused when it is absent or fails."""
    path = path.expanduser()
    if not path.is_file():
        raise InputRefused(f"no file '{path}'", hints=["the part before the colon is a Python file"])
    path = path.resolve()
    name = f"prunecli_user_{path.stem}_{abs(hash(path)):x}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise InputRefused(f"{path.name} cannot be imported", hints=["it must be a Python file, *.py"])
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    with _told(path.name), _searched(path.parent, first=True):
        try:
            specification.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return module


def _imported(name: str) -> ModuleType:
    # Last, so that no file of the working folder hides a module that is installed.
    with _told(name), _searched(Path.cwd(), first=False):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise NoSuchModule(
                f"there is no module {name!r}",
                hints=["valid before the colon: a Python file, *.py, or a module that can be imported"],
            ) from error


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Failures of the user's code as refusals."""
    try:
        yield
    except PrunecliError:
        raise
    except Exception as error:
        raise InputRefused(f"{name} failed on import: {type(error).__name__}: {error}") from error


@contextmanager
def _searched(folder: Path, *, first: bool) -> Iterator[None]:
    """With `folder` among the places where modules are looked for."""
    if str(folder) in sys.path:
        yield
        return
    sys.path.insert(0 if first else len(sys.path), str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
