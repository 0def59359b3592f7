"""Mapped tensors: the numbers of the file, wherever it places them, and pages that come and go."""

from __future__ import annotations

import json
import struct
from contextlib import closing

import pytest
import torch
from safetensors.torch import load_file, save_file

from prunecli.checkpoints.mapping import DTYPES, Maps
from prunecli.checkpoints.source import open_source
from prunecli.errors import InputRefused


def mapped(path):
    maps = Maps()
    with closing(open_source(path)) as source:
        tensors, header = maps.load(source)
    return maps, tensors, header


def test_every_type_is_read_as_the_library_reads_it(tmp_path):
    path = tmp_path / "all.safetensors"
    numbers = torch.arange(24).reshape(2, 3, 4) % 2
    save_file({word: numbers.to(dtype) for word, dtype in DTYPES.items()}, path, metadata={"a": "b"})
    _, tensors, header = mapped(path)
    expected = load_file(path)
    assert tensors.keys() == expected.keys() == DTYPES.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)
    assert all(tensors[name].dtype == expected[name].dtype for name in expected)
    assert header.metadata == {"a": "b"}


def test_scalars_and_empty_tensors_have_their_shapes(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({"scalar": torch.tensor(3.5), "empty": torch.zeros(0, 4)}, path)
    maps, tensors, _ = mapped(path)
    assert tensors["scalar"].shape == () and float(tensors["scalar"]) == 3.5
    assert tensors["empty"].shape == (0, 4)
    assert maps.holds(tensors["empty"])


def test_numbers_at_odd_addresses_are_read(tmp_path):
    entries = {"a": ("U8", [1], [0, 1]), "b": ("F32", [2], [1, 9])}
    keys = ("dtype", "shape", "data_offsets")
    text = json.dumps({name: dict(zip(keys, each, strict=True)) for name, each in entries.items()}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\x07" + struct.pack("<2f", 1.5, -2.0))
    _, tensors, _ = mapped(path)
    assert tensors["b"].data_ptr() % 4
    assert tensors["b"].index_select(0, torch.tensor([1, 0])).tolist() == [-2.0, 1.5]


def test_pages_that_were_let_go_are_read_again(tmp_path):
    path = tmp_path / "two.safetensors"
    state = {"a": torch.randn(3000), "b": torch.randn(3000)}
    save_file(state, path)
    maps, tensors, _ = mapped(path)
    for name in state:
        maps.expect(tensors[name])
        maps.let_go(tensors[name])
    assert all(torch.equal(tensors[name], state[name]) for name in state)


def test_a_map_knows_its_tensors_from_others(tmp_path):
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        save_file({path.stem: torch.randn(10)}, path)
    maps = Maps()
    found = {}
    for path in paths:
        with closing(open_source(path)) as source:
            found |= maps.load(source)[0]
    assert maps.holds(found["a"]) and maps.holds(found["b"][5:])
    assert not maps.holds(found["a"].clone())


def test_what_no_network_can_use_is_refused(tmp_path):
    path = tmp_path / "complex.safetensors"
    save_file({"a": torch.zeros(2, dtype=torch.complex64)}, path)
    with pytest.raises(InputRefused, match="complex"):
        mapped(path)
