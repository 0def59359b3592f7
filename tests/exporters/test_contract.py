"""Exporters are found by name without torch, and say what they lack before any work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from prunecli.errors import WrongUse
from prunecli.exporters import contract
from prunecli.exporters.contract import EXPORTERS, Exporter, ExportTask, exporter
from prunecli.registry import DuplicateName

NOTHING = ExportTask((), (), ())


def test_the_built_in_exporters_say_what_they_are():
    assert set(EXPORTERS) == {
        *("onnx", "safetensors", "pt2", "torchscript", "python", "openvino", "executorch", "transformers")
    }
    for name, member in EXPORTERS.items():
        assert member.name == name
        assert member.caption.endswith(".")
        assert member.source
        assert member.suffix.startswith(".")
    assert EXPORTERS["onnx"].suffix == ".onnx"
    assert EXPORTERS["safetensors"].suffix == ".safetensors"


def test_missing_packages_are_wrong_use_with_what_to_type(monkeypatch, tmp_path):
    monkeypatch.setattr(contract, "find_spec", lambda name: None if name.startswith("onnx") else object())
    with pytest.raises(WrongUse, match="exporting to onnx needs onnx, onnxscript, onnxruntime") as caught:
        EXPORTERS["onnx"].export(nn.Linear(2, 2), tmp_path / "out", NOTHING)
    assert caught.value.hints == ('pip install "prunecli[onnx]"',)
    assert not (tmp_path / "out").exists()
    EXPORTERS["safetensors"].require()


def test_a_package_without_an_extra_is_named_itself():
    def function(*_, **__):
        raise AssertionError

    member = Exporter("x", function, ("no_such_package",), None, "nowhere", ".x", "A caption.")
    with pytest.raises(WrongUse) as caught:
        member.export(nn.Identity(), Path("out"), NOTHING)
    assert caught.value.hints == ("pip install no_such_package",)


def test_a_name_is_taken_once_and_an_unknown_one_names_the_nearest():
    with pytest.raises(DuplicateName):
        exporter("onnx", source="nowhere", suffix=".onnx")(EXPORTERS["onnx"].function)
    with pytest.raises(WrongUse) as caught:
        EXPORTERS["onx"]
    assert caught.value.hints[0] == "did you mean 'onnx'?"


def test_the_names_are_listed_without_torch():
    code = (
        "import sys; from prunecli.exporters.contract import EXPORTERS; names = list(EXPORTERS);"
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules or 'onnx' not in names)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("name", "given", "refused", "valid"),
    [
        ("pt2", {"opset": 18}, "--to pt2 has no --opset", "options of pt2: --dtype, --fuse"),
        ("safetensors", {"weights": "int8"}, "--to safetensors has no --weights", None),
        (
            "transformers",
            {"fuse": True},
            "--to transformers has no --fuse",
            "options of transformers: --dtype",
        ),
    ],
)
def test_an_option_that_a_format_does_not_have_is_refused(name, given, refused, valid):
    with pytest.raises(WrongUse, match=refused) as caught:
        EXPORTERS[name].refuse({"dtype": "fp16", **given})
    assert valid is None or caught.value.hints == (valid,)
    EXPORTERS["onnx"].refuse({"opset": 18, "dtype": "fp16", "weights": None, "fuse": True})


def test_files_beside_the_main_one_are_named_after_it():
    assert EXPORTERS["python"].companions(Path("a/net.py")) == (Path("a/net_weights.safetensors"),)
    assert EXPORTERS["onnx"].companions(Path("net.onnx")) == (Path("net.onnx.data"),)
    assert EXPORTERS["openvino"].companions(Path("net.xml")) == (Path("net.bin"),)
    assert EXPORTERS["pt2"].companions(Path("net.pt2")) == ()
