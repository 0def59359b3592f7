"""A mapped checkpoint is the one that is read otherwise, and hashes its files in the background."""

from __future__ import annotations

import hashlib
import json
import mmap
import time
from contextlib import closing

import pytest
import torch
from safetensors.torch import save_file

from prunecli.checkpoints import background
from prunecli.checkpoints.background import BackgroundDigest
from prunecli.checkpoints.mapped import mapped_checkpoint, stored_bytes
from prunecli.checkpoints.reading import read_checkpoint
from prunecli.checkpoints.source import open_source
from prunecli.errors import InputRefused


def same(path):
    expected = read_checkpoint(path)
    with mapped_checkpoint(str(path)) as mapped:
        found = mapped.checkpoint
        assert list(found.tensors) == list(expected.tensors)
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.tensors.items())
        assert (found.prefix, found.notes, found.bytes) == (expected.prefix, expected.notes, expected.bytes)
        assert (found.kind, found.document, found.sha256) == (expected.kind, expected.document, "")
        assert mapped.digest() == expected.sha256
        assert all(mapped.maps.holds(tensor) for tensor in found.tensors.values())


def test_one_file(weights, tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in weights.items()}, path)
    same(path)
    assert stored_bytes(str(path)) == path.stat().st_size


def test_shards(weights, tmp_path):
    places = {name: f"{name[0]}.safetensors" for name in weights}
    for place in set(places.values()):
        save_file({n: t for n, t in weights.items() if places[n] == place}, tmp_path / place)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    same(index)
    assert stored_bytes(str(index)) == sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))


def test_a_file_of_another_kind_has_no_size_and_is_refused(save, weights):
    path = save(weights)
    assert stored_bytes(str(path)) is None
    with pytest.raises(InputRefused), mapped_checkpoint(str(path)):
        pass


class Slow:
    """A digest that takes its time."""

    def __init__(self, data=b""):
        self._digest = hashlib.blake2b(data)

    def update(self, data):
        time.sleep(0.01)
        self._digest.update(data)

    def digest(self):
        return self._digest.digest()


def test_a_digest_that_nobody_waits_for_ends_early(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(100_000)}, path)
    monkeypatch.setattr(background, "_PIECE_BYTES", mmap.PAGESIZE)
    monkeypatch.setattr(background.hashlib, "sha256", Slow)
    start = time.perf_counter()
    digest = BackgroundDigest([open_source(path)])
    digest.close()
    assert time.perf_counter() - start < 0.5  # a hundred pieces would take a second
    assert digest.result() != hashlib.blake2b(path.read_bytes()).hexdigest()


def test_a_file_that_shrinks_meanwhile_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1000)}, path)
    source = open_source(path)
    path.write_bytes(path.read_bytes()[:-10])
    with closing(BackgroundDigest([source])) as digest, pytest.raises(InputRefused, match="cannot be mapped"):
        digest.result()


def test_reading_elsewhere_in_the_same_file_does_no_harm(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.randn(500_000)}, path)
    with closing(BackgroundDigest([source := open_source(path)])) as digest:
        for place in (100, 5, 70_000):
            source.file.seek(place)
            source.file.read(10)
        assert digest.result() == hashlib.sha256(path.read_bytes()).hexdigest()
