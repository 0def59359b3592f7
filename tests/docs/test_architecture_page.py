"""docs/architecture.md: the floors and the formats are those of the code."""

from __future__ import annotations

import ast
import json
import re

from docs.console import execute as run_command
from docs.markdown import ROOT, blocks, table

from prunecli.checkpoints import default_sample, read_checkpoint
from prunecli.surgery.plan import Plan

PAGE = ROOT / "docs" / "architecture.md"


def test_the_floors_are_those_that_are_enforced():
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (floors,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS"
    ]
    written = {int(level): set(re.findall(r"`(\w+)`", rooms)) for level, rooms in table(PAGE, "Floors")}
    assert written == dict(enumerate(floors))


def test_the_plan_that_is_shown_is_a_plan():
    (example,) = blocks(PAGE, "json")
    plan = Plan.from_json(example.text)
    assert plan.cuts[0].removed == (4, 5, 6, 8, 12, 13, 14, 15)
    assert plan.document() == json.loads(example.text)


def test_the_keys_of_the_checkpoint_document_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = [row[0].strip("`") for row in table(PAGE, "The checkpoint format")]
    ran = run_command("prunecli prune --ratio 0.5 --no-evaluate -o small.safetensors")
    assert ran.exit_codes == (0,)
    assert list(read_checkpoint("small.safetensors").document) == listed
    assert set(listed) - {"plan"} <= set(read_checkpoint(default_sample()).document)


def test_the_numbers_are_those_of_the_code():
    from prunecli.graph import labels
    from prunecli.graph.groups import ENOUGH_UNITS
    from prunecli.surgery.verification import TOLERANCE

    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"up to {labels.MAX_REFINEMENTS} times" in text
    assert f"At most {labels.MAX_FACTORS} factors" in text
    assert f"at least {ENOUGH_UNITS} channels" in text
    assert float(re.search(r"must be at most (1e-\d+)", text).group(1)) == TOLERANCE
