"""docs/recipes/: commands answer as shown, a network of one's own is cut, two processes share a training."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import torch
import typer
from docs.console import faults
from docs.markdown import ROOT, blocks, execute

from prunecli.cli.app import application

RECIPES = ROOT / "docs" / "recipes"
ELSEWHERE = ROOT.parent / "shared" / "data" / "resnet20-12fca82f.th"


def test_pruning_in_several_goes(folder):
    page = RECIPES / "iterative.md"
    assert [fault for block in blocks(page, "console") for fault in faults(block.text)] == []
    document = json.loads((folder / "both.json").read_text())
    assert {"accuracy", "seconds"} <= set(document["against"])
    assert document["against"]["accuracy"]["after"] > document["accuracy"]["after"]


def test_a_network_of_ones_own(folder, monkeypatch):
    page = RECIPES / "own_model.md"
    shutil.copy(ROOT / "examples" / "models" / "c2f_detector.py", folder / "net.py")
    monkeypatch.syspath_prepend(str(folder))
    torch.manual_seed(0)
    saving, loading = blocks(page, "python")
    try:
        execute(saving, "recipe_saving")
        assert [fault for block in blocks(page, "console") for fault in faults(block.text)] == []
        names = execute(loading, "recipe_loading")
    finally:
        sys.modules.pop("net", None)
    network = names["network"]
    assert network.fine[1].hidden == 8
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 7, 320)


@pytest.mark.skipif(not ELSEWHERE.is_file(), reason="the checkpoint is not here")
def test_a_checkpoint_from_elsewhere(folder):
    shutil.copy(ELSEWHERE, folder / "resnet20.th")
    page = RECIPES / "elsewhere.md"
    assert [fault for block in blocks(page, "console") for fault in faults(block.text)] == []


@pytest.mark.slow
def test_two_processes_share_the_training(folder):
    text = (RECIPES / "many_processes.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^    (torchrun --nproc-per-node 2 .*)$", text, flags=re.MULTILINE)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    shutil.copy("model.safetensors", "small.safetensors")
    launcher = [sys.executable, "-m", "torch.distributed.run", *shlex.split(line)[1:]]
    ran = subprocess.run(launcher, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("Before and after") == 1
    assert (folder / "tuned.safetensors").is_file()


def test_the_options_that_are_named_exist():
    commands = typer.main.get_command(application()).commands
    for page in (*RECIPES.glob("*.md"), ROOT / "docs" / "choosing.md", ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        for line in re.findall(r"^ {4}.*\bprunecli ([a-z]+ .*)$", text, re.MULTILINE):
            known = {word for param in commands[line.split()[0]].params for word in param.opts}
            assert set(re.findall(r"(?<!\w)--[a-z_-]+", line)) <= known, line
