"""Checkpoints in and out: opened without running anything of theirs, written whole or not at all.

The names of `__all__` are the room's face. Each is loaded on first use, so that `sample_models` and
`check_output` can be had without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prunecli.checkpoints.outputs import check_output, hold_output, refuse_twice, target_of
    from prunecli.checkpoints.reading import Checkpoint, read_checkpoint
    from prunecli.checkpoints.samples import default_sample, sample_models
    from prunecli.checkpoints.saving import write_checkpoint
    from prunecli.checkpoints.wording import shown
    from prunecli.checkpoints.writing import Written, write_data, write_whole
    from prunecli.checkpoints.writing_sets import check_folder, write_folder, write_set

__all__ = [
    "Checkpoint",
    "Written",
    "check_folder",
    "check_output",
    "default_sample",
    "hold_output",
    "read_checkpoint",
    "refuse_twice",
    "sample_models",
    "shown",
    "target_of",
    "write_checkpoint",
    "write_data",
    "write_folder",
    "write_set",
    "write_whole",
]

_HOMES = {
    "Checkpoint": "reading",
    "Written": "writing",
    "check_folder": "writing_sets",
    "check_output": "outputs",
    "default_sample": "samples",
    "hold_output": "outputs",
    "read_checkpoint": "reading",
    "refuse_twice": "outputs",
    "sample_models": "samples",
    "shown": "wording",
    "target_of": "outputs",
    "write_checkpoint": "saving",
    "write_data": "writing",
    "write_folder": "writing_sets",
    "write_set": "writing_sets",
    "write_whole": "writing",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    member: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = member
    return member
