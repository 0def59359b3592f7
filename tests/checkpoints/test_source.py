from __future__ import annotations

import hashlib
import io
import os
import socket
from contextlib import closing

import pytest

from prunecli.checkpoints.source import open_source
from prunecli.errors import InputRefused


def test_a_fifo_is_refused_without_being_opened(tmp_path):
    fifo = tmp_path / "fifo.pt"
    os.mkfifo(fifo)
    with pytest.raises(InputRefused, match=r"is a pipe, not a file") as refused:
        open_source(fifo)
    assert refused.value.hints == ("for standard input give: -",)


def test_a_device_and_a_socket_are_refused(tmp_path):
    with pytest.raises(InputRefused, match="is a device"):
        open_source("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.pt"))
        with pytest.raises(InputRefused, match="is a socket"):
            open_source(tmp_path / "s.pt")


def test_a_missing_file_names_its_nearest_neighbour(tmp_path):
    (tmp_path / "resnet20.pt").write_bytes(b"x")
    with pytest.raises(InputRefused, match="does not exist") as refused:
        open_source(tmp_path / "resnet2O.pt")
    assert str(tmp_path / "resnet20.pt") in refused.value.hints[0]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputRefused) as refused:
        open_source(tmp_path / "nowhere" / "a.pt")
    assert "nowhere does not exist either" in refused.value.hints[0]


def test_a_folder_names_the_checkpoint_inside(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(InputRefused, match="is a folder") as refused:
        open_source(tmp_path)
    assert "model.safetensors" in refused.value.hints[0]


def test_a_distributed_checkpoint_folder_says_how_to_convert(tmp_path):
    (tmp_path / ".metadata").write_bytes(b"")
    with pytest.raises(InputRefused, match="distributed checkpoint") as refused:
        open_source(tmp_path)
    assert "dcp_to_torch" in refused.value.hints[1]


def test_paths_that_cannot_be_are_refused_in_one_line(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (str(loop), "nul\0byte", "x" * 5000):
        with pytest.raises(InputRefused) as refused:
            open_source(path)
        assert len(refused.value.message.splitlines()) == 1


def test_an_endless_stream_of_zeros_is_refused_after_its_first_bytes():
    class Zeros(io.RawIOBase):
        given = 0

        def readable(self):
            return True

        def read(self, size=-1):
            assert size > 0
            self.given += size
            return bytes(size)

    stream = Zeros()
    with pytest.raises(InputRefused, match="zeros only"):
        open_source(stream)
    assert stream.given <= 4096


def test_a_stream_that_gives_little_at_a_time_is_read_whole():
    class Trickle(io.RawIOBase):
        left = b"PK\x03\x04" + bytes(range(256)) * 40

        def readable(self):
            return True

        def read(self, size=-1):
            piece, self.left = self.left[: min(size, 7)], self.left[min(size, 7) :]
            return piece

    whole = Trickle.left
    with closing(open_source(Trickle())) as source:
        assert source.size == len(whole)
        assert source.sha256() == hashlib.sha256(whole).hexdigest()
        assert b"".join(map(bytes, source.chunks(2, 10))) == whole[2:10]
        assert source.path == "<stdin>"


def test_what_is_there_only_while_a_run_lasts_is_not_offered(tmp_path):
    (tmp_path / ".net.safetensors.lock").touch()
    (tmp_path / ".prunecli-0123abcd-4194000-0123abcd.safetensors").touch()
    with pytest.raises(InputRefused) as error:
        open_source(tmp_path / ".net.safetensors.loc")
    assert error.value.hints == ()
    with pytest.raises(InputRefused, match="is a folder") as error:
        open_source(tmp_path)
    assert error.value.hints == ()
