"""docs/architecture.md: the floors and the formats are those of the code."""

from __future__ import annotations

import ast
import json
import re

from docs.console import ctrl_c
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


def test_the_keys_of_the_state_of_a_run_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = {key for row in table(PAGE, "The state of a run") for key in re.findall(r"`(\w+)`", row[0])}
    with ctrl_c():
        ran = run_command("prunecli finetune --data digits --epochs 3 --ema-decay 0.9 -o tuned.safetensors")
    assert ran.exit_codes == (130,)
    state = read_checkpoint("tuned.safetensors.run/state.safetensors")
    assert set(state.document) == listed | {"schema", "version"}
    text = PAGE.read_text(encoding="utf-8").partition("## The state of a run")[2].partition("\n|")[0]
    assert {name.partition("/")[0] for name in state.tensors} | {"process"} == set(
        re.findall(r"`(\w+)/(?:NAME|PARAMETER/KEY|INDEX/NAME|…)`", text)
    )


def test_the_files_of_the_trainer_that_are_named_exist():
    folder = ROOT / "prunecli" / "training"
    there = {f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir()}
    rows = [row[0] for row in table(PAGE, "Training")]
    listed = {name for row in rows for name in re.findall(r"`([\w./]+)`", row)}
    assert listed <= there
    assert len(listed) > 20


def test_the_numbers_are_those_of_the_code():
    from prunecli.graph import labels
    from prunecli.graph.groups import ENOUGH_UNITS
    from prunecli.surgery.verification import TOLERANCE

    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"up to {labels.MAX_REFINEMENTS} times" in text
    assert f"At most {labels.MAX_FACTORS} factors" in text
    assert f"at least {ENOUGH_UNITS} channels" in text
    assert float(re.search(r"must be at most (1e-\d+)", text).group(1)) == TOLERANCE
