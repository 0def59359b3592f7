"""A look at every member of a torch zip file before torch sees it.

torch ignores checksums, takes deflated members (a zip bomb) and, of two members with one name, another
one than Python's zipfile would. So all of them are checked here: stored plainly, once, apart from each
other, named alike in both directories, and with the CRC-32 that they claim.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from prunecli.checkpoints.source import Source
from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused

MAX_MEMBERS = 10_000
MAX_DIRECTORY_BYTES = 4 << 20
MAX_PICKLE_BYTES = 64 << 20

_END = struct.Struct("<4s4H2LH")  # end of central directory, APPNOTE.TXT 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
_UTF8_NAME, _SIZES_BEHIND = 0x800, 0x8
_AGAIN = ("the file is damaged or was put together by hand; download or save it again",)


@dataclass(frozen=True)
class Member:
    """One stored file: `start` and `end` of its bytes in the archive."""

    name: str
    start: int
    end: int


def checked_members(source: Source) -> dict[str, Member]:
    """Every member by its name without the top folder; raises InputRefused when one is not in order.

    A program (TorchScript, an exported program) is refused as such.
    """
    infos = _directory(source)
    _refuse_programs(source, {info.filename.partition("/")[2] for info in infos})
    members: dict[str, Member] = {}
    taken: set[str] = set()
    after = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        member = _checked(source, info, after=after)
        if member.name.lower() in taken:
            raise _damaged(source, f"holds {shown(info.filename)} twice")
        taken.add(member.name.lower())
        members[member.name] = member
        after = member.end
    return members


def pickle_of(source: Source, members: dict[str, Member]) -> bytes:
    """The bytes of `data.pkl`; raises InputRefused when the archive is not torch's."""
    member = members.get("data.pkl")
    if member is None:
        what = "a NumPy archive" if all(name.endswith(".npy") for name in members) else "a zip archive"
        raise InputRefused(
            f"{source.name} is {what} that torch.save did not write",
            hints=["a checkpoint of torch.save holds data.pkl; this file does not"],
        )
    if member.end - member.start > MAX_PICKLE_BYTES:
        size = member.end - member.start
        raise InputRefused(
            f"{source.name} holds a pickle of {size:,} bytes, at most {MAX_PICKLE_BYTES:,} are read"
        )
    source.file.seek(member.start)
    return source.file.read(member.end - member.start)


def _refuse_programs(source: Source, names: set[str]) -> None:
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise _program(source, "TorchScript (torch.jit.save)")
    if {"archive_format", "serialized_exported_program.json"} & names:
        raise _program(source, "an exported program (torch.export.save, .pt2)")


def _program(source: Source, what: str) -> InputRefused:
    return InputRefused(
        f"{source.name} is a program, not weights: {what}",
        hints=[
            "opening it would run code from the file, and its layers cannot be pruned",
            "where it was made, save the weights: torch.save(model.state_dict(), 'weights.pt')",
        ],
    )


def _directory(source: Source) -> list[zipfile.ZipInfo]:
    _check_directory_size(source)
    source.file.seek(0)
    try:
        with zipfile.ZipFile(source.file) as archive:
            infos = archive.infolist()
    except (
        zipfile.BadZipFile,
        ValueError,
        OverflowError,
        NotImplementedError,
        OSError,
        struct.error,
    ) as error:
        raise _damaged(source, "has a zip directory that cannot be read") from error
    if not infos or len(infos) > MAX_MEMBERS:
        raise _damaged(source, f"holds {len(infos):,} zip members, at most {MAX_MEMBERS:,} are read")
    return infos


def _check_directory_size(source: Source) -> None:
    tail_bytes = _END.size + _LOCATOR.size
    source.file.seek(max(source.size - tail_bytes, 0))
    tail = source.file.read(tail_bytes)
    if len(tail) < tail_bytes or tail[-_END.size :][:4] != b"PK\x05\x06":
        raise InputRefused(
            f"{source.name} is cut off: it ends at {source.size:,} bytes, before the archive's own directory",
            hints=["download or copy it again, and compare the size with the original's"],
        )
    sizes = [_END.unpack(tail[-_END.size :])[5]]
    signature, _, position, _ = _LOCATOR.unpack(tail[: _LOCATOR.size])
    if signature == b"PK\x06\x07":
        sizes.append(_size_in_zip64(source, position))
    if max(sizes) > MAX_DIRECTORY_BYTES:
        raise _damaged(source, f"has a zip directory of {max(sizes):,} bytes")


def _size_in_zip64(source: Source, position: int) -> int:
    if position + 56 > source.size:
        raise _damaged(source, "has a zip directory that lies outside of the file")
    source.file.seek(position)
    (size,) = struct.unpack("<Q", source.file.read(56)[40:48])
    return int(size)


def _checked(source: Source, info: zipfile.ZipInfo, *, after: int) -> Member:
    """`info` as a Member that starts at or behind `after`, with its names and CRC compared."""
    name = shown(info.filename)
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise _damaged(source, f"holds {name} compressed, which torch.save never does")
    if info.flag_bits & ~(_UTF8_NAME | _SIZES_BEHIND):
        raise _damaged(source, f"holds {name} encrypted or with unknown zip flags")
    start = _start_of(source, info)
    end = start + info.file_size
    if info.header_offset < after or end > source.size or (after == 0 and info.header_offset != 0):
        raise _damaged(source, f"holds {name} overlapping another part of the file, or outside of it")
    crc = 0
    for chunk in source.chunks(start, end):
        crc = zlib.crc32(chunk, crc)
    if crc != info.CRC:
        raise _damaged(source, f"is damaged: the checksum of {name} is not the one stored with it")
    return Member(_inner_name(source, info), start, end)


def _start_of(source: Source, info: zipfile.ZipInfo) -> int:
    if not 0 <= info.header_offset <= source.size - _LOCAL.size:
        raise _damaged(source, f"holds {shown(info.filename)} outside of the file")
    source.file.seek(info.header_offset)
    header = _LOCAL.unpack(source.file.read(_LOCAL.size))
    named, extra = header[9], header[10]
    raw = source.file.read(named)
    encoding = "utf-8" if header[2] & _UTF8_NAME else "cp437"
    same = header[0] == b"PK\x03\x04" and header[3] == info.compress_type
    if not same or raw.decode(encoding, "replace") != info.orig_filename:
        raise _damaged(source, f"names {shown(info.filename)} otherwise in its two directories")
    return int(info.header_offset + _LOCAL.size + named + extra)


def _inner_name(source: Source, info: zipfile.ZipInfo) -> str:
    """The name without the top folder that torch gives all members of an archive."""
    parts = PurePosixPath(info.filename).parts
    if (
        ".." in parts
        or info.filename.startswith("/")
        or "\\" in info.filename
        or "\x00" in info.orig_filename
    ):
        raise _damaged(source, f"holds the unsafe name {shown(info.filename)}")
    _, _, inner = info.filename.partition("/")
    return inner or info.filename


def _damaged(source: Source, what: str) -> InputRefused:
    return InputRefused(f"{source.name} {what}", hints=_AGAIN)
