"""Real inputs: the bundled samples, and the public checkpoint where it lies beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunecli.checkpoints import sample_models
from prunecli.workflows.opening import Opening

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(params=sorted(sample_models()))
def sample(request):
    return Opening(checkpoint=str(sample_models()[request.param]))


@pytest.fixture
def public_checkpoint():
    path = DATA / "resnet20-12fca82f.th"
    if not path.exists():
        pytest.skip("the public checkpoint is not here")
    return Opening(checkpoint=str(path))
