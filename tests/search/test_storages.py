"""Where studies are kept, and what is no place for one."""

from __future__ import annotations

import os

import pytest

from prunecli.errors import InputRefused, WrongUse
from prunecli.search.storages import check_storage, open_storage, without_password
from prunecli.search.study import open_study

SPACE = {"a": (1, 2, 3)}


def test_a_file_of_something_else_is_left_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    for refuse in (check_storage, open_storage):
        with pytest.raises(InputRefused, match="no journal of a study"):
            refuse(str(path))
    assert path.read_text() == "my notes\n"


def test_a_database_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("my notes, which are long enough to be no empty database\n" * 40)
    with pytest.raises(InputRefused, match="file is not a database"):
        open_storage(str(path))
    assert path.read_text().startswith("my notes")


def test_a_missing_folder_is_wrong_use(tmp_path):
    with pytest.raises(WrongUse, match="does not exist"):
        check_storage(str(tmp_path / "none" / "a.journal"))
    with pytest.raises(InputRefused, match="unable to open database file"):
        open_storage(f"sqlite:///{tmp_path}/none/a.db")


def test_an_address_that_is_none_and_a_missing_driver_are_wrong_use():
    with pytest.raises(WrongUse, match="no address of a database"):
        open_storage("nonsense://somewhere")
    with pytest.raises(WrongUse, match="is not installed"):
        open_storage("oracle://user:secret@host/name")


def test_a_password_is_not_shown():
    assert without_password("postgresql://me:a/b@c@host/db") == "postgresql://me:***@host/db"
    assert without_password("postgresql://me@host/db") == "postgresql://me@host/db"
    assert without_password("study.journal") == "study.journal"
    with pytest.raises(WrongUse) as refused:
        open_storage("oracle://user:secret@host/name")
    assert "secret" not in refused.value.message


def test_a_line_that_a_killed_process_left_unfinished_is_taken_off(tmp_path):
    path = tmp_path / "a.journal"
    study = open_study(SPACE, storage=str(path))
    study.take(3).finish((1.0, 1.0))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":4,"wor')
    again = open_study(SPACE, storage=str(path))
    assert len(again.records()) == 1
    again.take(3).finish((2.0, 1.0))
    assert len(open_study(SPACE, storage=str(path)).records()) == 2
    assert not os.path.lexists(f"{path}.lock")


def test_a_damaged_journal_is_refused(tmp_path):
    path = tmp_path / "a.journal"
    open_study(SPACE, storage=str(path)).take(3).finish((1.0, 1.0))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{damaged\n", *lines[2:]]))
    with pytest.raises(InputRefused, match="is damaged"):
        open_study(SPACE, storage=str(path))


def test_a_database_that_another_process_is_beginning_is_asked_again(monkeypatch):
    import optuna
    from sqlalchemy.exc import IntegrityError

    said = "UNIQUE constraint failed: alembic_version.version_num"
    answers = [IntegrityError("INSERT", None, Exception(said)), "the storage"]

    def asked(address, engine_kwargs):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(optuna.storages, "RDBStorage", asked)
    monkeypatch.setattr("prunecli.search.storages._BETWEEN_TRIES", 0.0)
    assert open_storage("sqlite:///a.db") == "the storage"
