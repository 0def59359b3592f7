from __future__ import annotations

import json

import torch

from prunecli.checkpoints.facts import MOST_FACTS, facts_of


def test_plain_values_one_level_deep_are_kept():
    loaded = {
        "epoch": 3,
        "acc": torch.tensor(0.5),
        "args": {"lr": 0.1, "deep": {"x": 1}},
        "name": "a\x1b",
        "w": torch.ones(3),
    }
    assert facts_of(loaded) == {"epoch": 3, "acc": 0.5, "args.lr": 0.1, "name": "a\\x1b"}


def test_facts_are_always_json():
    loaded = {"loss": float("nan"), "big": 1 << 90, "none": None, "flag": True, 7: float("inf")}
    facts = facts_of(loaded)
    assert facts["loss"] is None
    assert facts["flag"] is True
    json.dumps(facts, allow_nan=False)


def test_there_are_at_most_64_and_a_file_of_its_own_words_is_bounded():
    assert len(facts_of({str(n): n for n in range(10_000)})) == MOST_FACTS
    assert facts_of([1, 2]) == {}
