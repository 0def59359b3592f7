from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from prunecli.checkpoints.wording import counted, listed, shown


def test_control_characters_and_bidi_marks_are_escaped():
    assert shown("a\x1b[31m\nb\u202ec") == "a\\x1b[31m\\x0ab\\u202ec"


def test_a_path_byte_that_is_not_utf8_is_shown_as_that_byte():
    assert shown(os.fsdecode(b"net\xff.pt")) == "net\\xff.pt"


def test_long_text_is_cut_to_200_characters():
    assert len(shown("x" * 1000)) == 200
    assert shown("x" * 200) == "x" * 200


@given(st.text(st.characters(exclude_categories=[]), max_size=50))
def test_what_is_shown_is_one_printable_encodable_line(text):
    out = shown(text)
    out.encode("utf-8")
    assert all(c.isprintable() or c == "\u00a0" or (c.isspace() and c not in "\r\n") for c in out)
    assert len(out.splitlines()) <= 1


def test_counts_and_lists():
    assert counted(1, "tensor") == "1 tensor"
    assert counted(1234, "tensor") == "1,234 tensors"
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert listed(["a", "b"], most=2) == "a, b"
