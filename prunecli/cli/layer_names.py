"""Names of layers for the shell to complete, read from a checkpoint's header; nothing of it is run.

A shell waits for every answer and shows no error, so whatever goes wrong here means that nothing is offered.
What reads the files is loaded when a shell asks, for every command loads this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import typer

from prunecli.checkpoints import default_sample

_MOST_BYTES = 16 << 20  # of a header or a pickle: more would keep the shell waiting
_WEIGHT = ".weight"
_LINES = ("_TYPER_COMPLETE_ARGS", "COMP_WORDS")
"""Where shells say what has been typed."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What training wraps around a network, and the network's own names do without."""


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """The layers of the checkpoint on the line, else of the sample, that begin as typed."""
    return [name for name in _names(ctx) if name.startswith(incomplete)]


def layers_with_ratio(ctx: typer.Context, incomplete: str) -> list[str]:
    """The same, ready for a ratio after them."""
    return [f"{name}=" for name in _names(ctx) if name.startswith(incomplete)]


def names_in(path: Path) -> list[str]:
    """Holders of weights in the order of the file; raises what reading a damaged file raises."""
    with path.open("rb") as file:
        start = file.read(8)
    found = _of_zip(path) if start[:2] == b"PK" else _of_safetensors(path, int.from_bytes(start, "little"))
    return [*dict.fromkeys(_plain(name) for name in found if name.endswith(_WEIGHT))]


def _names(ctx: typer.Context) -> list[str]:
    given = ctx.params.get("checkpoint")
    path = (given[0] if isinstance(given, (list, tuple)) and given else given) or _checkpoint_typed()
    try:
        return names_in(Path(path) if path else default_sample())
    except Exception:
        return []


def _checkpoint_typed() -> str | None:
    """The checkpoint among the words on the line, which is not parsed before the last option has its value.

    It is the word after the command, or else one that is a file.
    """
    line = next((os.environ[name] for name in _LINES if os.environ.get(name)), "")
    import shlex

    with suppress(ValueError):  # a quote that is not closed yet
        words = [str(Path(word).expanduser()) for word in shlex.split(line)[2:]]
        if words and not words[0].startswith("-"):
            return words[0]
        return next((word for word in words if Path(word).is_file()), None)
    return None


def _of_safetensors(path: Path, length: int) -> Iterator[str]:
    """Names of tensors that have filters: a norm's weight has one dimension."""
    import json

    if length > _MOST_BYTES:
        return
    with path.open("rb") as file:
        file.seek(8)
        header = json.loads(file.read(length))
    for name, entry in header.items():
        if name != "__metadata__" and len(entry["shape"]) > 1:
            yield name


def _of_zip(path: Path) -> Iterator[str]:
    """Texts in the pickle of a torch file; its opcodes are read and not carried out."""
    import pickletools
    import zipfile

    with zipfile.ZipFile(path) as archive:
        [info] = [each for each in archive.infolist() if each.filename.endswith("/data.pkl")]
        if info.file_size > _MOST_BYTES:
            return
        data = archive.read(info)
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("BINUNICODE", "SHORT_BINUNICODE") and isinstance(argument, str):
            yield argument


def _plain(tensor: str) -> str:
    name = tensor.removesuffix(_WEIGHT)
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name
