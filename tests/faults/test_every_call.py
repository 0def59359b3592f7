"""Whatever single call on the file system fails, or is the last one before a crash, nothing is lost."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from failing_files import CRASHED, Counted, CrashesAt, FailsAt, in_a_child, standing_in
from faults.formats import ALWAYS_REPLACED, WRITERS

from prunecli.checkpoints import check_output
from prunecli.checkpoints.files import Files
from prunecli.errors import WorkFailed

CODES = (errno.EIO, errno.ENOSPC)


class WithoutExchange(Files):
    """A system that cannot let two names change places."""

    def exchange(self, one: Path, other: Path) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")


class FailsWithoutExchange(FailsAt, WithoutExchange):
    """The same, whose N-th call fails."""


class CrashesWithoutExchange(CrashesAt, WithoutExchange):
    """The same, which crashes."""


CASES = [(name, old) for name in WRITERS for old in (True, False) if old or name not in ALWAYS_REPLACED]
SYSTEMS = {
    "as it is": (FailsAt, CrashesAt),
    "without exchange": (FailsWithoutExchange, CrashesWithoutExchange),
}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, and every empty folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


@pytest.fixture(params=[pytest.param(case, id=f"{case[0]}{'' if case[1] else ', new'}") for case in CASES])
def case(request, tmp_path):
    """A writer, its folder before, what lies in it then, and what lies in it when all went well."""
    name, old = request.param
    write = WRITERS[name]

    def begun(folder: Path) -> Path:
        folder.mkdir()
        if old:
            with standing_in(Counted()):
                write(folder, "old", False)
        return folder

    before = begun(tmp_path / "before")
    after = begun(tmp_path / "after")
    with standing_in(Counted()) as counted:
        write(after, "newer", old)
    return write, begun, contents(before), contents(after), len(counted.calls), old


def systems(case_name: str) -> list[str]:
    return list(SYSTEMS) if case_name.startswith("folder") else ["as it is"]


def test_a_call_that_fails_leaves_the_old_or_the_new_and_nothing_else(case, tmp_path, request):
    write, begun, before, after, calls, old = case
    assert calls >= 9
    for system in systems(request.node.callspec.id):
        for number in range(1, calls + 1):
            folder = begun(tmp_path / f"{system} {number}")
            files = SYSTEMS[system][0](number, CODES[number % 2])
            expected = after  # unless it is said that it is not
            try:
                with standing_in(files):
                    write(folder, "newer", old)
            except WorkFailed as failure:
                assert "\n" not in failure.message
                assert failure.exit_code == 4
                expected = after if "was written, but" in failure.message else before
            assert contents(folder) == expected, files.calls


def test_a_crash_at_any_call_is_tidied_up_by_the_next_run(case, tmp_path, request):
    write, begun, before, after, calls, old = case
    crashes = 0
    for system in systems(request.node.callspec.id):
        for number in range(1, calls + 1):
            folder = begun(tmp_path / f"{system} {number}")
            files = SYSTEMS[system][1](number)
            code = in_a_child(lambda: write(folder, "newer", old), files)  # noqa: B023
            assert code in (0, CRASHED)
            crashes += code == CRASHED
            check_output(folder / "another")  # the next run, which writes something else
            assert contents(folder) in (before, after), number
            with standing_in(Counted()):
                write(folder, "newer", True)
            assert contents(folder) == after
    assert crashes >= calls
