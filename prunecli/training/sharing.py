"""Which images of a step belong to which of several processes."""

from __future__ import annotations

from dataclasses import dataclass

from prunecli.errors import InputRefused

# Batch norm cannot train on one image.
_FEWEST_IMAGES = 2


@dataclass(frozen=True)
class Share:
    """Part `index` (from 0) of `count` equal processes; by default all there is.

    A step has `batch_size` · `count` images, and process i takes the i-th `batch_size` of them. The last,
    smaller step is split into `count` contiguous parts as equal as can be; it is left out when one of them
    would have fewer than two images. Raises ValueError for an index that is not below the count.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"there is no part {self.index} of {self.count}")

    def steps(self, images: int, batch_size: int) -> int:
        """How many steps an epoch of `images` has: the same number in every process.

        Too few images for one whole rule-abiding step make one small step all the same. Raises InputRefused
        when there are fewer images than processes.
        """
        if images < self.count:
            raise InputRefused(
                f"{images} image{'s' if images != 1 else ''} cannot be shared among {self.count} processes",
                hints=["start fewer processes, or give more images"],
            )
        whole, rest = divmod(images, batch_size * self.count)
        return max(1, whole + (rest >= _FEWEST_IMAGES * self.count))

    def size(self, step: int, images: int, batch_size: int) -> int:
        """How many images `step` (from 0) has over all processes."""
        whole = batch_size * self.count
        return min(whole, images - step * whole)

    def part(self, step: int, images: int, batch_size: int) -> slice:
        """The places in the epoch's order that this process takes in `step` (from 0)."""
        start = step * batch_size * self.count
        size = self.size(step, images, batch_size)
        first, last = (size * index // self.count for index in (self.index, self.index + 1))
        return slice(start + first, start + last)


# One process, which has everything.
WHOLE = Share()
