from __future__ import annotations

import pytest
import torch

from prunecli.errors import WorkFailed, WrongUse
from prunecli.training.device import memory_in_words, pick_device


def test_the_cpu_is_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")


def test_an_absent_gpu_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(WorkFailed, match="device cuda is not available"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(WorkFailed, match="device cuda:2 is not available"):
        pick_device("cuda:2")


def test_an_absent_mps_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(WorkFailed, match="device mps is not available"):
        pick_device("mps")


def test_a_name_that_is_no_device_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="no device 'gpu'"):
        pick_device("gpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_said_in_words(error: Exception) -> None:
    with pytest.raises(WorkFailed, match="out of memory") as caught, memory_in_words(64):
        raise error
    assert "batch size was 64" in caught.value.hints[1]


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="something else"), memory_in_words(64):
        raise RuntimeError("something else")
