from __future__ import annotations

import io
import json
import os

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prunecli.checkpoints import saving
from prunecli.checkpoints.mapping import DTYPES
from prunecli.checkpoints.reading import read_checkpoint
from prunecli.checkpoints.saving import fill_with_tensors, write_checkpoint
from prunecli.errors import WorkFailed, WrongUse

DOCUMENT = {"architecture": {"name": "cifar/resnet20", "arguments": {}}, "input_shape": [3, 32, 32]}
TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool, torch.uint8]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 4), max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_any_tensors_come_back_bit_for_bit(tmp_path, wanted):
    tensors = {name: (torch.rand(shape) * 9).to(dtype) for name, (dtype, shape) in wanted.items()}
    path = tmp_path / "a.safetensors"
    written = write_checkpoint(path, tensors, DOCUMENT, force=True)
    found = read_checkpoint(path)
    assert found.sha256 == written.sha256
    assert found.bytes == written.bytes == path.stat().st_size
    assert found.document["architecture"] == DOCUMENT["architecture"]
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensors[name]) for name in tensors)
    assert all(found.tensors[name].dtype is tensors[name].dtype for name in tensors)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_names_of_our_own_files_are_left_as_they_are(tmp_path):
    tensors = {"module.model.weight_orig": torch.ones(2), "module.model.weight_mask": torch.zeros(2)}
    write_checkpoint(tmp_path / "a.safetensors", tensors, DOCUMENT)
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert set(found.tensors) == set(tensors)
    assert (found.prefix, found.notes) == (None, ())


def test_shared_transposed_sliced_and_expanded_tensors_are_written_in_full(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "a": base,
        "b": base,
        "t": base.T,
        "slice": base[1:],
        "every second": base[:, ::2],
        "wide": torch.ones(1).expand(5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    write_checkpoint(tmp_path / "a.safetensors", tensors, DOCUMENT)
    found = read_checkpoint(tmp_path / "a.safetensors").tensors
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert len({tensor.data_ptr() for tensor in found.values()}) == len(tensors)


def test_a_stream_gets_the_bytes_of_the_file(tmp_path, weights):
    stream = io.BytesIO()
    to_stream = write_checkpoint(stream, weights, DOCUMENT)
    to_file = write_checkpoint(tmp_path / "a.safetensors", weights, DOCUMENT)
    assert len(stream.getvalue()) == to_stream.bytes == to_file.bytes
    assert to_stream.path == "<stdout>"
    stream.seek(0)
    piped = read_checkpoint(stream)
    assert piped.document == read_checkpoint(tmp_path / "a.safetensors").document
    assert all(torch.equal(piped.tensors[name], weights[name]) for name in weights)


def test_a_pipe_that_takes_little_at_a_time_gets_everything(weights):
    class Narrow(io.RawIOBase):
        got = b""
        flushed = False

        def writable(self):
            return True

        def write(self, data):
            self.got += bytes(data[:100])
            return min(len(data), 100)

        def flush(self):
            self.flushed = True

    narrow = Narrow()
    written = write_checkpoint(narrow, weights, DOCUMENT)
    assert len(narrow.got) == written.bytes
    assert narrow.flushed


def test_a_closed_pipe_is_left_to_the_caller(weights):
    class Closed(io.RawIOBase):
        def write(self, data):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        write_checkpoint(Closed(), weights, DOCUMENT)


def test_what_cannot_be_written_fails_before_a_file_is_made(tmp_path):
    path = tmp_path / "a.safetensors"
    for tensors in ({}, {"w": torch.ones(2, device="meta")}, {"w": torch.eye(2).to_sparse()}):
        with pytest.raises(WorkFailed):
            write_checkpoint(path, tensors, DOCUMENT)
    with pytest.raises(WorkFailed, match="as JSON"):
        write_checkpoint(path, {"w": torch.ones(1)}, {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_needs_force(tmp_path, weights):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, weights, DOCUMENT)
    with pytest.raises(WrongUse, match="exists"):
        write_checkpoint(path, weights, DOCUMENT)
    write_checkpoint(path, {"w": torch.ones(1)}, DOCUMENT, force=True)
    assert list(read_checkpoint(path).tensors) == ["w"]


def test_a_file_that_does_not_hold_what_was_meant_is_not_kept(tmp_path, weights, monkeypatch):
    real = saving.fill

    def bit_off(content, place):
        changed = bytearray(content)
        changed[place] ^= 1
        return changed

    def data_of(content):
        return 8 + int.from_bytes(content[:8], "little")

    changes = {
        "bn1.num_batches_tracked differs": lambda content: bit_off(content, data_of(content)),
        "linear.bias differs": lambda content: bit_off(content, -1),
        "its header differs": lambda content: content.replace(b"resnet20", b"resnet56"),
        "1 bytes behind its last tensor": lambda content: content + b"x",
        "is cut off": lambda content: content[:-1],
    }
    for what, change in changes.items():
        monkeypatch.setattr(saving, "fill", lambda path, pieces: real(path, [change(b"".join(pieces))]))  # noqa: B023
        with pytest.raises(WorkFailed, match=what):
            write_checkpoint(tmp_path / "a.safetensors", weights, DOCUMENT)
        assert list(tmp_path.iterdir()) == []


def test_the_bytes_are_those_of_the_library(tmp_path):
    import safetensors.torch

    tensors = {
        f'{word} {number} ä"\\\n': (torch.rand(number, 3) * 9).to(dtype)
        for number in range(3)
        for word, dtype in DTYPES.items()
    }
    # Two entries of metadata have no order in the library; one has.
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    fill_with_tensors(ours, tensors, metadata={"format": "pt"})
    safetensors.torch.save_file(tensors, theirs, metadata={"format": "pt"})
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("tensors", "what"),
    [
        ({"__metadata__": torch.ones(1)}, "cannot hold the tensor __metadata__"),
        ({"a": torch.ones(1, dtype=torch.complex64)}, "complex64"),
        ({"a\udcff": torch.ones(1)}, "no UTF-8"),
    ],
)
def test_what_the_form_cannot_hold_is_said(tmp_path, tensors, what):
    with pytest.raises(WorkFailed, match=what):
        fill_with_tensors(tmp_path / "a", tensors, metadata={})
    assert list(tmp_path.iterdir()) == []


def test_odd_paths_are_written_and_read(tmp_path, weights):
    for raw in (
        b"with space.safetensors",
        b"-dash.safetensors",
        b"[bold]x.safetensors",
        b"odd\xff.safetensors",
    ):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)
        write_checkpoint(path, weights, DOCUMENT)
        assert read_checkpoint(path).tensors.keys() == weights.keys()


def test_nan_weights_can_be_compared_bit_for_bit(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"w": torch.tensor([float("nan")])}, DOCUMENT)
    assert read_checkpoint(path, allow_nonfinite=True).tensors["w"].isnan().all()


def test_the_document_lies_under_its_metadata_key(tmp_path, weights):
    from safetensors import safe_open

    path = tmp_path / "a.safetensors"
    write_checkpoint(path, weights, DOCUMENT)
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["prunecli"])["schema"] == "prunecli.checkpoint/1"
    assert metadata["format"] == "pt"
