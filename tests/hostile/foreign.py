"""Files that are something else: web pages, pointers, pictures, archives, other formats, folders, pipes, devices."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import socket
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile.making import Case, cases, placed, zip_of

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
SUFFIXES = (".pt", ".safetensors")


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("weights/data.pkl")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"\x80\x02}."))
    return buffer.getvalue()


def _npy() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def _npz() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


def _noise(seed: int) -> bytes:
    return random.Random(seed).randbytes(3000)


CONTENTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is empty: 0 bytes"),
    "a zero": (bytes(1), "zeros only"),
    "zeros": (bytes(5000), "zeros only"),
    "an HTML page": (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
    "an HTML page in capitals": (b"<HTML><HEAD><TITLE>403 Forbidden</TITLE></HEAD></HTML>", "HTML"),
    "an HTML page behind white space": (b"\n\r\n   <html>\n</html>", "HTML"),
    "an HTML page with a mark before it": (b"\xef\xbb\xbf<!doctype html>", "HTML"),
    "an HTML page that starts with a comment": (b"<!-- sorry -->\n<html></html>", "HTML"),
    "an XML error of a bucket": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
    "a Git LFS pointer": (LFS, "git lfs pull"),
    "an old LFS pointer": (LFS.replace(b"git-lfs.github", b"hawser.github"), "git lfs pull"),
    "a JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100), "JPEG"),
    "a PNG": (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG"),
    "a GIF": (b"GIF89a" + bytes(100), "GIF"),
    "a WebP": (b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(100), "WebP"),
    "a PDF": (b"%PDF-1.7\n" + bytes(100), "PDF"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "GGUF": (b"GGUF\x03\x00\x00\x00" + bytes(100), "GGUF"),
    "gzip": (gzip.compress(b"weights"), "gzip"),
    "bzip2": (bz2.compress(b"weights"), "bzip2"),
    "xz": (lzma.compress(b"weights"), "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "7-Zip"),
    "rar": (b"Rar!\x1a\x07\x00" + bytes(100), "RAR"),
    "tar": (_tar(), "tar"),
    "a program": (b"\x7fELF" + bytes(100), "ELF"),
    "a script": (b"#!/bin/sh\nrm -rf /\n", "a script"),
    "a NumPy array": (_npy(), "NumPy"),
    "a NumPy archive": (_npz(), "NumPy"),
    "TensorFlow Lite": (b"\x1c\x00\x00\x00TFL3" + bytes(100), "TensorFlow Lite"),
    "ONNX": (b"\x08\x08\x12\x07pytorch" + bytes(100), "ONNX"),
    "SQLite": (b"SQLite format 3\x00" + bytes(100), "SQLite"),
    "text": (b"these are the weights\n" * 10, "a text file"),
    "CSV": (b"name,value\nconv1,0.5\n", "a text file"),
    "a TOML file": (b"[model]\nname = 'resnet'\n", "a text file"),
    "Python source": (b"import torch\nmodel = torch.load('x')\n", "a text file"),
    "Latin-1 text": ("Gewichte für später".encode("latin-1") * 9, "no checkpoint"),
    "UTF-16 text": (("the weights\n" * 9).encode("utf-16"), "no checkpoint"),
    "JSON": (json.dumps({"a": [1, 2]}).encode(), "JSON"),
    "a JSON list": (b"[1, 2, 3]", "JSON"),
    "an empty zip": (b"PK\x05\x06" + bytes(18), "empty zip"),
    "a zip of text": (zip_of({"readme.txt": b"hello"}), "torch.save did not write"),
    "a spanned zip": (b"PK\x07\x08PK\x03\x04" + bytes(60), "no checkpoint"),
    "half a zip mark": (b"PK", "a text file"),
    "a pickle (0)": (pickle.dumps({"a": 1}, 0), ""),
    **{f"a pickle ({n})": (pickle.dumps({"a": [1] * 99}, n), "Python pickle") for n in (2, 3, 4, 5)},
    **{f"noise {seed}": (_noise(seed), "") for seed in range(6)},
    "one byte": (b"\x80", ""),
    "the magic of the old format alone": (b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", ""),
    "the old format cut off": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "damaged or cut off"),
}


def _placed_files() -> Iterator[Case]:
    for what, (content, says) in CONTENTS.items():
        for suffix in SUFFIXES:
            # A safetensors file is named by its suffix; what is wrong with it is then the header's matter.
            words = "" if suffix == ".safetensors" else says
            yield Case(f"{what} as {suffix}", placed(f"model{suffix}", content), says=words)
        arguments = ("prune", "-", "--ratio", "0.5", "-o", "small.safetensors")
        yield Case(f"{what} by a pipe", placed("stdin", content), arguments, says=says, stdin=True)


def _folder(*names: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "given").mkdir()
        for name in names:
            (folder / "given" / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        return "given"

    return make


def _fifo(folder: Path) -> str:
    os.mkfifo(folder / "model.pt")
    return "model.pt"


def _socket(folder: Path) -> str:
    here = Path.cwd()
    os.chdir(folder)  # an address is at most 108 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("model.pt")
    finally:
        os.chdir(here)
    return "model.pt"


def _link(target: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "model.pt").symlink_to(target)
        return "model.pt"

    return make


def _given(path: str) -> Callable[[Path], str]:
    return lambda folder: path


def _database(folder: Path) -> str:
    connection = sqlite3.connect(folder / "model.pt")
    connection.execute("create table weights (value)")
    connection.commit()
    connection.close()
    return "model.pt"


def _odd_places() -> Iterator[Case]:
    yield Case("a folder", _folder(), says="is a folder")
    yield Case("a folder of weights", _folder("a.safetensors"), says="given/a.safetensors")
    yield Case("a distributed checkpoint", _folder(".metadata", "__0_0.distcp"), says="dcp_to_torch")
    yield Case("a named pipe", _fifo, says="is a pipe")
    yield Case("a socket", _socket, says="is a socket")
    yield Case("an endless device", _given("/dev/zero"), says="is a device")
    yield Case("an empty device", _given("/dev/null"), says="is a device")
    yield Case("a full device", _given("/dev/full"), says="is a device")
    yield Case("a link to a device", _link("/dev/zero"), says="is a device")
    yield Case("a link to itself", _link("model.pt"), says="cannot be opened")
    yield Case("a dangling link", _link("nowhere.pt"), says="does not exist")
    yield Case("no file", _given("nowhere.pt"), says="does not exist")
    yield Case("no folder", _given("no/where.pt"), says="does not exist")
    yield Case("a file as a folder", _given("/etc/passwd/model.pt"), says="cannot be opened")
    yield Case("an address", _given("https://example.org/model.pt"), says="does not exist")
    yield Case("a name that is too long", _given("m" * 300 + ".pt"), says="cannot be opened")
    yield Case("no name", _given(""), codes=(2, 3))
    yield Case("an SQLite data base", _database, says="SQLite")
    yield Case("a file of the process", _given("/proc/self/status"))
    yield Case("a huge file of zeros", _sparse, says="zeros only")


def _sparse(folder: Path) -> str:
    with (folder / "model.pt").open("wb") as file:
        file.truncate(1 << 40)
    return "model.pt"


CASES = [*cases("foreign", _placed_files()), *cases("place", _odd_places())]
