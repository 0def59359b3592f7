"""What the system says of memory: a large tensor shows, and a peak can begin anew."""

from __future__ import annotations

import pytest
import torch

from prunecli.latency import resident
from prunecli.latency.memory import give_back
from prunecli.latency.resident import forget_the_peak, peak_bytes, resident_bytes

MEBIBYTE = 1 << 20


@pytest.mark.skipif(resident_bytes() is None, reason="the system does not say")
def test_a_peak_is_seen_and_forgotten():
    give_back()
    assert forget_the_peak()
    before = peak_bytes()
    large = torch.ones(64 * MEBIBYTE, dtype=torch.uint8)
    assert peak_bytes() - before > 60 * MEBIBYTE
    del large
    give_back()
    assert forget_the_peak()
    assert peak_bytes() - before < 32 * MEBIBYTE


def test_a_system_that_does_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(resident, "STATUS", tmp_path / "none")
    monkeypatch.setattr(resident, "REFERENCES", tmp_path / "none" / "none")
    assert resident_bytes() is None
    assert peak_bytes() is None
    assert not forget_the_peak()
