"""How much work the tuples of a pickle would be, worked out on a stack of sizes instead of values.

A tuple of a tuple of a tuple, each twice the one before through the memo, takes a hundred bytes to write
and years to hash; one that is nested a hundred thousand deep crashes the process when it is hashed.
"""

from __future__ import annotations

from collections.abc import Callable

MAX_DEPTH = 1000
MAX_HASHED = 50_000_000
_LARGEST = 1 << 40

Size = tuple[int, int]  # elements when unfolded, depth of nesting
_SINGLE: Size = (1, 0)


class UnfoldingError(Exception):
    """The tuples are too deep, or too large to be hashed; the message is a phrase for a user."""


class Unfolding:
    """The stack, marks and memo of a pickle with sizes in place of values.

    Knows the opcodes of torch's safe reader; raises UnfoldingError, and IndexError or KeyError where the
    pickle itself takes what is not there.
    """

    def __init__(self) -> None:
        self._stack: list[Size] = []
        self._below: list[list[Size]] = []
        self._memo: dict[int, Size] = {}
        self._hashed = 0

    def follow(self, opcode: str, argument: object) -> None:
        """Take one opcode into account."""
        handler = _HANDLERS.get(opcode)
        if handler is not None:
            handler(self, argument)

    def push(self, _: object) -> None:
        """A single value: anything but a tuple of known size."""
        self._stack.append(_SINGLE)

    def recall(self, argument: object) -> None:
        """A value out of the memo."""
        self._stack.append(self._memo[int(str(argument))])

    def store(self, argument: object) -> None:
        """The top goes into the memo and stays."""
        self._memo[int(str(argument))] = self._stack[-1]

    def mark(self, _: object) -> None:
        """The stack up to here is put aside."""
        self._below.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Size]:
        """The values since the last mark, taken off."""
        items, self._stack = self._stack, self._below.pop()
        return items

    def taken(self, count: int) -> list[Size]:
        """The topmost `count` values, taken off."""
        return [self._stack.pop() for _ in range(count)]

    def make_tuple(self, items: list[Size]) -> None:
        """A tuple of `items` on top."""
        depth = 1 + max((item[1] for item in items), default=0)
        if depth > MAX_DEPTH:
            raise UnfoldingError(f"holds tuples nested more than {MAX_DEPTH:,} deep")
        self._stack.append((min(1 + sum(item[0] for item in items), _LARGEST), depth))

    def hash(self, items: list[Size]) -> None:
        """The values are keys, or go where they may become keys."""
        self._hashed += sum(item[0] for item in items)
        if self._hashed > MAX_HASHED:
            raise UnfoldingError("holds tuples that unfold to more than memory and time can hold")


def _tuple_of(count: int) -> Callable[[Unfolding, object], None]:
    return lambda state, _: state.make_tuple(state.taken(count))


def _call(state: Unfolding, _: object) -> None:
    state.hash(state.taken(2))
    state.push(None)


def _name_storage(state: Unfolding, _: object) -> None:
    state.hash(state.taken(1))
    state.push(None)


_SINGLES = """
    NONE NEWFALSE NEWTRUE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BININT BININT1 BININT2 BINFLOAT
    BINUNICODE SHORT_BINSTRING LONG1 GLOBAL
"""
_HANDLERS: dict[str, Callable[[Unfolding, object], None]] = {
    **dict.fromkeys(_SINGLES.split(), Unfolding.push),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), Unfolding.recall),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Unfolding.store),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _call),
    **dict.fromkeys(("BUILD", "APPEND"), lambda state, _: state.hash(state.taken(1))),
    **dict.fromkeys(("APPENDS", "SETITEMS"), lambda state, _: state.hash(state.since_mark())),
    "SETITEM": lambda state, _: state.hash(state.taken(2)),
    "BINPERSID": _name_storage,
    "MARK": Unfolding.mark,
    "TUPLE": lambda state, _: state.make_tuple(state.since_mark()),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
}
