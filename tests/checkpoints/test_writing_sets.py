"""Files that belong together appear together or not at all, whichever call on the file system fails."""

from __future__ import annotations

import hashlib
import os

import pytest
from failing_files import Counted, standing_in

from prunecli.checkpoints.sweeping import sweep_stale, temporary_name
from prunecli.checkpoints.writing_sets import check_folder, write_folder, write_set
from prunecli.errors import WorkFailed, WrongUse

HOLDING = ("weights", "config")


def beside(path):
    return (path.with_name(f"{path.name}.data"),)


def both(text):
    def write(path):
        path.write_text(f"main {text}")
        path.with_name(f"{path.name}.data").write_text(f"data {text}")

    return write


def contents(folder):
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*") if each.is_file()}


def test_a_set_has_the_sizes_and_digests_of_its_files(tmp_path):
    path = tmp_path / "net"
    main, data = write_set(path, both("one"), beside=beside)
    assert contents(tmp_path) == {"net": "main one", "net.data": "data one"}
    assert (main.path, main.bytes) == (str(path), 8)
    assert main.sha256 == hashlib.sha256(b"main one").hexdigest()
    assert (data.path, data.bytes) == (str(tmp_path / "net.data"), 8)
    mask = os.umask(0)
    os.umask(mask)
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o666 & ~mask}


def test_names_are_told_as_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [each.path for each in write_set("net", both("one"), beside=beside)] == ["net", "net.data"]
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to("deep/real")
    written = write_set("link", both("two"), beside=beside)
    assert [each.path for each in written] == ["link", str(tmp_path / "deep" / "real.data")]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "deep" / "real").read_text() == "main two"


def test_a_file_that_may_be_beside_need_not_be_and_an_old_one_goes(tmp_path):
    path = tmp_path / "net"
    write_set(path, both("one"), beside=beside)
    written = write_set(path, lambda made: made.write_text("alone"), beside=beside, force=True)
    assert len(written) == 1
    assert contents(tmp_path) == {"net": "alone"}


@pytest.mark.parametrize("there", ["net", "net.data"])
def test_any_of_the_files_that_is_there_is_refused_before_work(tmp_path, there):
    (tmp_path / there).write_text("old")
    with pytest.raises(WrongUse, match="exists"):
        write_set(tmp_path / "net", lambda _: pytest.fail("worked"), beside=beside)
    assert contents(tmp_path) == {there: "old"}


def test_a_file_that_nobody_spoke_of_is_refused(tmp_path):
    def write(path):
        both("one")(path)
        path.with_name("stray").write_text("x")

    with pytest.raises(WorkFailed, match="stray"):
        write_set(tmp_path / "net", write, beside=beside)
    assert contents(tmp_path) == {}


def test_a_folder_is_replaced_only_with_force_and_only_when_it_is_one_of_ours(tmp_path):
    path = tmp_path / "made"

    def write(folder):
        for name in HOLDING:
            (folder / name).write_text(name)

    written = write_folder(path, write, holding=HOLDING)
    assert [each.path for each in written] == [str(path / name) for name in HOLDING]
    with pytest.raises(WrongUse, match="exists"):
        check_folder(path, holding=HOLDING)
    write_folder(path, lambda folder: (folder / "weights").write_text("new"), holding=HOLDING, force=True)
    assert contents(tmp_path) == {"made/weights": "new"}
    (path / "mine").write_text("mine")
    with pytest.raises(WrongUse, match="holds other files: mine"):
        check_folder(path, holding=HOLDING, force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(WrongUse, match="is a file, not a folder"):
        check_folder(tmp_path / "file", holding=HOLDING, force=True)
    with pytest.raises(WrongUse, match="does not exist"):
        check_folder(tmp_path / "none" / "made", holding=HOLDING)


def test_a_folder_that_holds_the_input_is_not_replaced(tmp_path):
    path = tmp_path / "made"
    write_folder(path, lambda folder: (folder / "weights").write_text("old"), holding=HOLDING)
    (tmp_path / "link").symlink_to(path / "weights")
    for given in (path / "weights", tmp_path / "link"):
        with pytest.raises(WrongUse, match="holds the input"):
            check_folder(path, holding=HOLDING, inputs=[given], force=True)


def test_a_folder_that_a_killed_run_left_is_swept(tmp_path):
    name = temporary_name().replace(f"-{os.getpid()}-", "-4194000-")
    (tmp_path / name).mkdir()
    (tmp_path / name / "net").write_text("half")
    assert sweep_stale(tmp_path) == 1
    assert contents(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_main_file_leaves_first_and_comes_last(tmp_path):
    path = tmp_path / "net"
    write_set(path, both("old"), beside=beside)
    with standing_in(Counted()) as noted:
        write_set(path, both("new"), beside=beside, force=True)
    moves = [each for each in noted.moves if each[0] in {"replace", "link"}]
    assert moves == [
        *(("replace", ".old-net"), ("replace", ".old-net.data"), ("link", "net.data"), ("link", "net"))
    ]


def test_a_folder_changes_places_with_the_old_one_in_one_step(tmp_path):
    path = tmp_path / "made"
    write_folder(path, lambda folder: (folder / "weights").write_text("old"), holding=HOLDING)
    with standing_in(Counted()) as noted:
        write_folder(path, lambda folder: (folder / "weights").write_text("new"), holding=HOLDING, force=True)
    assert [name for name in noted.calls if name in {"exchange", "replace", "link"}] == ["exchange"]
    assert contents(tmp_path) == {"made/weights": "new"}
