"""The JSON document inside a pruned checkpoint: the metadata text under the key `prunecli`.

It says which architecture the tensors belong to, its arguments, the input shape, the channel plan that was
carried out, the normalisation the data needs and the commands that made the file. It is data: nothing in it
is ever imported or run, and where it disagrees with the tensors the tensors are right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prunecli.checkpoints.header import strict_json
from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused, WorkFailed
from prunecli.version import __version__

KEY = "prunecli"
SCHEMA = "prunecli.checkpoint/1"
MAX_CHARACTERS = 16 << 20
_MOST_OBJECTS = 500_000
_MOST_AXES = 8
_LONGEST_AXIS = 1 << 20
_LARGEST_NUMBER = 1e30  # JSON's 1e999 is infinite, and 10**400 no float
_MOST_NUMBERS = 1 << 26  # 8192 x 8192 pixels; a larger input is the user's to ask for


def dump(document: Mapping[str, Any]) -> str:
    """The document as text, with `schema` and `version` put first when they are not there.

    Raises WorkFailed when it holds what JSON cannot (NaN, objects), is not valid or is too long.
    """
    whole = {"schema": SCHEMA, "version": __version__, **document}
    try:
        text = json.dumps(whole, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise WorkFailed(f"the checkpoint's document cannot be written as JSON: {shown(error)}") from error
    try:
        parse(text, path="the checkpoint")
    except InputRefused as error:
        raise WorkFailed(f"the checkpoint's document would not be read again: {error.message}") from error
    return text


def parse(text: str, *, path: str) -> dict[str, Any]:
    """The document of the file called `path`; raises InputRefused for what is not a valid one."""
    if len(text) > MAX_CHARACTERS:
        raise _refused(path, f"is {len(text):,} characters long, at most {MAX_CHARACTERS:,} are read")
    try:
        document = strict_json(text, most_objects=_MOST_OBJECTS)
    except ValueError as error:
        raise _refused(path, str(error)) from error
    if not isinstance(document, dict):
        raise _refused(path, "is not a JSON object")
    schema = document.get("schema")
    if schema != SCHEMA:
        raise InputRefused(
            f"{shown(path)} was written in the form {shown(schema)}, and this version reads {SCHEMA}",
            hints=["use the version of prunecli that wrote it, or a newer one"],
        )
    for rule in RULES:
        if rule.key in document and not rule.holds(document[rule.key]):
            raise _refused(path, f"has no valid {rule.key!r}: it must be {rule.says}")
    return document


@dataclass(frozen=True)
class Rule:
    """What the value of a key must be, where the key is there."""

    key: str
    says: str
    holds: Callable[[object], bool]


def _is_architecture(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return False
    shape = value.get("input_shape")
    return isinstance(value.get("arguments", {}), dict) and (shape is None or _is_shape(shape))


def _is_shape(value: object) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_AXES:
        return False
    plain = all(type(size) is int and 1 <= size <= _LONGEST_AXIS for size in value)
    return plain and math.prod(value) <= _MOST_NUMBERS


def _is_normalisation(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and all(_are_numbers(value.get(name, [])) for name in ("mean", "std"))
    )


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and all(
        type(number) in (int, float) and abs(number) < _LARGEST_NUMBER for number in value
    )


def _is_object_or_nothing(value: object) -> bool:
    return value is None or isinstance(value, dict)


def _is_history(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(step, dict) for step in value)


RULES: tuple[Rule, ...] = (
    Rule("architecture", "an object with a name, arguments and an input shape", _is_architecture),
    Rule("arguments", "an object", lambda value: isinstance(value, dict)),
    Rule("input_shape", "a list of 1 to 8 sizes from 1", lambda value: value is None or _is_shape(value)),
    Rule("plan", "an object", _is_object_or_nothing),
    Rule("normalisation", "an object with the lists mean and std", _is_normalisation),
    Rule("normalization", "an object with the lists mean and std", _is_normalisation),
    Rule("history", "a list of objects", lambda value: value is None or _is_history(value)),
)


def _refused(path: str, what: str) -> InputRefused:
    return InputRefused(
        f"{shown(path)}: its document (metadata key {KEY!r}) {what}",
        hints=["the file was changed after prunecli wrote it, or something else wrote it"],
    )
