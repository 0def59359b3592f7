"""When a network is read from the disk: by the memory that there is, or because somebody says so."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from prunecli.errors import InputRefused, WrongUse
from prunecli.workflows import streaming_choice
from prunecli.workflows.opening import Opening
from prunecli.workflows.streaming_choice import available_bytes, is_streamed, obstacles_of_criteria


@pytest.fixture
def opening(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1000)}, path)
    return Opening(checkpoint=str(path))


@pytest.mark.parametrize(("free", "streamed"), [(4080 * 7 - 1, True), (4080 * 7, False), (None, False)])
def test_the_memory_decides(free, streamed, opening, monkeypatch):
    monkeypatch.setattr(streaming_choice, "stored_bytes", lambda path: 4080)
    monkeypatch.setattr(streaming_choice, "ALWAYS_HELD_BYTES", 0)
    monkeypatch.setattr(streaming_choice, "available_bytes", lambda: free)
    assert is_streamed(opening, None, []) is streamed
    assert is_streamed(opening, None, ["training"]) is False
    assert is_streamed(opening, False, []) is False
    assert is_streamed(opening, True, []) is True


def test_a_small_file_is_held_however_little_memory_there_is(opening, monkeypatch):
    monkeypatch.setattr(streaming_choice, "available_bytes", lambda: 0)
    assert not is_streamed(opening, None, [])


@pytest.mark.parametrize(
    ("checkpoint", "what"),
    [("-", "standard input"), (None, "the bundled sample")],
)
def test_what_has_no_path_is_held(checkpoint, what):
    opening = Opening(checkpoint=checkpoint)
    assert not is_streamed(opening, None, [])
    with pytest.raises(WrongUse, match=f"which {what} does not allow"):
        is_streamed(opening, True, [])


def test_another_kind_of_file_is_held(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(3)}, path)
    opening = Opening(checkpoint=str(path))
    assert not is_streamed(opening, None, [])
    with pytest.raises(WrongUse, match="a checkpoint that is not safetensors"):
        is_streamed(opening, True, [])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="does not exist"):
        is_streamed(Opening(checkpoint=str(tmp_path / "no.safetensors")), None, [])


def test_several_processes_hold_the_network(opening, monkeypatch):
    monkeypatch.setattr(streaming_choice, "launched", lambda: (0, 2))
    with pytest.raises(WrongUse, match="a launcher"):
        is_streamed(opening, True, [])


def test_criteria_of_one_layer_are_no_obstacle():
    assert list(obstacles_of_criteria(["l1", "fpgm", "bn_gamma", "random", "ens(l1,l2)"])) == []
    assert list(obstacles_of_criteria(["l1", "dep_l1", "taylor"])) == [
        "the criterion dep_l1",
        "the criterion taylor",
    ]


def test_a_container_has_less_than_the_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming_choice, "_CGROUP", tmp_path)
    machine = available_bytes()
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\ninactive_file 400\nactive_file 9\n")
    assert available_bytes() == 2400
    (tmp_path / "memory.max").write_text("max\n")
    assert machine is not None
    assert available_bytes() > 2400
