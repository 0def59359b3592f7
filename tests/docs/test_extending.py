"""Every example of docs/extending.md joins through its door and does its work."""

from __future__ import annotations

import copy
import json

import networks
import numpy as np
import pytest
import torch
from docs.console import execute as run_command
from docs.markdown import ROOT, blocks, execute, table
from docs.registries import kept
from safetensors.torch import save_file
from torch import nn

from prunecli.architectures import build, identify, resolve
from prunecli.criteria.contract import CRITERIA, BatchNormEvidence, Evidence
from prunecli.criteria.specification import criterion_named
from prunecli.data import open_data
from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify

PAGE = ROOT / "docs" / "extending.md"
EXAMPLES = {block.heading: block for block in blocks(PAGE, "python")}


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Runs the example under a heading; what it registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    with kept():
        yield lambda heading: execute(EXAMPLES[heading], "documented_example")


def run(command):
    ran = run_command(f"{command} --json")
    assert ran.exit_codes == (0,), ran.notes
    return json.loads(ran.output)


def test_every_example_is_tested():
    assert set(EXAMPLES) == {
        "A criterion",
        "A coupling rule",
        "A data source",
        "An exporter",
        "Your own images, without a package",
        "An architecture source",
        "A strategy",
        "A strategy of known parts",
    }


def test_the_table_names_the_registries():
    from docs.registries import ALL

    assert {row[3].strip("`") for row in table(PAGE, "Extending prunecli")} == {each._group for each in ALL}
    assert {row[1].strip("`").strip("/").replace("/", ".") for row in table(PAGE, "Extending prunecli")} == {
        each._package for each in ALL
    }


def test_the_examples_need_no_torch_to_be_imported():
    for heading, block in EXAMPLES.items():
        if heading == "A coupling rule":
            continue
        for line in block.text.splitlines():
            assert not line.startswith(("import torch", "from torch")), heading


def test_a_criterion(added):
    added("A criterion")
    weight = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    norm = BatchNormEvidence(
        torch.tensor([-2.0, 1.0]), torch.tensor([0.5, -3.0]), torch.zeros(2), torch.ones(2)
    )
    evidence = Evidence("conv", weight, (2, 2, 1, 1), norm)
    assert CRITERIA["bn_reach"].function(evidence).tolist() == [2.5, 4.0]
    assert criterion_named("bn_reach(deviations=2)").function(evidence).tolist() == [4.5, 5.0]
    assert not CRITERIA["bn_reach"].available(Evidence("conv", weight, (2, 2, 1, 1)))
    document = run("prunecli prune --ratio 0.5 --criterion bn_reach --dry-run --no-evaluate")
    assert document["verification"]["equivalent"]
    assert document["reduction"]["macs"] > 0.5


class Hyperbolic(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.conv2 = nn.Conv2d(8, 6, 3)
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        x = torch.logcumsumexp(torch.asinh(torch.sinh(self.conv1(x))), 2)
        return self.linear(self.conv2(x).mean((2, 3)))


def test_a_coupling_rule(added):
    model = networks.randomised(Hyperbolic())
    without = build_graph(model, (3, 8, 8))
    reasons = {group.name: group.reason for group in without.groups}
    assert "no coupling rule for aten.sinh" in reasons["conv1"]
    added("A coupling rule")
    graph = build_graph(model, (3, 8, 8))
    assert {group.name for group in graph.prunable} == {"conv1", "conv2"}
    removed = {"conv1": [0, 3, 5], "conv2": [1]}
    cut = carry_out(make_plan(graph, removed).plan, copy.deepcopy(model))
    assert verify(graph, model, cut, removed).equivalent


def test_a_data_source(added):
    added("A data source")
    data = open_data("stripes", image_shape=(1, 8, 8))
    assert (len(data.train) + len(data.validation), len(data.test)) == (60, 20)
    assert data.test.images[0, 0, 0].tolist() == [0, 255] * 4
    assert data.test.images[1, 0, :, 0].tolist() == [0, 255] * 4
    (entry,) = [each for each in run("prunecli catalog data")["data"] if each["name"] == "stripes"]
    assert entry["caption"].startswith("Upright and level stripes")
    with pytest.raises(InputRefused):
        open_data("stripe")


def test_images_of_a_file_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(EXAMPLES["Your own images, without a package"].text)
    data = open_data("mine.py:gradients", image_shape=(1, 8, 8))
    assert (len(data.train), len(data.validation), len(data.test)) == (26, 4, 10)
    right, down = (data.test.pixels(torch.tensor([index]))[0, 0].int() for index in (0, 1))
    assert [int(label) for label in data.test.labels[:2]] == [0, 1]
    assert (right.diff(dim=1) > 0).all()
    assert (down.diff(dim=0) > 0).all()
    refused = run_command("prunecli evaluate --data mine.py:gradients")
    assert refused.exit_codes == (3,)
    assert "the data has 2 classes and the model 10 outputs" in refused.notes


def test_an_exporter(added, tmp_path):
    added("An exporter")
    document = run("prunecli export --to npz -o model.npz")
    assert document["format"] == "npz"
    assert document["verification"]["equivalent"]
    with np.load(tmp_path / "model.npz") as arrays:
        assert arrays["conv1.weight"].shape == (16, 1, 3, 3)


def test_an_architecture_source(added, tmp_path):
    added("An architecture source")
    architecture = resolve("toy/pair", arguments={"num_classes": 4})
    tensors = build(architecture).state_dict()
    save_file(tensors, tmp_path / "pair.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert identify(shapes).architecture == architecture
    document = run("prunecli prune pair.safetensors --ratio 0.5 -o small.safetensors")
    assert [layer["after"] for layer in document["layers"]] == [4, 6, 4]
    again = run("prunecli inspect small.safetensors")
    assert again["architecture"]["name"] == "toy/pair"
    assert again["params"] == document["after"]["params"]


def test_a_strategy(added):
    added("A strategy")
    document = run("prunecli prune --ratio 0.5 --strategy train-first --epochs 2")
    assert document["strategy"] == "train-first"
    assert len(document["history"]) == 2
    assert document["verification"]["equivalent"]
    assert document["seconds"]["train"] > 0


def test_a_strategy_of_known_parts(added):
    added("A strategy of known parts")
    document = run("prunecli prune --ratio 0.5 --strategy taught-bites --steps 2 --epochs-each 1")
    assert [bite["epochs"] for bite in document["bites"]] == [1, 1]
    assert len(document["history"]) == 2
    assert document["verification"]["equivalent"]
