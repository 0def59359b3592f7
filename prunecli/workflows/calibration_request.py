"""How many images of which data criteria may look at the network with; free of torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """On how many training images of which data the network is run for criteria that look at it at work."""

    data: str | None = None
    batches: int = 8
    batch_size: int = 64
    skip_bad_images: bool = False

    @property
    def images(self) -> int:
        """How many images that are, where there are as many."""
        return self.batches * self.batch_size
