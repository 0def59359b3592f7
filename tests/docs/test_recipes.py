"""docs/recipes/: each command answers as shown, the network of one's own is cut and loads, two processes share a training."""

from __future__ import annotations

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


def test_pruning_in_several_goes(folder):
    assert [fault for block in blocks(RECIPES / "iterative.md", "console") for fault in faults(block.text)] == []
    import json

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
    launchers = {"--nproc-per-node", "--multi_gpu", "--num_processes", "--nnodes", "--node-rank", "--master-addr"}
    for page in RECIPES.glob("*.md"):
        for line in re.findall(r"^ {4}.*\bprunecli ([a-z]+ .*)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            name = line.split()[0]
            known = {word for param in commands[name].params for word in param.opts}
            assert set(re.findall(r"(?<!\w)--[a-z_-]+", line)) <= known | launchers, line
