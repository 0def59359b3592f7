"""docs/reliability.md and SECURITY.md: each promise names tests that exist and are collected."""

from __future__ import annotations

import ast
import re

import pytest
from docs.markdown import ROOT
from hostile.fuzzing.fuzz import TARGETS

from prunecli.checkpoints.archive import MAX_MEMBERS
from prunecli.checkpoints.header import MAX_TENSORS
from prunecli.checkpoints.safetensors import MAPPED_FROM_BYTES

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`\s]+)`", PAGE)))
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "|---"))
]


def functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_is_there_to_be_collected(named):
    place, _, function = named.partition("::")
    path = ROOT / place
    assert path.exists()
    if path.is_file():
        assert path.name.startswith("test_")
        assert any(name.startswith("test_") for name in functions(path))
    if function:
        assert function.startswith("test_")
        assert function in functions(path)


def test_every_promise_names_a_test():
    assert len(ROWS) > 15
    assert [row for row in ROWS if "`tests/" not in row] == []


def test_the_figures_are_those_of_the_code():
    assert f"{MAX_TENSORS:,}\n  tensors" in PAGE
    assert f"{MAX_MEMBERS:,}" in PAGE
    assert f"under {MAPPED_FROM_BYTES >> 20} MiB" in SECURITY
    assert f"for FUZZ_SECONDS (600) together: {', '.join(TARGETS[:6])},\n{', '.join(TARGETS[6:])}. " in PAGE
