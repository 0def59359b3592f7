from __future__ import annotations

import subprocess
import sys

import pytest

from prunecli.checkpoints.sniff import SAFETENSORS, SHARD_INDEX, TORCH_LEGACY, TORCH_ZIP, kind_of
from prunecli.errors import InputRefused

FOREIGN = {
    b"": "is empty",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n": "Git LFS pointer",
    b"<!DOCTYPE html><html>": "an HTML",
    b"\n  <html><body>404</body>": "an HTML",
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "a JPEG image",
    b"\x89PNG\r\n\x1a\n....": "a PNG image",
    b"\x89HDF\r\n\x1a\n....": "HDF5",
    b"GGUF\x03\x00\x00\x00....": "GGUF",
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03": "a gzip archive",
    b"\x08\x08\x12\x07pytorch\x1a\x052.0.0": "an ONNX model",
    b"x" * 257 + b"ustar\x0000" + b"x" * 100: "a tar archive",
    b"\x7fELF\x02\x01\x01": "a program",
    b"\x93NUMPY\x01\x00": "a NumPy array",
    b"\x00" * 64: "zeros only",
    b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.": "a plain Python pickle",
    b"hello there, this is a note\n": "a text file",
    b'{"a": 1}': "JSON text",
    bytes(range(200, 256)): "is no checkpoint",
}


@pytest.mark.parametrize(("head", "words"), FOREIGN.items(), ids=lambda value: str(value)[:24])
def test_what_is_no_checkpoint_is_called_what_it_is(head, words):
    with pytest.raises(InputRefused) as refused:
        kind_of(head, path="some.pt", size=len(head))
    assert words in refused.value.message
    assert refused.value.message.startswith("some.pt")
    assert "\n" not in refused.value.message


def test_a_lfs_pointer_says_what_to_type():
    head = b"version https://git-lfs.github.com/spec/v1\n"
    with pytest.raises(InputRefused) as refused:
        kind_of(head, path="w.pt", size=len(head))
    assert refused.value.hints == ("fetch it: git lfs pull",)


@pytest.mark.parametrize(
    ("head", "path", "kind"),
    [
        (b"PK\x03\x04....", "a.pt", TORCH_ZIP),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", "a.th", TORCH_LEGACY),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "a.bin", SAFETENSORS),
        (b"\x1f\x8b\x00\x00\x00\x00\x00\x00{", "header length looks like gzip", SAFETENSORS),
        (b"\x03\x00\x00", "short.safetensors", SAFETENSORS),
        (b'{"weight_map": {}}', "x.safetensors.index.json", SHARD_INDEX),
    ],
)
def test_the_four_kinds_that_are_read(head, path, kind):
    assert kind_of(head, path=path, size=len(head)) == kind


def test_sniffing_and_samples_load_no_torch():
    code = (
        "import sys, prunecli.checkpoints.sniff, prunecli.checkpoints as room;"
        "room.sample_models(); room.check_output('-'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
