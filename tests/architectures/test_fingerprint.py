"""Hashes with masked sizes, sketches that compare, and probes read off two sets of shapes."""

from __future__ import annotations

import hashlib

import pytest

from prunecli.architectures.fingerprint import (
    Probe,
    counted,
    fingerprint,
    overlap,
    probed_value,
    probes_between,
)

TINY = {"conv.weight": (4, 3, 3, 3), "fc.weight": (10, 4), "fc.bias": (10,)}
CLASSES = (Probe("fc.weight", 0), Probe("fc.bias", 0))


def with_classes(count):
    return {**TINY, "fc.weight": (count, 4), "fc.bias": (count,)}


def test_masked_sizes_do_not_count():
    assert fingerprint(TINY, CLASSES).shapes == fingerprint(with_classes(7), CLASSES).shapes
    assert fingerprint(TINY).shapes != fingerprint(with_classes(7)).shapes
    assert fingerprint(TINY).names == fingerprint(with_classes(7)).names


def test_unmasked_sizes_and_names_count():
    wider = {**TINY, "conv.weight": (5, 3, 3, 3)}
    assert fingerprint(wider, CLASSES).shapes != fingerprint(TINY, CLASSES).shapes
    renamed = {"conv1.weight" if name == "conv.weight" else name: shape for name, shape in TINY.items()}
    assert fingerprint(renamed).names != fingerprint(TINY).names


def test_order_does_not_count_and_sizes_are_summed():
    turned = dict(reversed(TINY.items()))
    assert fingerprint(turned) == fingerprint(TINY)
    assert (fingerprint(TINY).tensors, fingerprint(TINY).parameters) == (3, 108 + 40 + 10)


def test_counters_do_not_count():
    assert counted({**TINY, "bn.num_batches_tracked": ()}) == TINY


def test_probes_find_what_follows_an_argument():
    after = {**with_classes(7), "anchors.weight": (63, 4)}
    before = {**TINY, "anchors.weight": (90, 4)}
    probes = probes_between(before, after, 7)
    assert set(probes) == {*CLASSES, Probe("anchors.weight", 0, 9)}
    assert probed_value(before, probes) == 10
    assert probed_value({**before, "fc.bias": (11,)}, probes) is None
    assert probed_value({"fc.bias": (10,)}, probes) is None


@pytest.mark.parametrize(
    "after",
    [
        {"conv.weight": (4, 3, 3, 3)},
        {**with_classes(7), "fc.bias": (8,)},
        {**with_classes(7), "conv.weight": (4, 27)},
    ],
)
def test_probes_give_up_where_sizes_do_not_follow(after):
    assert probes_between(TINY, after, 7) == ()


def test_overlap_estimates_how_much_is_shared():
    many = {f"layer{i}.weight": (i, 3) for i in range(200)}
    half = dict(list(many.items())[:100])
    other = {f"block{i}.weight": (i, 3) for i in range(200)}
    sketch = fingerprint(many).sketch
    assert overlap(sketch, sketch) == (1.0, 1.0)
    assert 0.2 < overlap(sketch, fingerprint(half).sketch)[0] < 0.8
    assert max(overlap(sketch, fingerprint(other).sketch)) < 0.1
    reshaped = {name: (*shape, 1) for name, shape in many.items()}
    assert overlap(sketch, fingerprint(reshaped).sketch)[0] == 1.0
    assert overlap(sketch, fingerprint(reshaped).sketch)[1] < 0.1


def test_hashes_are_the_same_on_every_machine():
    look = fingerprint({"b": (2, 3), "a": (1,)}, [Probe("b", 1)])
    assert look.names == hashlib.blake2b(b"a\nb", digest_size=8).hexdigest()
    assert look.shapes == hashlib.blake2b(b"a:1\nb:2,*", digest_size=8).hexdigest()
    lane = min(hashlib.blake2b(token, digest_size=64).digest()[3::-1] for token in (b"a", b"b"))
    assert look.sketch[:4] == lane.hex()[4:]
