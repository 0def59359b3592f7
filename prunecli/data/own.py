"""One's own data: a function that gives parts, or data sets of images and classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from prunecli.data.contract import DataParts, DataRequest, data_source
from prunecli.data.items import parts_of_items
from prunecli.data.shapes import in_words
from prunecli.errors import InputRefused, PrunecliError, WrongUse
from prunecli.user_code import load_function, names_code

_FORM = "valid: FILE.py:FUNCTION or package.module:FUNCTION"
_GIVES = "it gives DataParts, (train, test) or (train, validation, test)"


@data_source("own", source="the user's own code, run because its name was given")
def own(request: DataRequest) -> DataParts:
    """One's own images from FILE.py:FUNCTION or package.module:FUNCTION (the "own:" may be left out).

    The function takes nothing, or one `DataRequest`. It gives `DataParts`, or map-style data sets as (train,
    test) or (train, validation, test), whose items are a PIL image or a uint8 tensor (C, H, W), and an
    integer. Raises WrongUse for an argument of another form, InputRefused when the code fails or gives
    something else.
    """
    spec = request.argument
    if not names_code(spec):
        raise WrongUse(f"{spec!r} does not name a function", hints=[_FORM])
    given = _called(load_function(spec), spec, request)
    if isinstance(given, DataParts):
        return _checked(given, spec, request)
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) not in {2, 3}:
        count = f" of {len(given)}" if isinstance(given, Sequence) else ""
        raise InputRefused(f"{spec} gave {type(given).__name__}{count}", hints=[_GIVES])
    names = ("train", "test") if len(given) == 2 else ("train", "validation", "test")
    return parts_of_items(dict(zip(names, given, strict=True)), name=spec, request=request)


def _called(function: Callable[..., Any], spec: str, request: DataRequest) -> Any:
    try:
        takes = [
            each
            for each in inspect.signature(function).parameters.values()
            if each.default is each.empty and each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}
        ]
        return function(request) if takes else function()
    except (PrunecliError, MemoryError):
        raise
    except Exception as error:
        raise InputRefused(
            f"{spec} failed: {type(error).__name__}: {error}",
            hints=["the function is called without arguments, or with one DataRequest"],
        ) from error


def _checked(parts: DataParts, spec: str, request: DataRequest) -> DataParts:
    """The parts, if they have the shape that was asked for and all the same one."""
    wanted = request.image_shape or parts.train.image_shape
    for name, split in (("train", parts.train), ("validation", parts.validation), ("test", parts.test)):
        if split is not None and split.image_shape != wanted:
            raise InputRefused(
                f"the {name} part of {spec} has images of {in_words(split.image_shape)},"
                f" {in_words(wanted)} are wanted",
                hints=["the DataRequest that the function may take says the image_shape"],
            )
    return parts
