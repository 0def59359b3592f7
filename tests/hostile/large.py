"""Files of about 50 MB that are as expensive as each kind can be made; too slow for the suite."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterator

import torch
from hostile.making import (
    Case,
    cases,
    entry,
    placed,
    safetensors_bytes,
    sample_header,
    torch_bytes,
    torch_zip,
    zip_of,
)
from hostile.pickles import program

MB = 1 << 20


def _large() -> Iterator[Case]:
    def torch_file(what: str, content: bytes, says: str = "") -> Case:
        return Case(what, placed("model.pt", content), says=says)

    def header_file(what: str, content: bytes, says: str = "") -> Case:
        return Case(what, placed("model.safetensors", content), says=says)

    opcodes = {
        "pushes and pops": b"N0" * (24 * MB),
        "empty dictionaries": b"}" * (48 * MB),
        "marks": b"(" * (48 * MB),
        "tuples in each other": b")" + b"\x85" * (48 * MB),
        "short texts": (b"X\x01\x00\x00\x00a0") * (7 * MB),
        "one text": b"X" + struct.pack("<L", 48 * MB) + b"a" * (48 * MB),
        "globals": b"ctorch\nSize\n0" * (3 * MB),
        "memo": b"".join(b"Nr" + struct.pack("<L", number) + b"0" for number in range(900_000)),
        "floats in a list": b"](" + (b"G" + bytes(8)) * 990_000 + b"e",
        "999,990 opcodes": b"N0" * 499_990 + b"}",
    }
    for what, body in opcodes.items():
        yield torch_file(f"opcodes: {what}", torch_zip(program(body)))
    names = {f"layer{number}.weight": torch.zeros(1) for number in range(9000)}
    yield torch_file("9,000 tensors of torch.save", torch_bytes(names))
    old = {f"layer{number}.weight": torch.zeros(1) for number in range(20_000)}
    yield torch_file("20,000 tensors, the old format", torch_bytes(old, _use_new_zipfile_serialization=False))
    bomb = zip_of({"archive/data.pkl": bytes(2000 * MB)}, compression=zipfile.ZIP_DEFLATED)
    yield torch_file("a zip bomb of 2 GB", bomb, "compressed")
    many = zip_of({f"archive/data/{number}": b"" for number in range(300_000)})
    yield torch_file("a zip of 300,000 members", many)
    yield torch_file("weights of 50 MB", torch_bytes({"w": torch.randn(13 * MB)}))
    yield torch_file(
        "weights of 50 MB that end in NaN",
        torch_bytes({"w": torch.tensor([0.0, float("nan")]).repeat_interleave(6 * MB)}),
    )
    yield torch_file("50 MB of zeros", bytes(50 * MB), "zeros")
    yield torch_file("50 MB of HTML", b"<html>" + b"x" * (50 * MB), "HTML")
    for claimed in (33 * MB, 50 * MB, 100_000_000):
        yield header_file(
            f"a header of {claimed // MB} MB", safetensors_bytes(b"{" + b" " * (claimed - 2) + b"}")
        )
    entries = {
        f"layer{number:06}.weight": entry(4 * number, 4 * number + 4, (1,)) for number in range(100_000)
    }
    yield header_file("100,000 tensors", safetensors_bytes(entries, bytes(400_000)))
    fewer = dict(list(entries.items())[:20_000])
    yield header_file("20,000 tensors", safetensors_bytes(fewer, bytes(80_000)))
    more = {f"layer{number:06}.weight": entry(4 * number, 4 * number + 4, (1,)) for number in range(300_000)}
    yield header_file("300,000 tensors", safetensors_bytes(more, bytes(1_200_000)))
    yield header_file("a list of 31 MB", safetensors_bytes(b'{"a":[' + b"1," * (15 * MB) + b"1]}"), "values")
    yield header_file("objects of 31 MB", safetensors_bytes(b'{"a":[' + b"{}," * (10 * MB) + b"{}]}"))
    yield header_file("texts of 31 MB", safetensors_bytes(b'{"a":[' + b'"",' * (10 * MB) + b'""]}'))
    yield header_file("one text of 31 MB", safetensors_bytes(b'{"' + b"a" * (31 * MB) + b'":1}'))
    yield header_file("escapes of 31 MB", safetensors_bytes(b'{"' + b"\\u0041" * (5 * MB) + b'":1}'))
    yield header_file("quotes of 31 MB", safetensors_bytes(b'{"a":"' + b'\\"' * (15 * MB) + b'"}'))
    yield header_file("digits of 31 MB", safetensors_bytes(b'{"a":' + b"9" * (31 * MB) + b"}"))
    header, data = sample_header()
    whole = json.loads(header["__metadata__"]["prunecli"])
    whole["history"] = [{"command": "prune", "note": "x" * 90}] * 140_000
    header["__metadata__"]["prunecli"] = json.dumps(whole)
    yield Case(
        "a document of 15 MB", placed("model.safetensors", safetensors_bytes(header, data)), codes=(0, 3)
    )
    index = json.dumps({"weight_map": {f"layer{n}.weight": f"model-{n}.safetensors" for n in range(99_999)}})
    yield Case("an index of 99,999 shards", placed("model.safetensors.index.json", index.encode()))
    plan = json.dumps(
        {
            "schema": "prunecli.plan/1",
            "index_sets": [list(range(1_000_000))] * 7,
            "cuts": [],
            "attributes": [],
            "groups": [],
        }
    )
    yield Case(
        "a plan of 50 MB",
        placed("plan.json", plan.encode()),
        ("prune", "--plan", "FILE", "--dry-run", "-q"),
        (1, 3),
    )


CASES = cases("large", _large())
