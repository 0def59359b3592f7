"""The criterion that knows nothing, against which the others have to show their worth."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from prunecli.criteria.contract import Evidence, Needs, criterion

if TYPE_CHECKING:
    from torch import Tensor


@criterion("random", needs=Needs.SEED, source="Mittal et al. 2018, arXiv:1801.10447")
def uniform(evidence: Evidence) -> Tensor:
    """A uniform random number for every filter, drawn from the seed and the layer's name.

    score_f ~ U(0, 1)                                       F → (F,)

    The same seed and layer give the same scores on every device; two layers of one seed differ.
    """
    import torch

    digest = hashlib.sha256(f"{evidence.seed}:{evidence.layer}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    scores = torch.rand(len(evidence.weight), generator=generator, dtype=evidence.weight.dtype)
    return scores.to(evidence.weight.device)
