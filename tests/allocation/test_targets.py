"""What may remain, as it is written: shares, amounts, units; anything else is refused in words."""

from __future__ import annotations

from fractions import Fraction

import pytest

from prunecli.allocation.targets import check_told, read_target
from prunecli.errors import WrongUse


@pytest.mark.parametrize(
    ("text", "kind", "before", "limit"),
    [
        ("macs=0.5", "macs", 200, 100),
        ("macs=50%", "macs", 200, 100),
        ("MACs = 2e9", "macs", 1e12, 2e9),
        ("flops=4G", "flops", 1e12, 4e9),
        ("params=3M", "params", 1e12, 3e6),
        ("size=10MB", "size", 1e12, 10_000_000),
        ("size=1.5MiB", "size", 1e12, 1_572_864),
        ("size=0.3", "size", 1000, 300),
        ("latency=0.6", "latency", 0.1, 0.06),
        ("latency=5ms", "latency", 0.1, 0.005),
    ],
)
def test_shares_and_amounts(text, kind, before, limit):
    found = read_target(text)
    assert found.kind == kind
    assert found.limit(before) == pytest.approx(limit)


def test_a_share_is_the_one_that_was_written():
    assert read_target("macs=0.1").amount == Fraction(1, 10)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mac=0.5", "did you mean 'macs'?"),
        ("macs", "no target"),
        ("macs=", "nothing that can remain"),
        ("macs=-1", "nothing that can remain"),
        ("macs=0", "nothing that can remain"),
        ("macs=1.2.3", "nothing that can remain"),
        ("macs=nan", "nothing that can remain"),
        ("macs=1e999", "nothing that can remain"),
        ("macs=1", "leaves all there is"),
        ("macs=100%", "leaves all there is"),
        ("latency=5", "lacks a unit"),
        ("latency=5MB", "the unit 'mb' is none"),
        ("params=5ms", "the unit 'ms' is none"),
    ],
)
def test_what_is_none_is_refused(text, said):
    with pytest.raises(WrongUse) as caught:
        read_target(text)
    assert said in "\n".join((caught.value.message, *caught.value.hints))


def test_one_thing_says_how_much_leaves():
    nothing = {"ratio": None, "target": None, "plan": None, "layer_ratio": None, "max_drop": None}
    with pytest.raises(WrongUse, match="how much"):
        check_told(**nothing)
    with pytest.raises(WrongUse, match="--ratio and --target"):
        check_told(**{**nothing, "ratio": 0.5, "target": "macs=0.5"})
    check_told(**{**nothing, "max_drop": 1.0})
    check_told(**{**nothing, "layer_ratio": {"conv1": 0.5}})
