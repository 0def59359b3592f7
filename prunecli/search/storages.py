"""Where a study is kept: memory, a journal file, or a database."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prunecli.errors import InputRefused, WorkFailed, WrongUse
from prunecli.search.requirement import load_optuna

MEMORY = "memory"
_DATABASE_FILES = (".db", ".sqlite", ".sqlite3")
_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):\S*@")
_LOCK_WAIT = 60.0
"""Seconds that a process waits for its turn at a database file."""
_LONGEST_LINE = 1 << 20
_OTHERS_AT_WORK = ("exists", "duplicate", "unique", "locked")
"""Words of a database when somebody else has just made the same table or row."""
_TRIES, _BETWEEN_TRIES = 5, 1.0


def is_address(spec: str) -> bool:
    """Whether `spec` is the address of a database, not a file."""
    return "://" in spec


def without_password(spec: str) -> str:
    """The storage as it may be shown and kept: without the password of a database."""
    return _PASSWORD.sub(r"\1:***@", spec)


def check_storage(spec: str) -> None:
    """Say before any work what would keep a file from holding a study; a database is asked when it is opened.

    Raises WrongUse as `check_output` does, InputRefused for a file of something else.
    """
    from prunecli.checkpoints import check_output

    if spec == MEMORY or is_address(spec):
        return
    check_output(spec, force=True)
    if not spec.endswith(_DATABASE_FILES):
        _check_journal(spec)


def open_storage(spec: str) -> Any:
    """Open optuna's storage for `memory`, a journal file, a database file or the address of a database.

    A file that is not there is begun. Raises as `check_storage` does, WrongUse for an address that is none
    and for a missing driver, InputRefused for a damaged file and a database that does not answer.
    """
    check_storage(spec)
    optuna = load_optuna()
    if spec == MEMORY:
        return optuna.storages.InMemoryStorage()
    if is_address(spec):
        return _database(spec)
    if spec.endswith(_DATABASE_FILES):
        return _database(f"sqlite:///{spec}")
    journal = optuna.storages.journal
    lock = journal.JournalFileSymlinkLock(spec)
    _repair_journal(Path(spec), lock)
    try:
        return optuna.storages.JournalStorage(journal.JournalFileBackend(spec, lock_obj=lock))
    except (ValueError, KeyError, AssertionError) as error:
        raise InputRefused(f"the journal {spec!r} is damaged: {_first_line(error)}") from error


@contextmanager
def storage_in_words(label: str) -> Iterator[None]:
    """Inside, a storage that no longer answers ends the work with WorkFailed."""
    optuna = load_optuna()
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        raise WorkFailed(
            f"the study in {label} cannot be reached: {_reason(error)}",
            hints=["what is finished is kept: the same command goes on"],
        ) from error


def _check_journal(path: str) -> None:
    """Refuse a file of something else: what is appended to it would spoil it."""
    from prunecli.checkpoints import shown

    place = Path(path)
    if not place.exists() or not place.stat().st_size:
        return
    with place.open("rb") as stream:
        first = stream.readline(_LONGEST_LINE)
    try:
        known = "op_code" in json.loads(first)
    except (ValueError, TypeError):
        known = False
    if not known:
        raise InputRefused(
            f"{shown(path)} is no journal of a study", hints=["name another file: --storage sweep.journal"]
        )


def _repair_journal(place: Path, lock: Any) -> None:
    """Take off a last line that a process left unfinished: the next one would be appended to it."""
    if not place.exists() or not place.stat().st_size:
        return
    lock.acquire()
    try:
        with place.open("rb+") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.seek(0)
                stream.truncate(stream.read().rfind(b"\n") + 1)
    finally:
        lock.release()


def _database(address: str) -> Any:
    """The storage in a database, whose errors are told in words."""
    optuna = load_optuna()
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    label = without_password(address)
    try:
        return _connected(address)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None) or "the driver of that database"
        raise WrongUse(f"{label} needs {missing}, which is not installed") from error
    except ArgumentError as error:
        hint = "for example: --storage postgresql://user@host/name, sqlite:///study.db or study.journal"
        raise WrongUse(f"{label} is no address of a database", hints=[hint]) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = _reason(error)
        raise InputRefused(f"the study's database {label} cannot be opened: {reason}") from error
    except RuntimeError as error:  # the tables are of another release of optuna
        reason = _first_line(error)
        raise InputRefused(f"the study's database {label} cannot be used: {reason}") from error


def _connected(address: str) -> Any:
    """The storage; asked again while another process that begins at the same time makes the tables."""
    for _ in range(_TRIES):
        found = _asked(address)
        if found is not None:
            return found
        time.sleep(_BETWEEN_TRIES)
    raise InputRefused(f"the study's database {without_password(address)} is busy")


def _asked(address: str) -> Any | None:
    """The storage, None while others are at work on its tables."""
    optuna = load_optuna()
    from sqlalchemy.exc import DBAPIError

    waiting = {"connect_args": {"timeout": _LOCK_WAIT}} if address.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(address, engine_kwargs=waiting)
    except (DBAPIError, optuna.exceptions.StorageInternalError) as error:
        if any(word in _reason(error).lower() for word in _OTHERS_AT_WORK):
            return None
        raise


def _reason(error: BaseException) -> str:
    """What the database itself said."""
    for each in (error, error.__cause__):
        if getattr(each, "orig", None) is not None:
            return _first_line(each.orig)  # type: ignore[union-attr]
    return _first_line(error.__cause__ or error)


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0]
