"""Where logs may lie, which packages they need, and quiet for packages that like to speak."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from prunecli.checkpoints import shown
from prunecli.errors import WorkFailed, WrongUse


def require(package: str, *, extra: str, reason: str) -> None:
    """Raise WorkFailed where the package is missing."""
    if importlib.util.find_spec(package) is None:
        raise WorkFailed(
            f"{reason} needs {package}, which is not installed",
            hints=[f"install it: pip install 'prunecli[{extra}]'"],
        )


def check_folder(folder: str) -> None:
    """Say before any work what would keep a folder from being made or written to.

    Raises WrongUse where a file stands in the way, WorkFailed where nothing may be written.
    """
    place = Path(folder).expanduser().absolute()
    try:
        standing = next(path for path in (place, *place.parents) if path.exists())
        reason = None if standing.is_dir() else f"{shown(standing)} is a file"
    except OSError as error:
        raise WrongUse(f"{shown(folder)} cannot be a folder: {error.strerror}") from error
    if reason is not None:
        raise WrongUse(f"{shown(folder)} cannot be a folder: {reason}", hints=["choose another folder"])
    if not os.access(standing, os.W_OK | os.X_OK):
        raise WorkFailed(f"the folder {shown(standing)} cannot be written to", hints=["choose another"])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop Python's warnings and all log records below an error: they are of no use to who trains.

    The standard streams stay as they are, since a progress bar is drawn on one of them meanwhile.
    """
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
