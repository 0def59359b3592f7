from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import time

import pytest
from failing_files import Counted, FailsAt, standing_in

from prunecli.checkpoints.files import fill
from prunecli.checkpoints.sweeping import sweep_stale
from prunecli.checkpoints.writing import write_whole
from prunecli.errors import WorkFailed, WrongUse


def filler(content):
    return lambda path: fill(path, [content])


def test_a_new_file_gets_the_umasks_mode_and_an_old_one_keeps_its_own(tmp_path):
    old = os.umask(0o027)
    try:
        written = write_whole(tmp_path / "a.bin", filler(b"abc"))
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o640
    assert (written.path, written.bytes) == (str(tmp_path / "a.bin"), 3)
    assert written.sha256 == hashlib.sha256(b"abc").hexdigest()
    (tmp_path / "a.bin").chmod(0o600)
    write_whole(tmp_path / "a.bin", filler(b"new"), force=True)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o600
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.bin").write_bytes(b"old")
    (tmp_path / "link.bin").symlink_to(tmp_path / "real" / "a.bin")
    write_whole(tmp_path / "link.bin", filler(b"new"), force=True)
    assert (tmp_path / "link.bin").is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == b"new"


def test_the_calls_are_made_in_the_order_that_survives_a_power_cut(tmp_path):
    files = Counted()
    with standing_in(files):
        write_whole(tmp_path / "a.bin", filler(b"new"), force=True)
        assert files.calls == [
            *("free_bytes", "create", "open", "write", "set_mode", "sync", "read", "read", "replace", "sync")
        ]
        files.calls.clear()
        write_whole(tmp_path / "b.bin", filler(b"new"))
        assert files.calls[-3:] == ["link", "remove", "sync"]


def test_a_folder_that_cannot_be_synced_is_told_as_what_it_is(tmp_path):
    with standing_in(FailsAt(10, errno.EIO)), pytest.raises(WorkFailed, match="was written, but") as error:
        write_whole(tmp_path / "a.bin", filler(b"new"), force=True)
    assert error.value.hints == ("the file is whole; it may be gone after a power cut",)
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_a_writer_or_a_check_that_fails_leaves_nothing(tmp_path):
    def half(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    def no(path):
        raise WorkFailed("not equal")

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.bin", half)
    with pytest.raises(WorkFailed, match="not equal"):
        write_whole(tmp_path / "a.bin", filler(b"new"), measure=no)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_words(tmp_path):
    with standing_in(FailsAt(4, errno.ENOSPC)), pytest.raises(WorkFailed, match="No space left") as error:
        write_whole(tmp_path / "a.bin", filler(b"new"))
    assert "free some room" in error.value.hints[0]
    with pytest.raises(WorkFailed, match="not enough room") as error:
        write_whole(tmp_path / "a.bin", filler(b"new"), expected_bytes=1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_a_limit_of_the_file_size_is_met_by_the_old_file_staying(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(WorkFailed, match="File too large"):
            write_whole(target, filler(bytes(5000)), force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.bin": b"old"}


def test_without_force_a_file_that_appears_meanwhile_is_kept_and_so_is_the_result(tmp_path):
    target = tmp_path / "a.bin"

    def slow(path):
        target.write_bytes(b"someone else's")
        path.write_bytes(b"ours")

    with pytest.raises(WorkFailed, match="appeared while the work went on") as error:
        write_whole(target, slow)
    assert target.read_bytes() == b"someone else's"
    kept = error.value.hints[0].removeprefix("the result was kept: ")
    assert (tmp_path / kept).read_bytes() == b"ours"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_without_hard_links_is_written_by_renaming(tmp_path):
    with standing_in(FailsAt(9, errno.EPERM)) as files:
        write_whole(tmp_path / "a.bin", filler(b"new"))
    assert files.calls[8:] == ["link", "replace", "sync"]
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_an_output_that_cannot_be_is_said_before_the_writer_runs(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(WrongUse, match="exists"):
        write_whole(tmp_path / "a.bin", lambda path: pytest.fail("was called"))


def test_the_suffix_stays_for_writers_that_look_at_it(tmp_path):
    seen = []

    def write(path):
        seen.append(path)
        path.write_bytes(b"x")

    write_whole(tmp_path / "net.onnx", write)
    assert seen[0].suffix == ".onnx"
    assert seen[0].parent == tmp_path


def test_a_killed_run_leaves_the_old_file_and_the_next_run_sweeps(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    code = (
        "import sys, time; from prunecli.checkpoints.writing import write_whole\n"
        "def write(path):\n    path.write_bytes(b'half'); sys.stdout.write('x')\n"
        "    sys.stdout.flush(); time.sleep(60)\n"
        "write_whole(sys.argv[1], write, force=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE) as child:
        assert child.stdout.read(1) == b"x"
        assert sweep_stale(tmp_path) == 0  # its owner lives
        child.send_signal(signal.SIGKILL)
        child.wait()
    time.sleep(0.05)
    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 2
    write_whole(target, filler(b"new"), force=True)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]
