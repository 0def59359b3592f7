"""What is fuzzed: a function of bytes that may refuse them in words and must not do anything else."""

from __future__ import annotations

import io
import itertools
import json
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prunecli.checkpoints.archive import checked_members, pickle_of
from prunecli.checkpoints.document import parse
from prunecli.checkpoints.header import read_header
from prunecli.checkpoints.opcodes import BrokenPickleError, scan_pickle
from prunecli.checkpoints.sharded import shard_places
from prunecli.checkpoints.sniff import HEAD_BYTES, SAFETENSORS, SHARD_INDEX, TORCH_ZIP, kind_of
from prunecli.checkpoints.source import Source
from prunecli.errors import InputRefused
from prunecli.surgery.plan import Plan

REFUSALS = (InputRefused, BrokenPickleError)
PLAN = b'{"schema":"prunecli.plan/1","index_sets":[[0,3]],"cuts":[{"tensor":"a","axis":0,"size":4,"removed":0}],"attributes":[{"module":"m","attribute":"n","before":[4,2],"after":[2,2]}],"groups":[{"name":"g","channels":4,"removed":0}],"scalings":[{"tensor":"a","axis":0,"rows":0,"factor":0.5}]}'  # noqa: E501
DOCUMENT = b'{"schema":"prunecli.checkpoint/1","architecture":{"name":"digits/vgg6_bn","arguments":{"num_classes":10},"input_shape":[1,8,8]},"input_shape":[1,8,8],"normalisation":{"mean":[0.5],"std":[0.5]},"history":[{}],"plan":null}'  # noqa: E501
HEADER = b'{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"v":{"dtype":"F16","shape":[],"data_offsets":[16,18]}}'  # noqa: E501
INDEX = b'{"metadata":{"total_size":1},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}'


@dataclass(frozen=True)
class Target:
    """A function of bytes, files to begin with, and words that the format is made of."""

    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[str, ...] = ()


def _source(content: bytes, kind: str) -> Source:
    return Source("fuzzed", io.BytesIO(content), len(content), kind, None)


def _header(content: bytes) -> None:
    found = read_header(_source(content, SAFETENSORS))
    length = int.from_bytes(content[:8], "little")
    ends = [entry.end for entry in found.entries.values()]
    assert 8 + length + max(ends) == len(content)  # what is accepted covers the file
    for entry in found.entries.values():
        assert 0 <= entry.start <= entry.end


def _entries(content: bytes) -> None:
    """A header whose length is right, so that what is in it is looked at."""
    _header(len(content).to_bytes(8, "little") + content + bytes(18))


def _header_seeds() -> Iterable[bytes]:
    yield len(HEADER).to_bytes(8, "little") + HEADER + bytes(18)
    yield (2).to_bytes(8, "little") + b"{}"


def _plan(content: bytes) -> None:
    plan = Plan.from_json(content.decode("utf-8", "surrogateescape"))
    assert Plan.from_json(plan.to_json()) == plan  # what is accepted is written again as it was read


def _document(content: bytes) -> None:
    parse(content.decode("utf-8", "surrogateescape"), path="fuzzed")


def _sniff(content: bytes) -> None:
    for path in ("model.pt", "model.safetensors", "model.index.json"):
        said = _sniffed(content, path)
        assert all(line.isprintable() for line in said), said


def _sniffed(content: bytes, path: str) -> list[str]:
    """What is said about the bytes under this name."""
    try:
        return [kind_of(content[:HEAD_BYTES], path=path, size=len(content))]
    except InputRefused as refused:
        return [refused.message, *refused.hints]


def _sniff_seeds() -> Iterable[bytes]:
    yield from (
        b"PK\x03\x04",
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        b"version https://git-lfs.github.com/spec",
    )
    yield from (
        b"<!doctype html>",
        b"\x89HDF\r\n\x1a\n",
        b"GGUF",
        b'{"weight_map":{}}',
        b"\x08\x08\x12\x07pytorch",
    )
    yield b"\x00" * 300


def _opcodes(content: bytes) -> None:
    scan = scan_pickle(content)
    assert 0 < scan.end <= len(content)
    if scan.unsafe or scan.foreign:
        return
    named = {each.spelled for each in scan.globals}
    assert not any(word in spelled for spelled in named for word in ("os ", "posix ", "subprocess", "eval"))


def _opcode_seeds() -> Iterable[bytes]:
    import torch

    weights = {
        "w": torch.zeros(2, 2),
        "b": torch.zeros(2, dtype=torch.float16),
        "epoch": 3,
        "name": ("a", [1.5]),
    }
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    source = _source(buffer.getvalue(), TORCH_ZIP)
    yield pickle_of(source, checked_members(source))
    yield from (pickle.dumps({"a": [1, (2, 3), {4}]}, protocol) for protocol in (0, 2, 4))
    yield b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."


def _archive(content: bytes) -> None:
    source = _source(content, TORCH_ZIP)
    members = checked_members(source)
    taken = sorted((member.start, member.end) for member in members.values())
    for (_, end), (start, _) in itertools.pairwise(taken):
        assert end <= start  # no two members share bytes
    pickle_of(source, members)


def _archive_seeds() -> Iterable[bytes]:
    import torch

    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, buffer)
    yield buffer.getvalue()


def _index(content: bytes) -> None:
    for shard in shard_places(_source(content, SHARD_INDEX)).values():
        assert "/" not in shard
        assert shard.endswith(".safetensors")


_FIELDS = ("data_offsets", "dtype", "shape", "__metadata__", "F32", "BF16", "U8")
TARGETS: dict[str, Target] = {
    "header": Target(_header, _header_seeds, _FIELDS),
    "entries": Target(_entries, lambda: [HEADER], _FIELDS),
    "plan": Target(_plan, lambda: [PLAN], tuple(json.loads(PLAN))),
    "document": Target(_document, lambda: [DOCUMENT], tuple(json.loads(DOCUMENT))),
    "sniff": Target(_sniff, _sniff_seeds, ("ustar", "weight_map", "TFL3", "WEBP")),
    "opcodes": Target(_opcodes, _opcode_seeds, ("ctorch._utils", "_rebuild_tensor_v2", "storage")),
    "archive": Target(_archive, _archive_seeds, ("data.pkl", "PK", "archive/")),
    "index": Target(_index, lambda: [INDEX], ("weight_map", ".safetensors")),
}
