"""What was decided is told before the long part begins, and once."""

from __future__ import annotations

from prunecli.training.settings import FitSettings
from prunecli.workflows.finetune import finetune
from prunecli.workflows.opening import Opening


def test_remarks_come_before_the_first_step_of_training():
    heard = []
    result = finetune(
        Opening(),
        settings=FitSettings(epochs=1),
        progress=lambda stage, done, total, figures=None: heard.append(stage),
    )
    first = heard.index("train")
    assert heard[:first] == list(result.notes)
    assert heard[0].startswith("no checkpoint was given")
    assert not set(heard[first:]) & set(result.notes)
