"""Options from `[tool.prunecli]` of the nearest pyproject.toml, or from prunecli.toml beside it.

Keys are option names of any command. A path is taken relative to the folder of its file. Trust in a
file's code is never configured: a cloned repository must not be able to grant it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.cli.coercion import several
from prunecli.cli.names import registry
from prunecli.errors import WrongUse, nearest
from prunecli.user_code import names_code

if TYPE_CHECKING:
    from typer._click.core import Parameter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PATHS = (
    *(
        "checkpoint",
        "plan",
        "plan_out",
        "output",
        "save",
        "scores",
        "plot",
        "plot_ranks",
        "report",
        "card",
        "sensitivity",
    ),
    *("teacher", "checkpoint_dir", "baseline", "junit"),
)
# A file that lies beside a checkpoint must not run code, and what belongs to one run is no habit.
NEVER = ("trust_pickle", "model", "resume", "help")


@dataclass(frozen=True)
class Configuration:
    """What a configuration file says; `path` is None when there is none."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How messages call it."""
        if self.path is None:
            return "no configuration"
        shown = os.path.relpath(self.path)
        return shown if self.path.name == "prunecli.toml" else f"[tool.prunecli] of {shown}"


NOTHING = Configuration()


def find(start: Path | None = None) -> Configuration:
    """The nearest configuration, from `start` (the current folder) upwards.

    A pyproject.toml without the table is passed by. Raises WrongUse for a file that is no TOML.
    """
    try:
        folder = (start or Path.cwd()).absolute()
    except FileNotFoundError:
        return NOTHING
    for place in (folder, *folder.parents):
        for name in ("prunecli.toml", "pyproject.toml"):
            values = _read(place / name)
            if values is not None:
                return Configuration(path=place / name, values=values)
    return NOTHING


def check(found: Configuration, known: Iterable[Parameter]) -> None:
    """Refuse a key that is no option of any command, with the nearest that is one."""
    names = {spelling.replace("_", "-") for param in known for spelling in _spellings(param)}
    names -= {name.replace("_", "-") for name in NEVER}
    for key in found.values:
        plain = key.replace("_", "-")
        if plain.replace("-", "_") in NEVER:
            raise _not_here(plain, found)
        if plain not in names:
            near = nearest(plain, names)
            hints = [f"did you mean {near!r}?"] if near else []
            raise WrongUse(
                f"unknown key {key!r} in {found.label}",
                hints=[*hints, "valid: the long options of any command"],
            )


def defaults(found: Configuration, params: Iterable[Parameter]) -> dict[str, Any]:
    """The configured values of one command's parameters, by parameter name."""
    chosen = {}
    for param in params:
        for key, value in found.values.items():
            if answers_to(param, key):
                chosen[param.name] = _given(value, param, found)
    return chosen


def answers_to(param: Parameter, key: str) -> bool:
    """Whether `key` is one of the spellings of `param`."""
    return key.lstrip("-").replace("-", "_").lower() in _spellings(param)


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        document: Mapping[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUse(f"cannot read {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{path} is no valid TOML: {error}") from None
    except RecursionError:
        raise WrongUse(f"{path} is nested too deep") from None
    table = _table(document, "tool", "prunecli")
    if table is None and path.name == "prunecli.toml":
        return document
    return table


def _table(document: Mapping[str, Any], *names: str) -> Mapping[str, Any] | None:
    """A table inside tables; None where there is none."""
    found: Any = document
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def _spellings(param: Parameter) -> set[str]:
    words = {
        word.lstrip("-").replace("-", "_") for word in param.opts if not word.startswith("-") or "--" in word
    }
    return {param.name, *words}


def _given(value: Any, param: Parameter, found: Configuration) -> Any:
    """A TOML value as the command line would give it: text, a list of texts, or a switch."""
    if isinstance(value, dict):
        raise WrongUse(
            f"{param.name} in {found.label} is a table", hints=["valid: a text, a number or a list"]
        )
    if isinstance(value, bool) and getattr(param, "is_flag", False):
        return value
    texts = [
        _resolved(str(item), param.name, found) for item in (value if isinstance(value, list) else [value])
    ]
    return texts if several(param) else ",".join(texts)


def _not_here(what: str, found: Configuration) -> WrongUse:
    option = "data" if what.startswith("data") else what
    return WrongUse(f"{what} cannot be set in {found.label}", hints=[f"give --{option} on the command line"])


def _is_code(data: str) -> bool:
    """Whether a data specification is a function of somebody's own, not a source by its name."""
    head = data.partition(":")[0]
    return head == "own" or (head not in registry("data") and names_code(data))


def _resolved(text: str, name: str, found: Configuration) -> str:
    """Paths of the file seen from the current folder; everything else as it stands."""
    folder = found.path.parent if found.path else Path()
    if name in PATHS:
        return text if text == "-" else os.path.relpath(folder / Path(text).expanduser())
    if name == "data":
        if _is_code(text):
            raise _not_here("data that is code", found)
        *head, last = text.split(":", 2)
        if len(head) == 2 or (not head and (folder / last).is_dir()):
            return ":".join([*head, os.path.relpath(folder / last)])
    return text
