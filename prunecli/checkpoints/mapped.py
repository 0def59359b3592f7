"""A safetensors checkpoint that stays on the disk: opened by its headers alone, hashed in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from prunecli.checkpoints.background import BackgroundDigest
from prunecli.checkpoints.document import KEY
from prunecli.checkpoints.mapping import Maps
from prunecli.checkpoints.reading import Checkpoint, Content, found, pruned
from prunecli.checkpoints.sharded import load_shards, shard_places
from prunecli.checkpoints.sniff import SAFETENSORS, SHARD_INDEX
from prunecli.checkpoints.source import Source, open_source


@dataclass(frozen=True, eq=False)
class MappedCheckpoint:
    """A checkpoint whose tensors lie in maps; its `sha256` is empty until `digest` is asked."""

    checkpoint: Checkpoint
    maps: Maps
    digest: Callable[[], str]


@contextmanager
def mapped_checkpoint(path: str, *, ema: bool = False) -> Iterator[MappedCheckpoint]:
    """Map the safetensors checkpoint or index at `path`, for as long as the context lasts.

    Raises InputRefused as `read_checkpoint` does, for a file of another kind as well. Whether its numbers
    are finite is not looked at.
    """
    with ExitStack() as held:
        source = open_source(path)
        held.callback(source.close)
        maps = Maps()
        sources: list[Source] = []
        content = _content(source, maps, sources)
        own = KEY in content.metadata
        checkpoint = pruned(source.path, content) if own else found(source.path, content, ema=ema)
        digest = BackgroundDigest(sources)
        held.callback(digest.close)
        yield MappedCheckpoint(checkpoint, maps, digest.result)


def stored_bytes(path: str) -> int | None:
    """The size of a safetensors checkpoint with all its shards, None for a file of another kind.

    Raises InputRefused for what is missing or unreadable.
    """
    source = open_source(path)
    try:
        if source.kind == SAFETENSORS:
            return source.size
        if source.kind != SHARD_INDEX or source.local is None:
            return None
        shards = {source.local.parent / name for name in shard_places(source).values()}
        return sum(shard.stat().st_size for shard in shards if shard.is_file())
    finally:
        source.close()


def _content(source: Source, maps: Maps, sources: list[Source]) -> Content:
    if source.kind == SHARD_INDEX:
        shards = load_shards(source, load=maps.load, kept_open=sources)
        return Content(shards.tensors, "sharded safetensors", "", shards.bytes, shards.metadata, shards.notes)
    sources.append(source)
    tensors, header = maps.load(source)
    return Content(tensors, source.kind, "", source.size, header.metadata)
