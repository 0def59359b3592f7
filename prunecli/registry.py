"""Extension points: named members found on first look-up, built-in and third-party through the same door.

A room with a `contract.py` owns one `Registry`. Its other modules register members when they are
imported, which happens on the first look-up and never on `import prunecli`. A third party's package
joins through an entry point of the same group: loading the entry point imports a module that
registers its members with the same decorator.

Member modules must not import torch at module level, so that names can be listed and checked
without loading it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from prunecli.errors import PrunecliError, unknown_name

T = TypeVar("T")


class DuplicateName(PrunecliError):
    """Two members ask for the same name; whichever was second is refused."""


class Registry(Generic[T], Mapping[str, T]):
    """Members of one kind by name, in order of registration.

    `kind` is the word for error messages ("criterion"), `package` the room whose modules are
    imported on first look-up, `group` the entry-point group of third parties.
    """

    def __init__(self, kind: str, *, package: str, group: str) -> None:
        self.kind = kind
        self._package = package
        self._group = group
        self._members: dict[str, T] = {}
        self._filled = False

    def register(self, name: str, member: T) -> None:
        """Add `member`; a second member of the same name is refused."""
        if name in self._members:
            raise DuplicateName(f"the {self.kind} {name!r} is registered twice")
        self._members[name] = member

    def __getitem__(self, name: str) -> T:
        """The member called `name`; raises WrongUse with the nearest match otherwise."""
        self._fill()
        try:
            return self._members[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._members) from None

    def __contains__(self, name: object) -> bool:
        self._fill()
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(self._members)

    def __len__(self) -> int:
        self._fill()
        return len(self._members)

    def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True
        package = importlib.import_module(self._package)
        for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
            if module != "contract":
                importlib.import_module(f"{self._package}.{module}")
        for point in _entry_points().select(group=self._group):
            point.load()


@lru_cache(maxsize=1)
def _entry_points() -> Any:
    """Those of all installed packages, read from the disk once for all registries."""
    from importlib.metadata import entry_points  # it brings the parser of mails: not for `prunecli --help`

    return entry_points()  # EntryPoints, on Python 3.10 and 3.11 another class that selects alike
