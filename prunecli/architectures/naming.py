"""Names of architectures: the list, and from a name to an architecture. Needs no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prunecli.architectures.architecture import Architecture
from prunecli.architectures.index import shipped_index
from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.errors import InputRefused

# Of networks that are the same in several sources, that of the source that stands first is taken
PREFERENCE = ("cifar", "digits", "torchvision", "timm")
# Names in transformers are model types, which say little without their source
KNOWN = (*PREFERENCE, "transformers")


def known_names() -> dict[str, str]:
    """One line with its source for every "source/name", installed or not."""
    return {
        f"{source}/{name}": line for source in PROVIDERS for name, line in PROVIDERS[source].names().items()
    }


def resolve(
    name: str, *, arguments: Mapping[str, Any] | None = None, input_shape: Sequence[int] | None = None
) -> Architecture:
    """The architecture called `name`, with its default arguments and input shape filled in.

    A name without its source serves where it can mean one network only. Raises InputRefused with the nearest
    candidates when there is none, or with all of them when there are several.
    """
    source, slash, short = name.partition("/")
    if not slash:
        source, short = _only_source(name)
    if source == "file":
        raise InputRefused(
            f"{name!r} is in a file of its author", hints=[f"give it with: --model PATH/{short}"]
        )
    if source not in PROVIDERS or not PROVIDERS[source].has(short):
        raise unknown_architecture(name)
    settled, shape = PROVIDERS[source].settle(short, arguments or {}, input_shape)
    return Architecture(f"{source}/{short}", settled, shape)


def unknown_architecture(name: str) -> InputRefused:
    """The error for a name that no source has, with the nearest ones."""
    names = list(known_names())
    short = {known: known.partition("/")[2] for known in names}
    wanted = name.partition("/")[2] or name
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.6)
    close = difflib.get_close_matches(wanted, set(short.values()), n=5, cutoff=0.6)
    near += [known for word in close for known in names if short[known] == word and known not in near]
    hints = [f"nearest: {', '.join(near[:5])}"] if near else []
    hints += ["all names: prunecli catalog architectures", "your own code: --model file.py:factory"]
    return InputRefused(f"unknown architecture {name!r}", hints=hints)


def _only_source(name: str) -> tuple[str, str]:
    """The source that has `name`; the preferred one where all mean the same network."""
    holders = [source for source in PREFERENCE if name in PROVIDERS[source].names()]
    holders += [source for source in PROVIDERS if source not in KNOWN and name in PROVIDERS[source].names()]
    if not holders:
        raise unknown_architecture(name)
    if len(holders) > 1 and not _all_one(f"{source}/{name}" for source in holders):
        choices = " or ".join(f"--arch {source}/{name}" for source in holders)
        raise InputRefused(f"{name!r} means several networks", hints=[f"say which: {choices}"])
    return holders[0], name


def _all_one(names: Iterable[str]) -> bool:
    """Whether the index has these names with the same tensors and the same function."""
    wanted = set(names)
    found = [entry for entry in shipped_index().entries if entry.name in wanted]
    functions = {(entry.fingerprint.names, entry.kin) for entry in found}
    return len(functions) == 1 and {entry.name for entry in found} == wanted
