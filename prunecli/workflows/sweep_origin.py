"""What a study is of, so that it is not gone on with by a sweep of something else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from prunecli.documents import plain
from prunecli.surgery.plan import Plan
from prunecli.training.settings import FitSettings
from prunecli.workflows.data import Images
from prunecli.workflows.opening import Opened
from prunecli.workflows.run_keeping import run_origin
from prunecli.workflows.sweep_request import Budget, SweepSpace

_BUDGET = ("seed", "seeds", "max_drop", "threshold_from", "stop_by")
# Said by the trial, or of the machine and not of the work.
_LEFT_OUT = ("training.seed", "training.epochs", "training.device", "training.mean", "training.std")


def study_origin(
    opened: Opened, images: Images, space: SweepSpace, budget: Budget, pruning: Mapping[str, Any]
) -> dict[str, Any]:
    """JSON values by name: checkpoint, images, space, limits and the arguments of `prune`."""
    whole = run_origin(opened, images, FitSettings(), teacher=None, recalibrate=0)
    found: dict[str, Any] = plain(
        {
            **{name: whole[name] for name in ("checkpoint", "data", "images")},
            **space.document(),
            **{name: getattr(budget, name) for name in _BUDGET},
            **_flat(pruning),
        }
    )
    return found


def study_name(origin: Mapping[str, Any]) -> str:
    """A name that follows from the origin: the same command finds its own study again."""
    text = json.dumps(origin, sort_keys=True)
    return f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def fingerprint(plan: Plan) -> str:
    """One number for the channels that leave."""
    removed = sorted((group.name, list(group.removed)) for group in plan.groups)
    return hashlib.sha256(json.dumps(removed).encode()).hexdigest()[:16]


def _flat(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by name; those of a group as `group.name`."""
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        if is_dataclass(value) and not isinstance(value, type):
            found.update({f"{name}.{key}": each for key, each in asdict(value).items()})
        else:
            found[name] = value
    return {name: value for name, value in found.items() if name not in _LEFT_OUT}
