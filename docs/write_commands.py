"""Write docs/commands/: one page a command, from the command line itself and from one real run of each.

    python docs/write_commands.py [NAME ...]

The runs are those of `RUNS`, in a folder with the bundled sample as model.safetensors, without a terminal
and so without bars and colours. What is recorded are the figures as they were. A page is written anew only
where the run says something else: what belongs to a machine and a moment does not count (`settled`).
`tests/docs/test_command_pages.py` fails when a page is not what this writes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from prunecli.cli.app import COMMANDS, application
from prunecli.cli.help import sections

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "commands"
WIDTH = 80

PRUNE = "prunecli prune model.safetensors --ratio 0.5 --data digits -o small.safetensors"
# What a page shows, last line of each, and what has to be there before.
RUNS: dict[str, tuple[str, ...]] = {
    "inspect": ("prunecli inspect model.safetensors",),
    "score": ("prunecli score model.safetensors --criteria l1,fpgm",),
    "compare": ("prunecli compare model.safetensors --criteria l1,l2,fpgm --ratio 0.3,0.5",),
    "prune": (PRUNE,),
    "finetune": (PRUNE, "prunecli finetune small.safetensors --data digits --epochs 2 -o tuned.safetensors"),
    "evaluate": ("prunecli evaluate model.safetensors --data digits",),
    "export": ("prunecli export model.safetensors --to onnx -o model.onnx",),
    "bench": (
        PRUNE,
        "prunecli bench model.safetensors small.safetensors --threads 1 --batch-size 64 --rounds 5",
    ),
    "diff": (PRUNE, "prunecli diff model.safetensors small.safetensors"),
    "sensitivity": ("prunecli sensitivity model.safetensors --data digits --ratio 0.3,0.6",),
    "sweep": (
        "prunecli sweep model.safetensors --data digits --ratio 0.3,0.5 --epochs 1 --seeds 1"
        " --storage memory",
    ),
    "check": (
        PRUNE + " --json > prune.json",
        "prunecli check prune.json --max-drop 50 --min-macs-cut 0.4 --require-equivalent",
    ),
    "catalog": ("prunecli catalog strategies",),
}
# Notes on how busy the machine is, what it is, and the name that a study has from its options.
MOMENTARY = re.compile(r"the machine does|ratios are known|processor  |torch  |study  ")
TIMED = re.compile(r"eager |images per second")
THOUSANDS = re.compile(r"\b\d{1,3}(,\d{3})+\b")
# In words of the command: when it ends with 1.
GATES = {
    "prune": "`--max-drop` or `--target` was not met, or nothing could be pruned",
    "compare": "`--fail-above` was not kept",
    "sensitivity": "no group can be pruned",
    "diff": "`--exit-code` was given and the tensors differ",
    "sweep": "no trial came to its end, or none keeps `--max-drop`",
    "check": "a gate was not met",
}


@dataclass(frozen=True)
class Recorded:
    """What one run printed, and the document that the same run gives as JSON."""

    command: str
    lines: tuple[str, ...]
    document: dict[str, Any]


def page(name: str, run: Recorded) -> str:
    """The whole page of a command."""
    command: Any = typer.main.get_command(application(name)).commands[name]
    return "\n".join(
        [
            f"# prunecli {name}",
            "",
            "Written by `docs/write_commands.py` from the command line and one run; do not edit it by hand.",
            "",
            *_paragraphs(command.help),
            *_usage(name, command),
            "## A run",
            "",
            "```console",
            f"$ {run.command}",
            *run.lines,
            "```",
            "",
            *_options(name, command),
            "## Examples",
            "",
            *(f"    {line}" for line in command.epilog.strip().splitlines()),
            "",
            *_exit_codes(name),
            *_keys(run.document),
        ]
    )


def record(name: str, folder: Path) -> Recorded:
    """Run what the page of `name` shows, in `folder`, where model.safetensors is the bundled sample."""
    from docs.console import execute

    from prunecli.checkpoints import default_sample

    shutil.copy(default_sample(), folder / "model.safetensors")
    before, columns = Path.cwd(), os.environ.get("COLUMNS")
    os.chdir(folder)
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        *first, last = RUNS[name]
        for line in first:
            execute(f"{line} --quiet" if " > " not in line else line)
        ran = execute(last)
        if ran.exit_codes != (0,):
            raise RuntimeError(f"{last}: exit {ran.exit_codes}: {ran.notes}")
        again = execute(f"{last} --json" + (" --force" if " -o " in last else ""))
    finally:
        os.chdir(before)
        os.environ.pop("COLUMNS", None) if columns is None else os.environ.update(COLUMNS=columns)
    text = ran.notes + ran.output.decode()
    return Recorded(last, tuple(line.rstrip() for line in text.splitlines()), json.loads(again.output))


def settled(text: str) -> list[str]:
    """The lines of a page without what belongs to a machine and a moment.

    Figures with decimals and checksums are `#`, as in all documentation (tests/docs/console.py); here rates
    are, too, and lines of `MOMENTARY` are left out.
    """
    from docs.console import comparable

    lines = [comparable(line) for line in text.splitlines() if not MOMENTARY.match(line)]
    return [THOUSANDS.sub("#", line) if TIMED.match(line) else line for line in lines]


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield " ".join(paragraph.split())
        yield ""


def _usage(name: str, command: Any) -> Iterator[str]:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    written = " ".join(
        f"[{param.metavar or param.name.upper()}]{'...' if param.nargs == -1 else ''}" for param in arguments
    )
    yield f"    prunecli {name} [OPTIONS] {written}".rstrip()
    yield ""


def _options(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True, help_option_names=["-h", "--help"])
    yield "## Options"
    yield ""
    for title, records in sections(command.get_params(context), context).items():
        yield f"### {title}"
        yield ""
        yield "| option | meaning | default |"
        yield "|---|---|---|"
        for spelling, meaning in records:
            text, _, default = meaning.partition("[default: ")
            shown = f"`{default.strip().rstrip(']')}`" if default else ""
            yield f"| `{_cell(spelling)}` | {_cell(text)} | {shown} |"
        yield ""


def _cell(text: str) -> str:
    return re.sub(r"(?<!`)([*<])", r"\\\1", " ".join(text.split()).replace("|", "\\|"))


def _exit_codes(name: str) -> Iterator[str]:
    yield "## Exit codes"
    yield ""
    gate = GATES.get(name)
    ends = f"0 done · 1 {gate} · " if gate else "0 done · "
    yield f"{ends}2 wrong use · 3 the input was refused · 4 the work failed · 130, 143 interrupted."
    yield "[What each means](../../README.md#exit-codes)."
    yield ""


def _keys(document: dict[str, Any]) -> Iterator[str]:
    yield "## JSON"
    yield ""
    yield f"With `--json`, `{document['schema']}`. Keys may be added, and none changes its meaning."
    yield ""
    yield "| key | value, in the run above |"
    yield "|---|---|"
    for key, value in document.items():
        if key not in ("schema", "version"):
            yield f"| `{key}` | {_kind(value)} |"
    yield ""


def _kind(value: Any, *, deep: bool = True) -> str:
    if isinstance(value, dict):
        inside = f": {', '.join(f'`{key}`' for key in value)}" if value and deep else ""
        return f"object{inside}"
    if isinstance(value, list):
        keys = list(dict.fromkeys(key for item in value if isinstance(item, dict) for key in item))
        if keys:
            return f"list of objects: {', '.join(f'`{key}`' for key in keys)}"
        return "list" if not value else f"list of {_kind(value[0], deep=False)}s"
    kinds = {bool: "boolean", str: "text", int: "number", float: "number", type(None): "null"}
    return kinds[type(value)]


def write(names: Sequence[str]) -> None:
    """Write the pages of `names` where they are not what the command line says."""
    PAGES.mkdir(exist_ok=True)
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            new = page(name, record(name, Path(folder)))
        path = PAGES / f"{name}.md"
        if not path.is_file() or settled(path.read_text(encoding="utf-8")) != settled(new):
            path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    write(sys.argv[1:] or COMMANDS)
