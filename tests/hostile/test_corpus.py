"""Bad files are refused in words, odd but good ones are read: code, lines, memory, and nothing was run.

Each case is the real command line on a file made for it, in a child of its own. `benchmarks/hostile_files.py`
measures the same cases and larger ones.
"""

from __future__ import annotations

import pytest
from hostile import foreign, headers, lying, odd, pickles, texts, weights, zips
from hostile.making import FILE
from hostile.pickles import MARKER

MOST_LINES = 4
MOST_BYTES = 1 << 30
LIGHT = [
    *foreign.CASES,
    *headers.CASES,
    *zips.CASES,
    *pickles.CASES,
    *weights.CASES,
    *texts.CASES,
    *odd.CASES,
]
# What a traceback, torch's own advice and a fault of prunecli's own would say.
NEVER_SAID = ("Traceback", "weights_only", "internal error", "likely succeed")


def named(case):
    return case.name.encode("unicode_escape").decode("ascii")


def check(case, warm, folder):
    name = case.make(folder)
    given = [name if word == FILE else word for word in case.arguments]
    before = {path.name for path in folder.iterdir()}
    ended = warm.run(*given, folder=folder, stdin=folder / name if case.stdin else None)
    assert ended.code in case.codes, ended.stderr
    assert case.says in ended.stderr
    for words in NEVER_SAID:
        assert words not in ended.stderr
    assert not (folder / MARKER).exists()
    assert ended.peak_bytes < MOST_BYTES
    if ended.code:
        assert 1 <= len(ended.lines) <= MOST_LINES, ended.stderr
        assert ended.lines[0].startswith("error: ")
        assert "\x1b" not in ended.stderr
        assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize("case", LIGHT, ids=named)
def test_a_file_is_refused_in_words_or_read(case, warm, tmp_path):
    check(case, warm, tmp_path)


@pytest.mark.parametrize("case", lying.CASES, ids=named)
def test_a_file_that_lies_about_itself_is_refused_in_words(case, warm_with_sources, tmp_path):
    check(case, warm_with_sources, tmp_path)


def test_no_case_has_the_name_of_another():
    names = [case.name for case in (*LIGHT, *lying.CASES)]
    assert len(set(names)) == len(names)
