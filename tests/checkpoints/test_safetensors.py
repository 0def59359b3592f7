from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from prunecli.checkpoints import safetensors as room
from prunecli.checkpoints.reading import read_checkpoint
from prunecli.errors import InputRefused, PrunecliError


def test_types_and_values_come_back(tmp_path, weights):
    kept = {
        "half": torch.ones(3).half(),
        "brain": torch.ones(3).bfloat16(),
        "double": torch.ones(3).double(),
        "flag": torch.tensor([True, False]),
        **weights,
    }
    save_file(kept, tmp_path / "a.safetensors")
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    assert checkpoint.kind == "safetensors"
    assert {name: t.dtype for name, t in checkpoint.tensors.items()} == {n: t.dtype for n, t in kept.items()}
    assert all(torch.equal(checkpoint.tensors[name], kept[name]) for name in kept)


def test_a_mapped_file_is_not_changed_through_its_tensors(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(room, "MAPPED_FROM_BYTES", 0)
    path = tmp_path / "a.safetensors"
    save_file(weights, path)
    before = path.read_bytes()
    tensors = read_checkpoint(path).tensors
    tensors["conv1.weight"].fill_(9)
    assert path.read_bytes() == before


def test_a_path_that_is_not_utf8_is_read(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(room, "MAPPED_FROM_BYTES", 0)
    save_file(weights, tmp_path / "a.safetensors")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff -name.safetensors")
    Path(tmp_path / "a.safetensors").rename(odd)
    assert read_checkpoint(odd).tensors.keys() == weights.keys()


@pytest.mark.parametrize(("dtype", "words"), [("F8_E4M3", "float8"), ("C64", "complex")])
def test_special_types_are_named(safetensors_file, dtype, words):
    size = 1 if dtype.startswith("F8") else 8
    header = {"odd.weight": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}}
    with pytest.raises(InputRefused, match=rf"the tensor odd\.weight is a {words} tensor"):
        read_checkpoint(safetensors_file(header, bytes(size)))


def test_tensors_at_odd_places_are_aligned(safetensors_file, monkeypatch):
    monkeypatch.setattr(room, "MAPPED_FROM_BYTES", 0)
    header = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F32", "shape": [1], "data_offsets": [1, 5]},
    }
    data = b"\x07" + torch.tensor([2.5]).numpy().tobytes()
    tensors = read_checkpoint(safetensors_file(header, data)).tensors
    assert tensors["b"].item() == 2.5
    assert tensors["b"].data_ptr() % 4 == 0


def test_names_that_could_drive_a_terminal_are_kept_but_shown_escaped(safetensors_file):
    header = {"\x1b[31mred": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    data = torch.tensor([float("nan")]).numpy().tobytes()
    path = safetensors_file(header, data)
    with pytest.raises(InputRefused) as refused:
        read_checkpoint(path)
    assert "\x1b" not in " ".join([refused.value.message, *refused.value.hints])
    assert list(read_checkpoint(path, allow_nonfinite=True).tensors) == ["\x1b[31mred"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_any_changed_byte_gives_a_refusal_or_tensors_never_another_error(tmp_path, at, value, cut):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(4), "b.weight": torch.ones(2, 2).half()}, path, metadata={"k": "v"})
    content = bytearray(path.read_bytes())
    content[at % len(content)] = value
    changed = tmp_path / "changed.safetensors"
    changed.write_bytes(content[: at % len(content)] if cut else content)
    try:
        read_checkpoint(changed)
    except PrunecliError as error:
        assert error.exit_code == 3
