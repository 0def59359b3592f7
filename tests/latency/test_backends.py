"""What runs networks: each gives what the network gives, and says when this machine lacks what it needs."""

from __future__ import annotations

import networks
import pytest
import torch

from prunecli.errors import InputRefused, WrongUse
from prunecli.graph.inputs import Calling, Input
from prunecli.latency import backends
from prunecli.latency.backends import BACKENDS, onnx_run

CALLING = Calling((Input((3, 8, 8)),))


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """A network with a free batch, as an ONNX file."""
    path = tmp_path_factory.mktemp("onnx") / "plain.onnx"
    model, example = networks.Plain().eval(), torch.zeros(2, 3, 8, 8)
    torch.onnx.export(
        model,
        (example,),
        str(path),
        dynamo=False,
        dynamic_axes={"input": {0: "batch"}},
        input_names=["input"],
    )
    return path


@pytest.mark.parametrize("name", ["eager", "channels-last"])
def test_they_give_what_the_network_gives(name):
    model, inputs = networks.Plain().eval(), [torch.randn(2, 3, 8, 8)]
    run = BACKENDS[name].prepare(model, CALLING, inputs)
    torch.testing.assert_close(run(), model(*inputs))


def test_channels_last_leaves_the_network_as_it_is():
    model, inputs = networks.Plain().eval(), [torch.randn(2, 3, 8, 8)]
    BACKENDS["channels-last"].prepare(model, CALLING, inputs)()
    assert model.conv2.weight.is_contiguous()
    assert inputs[0].is_contiguous()


def test_compiling_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(WrongUse, match="a C\\+\\+ compiler"):
        BACKENDS["compile"].require("cpu")
    monkeypatch.delenv("CXX")
    monkeypatch.setattr(
        backends.shutil, "which", lambda name: "/usr/bin/clang++" if name == "clang++" else None
    )
    BACKENDS["compile"].require("cpu")


def test_onnxruntime_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(WrongUse, match="not installed") as refused:
        BACKENDS["onnxruntime"].require("cpu")
    assert refused.value.hints == ('pip install "prunecli[onnx]"',)


def test_onnxruntime_runs_where_it_can_only():
    with pytest.raises(WrongUse, match="does not run on mps"):
        BACKENDS["onnxruntime"].require("mps")


def test_an_onnx_file_runs_at_any_batch(onnx_file):
    (found,) = onnx_run(onnx_file, batch=5, threads=1, device="cpu")()
    assert found.shape == (5, 5)


def test_a_batch_that_is_fixed_is_said(tmp_path):
    path = tmp_path / "fixed.onnx"
    torch.onnx.export(networks.Plain().eval(), (torch.zeros(2, 3, 8, 8),), str(path), dynamo=False)
    with pytest.raises(InputRefused, match="batches of 2 only") as refused:
        onnx_run(path, batch=1, threads=1, device="cpu")
    assert refused.value.hints == ("add: --batch-size 2",)


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "none.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputRefused, match=r"does not open .*none\.onnx"):
        onnx_run(path, batch=1, threads=1, device="cpu")
