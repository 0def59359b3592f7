"""`python -m prunecli` and the console script `prunecli`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    try:
        from prunecli.cli.run import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before signals are minded
        return 130


if __name__ == "__main__":
    sys.exit(main())
