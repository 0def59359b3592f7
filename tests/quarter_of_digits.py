"""Every fourth digit of each part: a real data set for tests that train."""

from __future__ import annotations

from dataclasses import replace

import torch

from prunecli.data.splitting import take
from prunecli.workflows.data import open_images


def quarter_of_digits(opened):
    found = open_images(opened, None)
    parts = {
        name: take(split, torch.arange(0, len(split), 4))
        for name in ("train", "validation", "test")
        if (split := getattr(found.data, name))
    }
    return replace(found, data=replace(found.data, **parts))
