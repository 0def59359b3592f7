"""docs/bench.md: its commands answer as shown, its table and numbers are those of the code."""

from __future__ import annotations

import inspect
import json
import re

from docs.console import execute, faults
from docs.markdown import ROOT, blocks, table

from prunecli.latency.backends import BACKENDS
from prunecli.latency.timing import time_side_by_side
from prunecli.workflows.bench import WARM_UP, bench

PAGE = ROOT / "docs" / "bench.md"
TEXT = " ".join(PAGE.read_text(encoding="utf-8").split())


def test_the_commands_answer_as_shown(folder):
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []


def test_the_backends_are_those_that_there_are():
    assert table(PAGE, "What runs them") == [[f"`{each.name}`", each.caption] for each in BACKENDS.values()]


def test_the_numbers_are_those_of_the_code():
    timing = inspect.signature(time_side_by_side).parameters
    assert WARM_UP == 3
    assert "After three warm calls" in TEXT
    assert f"within ±{timing['width'].default:.0%} of".replace("%", " %") in TEXT
    assert f"shorter than {1e3 * timing['turn'].default:g} ms" in TEXT
    assert f"`--seconds` ({inspect.signature(bench).parameters['seconds'].default:g})" in TEXT


def test_the_keys_are_those_of_the_document(folder):
    line = "prunecli bench model.safetensors model.safetensors --rounds 3 --no-memory --json"
    document = json.loads(execute(line).output)
    section = TEXT.partition("## JSON")[2]
    named = set(re.findall(r"`(\w+)`", section)) - {"null"}
    model, ratio = document["models"][0], document["ratios"][0]
    assert named <= {*document, *model, *model["latency_ms"], *ratio}
    assert {*model, *model["latency_ms"], *ratio} <= named
