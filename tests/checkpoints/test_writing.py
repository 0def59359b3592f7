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

from prunecli.checkpoints.files import Files
from prunecli.checkpoints.writing import sweep_stale, write_whole
from prunecli.errors import WorkFailed, WrongUse


def filler(content):
    return lambda path: path.write_bytes(content) and None


class FailsAt(Files):
    """The real file system, but for its N-th call."""

    def __init__(self, number, code=errno.EIO):
        self.number, self.code, self.calls = number, code, []

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("_") or name not in vars(Files):
            return found

        def call(*arguments):
            self.calls.append(name)
            if len(self.calls) == self.number:
                raise OSError(self.code, os.strerror(self.code))
            return found(*arguments)

        return call


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


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("number", range(1, 8))
def test_whatever_call_fails_the_old_file_stays_and_nothing_is_left(tmp_path, number, force):
    target = tmp_path / "a.bin"
    if force:
        target.write_bytes(b"old")
    files = FailsAt(number)
    try:
        write_whole(target, filler(b"new"), force=force, files=files)
    except WorkFailed as error:
        assert error.exit_code == 4
        assert "could not be written: Input/output error" in error.message
    else:
        assert number > len(files.calls)
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    renamed = files.calls.count("sync") == 2
    assert left == ({"a.bin": b"new"} if renamed else {"a.bin": b"old"} if force else {})


def test_the_calls_are_made_in_the_order_that_survives_a_power_cut(tmp_path):
    files = FailsAt(0)
    write_whole(tmp_path / "a.bin", filler(b"new"), force=True, files=files)
    assert files.calls == ["free_bytes", "create", "set_mode", "sync", "replace", "sync"]


def test_a_writer_or_a_check_that_fails_leaves_nothing(tmp_path):
    def half(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    def no(path):
        raise WorkFailed("not equal")

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.bin", half)
    with pytest.raises(WorkFailed, match="not equal"):
        write_whole(tmp_path / "a.bin", filler(b"new"), verify=no)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_in_words(tmp_path):
    with pytest.raises(WorkFailed, match="No space left") as error:
        write_whole(tmp_path / "a.bin", filler(b"new"), files=FailsAt(4, errno.ENOSPC))
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
    files = FailsAt(5, errno.EPERM)
    write_whole(tmp_path / "a.bin", filler(b"new"), files=files)
    assert files.calls[4:] == ["add", "replace", "sync"]
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
