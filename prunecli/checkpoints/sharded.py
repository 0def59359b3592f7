"""Sharded safetensors checkpoints: an index names, for every tensor, the file beside it that holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath

from torch import Tensor

from prunecli.checkpoints.header import Header, strict_json
from prunecli.checkpoints.safetensors import load_safetensors
from prunecli.checkpoints.sniff import SAFETENSORS
from prunecli.checkpoints.source import Source, open_source
from prunecli.checkpoints.wording import counted, listed, shown
from prunecli.errors import InputRefused

MAX_INDEX_BYTES = 32 << 20
MAX_INDEXED = 100_000  # tensors over all shards

Load = Callable[[Source], tuple[dict[str, Tensor], Header]]
"""How the tensors of an open safetensors file are had, in the file's order, with its header."""


@dataclass(frozen=True)
class Shards:
    """All tensors of a sharded checkpoint.

    `sha256` is over the index and then the digests of the shards in the order of their names; `bytes` is
    their sum.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    sha256: str
    bytes: int
    notes: tuple[str, ...]


def load_shards(
    source: Source, *, load: Load = load_safetensors, kept_open: list[Source] | None = None
) -> Shards:
    """Read the index and every shard it names by `load`; raises InputRefused.

    With `kept_open` nothing is hashed: index and shards are put there, in the order in which the digest
    takes them, for a caller that reads on and closes them.
    """
    places = shard_places(source)
    folder = _folder(source)
    hashed = kept_open is None
    digest, size = hashlib.sha256(bytes.fromhex(source.sha256()) if hashed else b""), source.size
    if kept_open is not None:
        kept_open.append(source)
    held: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    unlisted = 0
    for shard in sorted(set(places.values())):
        wanted = {name for name, place in places.items() if place == shard}
        opened = _opened(source, folder / shard)
        with nullcontext() if kept_open is not None else closing(opened):
            if kept_open is not None:
                kept_open.append(opened)
            tensors, header = load(opened)
            digest.update(bytes.fromhex(opened.sha256()) if hashed else b"")
            size += opened.size
        missing = sorted(wanted - tensors.keys())
        if missing:
            raise InputRefused(
                f"{source.name}: {shown(shard)} lacks {counted(len(missing), 'tensor')} of the index",
                hints=[f"missing: {listed(missing)}"],
            )
        unlisted += len(tensors) - len(wanted)
        held.update((name, tensor) for name, tensor in tensors.items() if name in wanted)
        metadata.update(header.metadata)
    notes = [f"read {counted(len(held), 'tensor')} from {counted(len(set(places.values())), 'shard')}"]
    if unlisted:
        notes.append(f"left {counted(unlisted, 'tensor')} of the shards that the index does not list")
    sha256 = digest.hexdigest() if hashed else ""
    return Shards({name: held[name] for name in places}, metadata, sha256, size, tuple(notes))


def shard_places(source: Source) -> dict[str, str]:
    """Tensor name to the file name of its shard, checked: names only, in the index's own folder."""
    if source.size > MAX_INDEX_BYTES:
        raise InputRefused(f"{source.name} is no index: {source.size:,} bytes of JSON")
    source.file.seek(0)
    try:
        parsed = strict_json(source.file.read().decode("utf-8"), most_objects=1000)
    except ValueError as error:
        what = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputRefused(f"{source.name} is no index of shards: it {what}") from error
    places = parsed.get("weight_map") if isinstance(parsed, dict) else None
    if not isinstance(places, dict) or not places or len(places) > MAX_INDEXED:
        raise InputRefused(f"{source.name} is no index of shards: it has no weight_map")
    for shard in {str(place): place for place in places.values()}.values():
        _check_name(source, shard)
    return places


def _check_name(source: Source, shard: object) -> None:
    plain = (
        isinstance(shard, str)
        and shard != ""
        and PurePath(shard).name == shard
        and "\\" not in shard
        and "\x00" not in shard
    )
    if not plain:
        raise InputRefused(
            f"{source.name} names the shard {shown(shard) or 'of no name'}, which is not a file beside it",
            hints=["shards lie in the folder of their index and are named without a path"],
        )
    if not str(shard).endswith(".safetensors"):
        raise InputRefused(
            f"{source.name} names the shard {shown(shard)}, and only .safetensors shards are read",
            hints=["shards of another kind are pickles; take the safetensors version of the model"],
        )


def _folder(source: Source) -> Path:
    if source.local is None:
        raise InputRefused(
            "an index of shards cannot come through standard input: its shards lie beside it",
            hints=["give the path of the *.index.json"],
        )
    return source.local.parent


def _opened(index: Source, path: Path) -> Source:
    try:
        shard = open_source(path)
    except InputRefused as error:
        raise InputRefused(f"{index.name}: the shard {error.message}", hints=error.hints) from error
    if shard.kind != SAFETENSORS:
        shard.file.close()
        raise InputRefused(f"{index.name}: the shard {shard.name} is not a safetensors file")
    return shard
