"""Nothing reaches the standard streams while silence is kept, and everything does afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from prunecli.exporters.silence import silence


def test_python_descriptors_and_compiled_code_are_quiet(capfd):
    with silence():
        sys.stdout.write("python out")
        sys.stderr.write("python err")
        os.write(1, b"descriptor out")
        os.write(2, b"descriptor err")
    assert capfd.readouterr() == ("", "")


def test_what_compiled_code_left_in_its_buffer_does_not_come_out_at_the_end():
    code = (
        "import ctypes; from prunecli.exporters.silence import silence; libc = ctypes.CDLL(None)\n"
        "libc.puts(b'before')\n"
        "with silence(): libc.puts(b'inside')\n"
        "libc.puts(b'after')"
    )
    # PYTHONUNBUFFERED takes the buffers away, of the C library too.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, timeout=60
    )
    assert run.stdout.split() == ["before", "after"]


def test_the_streams_come_back_also_after_an_error(capfd):
    with pytest.raises(KeyError), silence():
        raise KeyError
    os.write(1, b"out")
    sys.stdout.write(" and python")
    sys.stdout.flush()
    os.write(2, b"err")
    assert capfd.readouterr() == ("out and python", "err")


def test_warnings_are_dropped_inside_only():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with silence():
            warnings.warn("inside", stacklevel=1)
        warnings.warn("outside", stacklevel=1)
    assert [str(one.message) for one in caught] == ["outside"]
