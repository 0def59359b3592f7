"""Garbage: not looked for while a command is imported, collected while it works."""

from __future__ import annotations

import gc
import subprocess
import sys

from prunecli.cli.gathering import Manner
from prunecli.cli.presenting import present

CODE = """
import gc, sys
from prunecli import __main__
from prunecli.cli import run
run.run = lambda arguments: print(gc.isenabled()) or 0
sys.exit(__main__.main())
"""


class Nothing:
    notes = ()

    def document(self):
        return {}


def test_a_command_is_imported_without_looking_for_garbage():
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_the_work_collects_its_garbage():
    seen = []

    def work(progress):
        seen.append(gc.isenabled())
        return Nothing()

    gc.disable()
    try:
        present(
            "x",
            work,
            pages=lambda document: (),
            manner=Manner(format="json", quiet=True),
            instead=lambda found: "",
        )
    finally:
        gc.enable()
        gc.unfreeze()
    assert seen == [True]
