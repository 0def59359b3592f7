"""Pickles that would do more than name tensors: every way to run code, to claim memory or to spend time."""

from __future__ import annotations

import os
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from hostile.making import Case, cases, legacy, placed, small_weights, torch_bytes, torch_zip

NAME = "model.pt"
MARKER = "the file was run"


def text(value: str) -> bytes:
    """A unicode text on the stack."""
    raw = value.encode()
    return b"X" + struct.pack("<L", len(raw)) + raw


def name(module: str, word: str) -> bytes:
    """A global, by the opcode that takes it from lines."""
    return f"c{module}\n{word}\n".encode()


def called(module: str, word: str, *arguments: bytes) -> bytes:
    """REDUCE of a global."""
    return name(module, word) + b"(" + b"".join(arguments) + b"tR"


def program(body: bytes, *, protocol: int = 2) -> bytes:
    """A pickle of `body`."""
    return b"\x80" + bytes([protocol]) + body + b"."


class Runs:
    """What pickle runs on loading: `function` of `arguments`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


MAKES_MARKER = called("os", "mkdir", text(MARKER))
PAYLOADS: dict[str, bytes] = {
    "os.mkdir": program(MAKES_MARKER),
    "posix.mkdir": program(called("posix", "mkdir", text(MARKER))),
    "builtins.eval": program(called("builtins", "eval", text(f"__import__('os').mkdir({MARKER!r})"))),
    "builtins.exec": program(called("builtins", "exec", text(f"import os; os.mkdir({MARKER!r})"))),
    "__builtin__.eval": program(called("__builtin__", "eval", text("1"))),
    "builtins.getattr": program(called("builtins", "getattr", text("a"), text("upper"))),
    "builtins.open": program(called("builtins", "open", text(MARKER), text("w"))),
    "builtins.compile": program(called("builtins", "compile", text("1"), text("a"), text("eval"))),
    "builtins.__import__": program(called("builtins", "__import__", text("antigravity"))),
    "builtins.bytearray": program(called("builtins", "bytearray", b"\x8a\x05\x00\x00\x00\x00\x10")),
    "importlib.import_module": program(called("importlib", "import_module", text("this"))),
    "subprocess.Popen": program(called("subprocess", "Popen", text("true"))),
    "os.system": program(called("os", "system", text(f"mkdir '{MARKER}'"))),
    "os.execv": program(called("os", "execv", text("/bin/true"), b"(" + text("true") + b"t")),
    "runpy.run_path": program(called("runpy", "run_path", text("evil.py"))),
    "pty.spawn": program(called("pty", "spawn", text("true"))),
    "webbrowser.open": program(called("webbrowser", "open", text("http://example.org"))),
    "socket.create_connection": program(
        called("socket", "create_connection", b"(" + text("localhost") + b"K\x50t")
    ),
    "shutil.rmtree": program(called("shutil", "rmtree", text("/nowhere"))),
    "pickle.loads": program(called("pickle", "loads", text("x"))),
    "marshal.loads": program(called("marshal", "loads", text("x"))),
    "ctypes.CDLL": program(called("ctypes", "CDLL", text("evil.so"))),
    "operator.attrgetter": program(called("operator", "attrgetter", text("a"))),
    "functools.partial": program(called("functools", "partial", name("os", "system"), text("true"))),
    "types.FunctionType": program(called("types", "FunctionType", text("x"))),
    "torch.load": program(called("torch", "load", text("other.pt"))),
    "torch.hub.load": program(called("torch.hub", "load", text("evil/repository"), text("model"))),
    "torch.jit.load": program(called("torch.jit", "load", text("other.pt"))),
    "torch.serialization.load": program(called("torch.serialization", "load", text("other.pt"))),
    "torch.ops": program(called("torch.ops", "load_library", text("evil.so"))),
    "torch.classes": program(called("torch.classes", "load_library", text("evil.so"))),
    "torch._dynamo": program(called("torch._dynamo", "optimize", text("evil"))),
    "torch.distributed.run": program(called("torch.distributed.run", "main")),
    "torch.utils.cpp_extension": program(
        called("torch.utils.cpp_extension", "load_inline", text("a"), text("b"))
    ),
    "numpy.core.multiarray": program(called("numpy.core.multiarray", "_reconstruct", text("a"))),
    "numpy.load": program(called("numpy", "load", text("evil.npy"))),
    "sympy.sympify": program(called("sympy", "sympify", text("__import__('os')"))),
    "collections.namedtuple": program(called("collections", "namedtuple", text("a"), text("b"))),
    "copyreg._reconstructor": program(called("copyreg", "_reconstructor", text("a"))),
    "copy_reg": program(called("copy_reg", "_reconstructor", text("a"))),
    "a name with dots": program(called("torch", "nn.Module.__init__.__globals__")),
    "a name of a package that is not here": program(called("evil.package", "run")),
    "prunecli itself": program(called("prunecli.user_code", "run_file", text("evil.py"))),
    "STACK_GLOBAL": program(text("os") + text("mkdir") + b"\x93(" + text(MARKER) + b"tR", protocol=4),
    "STACK_GLOBAL from the memo": program(
        text("os") + b"q\x000" + text("mkdir") + b"q\x010h\x00h\x01\x93(" + text(MARKER) + b"tR", protocol=4
    ),
    "STACK_GLOBAL of nothing": program(b"\x93", protocol=4),
    "INST": program(b"(" + text(MARKER) + b"ios\nmkdir\n"),
    "OBJ": program(b"(" + name("os", "mkdir") + text(MARKER) + b"o"),
    "NEWOBJ": program(name("subprocess", "Popen") + b"(" + text("true") + b"t\x81"),
    "NEWOBJ_EX": program(name("subprocess", "Popen") + b"()}\x92", protocol=4),
    "BUILD of a state": program(name("torch.nn", "Module") + b")\x81}" + text("a") + b"K\x01sb"),
    "BUILD on an allowed class": program(
        name("collections", "OrderedDict") + b")R}" + text("x") + b"K\x01sb"
    ),
    "BUILD with slots": program(name("collections", "OrderedDict") + b")RN}" + text("x") + b"K\x01s\x86b"),
    "REDUCE of a tensor": program(name("torch", "Tensor") + b")R"),
    "REDUCE of a type": program(name("torch", "float32") + b")R"),
    "SETITEM of a list": program(b"](K\x00K\x01u"),
    "an extension": program(b"\x82\x01"),
    "an extension of four bytes": program(b"\x84\x01\x00\x00\x00"),
    "a persistent id as text": program(b"Pstorage\n"),
    "a persistent id of code": program(b"(" + MAKES_MARKER + b"tQ"),
    "next buffer": program(b"\x97", protocol=5),
    "a frame that lies": program(b"\x95" + struct.pack("<Q", 1 << 60) + b"}", protocol=4),
    "bytes that lie": program(b"\x8e" + struct.pack("<Q", 1 << 60), protocol=4),
    "text that lies": program(b"X" + struct.pack("<L", 1 << 31)),
    "text that is not UTF-8": program(b"X\x02\x00\x00\x00\xff\xfe"),
    "bytearray that lies": program(b"\x96" + struct.pack("<Q", 1 << 60), protocol=5),
    "a long of 2 GB": program(b"\x8b" + struct.pack("<l", (1 << 31) - 1)),
    "a long of less than nothing": program(b"\x8b" + struct.pack("<l", -1)),
    "a memo of 2**31": program(b"}r" + struct.pack("<L", (1 << 31) - 1)),
    "an unknown protocol": b"\x80\xff}.",
    "an unknown opcode": program(b"\xff"),
    "no end": b"\x80\x02}",
    "an end on an empty stack": b"\x80\x02.",
    "marks without end": program(b"(" * 100_000),
    "pops of nothing": program(b"0" * 100),
    "dictionaries in each other": program(b"}" * 50_000 + b"K\x00" + b"s" * 10),
    "lists in each other": program(b"]" * 50_000 + b"a" * 49_999),
    "tuples in each other": program(b")" + b"\x85" * 100_000),
    "tuples that double": program(b")" + b"q\x00h\x00h\x00\x86" * 60 + b"q\x00}h\x00K\x01s"),
    "two million opcodes": program(b"N0" * 1_000_000 + b"}"),
    "nothing but a number": program(b"K\x01"),
    "nothing": program(b"N"),
    "an empty dictionary": program(b"}"),
}


def _payloads() -> Iterator[Case]:
    for what, body in PAYLOADS.items():
        yield Case(what, placed(NAME, torch_zip(body)))
        if what in _BOTH:
            yield Case(f"{what}, the old format", placed(NAME, legacy(body)))


_BOTH = {
    "os.mkdir",
    "builtins.eval",
    "STACK_GLOBAL",
    "INST",
    "OBJ",
    "BUILD of a state",
    "an extension",
    "no end",
    "an unknown opcode",
    "tuples that double",
    "two million opcodes",
    "text that lies",
    "marks without end",
}


def _stored(
    size: int, stride: tuple[int, ...], shape: tuple[int, ...], *, offset: int = 0, claimed: int = 4
) -> bytes:
    """A state dict of one tensor "w" over a storage of four numbers that claims to hold `claimed`."""

    def number(value: int) -> bytes:
        raw = value.to_bytes(9, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"("
        + text("storage")
        + name("torch", "FloatStorage")
        + text("0")
        + text("cpu")
        + number(claimed)
        + b"tQ"
    )
    hooks = name("collections", "OrderedDict") + b")R"
    tensor = called(
        "torch._utils",
        "_rebuild_tensor_v2",
        storage,
        number(offset),
        numbers(shape),
        numbers(stride),
        b"\x89",
        hooks,
    )
    return program(b"}" + text("conv.weight") + tensor + b"s")


def _lying_storages() -> Iterator[Case]:
    made = {
        "a stride of nothing over 2**40": _stored(4, (0,), (1 << 40,)),
        "a stride of nothing over 4": _stored(4, (0,), (4,)),
        "a shape beyond its storage": _stored(4, (1,), (1 << 20,)),
        "a shape of 2**63": _stored(4, (1,), ((1 << 63) - 1,)),
        "a shape of 2**70": _stored(4, (1,), (1 << 70,)),
        "a negative shape": _stored(4, (1,), (-4,)),
        "a negative stride": _stored(4, (-1,), (4,)),
        "a huge stride": _stored(4, (1 << 62,), (4,)),
        "a stride that wraps": _stored(4, ((1 << 62) + 1,), (5,)),
        "a negative offset": _stored(4, (1,), (2,), offset=-2),
        "an offset beyond": _stored(4, (1,), (2,), offset=1 << 40),
        "two strides for one axis": _stored(4, (1, 1), (4,)),
        "rows that overlap": _stored(4, (1, 1), (2, 2)),
        "a storage that claims 2**40": _stored(4, (1,), (4,), claimed=1 << 40),
        "a storage that claims 2": _stored(4, (1,), (4,), claimed=2),
        "a storage that claims less than nothing": _stored(4, (1,), (4,), claimed=-4),
    }
    for what, body in made.items():
        yield Case(what, placed(NAME, torch_zip(body)))
    short = {"a storage that is short": bytes(8), "a storage that is long": bytes(64), "no storage": b""}
    for what, content in short.items():
        yield Case(what, placed(NAME, torch_zip(_stored(4, (1,), (4,)), [content])))


class Own(torch.nn.Module):
    """A network of somebody's own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)


def _pickled() -> Iterator[Case]:
    weights = small_weights()
    marker: list[tuple[str, object]] = [
        ("at the top", Runs(os.mkdir, MARKER)),
        ("beside weights", {"state_dict": weights, "extra": Runs(os.mkdir, MARKER)}),
        ("among weights", {**weights, "evil": Runs(os.mkdir, MARKER)}),
        ("as a key", {**weights, Runs(os.getpid): 1}),
        ("deep inside", {"a": {"b": {"c": [1, (2, {"d": Runs(os.mkdir, MARKER)})]}}, "state_dict": weights}),
        ("in the metadata", OrderedDict([*weights.items(), ("_metadata", Runs(os.mkdir, MARKER))])),
    ]
    for what, value in marker:
        for old in (False, True):
            content = torch_bytes(value, _use_new_zipfile_serialization=not old)
            form = "old" if old else "new"
            yield Case(
                f"code {what}, {form}",
                placed(NAME, content),
                says="it would run posix.mkdir" if "key" not in what else "",
            )
    for protocol in (0, 1, 3, 4, 5):
        content = torch_bytes({"w": Runs(os.mkdir, MARKER)}, pickle_protocol=protocol)
        yield Case(f"code by protocol {protocol}", placed(NAME, content))
    yield Case("a whole network", placed(NAME, torch_bytes(torch.nn.Linear(2, 2))), says="--trust-pickle")
    yield Case("a network of one's own", placed(NAME, torch_bytes(Own())), says="--trust-pickle")
    yield Case("a plain pickle", placed(NAME, pickle.dumps(weights)), says="a plain Python pickle")
    trusted = ("inspect", "FILE", "--quiet", "--trust-pickle")
    evil = placed(NAME, torch_bytes({"w": Runs(os.mkdir, MARKER)}))
    yield Case("code trusted by another digest", evil, (*trusted, "0" * 64), says="nothing of it was run")
    yield Case("code trusted by a word", evil, (*trusted, "yes"), (2,), says="64 hexadecimal digits")
    yield Case("code trusted by nothing", evil, (*trusted, ""), (2,))


CASES = [
    *cases("pickle", _payloads()),
    *cases("storage", _lying_storages()),
    *cases("pickle", _pickled()),
]
