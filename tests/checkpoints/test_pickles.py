from __future__ import annotations

import argparse
import hashlib
import io

import pytest
import torch
from torch import nn

from prunecli.checkpoints.reading import read_checkpoint
from prunecli.errors import InputRefused, WrongUse

BOTH_FORMATS = pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])


def refusal(path, **options):
    with pytest.raises(InputRefused) as refused:
        read_checkpoint(path, **options)
    said = " ".join([refused.value.message, *refused.value.hints])
    assert "weights_only" not in said
    assert len(refused.value.message.splitlines()) == 1
    return refused.value


@BOTH_FORMATS
def test_code_in_a_file_is_named_with_the_sha256_and_never_run(save, payload, marker, weights, new):
    path = save({"state_dict": weights, "x": payload}, _use_new_zipfile_serialization=new)
    error = refusal(path)
    assert "posix.mkdir" in error.message
    assert "named at byte" in error.message
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert error.hints[2].endswith(f"--trust-pickle {sha256}")
    assert not marker.exists()


@BOTH_FORMATS
def test_only_the_right_sha256_lets_it_run(save, payload, marker, weights, new):
    path = save({"state_dict": weights, "x": payload}, _use_new_zipfile_serialization=new)
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    error = refusal(path, trust_pickle="0" * 64)
    assert error.hints[1] == f"its own: {own}"
    assert not marker.exists()
    checkpoint = read_checkpoint(path, trust_pickle=own.upper())
    assert marker.exists()
    assert checkpoint.tensors.keys() == weights.keys()
    assert any("ran the code" in note for note in checkpoint.notes)


def test_code_in_every_pickle_of_a_legacy_file_is_found(save, payload, marker, weights, tmp_path):
    path = save(weights, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    foreign = io.BytesIO()
    torch.save(payload, foreign, _use_new_zipfile_serialization=False)
    # The third pickle (system facts) gives way to a stream that names os.mkdir.
    end = whole.index(b".", 21 + len(b"\x80\x02}q\x00(X")) + 1
    crafted = whole[:21] + b"\x80\x02cposix\nmkdir\nX\x01\x00\x00\x00x\x85R." + whole[end:]
    path.write_bytes(crafted)
    assert "posix.mkdir" in refusal(path).message
    assert not (tmp_path / "x").exists()


@BOTH_FORMATS
def test_a_whole_module_is_refused_and_read_when_trusted(save, new):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    path = save(nn.DataParallel(module), _use_new_zipfile_serialization=new)
    error = refusal(path)
    assert "holds a whole pickled model" in error.message
    assert "torch.nn.modules.conv.Conv2d" in " ".join(error.hints)
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    checkpoint = read_checkpoint(path, trust_pickle=own)
    assert checkpoint.kind == "torch module"
    assert isinstance(checkpoint.module, nn.Sequential)
    assert torch.equal(checkpoint.tensors["0.weight"], module[0].weight)


def test_a_trusted_file_that_was_safe_all_along_runs_nothing(save, weights):
    path = save(weights)
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_checkpoint(path, trust_pickle=own).notes == ()


def test_trust_takes_a_sha256_and_nothing_else(save, weights):
    with pytest.raises(WrongUse, match="64 hexadecimal digits"):
        read_checkpoint(save(weights), trust_pickle="yes")


def test_honest_arguments_beside_the_weights_are_named(save, weights):
    error = refusal(save({"state_dict": weights, "args": argparse.Namespace(lr=0.1)}))
    assert "holds more than weights: it would run argparse.Namespace" in error.message


def test_a_class_that_is_not_here_is_named(save, tmp_path, monkeypatch):
    (tmp_path / "gone_module.py").write_text("import torch\nclass Net(torch.nn.Module):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import gone_module

    path = save(gone_module.Net())
    monkeypatch.undo()
    monkeypatch.delitem(__import__("sys").modules, "gone_module")
    own = hashlib.sha256(path.read_bytes()).hexdigest()
    error = refusal(path, trust_pickle=own)
    assert "needs code that is not here" in error.message
    assert "gone_module" in error.message


def test_other_pickle_protocols_are_refused_in_words(save, weights):
    error = refusal(save(weights, pickle_protocol=4))
    assert "pickle opcode" in error.message


@BOTH_FORMATS
def test_sparse_quantised_and_meta_tensors_are_named_before_they_are_built(save, weights, new):
    sparse = torch.eye(3).to_sparse()
    quantised = torch._empty_affine_quantized([2, 2], scale=0.1, zero_point=0, dtype=torch.qint8)
    meta = torch.empty(2, 2, device="meta")
    for tensor, words in ((sparse, "sparse"), (quantised, "quantised"), (meta, "without data")):
        path = save({**weights, "odd.weight": tensor}, _use_new_zipfile_serialization=new)
        error = refusal(path)
        assert "the tensor odd.weight is " in error.message
        assert words in error.message


def test_a_sparse_tensor_of_bad_indices_is_refused(save):
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        bad = torch.sparse_coo_tensor(torch.tensor([[99999999]]), torch.ones(1), (3,))
        path = save({"w": bad})
    assert "sparse" in refusal(path).message


def test_a_legacy_file_that_is_cut_off_or_claims_too_much_is_refused(save, weights):
    path = save({"w": torch.zeros(5000)}, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    assert "claims a tensor of 5,000 numbers but ends at 2,000 bytes" in refusal(path).message
    path.write_bytes(whole[:19000])
    assert "damaged or cut off" in refusal(path).message
    path.write_bytes(whole[:100])
    assert "damaged or cut off" in refusal(path).message


def test_warnings_of_torch_are_not_passed_on(save, weights, recwarn):
    path = save({"a": torch.zeros(2)}, _use_new_zipfile_serialization=False)
    read_checkpoint(path)
    assert not recwarn.list
