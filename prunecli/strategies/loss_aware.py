"""What is asked of a strategy that chooses layer and criterion by the loss; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prunecli.errors import WrongUse, check_ranges


@dataclass(frozen=True, kw_only=True)
class LossAwareWishes:
    """How `laasp` chooses.

    In every step each criterion of the `pool` proposes for each group as many channels as are worth about
    `step_macs` of the network's MACs; the loss is measured on `images` images of the training part. After
    each further `recover_macs` the network is cut and trained. A group loses `max_layer_ratio` of its first
    width at most. With `exact` every proposal is measured on all images, as far as it may still be the
    best; else those that are clearly worse drop out after a part of them.

    Raises WrongUse for a value out of range.
    """

    pool: tuple[str, ...] = ("l1", "l2", "fpgm", "cosine")
    step_macs: float = 0.01
    recover_macs: float = 0.02
    images: int = 10_000
    max_layer_ratio: float = 0.65
    exact: bool = False

    def __post_init__(self) -> None:
        ranges = (
            ("step_macs", 0 < self.step_macs < 1, "above 0 and below 1"),
            ("recover_macs", 0 < self.recover_macs < 1, "above 0 and below 1"),
            ("images", self.images >= 1, "at least 1"),
            ("max_layer_ratio", 0 < self.max_layer_ratio < 1, "above 0 and below 1"),
        )
        check_ranges(self, ranges)
        if not self.pool:
            raise WrongUse("the pool holds no criterion", hints=["for example: --pool l1,l2,fpgm,cosine"])
        if len(set(self.pool)) < len(self.pool):
            raise WrongUse(f"the pool names a criterion twice: {', '.join(self.pool)}")

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "pool": list(self.pool),
            "step_macs": self.step_macs,
            "recover_macs": self.recover_macs,
            "images": self.images,
            "max_layer_ratio": self.max_layer_ratio,
            "exact": self.exact,
        }
