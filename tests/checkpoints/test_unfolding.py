from __future__ import annotations

import pickle

import pytest
import torch

from prunecli.checkpoints.opcodes import BrokenPickleError, scan_pickle
from prunecli.checkpoints.reading import read_checkpoint


def doubling(levels: int) -> bytes:
    steps = b"".join(b"q" + bytes([level]) + b"h" + bytes([level]) + b"\x86" for level in range(levels))
    return b"\x80\x02}K\x01" + steps + b"K\x01s."


def test_a_key_that_doubles_forty_times_is_refused_without_being_built():
    scan_pickle(doubling(10))
    with pytest.raises(BrokenPickleError, match="unfold"):
        scan_pickle(doubling(40))


def test_many_keys_of_moderate_size_are_counted_together():
    start = doubling(16)[:-4]
    with pytest.raises(BrokenPickleError, match="unfold"):
        scan_pickle(start + b"q\xffK\x01s" + b"h\xffK\x01s" * 1000 + b".")


def test_tuples_nested_deep_enough_to_crash_a_hash_are_refused():
    scan_pickle(b"\x80\x02}K\x01" + b"\x85" * 900 + b"K\x01s.")
    with pytest.raises(BrokenPickleError, match="more than 1,000 deep"):
        scan_pickle(b"\x80\x02}K\x01" + b"\x85" * 100_000 + b"K\x01s.")


def test_a_memo_or_stack_that_is_not_there_is_damage():
    for raw in (b"\x80\x02h\x05.", b"\x80\x02\x86.", b"\x80\x02t.", b"\x80\x02K\x01s."):
        with pytest.raises(BrokenPickleError):
            scan_pickle(raw)


def test_honest_large_tuples_and_optimisers_pass(save, weights):
    module = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(3)).sum().backward()
    optimizer.step()
    classes = tuple(f"class {n}" for n in range(21_000))
    scan_pickle(pickle.dumps({"classes": classes, "again": classes}, protocol=2))
    path = save({"state_dict": weights, "optimizer": optimizer.state_dict(), "classes": classes})
    assert read_checkpoint(path).tensors.keys() == weights.keys()
