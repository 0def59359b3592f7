"""What a pickle would do, read from its opcodes without doing it.

The list of names that a weights file may use is shorter than that of torch's own safe reader: it leaves
out everything that makes tensors which cannot be pruned (sparse, quantised, nested) and everything that
turns few bytes into much work (bytearray, codecs, the old tensor constructors).
"""

from __future__ import annotations

import io
import pickletools
import re
from dataclasses import dataclass

from prunecli.checkpoints.unfolding import Unfolding, UnfoldingError

MAX_OPCODES = 1_000_000
MAX_STORAGES = 10_000  # as many as an archive may have members
MAX_GLOBALS = 10_000  # a pickler names each once and recalls it

# module and name as the opcode holds them, separated by a space; Python 2 wrote __builtin__
_ALLOWED = frozenset(
    {
        "__builtin__ complex",
        "__builtin__ set",
        "builtins complex",
        "builtins set",
        "collections Counter",
        "collections OrderedDict",
        "torch Size",
        "torch Tensor",
        "torch device",
        "torch._tensor _rebuild_from_type_v2",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_parameter_with_state",
        "torch._utils _rebuild_tensor",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch.nn.parameter Parameter",
        "torch.storage UntypedStorage",
    }
)
_DTYPE = re.compile(r"torch (float|bfloat|u?int|complex|bool|double|half|long|short|float8_)\w*")
_STORAGE = re.compile(r"torch(\.cuda)? (?!Q)[A-Z][A-Za-z0-9]*Storage")

_QUANTISED = re.compile(r"torch (Q\w+Storage|per_(tensor|channel)_\w+|q\w*int\d\w*)")

# What makes a tensor that cannot be pruned: not unsafe, but refused, and the tensor is named.
UNPRUNABLE = {
    "torch._utils _rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils _rebuild_qtensor": "a quantised tensor",
    "torch._utils _rebuild_nested_tensor": "a nested tensor",
    "torch._utils _rebuild_meta_tensor_no_storage": "a tensor without data (meta device)",
    "torch._utils _rebuild_wrapper_subclass": "a tensor of a special class",
    "torch._utils _rebuild_device_tensor_from_numpy": "a tensor of a special device",
    "torch._utils _rebuild_device_tensor_from_cpu_tensor": "a tensor of a special device",
    "torch.serialization _get_layout": "a sparse tensor",
}

# The opcodes that torch's safe reader knows (torch/_weights_only_unpickler.py).
_OPCODES = """
    GLOBAL NEWOBJ REDUCE BUILD APPEND APPENDS SETITEM SETITEMS MARK TUPLE TUPLE1 TUPLE2 TUPLE3 NONE NEWFALSE
    NEWTRUE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BINPERSID BININT BININT1 BININT2 BINGET LONG_BINGET
    BINPUT LONG_BINPUT BINFLOAT BINUNICODE SHORT_BINSTRING LONG1 PROTO STOP
"""
_KNOWN_OPCODES = frozenset(_OPCODES.split())
_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1"})
_STORES = frozenset({"BINPUT", "LONG_BINPUT", "PUT"})
_RECALLS = frozenset({"BINGET", "LONG_BINGET", "GET"})
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})


class BrokenPickleError(Exception):
    """The opcodes end early, are unknown, or are too many; the message is a phrase for a user."""


@dataclass(frozen=True)
class Named:
    """A global that the pickle names: "module name", its byte offset, and the last text before it."""

    spelled: str
    offset: int
    after: str | None

    @property
    def dotted(self) -> str:
        """The name as Python writes it: `torch.nn.modules.linear.Linear`."""
        return ".".join(self.spelled.split(" ", 1))


@dataclass(frozen=True)
class Scan:
    """What one pickle holds.

    The globals in order, the first opcode that the safe reader does not know, the largest number right
    before a storage is asked for (its elements), and where the pickle ends.
    """

    globals: tuple[Named, ...]
    foreign: str | None
    largest_storage: int
    end: int

    @property
    def unsafe(self) -> tuple[Named, ...]:
        """The globals that a weights file has no use for, each name once."""
        found: dict[str, Named] = {}
        for named in self.globals:
            if not is_allowed(named.spelled) and unprunable(named.spelled) is None:
                found.setdefault(named.dotted, named)
        return tuple(found.values())


def is_allowed(spelled: str) -> bool:
    """Whether a weights file may name this global ("module name")."""
    return spelled in _ALLOWED or bool(_DTYPE.fullmatch(spelled) or _STORAGE.fullmatch(spelled))


def unprunable(spelled: str) -> str | None:
    """What kind of tensor this global makes when it is one that cannot be pruned, else None."""
    if _QUANTISED.fullmatch(spelled):
        return "a quantised tensor"
    if spelled.startswith("torch.sparse "):
        return "a sparse tensor"
    return UNPRUNABLE.get(spelled)


class _Texts:
    """The last two texts that the pickle puts on its stack, also when it recalls them from its memo."""

    def __init__(self) -> None:
        self.last: list[str] = []
        self._memo: dict[int, str] = {}
        self._stored = 0
        self._on_top: str | None = None

    def follow(self, opcode: str, argument: object) -> None:
        """Take one opcode into account."""
        if opcode == "MEMOIZE":
            self._store(self._stored)
        elif opcode in _STORES and isinstance(argument, int):
            self._store(argument)
        else:
            self._on_top = self._pushed(opcode, argument)
            if self._on_top is not None:
                self.last = [*self.last[-1:], self._on_top]

    def _store(self, index: int) -> None:
        self._stored += 1
        if self._on_top is not None:
            self._memo[index] = self._on_top

    def _pushed(self, opcode: str, argument: object) -> str | None:
        if opcode in _RECALLS and isinstance(argument, int):
            return self._memo.get(argument)
        return argument if isinstance(argument, str) else None


def scan_pickle(data: bytes, *, start: int = 0) -> Scan:
    """Read the pickle that begins at `start` of `data`; raises BrokenPickleError."""
    stream = io.BytesIO(data)
    stream.seek(start)
    found: list[Named] = []
    texts, unfolding = _Texts(), Unfolding()
    number, largest, storages, foreign = 0, 0, 0, None
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise BrokenPickleError(f"has more than {MAX_OPCODES:,} pickle opcodes")
            name = opcode.name
            if name not in _KNOWN_OPCODES and foreign is None:
                foreign = name
            if foreign is None:
                unfolding.follow(name, argument)
            if name in _NUMBERS and isinstance(argument, int):
                number = argument
            if name == "BINPERSID":
                largest, storages = max(largest, number), storages + 1
                if storages > MAX_STORAGES:
                    raise BrokenPickleError(f"asks for more than {MAX_STORAGES:,} storages")
            spelled = _global_of(name, argument, texts.last)
            if spelled is None:
                texts.follow(name, argument)
            else:
                if len(found) >= MAX_GLOBALS:
                    raise BrokenPickleError(f"names more than {MAX_GLOBALS:,} globals")
                found.append(Named(spelled, position or 0, texts.last[-1] if texts.last else None))
                texts.follow(name, None)
    except UnfoldingError as error:
        raise BrokenPickleError(str(error)) from error
    except (ValueError, OverflowError, MemoryError, LookupError) as error:
        raise BrokenPickleError("has a pickle that is damaged or cut off") from error
    return Scan(tuple(found), foreign, largest, stream.tell())


def _global_of(opcode: str, argument: object, texts: list[str]) -> str | None:
    if opcode in {"GLOBAL", "INST"}:
        return str(argument)
    if opcode == "STACK_GLOBAL":  # module and name are the two texts on top of the stack
        return " ".join(texts) if len(texts) == 2 else "an unknown name"
    if opcode in _EXTENSIONS:
        return f"copyreg extension-{argument}"
    return None
