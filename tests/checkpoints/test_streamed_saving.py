"""What is written piece by piece is the file that is written at once, or it is not there."""

from __future__ import annotations

import pytest
import torch

from prunecli.checkpoints import write_checkpoint
from prunecli.checkpoints.mapping import DTYPES
from prunecli.checkpoints.safetensors_form import Outline
from prunecli.checkpoints.streamed_saving import write_streamed
from prunecli.errors import WorkFailed

DOCUMENT = {"history": [{"command": "prune", "source_sha256": "ab"}]}
DRAFT = {"history": [{"command": "prune", "source_sha256": "??"}]}


def written(path, state, *, pieces=lambda tensor: tensor.reshape(-1).split(5), document=DOCUMENT, **more):
    outlines = {name: Outline(tensor.dtype, tuple(tensor.shape)) for name, tensor in state.items()}
    return write_streamed(
        str(path),
        outlines,
        lambda name: pieces(state[name]),
        draft=DRAFT,
        document=lambda: document,
        **more,
    )


def test_the_file_is_the_one_that_is_written_at_once(tmp_path):
    numbers = torch.arange(12).reshape(3, 4)
    state = {f"of {word}": (numbers % 2).to(dtype) for word, dtype in DTYPES.items()}
    state |= {
        "ä b": torch.randn(7),
        'q"\\': torch.randn(2, 2),
        "empty": torch.zeros(0, 3),
        "s": torch.tensor(1.5),
    }
    once = write_checkpoint(tmp_path / "once.safetensors", state, DOCUMENT)
    streamed = written(tmp_path / "streamed.safetensors", state)
    assert (tmp_path / "streamed.safetensors").read_bytes() == (tmp_path / "once.safetensors").read_bytes()
    assert (streamed.sha256, streamed.bytes) == (once.sha256, once.bytes)


def test_pieces_come_to_the_type_that_was_said(tmp_path):
    state = {"a": torch.randn(9)}
    written(tmp_path / "a.safetensors", state, pieces=lambda tensor: [tensor.double()])
    write_checkpoint(tmp_path / "b.safetensors", state, DOCUMENT)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"pieces": lambda tensor: [tensor[:4]]}, "has 20 bytes less"),
        ({"document": {"history": []}}, "document"),
    ],
)
def test_what_is_not_as_it_was_said_is_not_written(more, what, tmp_path):
    with pytest.raises(WorkFailed, match=what):
        written(tmp_path / "a.safetensors", {"a": torch.randn(9)}, **more)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_proved_is_not_written(tmp_path):
    seen = {}

    def refuse(tensors):
        seen.update({name: tensor.clone() for name, tensor in tensors.items()})
        raise WorkFailed("not equal")

    state = {"a": torch.randn(9), "b": torch.randn(2)}
    with pytest.raises(WorkFailed, match="not equal"):
        written(tmp_path / "a.safetensors", state, verify=refuse)
    assert list(tmp_path.iterdir()) == []
    assert all(torch.equal(seen[name], state[name]) for name in state)


def test_no_tensors_are_no_checkpoint(tmp_path):
    with pytest.raises(WorkFailed, match="no tensors"):
        written(tmp_path / "a.safetensors", {})
