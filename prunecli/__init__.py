"""prunecli: score, compare, prune, fine-tune and export networks from a checkpoint.

The names of `__all__` are the whole public face. Each is loaded on first use, so that
`import prunecli` stays cheap and does not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from prunecli.version import __version__

if TYPE_CHECKING:
    from prunecli.training.settings import FitSettings
    from prunecli.workflows.bench import bench
    from prunecli.workflows.compare import compare
    from prunecli.workflows.diff import diff
    from prunecli.workflows.evaluate import evaluate
    from prunecli.workflows.export import export
    from prunecli.workflows.finetune import finetune
    from prunecli.workflows.inspect import inspect
    from prunecli.workflows.opening import Opening, load
    from prunecli.workflows.prune import prune
    from prunecli.workflows.score import score
    from prunecli.workflows.sensitivity import sensitivity
    from prunecli.workflows.sweep import sweep
    from prunecli.workflows.sweep_request import Budget, StudyWish, SweepSpace
    from prunecli.workflows.sweep_result import SweepResult

__all__ = [
    "Budget",
    "FitSettings",
    "Opening",
    "StudyWish",
    "SweepResult",
    "SweepSpace",
    "__version__",
    "bench",
    "compare",
    "diff",
    "evaluate",
    "export",
    "finetune",
    "inspect",
    "load",
    "prune",
    "score",
    "sensitivity",
    "sweep",
]

_HOMES = {
    "Budget": "prunecli.workflows.sweep_request",
    "FitSettings": "prunecli.training.settings",
    "Opening": "prunecli.workflows.opening",
    "StudyWish": "prunecli.workflows.sweep_request",
    "SweepResult": "prunecli.workflows.sweep_result",
    "SweepSpace": "prunecli.workflows.sweep_request",
    "bench": "prunecli.workflows.bench",
    "compare": "prunecli.workflows.compare",
    "diff": "prunecli.workflows.diff",
    "evaluate": "prunecli.workflows.evaluate",
    "export": "prunecli.workflows.export",
    "finetune": "prunecli.workflows.finetune",
    "inspect": "prunecli.workflows.inspect",
    "load": "prunecli.workflows.opening",
    "prune": "prunecli.workflows.prune",
    "score": "prunecli.workflows.score",
    "sensitivity": "prunecli.workflows.sensitivity",
    "sweep": "prunecli.workflows.sweep",
}


def __getattr__(name: str) -> object:
    """Load a public name from its workflow on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'prunecli' has no attribute {name!r}")
    member: object = getattr(importlib.import_module(home), name)
    globals()[name] = member
    return member


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
