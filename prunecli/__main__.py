"""`python -m prunecli` and the console script `prunecli`."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    # What is imported stays; looking through it again and again takes a tenth of the time of importing torch.
    gc.disable()
    try:
        from prunecli.cli.run import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before signals are minded
        return 130


if __name__ == "__main__":
    sys.exit(main())
