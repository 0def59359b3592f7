from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from prunecli.checkpoints.outputs import check_output, hold_output
from prunecli.errors import WorkFailed, WrongUse


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.pt"
    path.write_bytes(b"weights")
    return path


def refused(path, **options):
    with pytest.raises(WrongUse) as error:
        check_output(path, **options)
    return error.value


def test_a_new_file_in_a_folder_and_standard_output_are_fine(tmp_path):
    check_output(tmp_path / "new.safetensors")
    check_output("-")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    error = refused(tmp_path / "no" / "such" / "a.safetensors")
    assert "does not exist" in error.message
    assert error.hints[0].startswith("make it: mkdir -p")


def test_folders_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert "is a folder" in refused(tmp_path).message
    assert "is a folder" in refused(f"{tmp_path}/new/", force=True).message
    assert "a device, a pipe" in refused(tmp_path / "fifo", force=True).message
    assert "a device, a pipe" in refused("/dev/null", force=True).message


def test_an_existing_file_needs_force_and_a_protected_one_stays(source, tmp_path):
    other = tmp_path / "old.safetensors"
    other.write_bytes(b"old")
    assert refused(other).hints == ("to replace it: --force",)
    check_output(other, force=True)
    other.chmod(0o444)
    assert "write-protected" in refused(other, force=True).message


@pytest.mark.parametrize("how", ["itself", "symlink", "hard link", "other spelling"])
def test_the_input_is_never_the_output(source, tmp_path, how):
    link = tmp_path / "link.pt"
    if how == "symlink":
        link.symlink_to(source)
    elif how == "hard link":
        os.link(source, link)
    else:
        link = source if how == "itself" else tmp_path / ".." / tmp_path.name / "in.pt"
    for force in (True, False):
        assert "is the input itself" in refused(link, inputs=["-", "gone.pt", source], force=force).message


def test_a_shard_of_an_input_index_is_an_input(tmp_path):
    shard = tmp_path / "model-1.safetensors"
    shard.write_bytes(b"x")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert "is the input itself" in refused(shard, inputs=[index], force=True).message


def test_a_dangling_link_is_judged_by_where_it_leads(tmp_path):
    (tmp_path / "good").symlink_to(tmp_path / "later.safetensors")
    (tmp_path / "bad").symlink_to(tmp_path / "gone" / "later.safetensors")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    check_output(tmp_path / "good")
    assert "does not exist" in refused(tmp_path / "bad").message
    assert refused(tmp_path / "loop").exit_code == 2


def test_names_that_cannot_be_are_refused(tmp_path, source):
    assert "has no name" in refused("").message
    for name in ("a\0b", "x" * 300, str(source / "below")):
        assert refused(name if name.startswith("/") else f"{tmp_path}/{name}").exit_code == 2


def test_a_second_run_on_one_output_is_told_of_the_first(tmp_path):
    path = tmp_path / "out.safetensors"
    with hold_output(path):
        with pytest.raises(WorkFailed, match="another run is writing") as error, hold_output(path):
            pass
        assert f"process {os.getpid()}" in error.value.hints[0]
        code = "import sys; from prunecli.checkpoints import hold_output\nwith hold_output(sys.argv[1]): pass"
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True
        )
        assert "WorkFailed" in done.stderr
    assert list(tmp_path.iterdir()) == []
    with hold_output(path), hold_output("-"):
        pass


def test_a_lock_file_that_was_removed_while_it_was_taken_is_not_relied_on(tmp_path, monkeypatch):
    path = tmp_path / "out.safetensors"
    real, taken = fcntl.flock, []

    def removed_first(descriptor, how):
        if not taken:
            (tmp_path / ".out.safetensors.lock").unlink()
        taken.append(descriptor)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    with hold_output(path):
        assert (tmp_path / ".out.safetensors.lock").exists()
        assert len(taken) == 2


def test_a_hold_ends_when_the_work_fails(tmp_path):
    path = tmp_path / "out.safetensors"
    with pytest.raises(ValueError, match="boom"), hold_output(path):
        raise ValueError("boom")
    with hold_output(path):
        pass
