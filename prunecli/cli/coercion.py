"""Values turned into their types by our own parsers alone.

Typer would load pydantic for this, a third of the time that a refusal takes. Where a typer has no such
door, the attribute set here is not read and typer calls the same parsers itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prunecli.cli.option import UnfitValue

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter

_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class Coercion:
    """How one parameter's value is made from text; None stays None."""

    def __init__(self, parse: Callable[[Any], Any]) -> None:
        self._parse = parse

    def coerce(self, value: Any, param: Parameter, ctx: Context) -> Any:
        """The typed value; a tuple or list of them for an option that may be repeated."""
        if several(param):
            return () if value is None else [self._parse(item) for item in value]
        return None if value is None else self._parse(value)


def several(param: Parameter) -> bool:
    """Whether a parameter takes more than one value: an option that may be repeated, a list of arguments."""
    return bool(param.multiple or param.nargs == -1)


def coerce_plainly(params: list[Parameter]) -> list[Parameter]:
    """Let each of `params` use its own parser, or take text as it is."""
    for param in params:
        descriptor = getattr(param, "type_descriptor", None)
        parse = getattr(getattr(descriptor, "parameter_info", None), "parser", None)
        if parse is None:
            parse = _switch_of(param) if getattr(param, "is_flag", False) else str
        vars(param)["_runtime_param"] = Coercion(parse)
    return params


def _switch_of(param: Parameter) -> Callable[[Any], bool]:
    def switch(value: Any) -> bool:
        if isinstance(value, bool):
            return value
        known = _SWITCH.get(str(value).strip().lower())
        if known is None:
            raise UnfitValue(
                f"{param.opts[0]} takes yes or no, not {value!r}", hints=[], option=param.opts[0]
            )
        return known

    return switch
