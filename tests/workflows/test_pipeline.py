"""The pipeline of three processes through standard input and output, as a shell runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PRUNECLI = f"{sys.executable} -m prunecli"


def test_prune_finetune_and_export_in_one_pipe(tmp_path):
    pytest.importorskip("onnxruntime")
    script = (
        f"set -o pipefail; {PRUNECLI} prune --ratio 0.5 -o - -q"
        f" | {PRUNECLI} finetune - --data digits --epochs 1 -o - -q"
        f" | {PRUNECLI} export - --to onnx -o m.onnx --json"
    )
    found = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["schema"] == "prunecli.export/1"
    assert document["verification"]["equivalent"]
    assert (tmp_path / "m.onnx").stat().st_size == document["output"]["bytes"]


def test_the_result_goes_to_standard_error_when_the_checkpoint_goes_to_standard_output(tmp_path):
    command = [*PRUNECLI.split(), "prune", "--ratio", "0.5", "-o", "-", "--json"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert found.stdout[8:10] == b'{"'
    text = found.stderr.decode()
    assert json.loads(text[text.index("{") :])["output"]["path"] == "-"
