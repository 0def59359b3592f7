"""prunecli check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.cli import check_options, github, options
from prunecli.cli.gathering import Manner
from prunecli.cli.pages import check as pages
from prunecli.cli.presenting import present

if TYPE_CHECKING:
    from prunecli.progress import Progress
    from prunecli.workflows.check import CheckResult

EXAMPLES = """
prunecli check report.json --max-drop 1.0 --min-macs-cut 0.4 --require-equivalent
prunecli check prune.json export.json bench.json --max-size 10MB --max-error 1e-4 --min-speedup 1.5
prunecli check tuned.json --baseline dense.json --max-drop 0.5 --junit check.xml
"""


def check(
    reports: check_options.Reports = None,
    *,
    gates: check_options.Gates,
    manner: Manner,
    baseline: check_options.Baseline = None,
    junit: check_options.Junit = None,
    exit_zero: check_options.ExitZero = False,
    force: options.Force = False,
) -> None:
    """Check what other commands have printed against limits, for CI."""
    from prunecli.workflows.check import check as work

    def checked(_: Progress) -> CheckResult:
        found = work(
            reports or (),
            gates=gates.asked(),
            baseline=baseline,
            junit=junit,
            forgiving=exit_zero,
            force=force,
        )
        github.tell(found, pages=pages)
        return found

    present("check", checked, pages=pages, manner=manner)
