"""Trials: a space of settings, samplers that propose points of it, a study that many processes share.

The public face is `minimise`, for a search in memory, and `open_study`, for one that is kept. Each name is
loaded on first use, so that the command line can check a sampler's name at little cost; optuna is imported
when a study is wanted.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunecli.search.requirement import needed
    from prunecli.search.samplers import SAMPLERS
    from prunecli.search.space import Space, Span, Value
    from prunecli.search.study import Study, open_study
    from prunecli.search.tuning import Abandoned, Tried, Tuned, minimise

__all__ = [
    "SAMPLERS",
    "Abandoned",
    "Space",
    "Span",
    "Study",
    "Tried",
    "Tuned",
    "Value",
    "minimise",
    "needed",
    "open_study",
]

_HOMES = {
    "requirement": ("needed",),
    "samplers": ("SAMPLERS",),
    "space": ("Space", "Span", "Value"),
    "study": ("Study", "open_study"),
    "tuning": ("Abandoned", "Tried", "Tuned", "minimise"),
}


def __getattr__(name: str) -> object:
    """Load a public name from its file on first use (PEP 562)."""
    home = next((file for file, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'prunecli.search' has no attribute {name!r}")
    member: object = getattr(importlib.import_module(f"prunecli.search.{home}"), name)
    globals()[name] = member
    return member
