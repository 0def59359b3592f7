"""Archives of torch.save that are not in order: members, directories, checksums; cut off, joined, flipped; programs."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from hostile.making import (
    Case,
    cases,
    members_of,
    placed,
    sample_weights,
    small_weights,
    torch_bytes,
    zip_of,
)

NAME = "model.pt"
FLIPS = 40


def _file(content: bytes) -> Callable[[Path], str]:
    return placed(NAME, content)


def _members() -> list[tuple[str, bytes]]:
    return list(members_of(torch_bytes(small_weights())).items())


def _end_of(content: bytes) -> int:
    return content.rindex(b"PK\x05\x06")


def _edited(content: bytes, offset: int, new: bytes) -> bytes:
    return content[:offset] + new + content[offset + len(new) :]


def _first_entry(content: bytes) -> int:
    return content.index(b"PK\x01\x02")


def _rebuilt() -> Iterator[Case]:
    plain = _members()
    whole = zip_of(plain)
    yield Case("deflated", _file(zip_of(plain, compression=zipfile.ZIP_DEFLATED)), says="compressed")
    yield Case("packed by bzip2", _file(zip_of(plain, compression=zipfile.ZIP_BZIP2)), says="compressed")
    yield Case("packed by lzma", _file(zip_of(plain, compression=zipfile.ZIP_LZMA)), says="compressed")
    bomb = zip_of([*plain, ("archive/data/9", bytes(200 << 20))], compression=zipfile.ZIP_DEFLATED)
    yield Case("a bomb of zeros", _file(bomb), says="compressed")
    yield Case("a member twice", _file(zip_of([*plain, plain[0]])), says="twice")
    yield Case("a pickle twice", _file(zip_of([*plain, ("archive/data.pkl", b"\x80\x02}.")])), says="twice")
    yield Case("one name in two cases", _file(zip_of([*plain, ("archive/DATA.PKL", b"")])), says="twice")
    yield Case("two top folders", _file(zip_of([*plain, ("other/data.pkl", b"\x80\x02}.")])), says="twice")
    yield Case(
        "10,001 members", _file(zip_of([*plain, *((f"archive/data/x{n}", b"") for n in range(10_001))]))
    )
    yield Case("no pickle", _file(zip_of(plain[1:])), says="torch.save did not write")
    yield Case(
        "no storages", _file(zip_of([pair for pair in plain if "/data/" not in pair[0]])), says="damaged"
    )
    yield Case("no members", _file(b"PK\x03\x04" + bytes(26) + zip_of([])), says="")
    for name in (
        "../../etc/passwd",
        "/etc/passwd",
        "archive/../../x",
        "archive\\..\\x",
        "archive/x\x00y",
        "C:/x",
        "archive/" + "x" * 60_000,
        "archive/\x1b[2J",
        "",
    ):
        shown = name[:30].encode("unicode_escape").decode()
        yield Case(f"a member called {shown!r}", _file(zip_of([*plain, (name, b"x")])), codes=(0, 3))
    yield Case("bytes before", _file(b"PK\x03\x04 nothing here " + whole))
    yield Case("bytes behind", _file(whole + b"nothing here"), says="cut off")
    yield Case("two archives", _file(whole + whole))
    yield Case("a safetensors file behind", _file(whole + bytes(8) + b"{}"))
    yield Case("a comment", _file(whole[:-2] + b"\x05\x00hello"), says="cut off")


def _edited_directories() -> Iterator[Case]:
    whole = zip_of(_members())
    end, entry = _end_of(whole), _first_entry(whole)
    numbers = {
        "disk": (end + 4, "<H", (1, 65_535)),
        "entries": (end + 10, "<H", (0, 1, 2, 65_535)),
        "size of the directory": (end + 12, "<L", (0, 1, 1 << 31, 0xFFFFFFFF)),
        "place of the directory": (end + 16, "<L", (0, 1, len(whole), 0xFFFFFFFF)),
        "flags of a member": (entry + 8, "<H", (1, 0x20, 0x2000, 0xFFFF)),
        "method of a member": (entry + 10, "<H", (8, 12, 99, 65_535)),
        "checksum of a member": (entry + 16, "<L", (0, 1, 0xFFFFFFFF)),
        "packed size of a member": (entry + 20, "<L", (0, 1, 1 << 31, 0xFFFFFFFF)),
        "size of a member": (entry + 24, "<L", (0, 1, 1 << 31, 0xFFFFFFFF)),
        "length of a name": (entry + 28, "<H", (0, 1, 65_535)),
        "length of an extra field": (entry + 30, "<H", (1, 65_535)),
        "length of a comment": (entry + 32, "<H", (1, 65_535)),
        "place of a member": (entry + 42, "<L", (1, 30, 1 << 31, 0xFFFFFFFF)),
        "name in front of a member": (30, "4s", (b"evil",)),
        "mark of a member": (0, "4s", (b"PK\x03\x05",)),
        "name length in front of a member": (26, "<H", (0, 1, 65_535)),
    }
    for what, (offset, form, values) in numbers.items():
        for value in values:
            changed = _edited(whole, offset, struct.pack(form, value))
            yield Case(f"{what}: {value!r}", _file(changed))
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    for place in (0, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
        changed = whole[:end] + locator[:8] + struct.pack("<QL", place, 1) + whole[end:]
        yield Case(f"a second directory at {place}", _file(changed), codes=(0, 3))


def _cut_and_flipped() -> Iterator[Case]:
    whole = torch_bytes(sample_weights())
    places = {4, 29, 30, 31, len(whole) - 1, _end_of(whole), _end_of(whole) + 1, _first_entry(whole)}
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        for info in archive.infolist():
            places |= {info.header_offset, info.header_offset + 30, info.header_offset + 64}
    for end in sorted(place for place in places if place > 3):
        yield Case(f"cut off at byte {end}", _file(whole[:end]))
    middle = len(whole) // 2
    yield Case("1 KiB of zeros in the middle", _file(_edited(whole, middle, bytes(1024))), says="checksum")
    yield Case("1 KiB missing in the middle", _file(whole[:middle] + whole[middle + 1024 :]))
    chosen = random.Random(8)
    small = torch_bytes(small_weights())
    for _ in range(FLIPS):
        bit = chosen.randrange(8 * len(small))
        flipped = bytearray(small)
        flipped[bit // 8] ^= 1 << bit % 8
        yield Case(f"bit {bit} flipped", _file(bytes(flipped)))


def _script(folder: Path) -> str:
    torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2))).save(str(folder / NAME))
    return NAME


def _exported(folder: Path) -> str:
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), folder / "model.pt2")
    return "model.pt2"


def _programs() -> Iterator[Case]:
    yield Case("TorchScript", _script, says="is a program, not weights")
    yield Case("an exported program", _exported, says="is a program, not weights")
    plain = _members()
    for member in (
        "code/__torch__.py",
        "constants.pkl",
        "archive_format",
        "serialized_exported_program.json",
    ):
        yield Case(
            f"weights with {member}", _file(zip_of([*plain, (f"archive/{member}", b"x")])), says="program"
        )
    package = zip_of({"package/.data/version": b"6", "package/model.pkl": b"\x80\x02}."})
    yield Case("a torch package", _file(package), says="torch.save did not write")


CASES = [
    *cases("zip", _rebuilt()),
    *cases("zip", _edited_directories()),
    *cases("zip", _cut_and_flipped()),
    *cases("program", _programs()),
]
