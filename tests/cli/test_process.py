"""The command line as a process: start-up, pipes, terminals, closed streams. Nothing here loads torch."""

from __future__ import annotations

import os
import pty
import resource
import subprocess
import sys

import pytest

MODULE = [sys.executable, "-m", "prunecli"]
CHECK = (
    "import sys; from prunecli.__main__ import main; sys.argv[1:] = {arguments!r}; code = main();"
    "heavy = [name for name in ('torch', 'numpy', 'scipy', 'rich', 'pydantic') if name in sys.modules];"
    "sys.stderr.write(f'CODE {{code}} HEAVY {{heavy}}')"
)


def run(*command, **options):
    return subprocess.run(
        [*MODULE, *command], capture_output=True, text=True, check=False, timeout=60, **options
    )


def on_a_terminal(*command, **variables):
    """Standard output of a command whose standard output is a terminal."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **variables}
    process = subprocess.Popen(
        [*MODULE, *command], stdout=follower, stdin=subprocess.DEVNULL, env=environment
    )
    os.close(follower)
    pieces = []
    try:
        while piece := os.read(leader, 65536):
            pieces.append(piece)
    except OSError:  # how Linux says that the other end is closed
        pass
    process.wait(timeout=60)
    os.close(leader)
    return b"".join(pieces).decode()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        ([], 2),
        (["prune", "--help"], 0),
        (["catalog"], 0),
        (["catalog", "criteria", "--json"], 0),
        (["prnue"], 2),
        (["prune", "--rato", "0.5"], 2),
        (["prune", "--criterion", "l3", "--ratio", "0.5"], 2),
        (["prune", "--strategy", "gfhp", "--ratio", "0.5"], 2),
        (["export", "--to", "onxx"], 2),
        (["prune", "--ratio", "1.5"], 2),
        (["inspect", "--input-shape", "big"], 2),
        (["prune"], 2),
    ],
)
def test_what_needs_no_model_loads_no_torch(arguments, code):
    script = CHECK.format(arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.splitlines()[-1].endswith(f"CODE {code} HEAVY []"), done.stderr


@pytest.mark.slow  # by the clock: a machine that swaps stretches processor time too
def test_start_up_is_within_a_quarter_of_a_second_of_python(tmp_path):
    """In processor time, which other work hardly stretches; compiled, as pip leaves a package."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def least(command):
        spent = []
        for _ in range(5):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, capture_output=True, check=False, timeout=60, env=environment)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(spent)

    floor = least([sys.executable, "-c", "pass"])
    commands = (["--help"], ["--version"], ["catalog"], ["catalog", "criteria"], ["prune", "--rato", "1"])
    for arguments in commands:
        assert least([*MODULE, *arguments]) - floor < 0.25


@pytest.mark.parametrize("variables", [{}, {"GITHUB_ACTIONS": "true"}, {"FORCE_COLOR": "1"}, {"CI": "true"}])
def test_help_in_a_pipe_has_no_escape_sequence(variables):
    for arguments in (["--help"], ["prune", "--help"]):
        done = run(*arguments, env={**os.environ, **variables})
        assert done.stdout.startswith("Usage: prunecli")
        assert "Examples:" in done.stdout
        assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("columns", ["40", "400"])
def test_a_table_in_a_pipe_is_whole_whatever_the_width(columns):
    done = run("catalog", "criteria", env={**os.environ, "COLUMNS": columns})
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("l1 ")]
    assert line.endswith("arXiv:1608.08710")


def test_forced_colour_in_a_pipe_is_coloured_and_whole():
    done = run("catalog", "criteria", env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "40"})
    assert "\x1b[" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.lstrip().startswith("l1 ")]
    assert line.rstrip().endswith("arXiv:1608.08710")


def test_a_terminal_gets_colour_within_its_width():
    shown = on_a_terminal("catalog", "criteria", COLUMNS="60")
    assert "\x1b[1m" in shown
    plain = on_a_terminal("catalog", "criteria", COLUMNS="60", NO_COLOR="1")
    assert "\x1b" not in plain
    assert max(len(line) for line in plain.splitlines()) <= 60
    assert "…" not in plain


def test_a_dumb_terminal_gets_plain_text():
    shown = on_a_terminal("catalog", "criteria", TERM="dumb")
    assert "\x1b" not in shown
    assert shown.replace("\r\n", "\n") == run("catalog", "criteria").stdout


def test_json_on_a_terminal_is_not_coloured():
    assert "\x1b" not in on_a_terminal("catalog", "criteria", "--json")


def test_a_checkpoint_is_not_written_to_a_terminal():
    shown = on_a_terminal("prune", "m.pt", "--ratio", "0.5", "-o", "-")
    assert shown == ""


@pytest.mark.parametrize(
    "arguments", [["catalog", "criteria"], ["--help"], ["catalog", "criteria", "--json"]]
)
def test_a_reader_who_leaves_is_no_failure(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*MODULE, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def closed(redirection, *arguments):
    command = " ".join([*MODULE, *arguments, redirection])
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)


def test_a_closed_standard_output_is_said():
    done = closed(">&-", "catalog", "criteria")
    assert done.returncode == 4
    assert done.stderr == "error: the result cannot be written: standard output is closed\n"


def test_a_closed_standard_error_loses_only_the_notes():
    done = closed("2>&-", "catalog", "criteria", "--json")
    assert done.returncode == 0
    assert done.stdout.startswith("{")
    assert closed("2>&-", "prnue").returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [["catalog", "criteria"], ["--help"]])
def test_a_full_disk_behind_standard_output_is_said(arguments):
    done = closed(">/dev/full", *arguments)
    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert "space left" in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_terminal_as_standard_input_is_refused():
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*MODULE, "inspect", "-"], stdin=follower, capture_output=True, text=True, check=False, timeout=60
    )
    os.close(follower)
    os.close(leader)
    assert done.returncode == 2
    assert done.stderr.startswith("error: CHECKPOINT is - but standard input is no pipe")


def test_shell_completion_offers_commands_and_criteria():
    def complete(words):
        environment = {
            **os.environ,
            "_PRUNECLI_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split())),
        }
        return run(env=environment).stdout.split()

    assert "prune" in complete("prunecli ")
    assert "l1" in complete("prunecli score --criteria ")


def test_a_locale_without_unicode_gets_lanes_of_plain_signs():
    done = run(
        *("inspect", "--graph", "text", "-q"),
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.stdout.isascii()
    assert done.stdout.splitlines()[3].startswith("o-*    layer1.0.conv1")


def test_a_locale_without_unicode_still_gets_an_answer():
    done = run("catalog", env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    assert done.returncode == 0
