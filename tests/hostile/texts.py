"""Texts beside the weights that are not in order: plans, saved scores, reports for `check`, configuration."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from hostile.lying import PLANS
from hostile.making import Case, cases, placed, safetensors_bytes, sample_bytes, with_document
from safetensors.torch import save

SAMPLE = "sample.safetensors"
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "white space": b"  \n ",
    "not JSON": b"{plan",
    "cut off": b'{"schema": "prunecli.plan/1", "cuts": [',
    "not UTF-8": b'{"\xff": 1}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a list": b"[]",
    "a number": b"3",
    "null": b"null",
    "text": b'"plan"',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and whole": b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a number of 100,000 digits": b'{"schema": ' + b"9" * 100_000 + b"}",
    "a key twice": b'{"schema": "a", "schema": "b"}',
    "a page": b"<!doctype html><html></html>",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(50),
}


def _beside(name: str, content: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / SAMPLE).write_bytes(sample_bytes())
        return placed(name, content)(folder)

    return make


def _plans() -> Iterator[Case]:
    carried = ("prune", SAMPLE, "--plan", "FILE", "--dry-run", "--quiet")
    for what, content in BROKEN.items():
        yield Case(f"that is {what}", _beside("plan.json", content), carried)
    # A plan that names no group takes nothing: 1, whatever else it says.
    for what, plan in PLANS.items():
        yield Case(what, _beside("plan.json", json.dumps(plan).encode()), carried, (1, 3))
    nan = b'{"schema":"prunecli.plan/1","index_sets":[[NaN]],"cuts":[],"attributes":[],"groups":[]}'
    yield Case("of NaN", _beside("plan.json", nan), carried)
    yield Case(
        "that is a checkpoint without one", _beside("plan.json", sample_bytes()), carried, says="no plan"
    )
    folder_plan = ("prune", SAMPLE, "--plan", ".", "--dry-run")
    yield Case("that is a folder", _beside("x", b""), folder_plan)
    for device in ("/dev/zero", "/dev/null", "missing.json"):
        yield Case(f"that is {device}", _beside("x", b""), ("prune", SAMPLE, "--plan", device, "--dry-run"))

    def pipe(folder: Path) -> str:
        _beside("x", b"")(folder)
        subprocess.run(["mkfifo", str(folder / "plan.json")], check=True)
        return "plan.json"

    yield Case("that is a pipe", pipe, carried)


def _scores(change: Callable[[dict[str, Any]], object], tensors: dict[str, torch.Tensor]) -> bytes:
    """A file of scores with a document of its own making."""
    document: dict[str, Any] = {
        "schema": "prunecli.checkpoint/1",
        "scores": "prunecli.scores/1",
        "criteria": ["l1"],
        "layers": {"features.0": 16},
        "weights": "0" * 64,
        "seed": 0,
        "data": None,
    }
    change(document)
    return save(tensors, {"prunecli": json.dumps(document)})


def _saved_scores() -> Iterator[Case]:
    taken = ("prune", SAMPLE, "--ratio", "0.5", "--scores", "FILE", "--dry-run", "--quiet")
    right = {"l1|features.0": torch.ones(16)}
    for what, content in BROKEN.items():
        yield Case(f"that are {what}", _beside("scores.safetensors", content), taken)
    yield Case(
        "that are a network", _beside("scores.safetensors", sample_bytes()), taken, says="no saved scores"
    )
    fields: tuple[tuple[str, object], ...] = (
        ("scores", "prunecli.scores/2"),
        ("criteria", None),
        ("criteria", "l1"),
        ("criteria", [1]),
        ("criteria", []),
        ("criteria", ["l1", "l1"]),
        ("layers", None),
        ("layers", []),
        ("layers", {"features.0": "16"}),
        ("layers", {"features.0": "many"}),
        ("layers", {"features.0": None}),
        ("layers", {"features.0": [16]}),
        ("layers", {"features.0": 1e400}),
        ("layers", {}),
        ("weights", None),
        ("weights", 3),
        ("data", 3),
        ("data", {"fingerprint": []}),
        ("seed", "x"),
    )
    for key, value in fields:
        content = _scores(lambda document, key=key, value=value: document.update({key: value}), right)
        yield Case(f"whose {key} is {value}", _beside("scores.safetensors", content), taken)
    shapes = {
        "too few": {"l1|features.0": torch.ones(3)},
        "too many axes": {"l1|features.0": torch.ones(16, 1)},
        "of an unknown layer": {"l1|nothing": torch.ones(16)},
        "of an unknown criterion": {"evil|features.0": torch.ones(16)},
        "without a layer": {"l1": torch.ones(16)},
        "NaN": {"l1|features.0": torch.full((16,), float("nan"))},
        "of other weights": right,
    }
    for what, tensors in shapes.items():
        content = _scores(lambda document: None, tensors)
        yield Case(f"that are {what}", _beside("scores.safetensors", content), taken)
    inspected = ("inspect", "FILE")
    yield Case(
        "as a network", _beside("scores.safetensors", _scores(lambda document: None, right)), inspected
    )


def _report(**fields: object) -> bytes:
    document = {
        "schema": "prunecli.prune/1",
        "version": "0.1.0",
        "before": {"macs": 100, "params": 10, "flops": 200, "bytes": 40},
        "after": {"macs": 50, "params": 5, "flops": 100, "bytes": 20},
        "reduction": {"macs": 0.5, "params": 0.5, "bytes": 0.5},
        "accuracy": {"before": 90.0, "after": 89.0},
        "verification": {"equivalent": True, "max_abs_error": 0.0},
    }
    return json.dumps({**document, **fields}).encode()


JUNK: tuple[object, ...] = (None, 3, "text", [], [1], {}, {"before": "x", "after": []}, True, 1e308, -1)


def _reports() -> Iterator[Case]:
    gates = ("check", "FILE", "--max-drop", "1", "--min-macs-cut", "0.4", "--require-equivalent")
    for what, content in BROKEN.items():
        yield Case(f"that is {what}", placed("report.json", content), gates)
    for key in ("before", "after", "reduction", "accuracy", "verification", "output", "seconds"):
        for value in JUNK:
            name = f"whose {key} is {json.dumps(value)}"
            yield Case(name, placed("report.json", _report(**{key: value})), gates, (0, 1, 2, 3))
    for schema in ("prunecli.prune/2", "prunecli.evil/1", "evil/1", 3, None, ["prunecli.prune/1"]):
        yield Case(f"of the form {schema}", placed("report.json", _report(schema=schema)), gates, (1, 2, 3))
    for path in ("/dev/zero", ".", "missing.json"):
        yield Case(f"that is {path}", placed("x", b""), ("check", path, "--max-drop", "1"))


def _settings(text: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "prunecli.toml").write_text(text)
        return placed("model.safetensors", sample_bytes())(folder)

    return make


def _configurations() -> Iterator[Case]:
    texts: dict[str, str] = {
        "not TOML": "[[[",
        "an unknown key": "ratoi = 0.5",
        "trust": f'trust_pickle = "{"0" * 64}"',
        "trust by another spelling": f'Trust-Pickle = "{"0" * 64}"',
        "trust by dashes": f'"--trust-pickle" = "{"0" * 64}"',
        "code for a model": 'model = "evil.py:make"',
        "code for data": 'data = "evil.py:make"',
        "code of a module for data": 'data = "evil:make"',
        "help": "help = true",
        "a ratio of text": 'ratio = "much"',
        "a ratio beyond": "ratio = 1.5",
        "a ratio of NaN": "ratio = nan",
        "a ratio of infinity": "ratio = inf",
        "a ratio that is a table": "ratio = {a = 1}",
        "a ratio that is a list": "ratio = [[1]]",
        "a ratio that is true": "ratio = true",
        "a ratio that is a date": "ratio = 2020-01-01",
        "a seed beyond": f"seed = {10**30}",
        "an output that is a device": 'output = "/dev/null"',
        "a shape of text": 'input_shape = "big"',
        "a deep list": "ratio = " + "[" * 5000 + "]" * 5000,
    }
    pruned = ("prune", "FILE", "--dry-run", "--quiet")
    for what, text in texts.items():
        yield Case(what, _settings(text), pruned, (2, 3))


def _documents_for_pruning() -> Iterator[Case]:
    """What `inspect` does not read and pruning does."""
    pruned = ("prune", "FILE", "--ratio", "0.5", "-o", "small.safetensors", "--quiet")
    plan = {"schema": "prunecli.plan/1", "index_sets": [], "cuts": [], "attributes": [], "groups": []}

    def change(document: dict[str, Any]) -> None:
        document["plan"] = plan
        document["history"] = [{"command": "\x1b[2J" * 9, "note": None}]
        document["normalisation"] = {"mean": [0.5], "std": [0]}

    made = placed("model.safetensors", with_document(change))
    yield Case("an empty plan, an odd history", made, pruned, (0, 3))
    huge = placed("model.safetensors", safetensors_bytes(b"{" + b" " * (33 << 20) + b"}"))
    yield Case("a header of 33 MB of spaces", huge, pruned)


def _sensitivities() -> Iterator[Case]:
    taken = (
        "prune",
        SAMPLE,
        "--ratio",
        "0.5",
        "--scope",
        "global",
        "--sensitivity",
        "FILE",
        "--dry-run",
        "--quiet",
    )
    for what, content in BROKEN.items():
        yield Case(f"that is {what}", _beside("costs.json", content), taken)
    for origin in (None, 3, [], {"weights": 3}):
        document = {"schema": "prunecli.sensitivity/1", "origin": origin, "before": {}, "groups": []}
        yield Case(f"of the origin {origin}", _beside("costs.json", json.dumps(document).encode()), taken)
    yield Case("that is endless", _beside("x", b""), (*taken[:7], "/dev/zero", "--dry-run"))


CASES = [
    *cases("plan", _plans()),
    *cases("scores", _saved_scores()),
    *cases("sensitivity", _sensitivities()),
    *cases("report", _reports()),
    *cases("configuration", _configurations()),
    *cases("pruning", _documents_for_pruning()),
]
