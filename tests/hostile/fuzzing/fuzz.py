"""Coverage-guided fuzzing of everything that reads strange bytes, one target after the other.

`python tests/hostile/fuzzing/fuzz.py` takes FUZZ_SECONDS (600) for all targets together, keeps what it found
interesting under FUZZ_CORPUS (a temporary folder) and ends with 1 at the first crash, hang or foreign
exception. `fuzz.py TARGET` runs one. A finding goes into tests/hostile/findings/TARGET/: the suite runs it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TARGETS = ("header", "entries", "plan", "document", "sniff", "opcodes", "archive", "index")
FINDINGS = Path(__file__).parent.parent / "findings"
MEMORY_MB, SECONDS_A_RUN, LONGEST = 3000, 10, 16_384
MISSING = "fuzzing needs atheris, which has wheels for Python 3.11 to 3.13 on Linux: pip install atheris"
_FIGURES = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)")


def one(name: str, arguments: list[str]) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris

    sys.path.insert(0, str(Path(__file__).parents[2]))
    with atheris.instrument_imports(include=["prunecli", "zipfile", "pickletools", "json"]):
        from hostile.fuzzing.targets import REFUSALS
        from hostile.fuzzing.targets import TARGETS as TABLE

    run = TABLE[name].run

    def tried(content: bytes) -> None:
        try:
            run(content)
        except REFUSALS:
            return

    atheris.Setup([sys.argv[0], *arguments], tried)
    atheris.Fuzz()


def every(seconds: int) -> int:
    """Fuzz all targets for `seconds` together; the exit code."""
    corpus = Path(os.environ.get("FUZZ_CORPUS") or tempfile.mkdtemp(prefix="prunecli-fuzz-"))
    worst = 0
    for name in TARGETS:
        folder = _seeded(name, corpus)
        words = folder.parent / f"{name}.dict"
        limits = [f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SECONDS_A_RUN}", f"-max_len={LONGEST}"]
        known = [str(path) for path in (FINDINGS / name,) if path.is_dir()]
        command = [
            *(sys.executable, __file__, name, f"-max_total_time={max(1, seconds // len(TARGETS))}"),
            *(*limits, f"-dict={words}", f"-artifact_prefix={folder.parent}/{name}-", str(folder), *known),
        ]
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        figures = _FIGURES.findall(ended.stderr)
        runs, edges, features = figures[-1] if figures else ("0", "0", "0")
        verdict = "no finding" if not ended.returncode else f"FINDING in {corpus}"
        line = f"{name:10} {int(runs):>10,} runs {edges:>6} edges {features:>6} features  {verdict}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if ended.returncode:
            sys.stderr.write(ended.stderr[-3000:])
            worst = 1
    return worst


def _seeded(name: str, corpus: Path) -> Path:
    """The corpus folder of a target with its seeds in it, and the words of its format beside it."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from hostile.fuzzing.targets import TARGETS as TABLE

    folder = corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TABLE[name].seeds()):
        (folder / f"seed{number}").write_bytes(seed)
    words = "".join(f'"{word}"\n' for word in TABLE[name].words)
    (corpus / f"{name}.dict").write_text(words)
    return folder


def main() -> int:
    """All targets, or the one that is named."""
    try:
        import atheris  # noqa: F401 - only whether it is there
    except ImportError:
        sys.stderr.write(f"{MISSING}\n")
        return 2
    if len(sys.argv) > 1:
        one(sys.argv[1], sys.argv[2:])
        return 0
    return every(int(os.environ.get("FUZZ_SECONDS", "600")))


if __name__ == "__main__":
    sys.exit(main())
