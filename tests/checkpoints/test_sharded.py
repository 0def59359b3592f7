from __future__ import annotations

import io
import json

import pytest
import torch
from safetensors.torch import save_file

from prunecli.checkpoints.reading import read_checkpoint
from prunecli.errors import InputRefused


@pytest.fixture
def index(tmp_path, weights):
    names = list(weights)
    places = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(names)}
    for shard in set(places.values()):
        save_file({name: weights[name] for name in names if places[name] == shard}, tmp_path / shard)
    path = tmp_path / "model.safetensors.index.json"

    def write(**changes):
        path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": {**places, **changes}}))
        return path

    return write


def test_all_shards_are_read_in_the_order_of_the_index(index, weights):
    checkpoint = read_checkpoint(index())
    assert checkpoint.kind == "sharded safetensors"
    assert list(checkpoint.tensors) == list(weights)
    assert all(torch.equal(checkpoint.tensors[name], weights[name]) for name in weights)
    assert checkpoint.notes == ("read 4 tensors from 2 shards",)


def test_the_digest_covers_every_shard(index, tmp_path, weights):
    path = index()
    before = read_checkpoint(path)
    assert before.bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    shard = tmp_path / "model-00002-of-00002.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert read_checkpoint(path, allow_nonfinite=True).sha256 != before.sha256


@pytest.mark.parametrize(
    ("shard", "words"),
    [
        ("../outside.safetensors", "not a file beside it"),
        ("/etc/x.safetensors", "not a file beside it"),
        ("..", "not a file beside it|only .safetensors"),
        ("a\\b.safetensors", "not a file beside it"),
        (7, "not a file beside it"),
        ("pytorch_model.bin", r"only \.safetensors shards"),
        ("gone.safetensors", r"gone\.safetensors does not exist"),
        ("model-00001-of-00002.safetensors", "lacks 1 tensor of the index"),
    ],
)
def test_a_shard_that_cannot_be_is_named(index, shard, words):
    with pytest.raises(InputRefused, match=words):
        read_checkpoint(index(**{"extra.weight": shard}))


def test_an_index_without_a_map_or_from_a_stream_is_refused(tmp_path, index):
    path = tmp_path / "empty.index.json"
    path.write_text("{}")
    with pytest.raises(InputRefused, match="has no weight_map"):
        read_checkpoint(path)
    path.write_text('{"weight_map": {"a": 1, "a": 2}}')
    with pytest.raises(InputRefused, match="holds a twice"):
        read_checkpoint(path)
    with pytest.raises(InputRefused, match="cannot come through standard input"):
        read_checkpoint(io.BytesIO(index().read_bytes()))


def test_tensors_that_the_index_does_not_list_stay_out(index, tmp_path, weights):
    path = index()
    text = json.loads(path.read_text())
    del text["weight_map"]["linear.bias"]
    path.write_text(json.dumps(text))
    checkpoint = read_checkpoint(path)
    assert set(checkpoint.tensors) == set(weights) - {"linear.bias"}
    assert "left 1 tensor of the shards that the index does not list" in checkpoint.notes
