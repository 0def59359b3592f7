"""OpenVINO and ExecuTorch, where they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from exporters.tasks import SHAPE, Small, TwoOutputs, export

from prunecli.errors import WorkFailed

TESTS = Path(__file__).parents[1]
HAS_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
SAMPLES = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1))


@HAS_OPENVINO
def test_openvino_computes_the_same_for_any_batch(tmp_path):
    path = tmp_path / "net.xml"
    check = export("openvino", TwoOutputs(), path, samples=SAMPLES)
    assert check.equivalent
    assert check.runtime.startswith("openvino 20")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.bin", "net.xml"]
    import openvino  # after the export, which leaves its telemetry out

    compiled = openvino.Core().compile_model(str(path), "CPU")
    assert compiled.inputs[0].any_name == "input"
    assert compiled(SAMPLES.numpy())[compiled.outputs[1]].shape == (5, 5)


@HAS_OPENVINO
def test_openvino_reports_nothing_to_its_makers(tmp_path):
    home, program = (
        tmp_path / "home",
        (
            "from exporters.tasks import Small, export\n"
            f"export('openvino', Small(), __import__('pathlib').Path({str(tmp_path / 'net.xml')!r}))\n"
            "from openvino.tools.ovc import convert_impl\n"
            "print(convert_impl.tm.__name__)\n"
        ),
    )
    home.mkdir()
    paths = os.pathsep.join(str(each) for each in (TESTS, TESTS.parent))
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": paths}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split()[-1] == "openvino.tools.ovc.telemetry_stub"
    assert not (home / "intel").exists()  # there it would keep its identifier


@HAS_OPENVINO
def test_openvino_says_that_bfloat16_cannot_be_checked(tmp_path):
    with pytest.raises(WorkFailed, match="bfloat16"):
        export("openvino", Small().bfloat16(), tmp_path / "net.xml", dtype=torch.bfloat16)


def test_executorch_computes_the_same_up_to_its_largest_batch(tmp_path):
    pytest.importorskip("executorch.exir")
    path = tmp_path / "net.pte"
    check = export("executorch", Small(), path, samples=SAMPLES)
    assert check.equivalent
    assert check.notes == (
        "for batches of 1 to 8: memory is planned beforehand",
        "top-1 agrees on 9 of 9 inputs",
    )
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    assert method.execute([torch.zeros(8, *SHAPE)])[0].shape == (8, 5)
