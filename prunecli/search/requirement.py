"""optuna, which proposes trials and stores them: loaded when it is wanted, and kept quiet."""

from __future__ import annotations

import importlib.util
from typing import Any

from prunecli.errors import WrongUse


def needed() -> None:
    """Raise WrongUse where optuna is missing; loads nothing."""
    if importlib.util.find_spec("optuna") is None:
        raise WrongUse("trials need the extra tune: pip install 'prunecli[tune]'")


def load_optuna() -> Any:
    """The package, without its log lines; raises WrongUse where it is missing."""
    needed()
    import optuna

    # What it has to say is told as a remark or an error of ours.
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    return optuna
