"""Nothing reaches the standard streams while silence is kept, and everything does afterwards."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings

import pytest

from prunecli.exporters.silence import silence


def test_python_descriptors_and_compiled_code_are_quiet(capfd):
    libc = ctypes.CDLL(None)
    with silence():
        sys.stdout.write("python out")
        sys.stderr.write("python err")
        os.write(1, b"descriptor out")
        os.write(2, b"descriptor err")
        libc.puts(b"buffered in the C library")
    libc.fflush(None)
    assert capfd.readouterr() == ("", "")


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
