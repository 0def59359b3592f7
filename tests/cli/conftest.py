"""The command line run in this process, with workflows that only record how they were called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from prunecli.cli import names
from prunecli.cli.run import run

FIGURES = {"params": 1000, "macs": 4000, "flops": 8000, "bytes": 4400}
HALVED = {"params": 250, "macs": 1000, "flops": 2000, "bytes": 1200}
WRITTEN = {"path": "small.safetensors", "sha256": "ab" * 32, "bytes": 1200}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "inspect": {
        "kind": "safetensors",
        "architecture": {
            "source": "cifar",
            "name": "cifar/resnet20",
            "confidence": 1.0,
            "arguments": {"num_classes": 10},
        },
        "input_shape": [3, 32, 32],
        "dtype": "float32",
        "params": 272474,
        "macs": 40813184,
        "bytes": 1100000,
        "sha256": "cd" * 32,
        "layers": [
            {"name": "conv1", "type": "Conv2d", "channels": 16},
            {"name": "linear", "type": "Linear", "channels": 10},
        ],
        "groups": [
            {
                "name": "conv1",
                "channels": 16,
                "members": [
                    {"layer": "conv1", "axis": 0, "role": "makes"},
                    {"layer": "linear", "axis": 1, "role": "reads"},
                ],
                "prunable": True,
                "reason": None,
                "coupled_by": [{"how": "sum", "where": ["layer1.0", "layer1.1"]}],
            },
            {
                "name": "linear",
                "channels": 10,
                "members": [{"layer": "linear", "axis": 0, "role": "makes"}],
                "prunable": False,
                "reason": "the model's output",
                "coupled_by": [],
            },
        ],
        "flow": [
            {"layer": "conv1", "type": "Conv2d", "channels": 16, "reads": [], "makes": ["conv1"]},
            {"layer": "linear", "type": "Linear", "channels": 10, "reads": ["conv1"], "makes": ["linear"]},
        ],
        "widths": {"multiple": 32, "measured": True, "slow": ["conv1"]},
        "problems": [],
    },
    "score": {
        "checkpoint": {"path": "model.safetensors", "sha256": "cd" * 32, "architecture": "cifar/resnet20"},
        "criteria": ["l1", "l2"],
        "scope": "local",
        "layers": [
            {
                "name": "conv1",
                "type": "Conv2d",
                "filters": 2,
                "scores": {"l1": [1.0, 3.0], "l2": [0.1234567890123, float("nan")]},
            }
        ],
        "groups": [{"name": "conv1", "channels": 2, "scores": {"l1": [1.0, 3.0], "l2": [0.5, 0.5]}}],
    },
    "compare": {
        "criteria": ["l1", "l2"],
        "ratios": [0.3, 0.5],
        "pairs": [
            {
                "a": "l1",
                "b": "l2",
                "spearman": 0.9,
                "kendall": 0.8,
                "rbo": 0.75,
                "jaccard": {"0.3": 0.5, "0.5": 1.0},
                "interval": {"spearman": [0.85, 0.95]},
                "layers": [
                    {"name": "conv1", "spearman": 0.9, "kendall": 0.8, "jaccard": {"0.3": 0.5, "0.5": 1.0}}
                ],
            }
        ],
        "global": [{"a": "l1", "b": "l2", "spearman": 0.7, "jaccard": {"0.3": 0.25, "0.5": 0.75}}],
        "applicability": [
            {"criterion": "l1", "layers": [{"name": "conv1", "cv": 0.4, "gap": 2.0}], "cv": 0.4}
        ],
        "first_pruned": [
            {"layer": "conv1", "indices": {"l1": [3, 0], "l2": [3, 1]}},
            {"layer": "conv2", "indices": {"l1": [0], "l2": None}},
        ],
        "remarks": ["l1 and l2 rank alike (Spearman 0.90)"],
    },
    "prune": {
        "strategy": "one-shot",
        "criterion": "l2",
        "scope": "local",
        "ratio": 0.5,
        "target": None,
        "seed": 0,
        "before": FIGURES,
        "after": HALVED,
        "reduction": {"params": 0.75, "macs": 0.75, "bytes": 1 - 1200 / 4400},
        "layers": [{"name": "conv1", "type": "Conv2d", "before": 16, "after": 8, "removed": [0, 2, 4]}],
        "rules": [{"group": "conv1", "rule": "--min-channels 8 keeps 8"}],
        "protected": [{"name": "linear", "reason": "the model's output"}],
        "verification": {
            "method": "masked original",
            "max_abs_error": 2.4e-16,
            "max_rel_error": 1e-15,
            "tolerance": 1e-9,
            "equivalent": True,
        },
        "accuracy": {"before": 97.5, "after": 90.25},
        "seconds": {"trace": 0.1, "score": 0.2, "plan": 0.0, "surgery": 0.1, "verify": 0.3, "train": None},
        "output": WRITTEN,
    },
    "finetune": {
        "epochs": 1,
        "best": {"epoch": 1, "accuracy": 95.0},
        "before": {"accuracy": 90.0, "loss": 0.5},
        "after": {"accuracy": 95.0, "loss": 0.2},
        "history": [
            {
                "epoch": 1,
                "lr": 0.01,
                "train_loss": 0.41,
                "loss": 0.2,
                "accuracy": 95.0,
                "seconds": 1.5,
                "images_per_second": 1234.5,
            }
        ],
        "output": {**WRITTEN, "path": "tuned.safetensors"},
    },
    "evaluate": {"accuracy": 97.5, "top5": None, "loss": 0.125, "images": 360, "images_per_second": 5000.0},
    "export": {
        "format": "onnx",
        "output": {"path": "small.onnx", "bytes": 1300, "sha256": "ef" * 32},
        "verification": {"runtime": "onnxruntime 1.31", "max_abs_error": 1e-7, "equivalent": True},
    },
}


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The paper's dataclass, so that a missing or extra field shows."""

    checkpoint: str | None
    arch: str | None
    model: str | None
    input_shape: tuple[int, ...] | None
    trust_pickle: str | None
    ema: bool = False
    device: str = "cpu"
    threads: int | None = None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    allow_nonfinite: bool = False


@dataclass(frozen=True)
class Result:
    """What a recording workflow returns."""

    content: dict[str, Any]
    notes: tuple[str, ...] = ("read model.safetensors",)
    gate: Exception | None = None

    def document(self) -> dict[str, Any]:
        return self.content


@dataclass
class Recorder:
    """One fake workflow: what it was called with, and what it does then."""

    command: str
    calls: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    then: Callable[[dict[str, Any]], Any] | None = None

    def __call__(self, opening: Any, **given: Any) -> Any:
        self.calls.append((opening, given))
        return self.then(given) if self.then else Result(DOCUMENTS[self.command])

    @property
    def opening(self) -> Any:
        return self.calls[-1][0]

    @property
    def given(self) -> dict[str, Any]:
        return self.calls[-1][1]


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def result_type():
    return Result


@pytest.fixture
def documents():
    return DOCUMENTS


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """No configuration above the current folder, and nothing set from outside."""
    for variable in list(os.environ):
        if variable.startswith("PRUNECLI_") or variable in (
            "NO_COLOR",
            "FORCE_COLOR",
            "CI",
            "GITHUB_ACTIONS",
        ):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def workflows(monkeypatch):
    """A recording workflow for each command, by name."""
    recorders = {command: Recorder(command) for command in DOCUMENTS}
    for command, recorder in recorders.items():
        module = ModuleType(f"prunecli.workflows.{command}")
        setattr(module, command, recorder)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    opening = ModuleType("prunecli.workflows.opening")
    opening.Opening = Opening  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, opening.__name__, opening)
    members = {
        "criteria": ("l1", "l2", "fpgm"),
        "strategies": ("one-shot", "sfp", "hfp", "ghfp"),
        "exporters": ("onnx", "pt2"),
        "data": ("digits", "torchvision"),
    }
    for kind, known in members.items():
        module = ModuleType(f"registry_of_{kind}")
        module.MEMBERS = {name: object() for name in known}  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(names.REGISTRIES, kind, (names.REGISTRIES[kind][0], module.__name__, "MEMBERS"))
    return recorders


@pytest.fixture
def cli(capsys):
    """Run the command line here; streams are captured and no terminal."""

    def invoke(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return invoke
