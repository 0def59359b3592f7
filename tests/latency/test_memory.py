"""Memory that is kept: no page is asked for again."""

from __future__ import annotations

import resource

import pytest
import torch

from prunecli.latency.memory import can_keep_memory, memory_kept


@pytest.mark.skipif(not can_keep_memory(), reason="only glibc can be told")
def test_large_blocks_come_back_without_new_pages():
    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def ask(times):
        before = faults()
        for _ in range(times):
            torch.ones(elements, dtype=torch.uint8)
        return faults() - before

    elements = 48 << 20  # of one byte: above glibc's largest threshold
    with memory_kept():
        ask(20)  # until the holes between smaller blocks are large enough
        kept = ask(10)
    assert kept < 1000 < ask(10)


def test_without_glibc_nothing_happens(monkeypatch):
    monkeypatch.setattr("prunecli.latency.memory._library", lambda: None)
    assert not can_keep_memory()
    with memory_kept():
        assert torch.ones(3).sum() == 3
