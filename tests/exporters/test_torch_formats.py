"""What opens with torch alone is opened in a process that has nothing else, and compared there."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from exporters.tasks import SHAPE, FixedBatch, Small, TwoOutputs, export
from torch import nn

from prunecli.errors import WorkFailed
from prunecli.exporters import pt2, torchscript
from prunecli.exporters.separate_process import run_elsewhere

SAMPLES = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_a_pt2_program_opens_without_prunecli_and_takes_any_batch(tmp_path, capfd):
    model, path = Small(), tmp_path / "out"
    check = export("pt2", model, path, samples=SAMPLES)
    assert check.equivalent
    assert check.runtime == f"torch {torch.__version__} in a process of its own"
    assert check.notes == ("top-1 agrees on 9 of 9 inputs",)
    assert (check.top1_agreement, check.inputs, check.real_inputs) == (1.0, 9, 5)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert capfd.readouterr() == ("", "")
    found = torch.export.load(path).module()(SAMPLES)
    torch.testing.assert_close(found, model.eval()(SAMPLES), rtol=1e-4, atol=1e-5)


def test_a_torchscript_file_opens_without_prunecli_and_gives_all_outputs(tmp_path):
    check = export("torchscript", TwoOutputs(), tmp_path / "out", samples=SAMPLES)
    assert check.equivalent
    assert check.notes[0].startswith("traced and frozen")
    found = torch.jit.load(tmp_path / "out")(SAMPLES)
    assert found["features"].shape == (5, 4, 8, 8)


@pytest.mark.parametrize("name", ["pt2", "torchscript"])
def test_a_batch_that_is_fixed_is_not_accepted(tmp_path, name):
    with pytest.raises(WorkFailed):
        export(name, FixedBatch(), tmp_path / "out")


def test_other_values_are_not_accepted(tmp_path, monkeypatch):
    monkeypatch.setattr(pt2, "OPENING", pt2.OPENING.replace("program(*batch)", "program(*batch) + 0.01"))
    with pytest.raises(WorkFailed, match=r"outputs differ by 0\.01, at most"):
        export("pt2", Small(), tmp_path / "out")


def test_a_full_disk_is_an_error_and_no_abort(tmp_path):
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from exporters.tasks import Small, export\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "for name in ('pt2', 'torchscript'):\n"
        "    try: export(name, Small(), Path(sys.argv[1]))\n"
        "    except OSError as error: sys.stdout.write(f'{name} {error.errno} ')"
    )
    run = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PYTHONPATH": "tests", "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert (run.returncode, run.stdout) == (0, "pt2 27 torchscript 27 "), run.stderr


def test_what_cannot_be_traced_says_why(tmp_path, monkeypatch):
    class Refusing(nn.Module):
        def forward(self, x):
            raise KeyError("no such thing")

    model = Refusing()
    task = torchscript.ExportTask((), ("input",), (SAMPLES,))
    with pytest.raises(WorkFailed, match="cannot be traced") as caught:
        torchscript.export_torchscript(model, tmp_path / "out", task)
    assert caught.value.hints == ("KeyError: 'no such thing'",)


def test_the_other_process_has_no_prunecli(tmp_path):
    opening = "def run(batch):\n    import prunecli"
    with pytest.raises(WorkFailed) as caught:
        run_elsewhere(opening, tmp_path, [[SAMPLES]])
    assert "prunecli" in caught.value.hints[0]
    assert "ModuleNotFoundError" in caught.value.hints[0]
