"""What is fuzzed holds for its seeds, for what fuzzing has found, and for bytes near the seeds."""

from __future__ import annotations

import pytest
from hostile.fuzzing.fuzz import FINDINGS
from hostile.fuzzing.fuzz import TARGETS as NAMES
from hostile.fuzzing.targets import REFUSALS, TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FOUND = sorted(path for path in FINDINGS.rglob("*") if path.is_file())


def tried(name, content):
    try:
        TARGETS[name].run(content)
    except REFUSALS:
        return False
    return True


def test_every_target_is_run_by_the_command():
    assert list(NAMES) == list(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_a_seed_is_accepted(name):
    # Sniffing refuses most of its seeds, and one pickle of the opcodes is cut short by its own end.
    assert any(tried(name, seed) for seed in TARGETS[name].seeds())


@pytest.mark.parametrize("path", FOUND, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_fuzzing_found_stays_mended(path):
    tried(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_near_a_seed_are_accepted_or_refused(name, data):
    content = bytearray(data.draw(st.sampled_from(list(TARGETS[name].seeds()))))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        gone = data.draw(st.integers(0, 8))
        content[place : place + gone] = data.draw(st.binary(max_size=8))
        if not content:
            break
    tried(name, bytes(content))
