from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prunecli.checkpoints.reading import read_checkpoint
from prunecli.errors import InputRefused

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is not here")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".pth.tar", ".bin", ".ckpt", ".whatever"])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_torch_saved_is_read_whatever_its_name(save, weights, suffix, new):
    path = save({"state_dict": weights, "epoch": 7}, "a" + suffix, _use_new_zipfile_serialization=new)
    checkpoint = read_checkpoint(path)
    assert checkpoint.kind == ("torch zip" if new else "torch legacy")
    assert checkpoint.found_under == "state_dict"
    assert checkpoint.facts == {"epoch": 7}
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.bytes == path.stat().st_size
    assert list(checkpoint.tensors) == list(weights)
    assert all(torch.equal(checkpoint.tensors[name], weights[name]) for name in weights)
    assert checkpoint.shapes["conv1.weight"] == (4, 3, 3, 3)


def test_a_stream_gives_what_the_file_gives(save, weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    for path in (
        save(weights),
        save(weights, "l.pt", _use_new_zipfile_serialization=False),
        tmp_path / "a.safetensors",
    ):
        from_stream = read_checkpoint(io.BytesIO(path.read_bytes()))
        from_file = read_checkpoint(path)
        assert from_stream.path == "<stdin>"
        assert from_stream.sha256 == from_file.sha256
        assert all(torch.equal(from_stream.tensors[name], weights[name]) for name in weights)


def test_nested_prefixed_and_masked_at_once(save, weights):
    inner = {f"module._orig_mod.{name}": tensor for name, tensor in weights.items()}
    weight = inner.pop("module._orig_mod.conv1.weight")
    mask = (torch.rand_like(weight) > 0.5).float()
    inner["module._orig_mod.conv1.weight_orig"] = weight
    inner["module._orig_mod.conv1.weight_mask"] = mask
    checkpoint = read_checkpoint(save({"model": inner}))
    assert set(checkpoint.tensors) == set(weights)
    assert torch.equal(checkpoint.tensors["conv1.weight"], weight * mask)
    assert checkpoint.prefix == "module._orig_mod."
    assert checkpoint.notes[0] == "took the 4 tensors under 'model'"
    assert "stripped prefix 'module._orig_mod.' from 5 names" in checkpoint.notes


def test_averaged_weights_only_when_asked_for_and_said_either_way(save, weights):
    average = {f"module.{name}": tensor * 2 for name, tensor in weights.items()}
    path = save({"model": weights, "model_ema": average})
    plain = read_checkpoint(path)
    assert torch.equal(plain.tensors["bn1.weight"], weights["bn1.weight"])
    assert "left the averaged (EMA) weights under 'model_ema' alone; --ema takes them" in plain.notes
    taken = read_checkpoint(path, ema=True)
    assert torch.equal(taken.tensors["bn1.weight"], weights["bn1.weight"] * 2)
    assert (taken.found_under, taken.prefix) == ("model_ema", "module.")


def test_averaged_weights_of_another_shape_are_not_chosen_between(save, weights):
    other = {**weights, "bn1.weight": torch.ones(9)}
    path = save({"model": weights, "ema": other})
    with pytest.raises(InputRefused, match="have other shapes") as refused:
        read_checkpoint(path)
    assert "bn1.weight" in refused.value.hints[0]
    assert read_checkpoint(path, ema=True).shapes["bn1.weight"] == (9,)


def test_asking_for_an_average_that_is_not_there_is_refused(save, weights):
    with pytest.raises(InputRefused, match="holds no averaged"):
        read_checkpoint(save({"state_dict": weights}), ema=True)


def test_nan_is_refused_unless_allowed(save):
    path = save({"w": torch.tensor([1.0, float("nan")])})
    with pytest.raises(InputRefused, match="w holds 1 NaN of 2 numbers"):
        read_checkpoint(path)
    assert read_checkpoint(path, allow_nonfinite=True).tensors["w"].isnan().sum() == 1


def test_overlapping_views_and_tied_tensors(save):
    tied = torch.ones(3, 2)
    tensors = read_checkpoint(save({"a": tied, "b": tied})).tensors
    assert tensors["a"].data_ptr() == tensors["b"].data_ptr()
    with pytest.raises(InputRefused, match="the tensor wide is a view whose elements overlap"):
        read_checkpoint(save({"wide": torch.ones(1).expand(1 << 40)}))


def test_parameters_and_cuda_locations_come_as_plain_cpu_tensors(save):
    tensors = read_checkpoint(save({"w": torch.nn.Parameter(torch.ones(2))})).tensors
    assert type(tensors["w"]) is torch.Tensor
    assert not tensors["w"].requires_grad


def test_a_read_only_checkpoint_is_not_touched(save, weights):
    path = save(weights)
    path.chmod(0o444)
    before = (path.stat().st_mtime_ns, path.read_bytes())
    read_checkpoint(path)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


@needs_data
def test_a_public_training_checkpoint_of_the_old_format():
    checkpoint = read_checkpoint(DATA / "resnet20-12fca82f.th")
    assert checkpoint.kind == "torch legacy"
    assert (checkpoint.found_under, checkpoint.prefix) == ("state_dict", "module.")
    assert len(checkpoint.tensors) == 97
    assert checkpoint.shapes["conv1.weight"] == (16, 3, 3, 3)
    assert checkpoint.facts["best_prec1"] == pytest.approx(91.78, abs=0.01)
    assert "stripped prefix 'module.' from 97 names" in checkpoint.notes


@needs_data
def test_a_checkpoint_of_the_zip_format():
    checkpoint = read_checkpoint(DATA / "resnet20_cifar10jpeg.pt")
    assert checkpoint.kind == "torch zip"
    assert checkpoint.tensors["bn1.num_batches_tracked"].dtype is torch.int64
    assert checkpoint.facts["epoch"] == 6


def test_a_large_file_is_read_in_little_memory(tmp_path):
    big = tmp_path / "big.safetensors"
    save_file({str(n): torch.ones(25 << 18) for n in range(4)}, big)  # 4 × 25 MiB
    code = """
        import resource, sys, torch
        from prunecli.checkpoints.reading import read_checkpoint
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tensors = read_checkpoint(sys.argv[1], allow_nonfinite=True).tensors
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        sys.exit(0 if len(tensors) == 4 and grown < 40_000 else f"grew by {grown} KiB")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(big)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
