"""A checkpoint whose network has shapes only; its numbers are read from the disk when they are needed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from prunecli.checkpoints.mapped import MappedCheckpoint, mapped_checkpoint
from prunecli.checkpoints.soundness import refuse_nonfinite
from prunecli.errors import InputRefused, WrongUse
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.graph.layers import Layer
from prunecli.progress import Progress, remark, silent
from prunecli.scoring.filter_scores import FilterScores
from prunecli.scoring.piecewise import PieceScorer
from prunecli.surgery.single_tensors import last_names, row_spans
from prunecli.workflows.opening import Opened, Opening, network_of

PIECE_BYTES = 8 << 20
NOT_HASHED = "0" * 64


@dataclass(eq=False)
class StreamedCheckpoint:
    """A checkpoint on the disk.

    `opened` is its network on the meta device; its `sha256` is zeros until `hash` was called.
    """

    opened: Opened
    mapped: MappedCheckpoint
    _sources: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._sources = last_names(self.opened.model)

    def tensor(self, name: str) -> Tensor:
        """The numbers that the network has under a name of its state dict, in the type of the file."""
        held = self.mapped.checkpoint.tensors.get(self._sources[name])
        # Only a counter of batch norm may be missing, and begins at zero.
        return torch.zeros((), dtype=torch.int64) if held is None else held

    def let_go(self, name: str) -> None:
        """Give back the memory in which the tensor's part of the file was read."""
        self.mapped.maps.let_go(self.tensor(name))

    def hash(self) -> None:
        """Wait for the file's digest, and put it where it belongs."""
        checkpoint = replace(self.opened.checkpoint, sha256=self.mapped.digest())
        self.opened = replace(self.opened, checkpoint=checkpoint)

    def survey(
        self, graph: ChannelGraph, layers: Iterable[Layer], criteria: Sequence[str], *, seed: int
    ) -> FilterScores:
        """Read the whole file once, tensor by tensor: is all of it finite, and what are the filters worth.

        Layer → criterion → (F,) scores, for the given layers. Raises InputRefused for NaN and infinity,
        WrongUse for an unknown criterion.
        """
        scorer = PieceScorer(
            model=self._with_numbers(), graph=graph, criteria=criteria, seed=seed, piece=PIECE_BYTES // 2
        )
        found: dict[str, dict[str, Tensor | None]] = {}
        of_tensor: dict[str, list[Layer]] = {}
        for layer in layers:
            of_tensor.setdefault(self._sources[layer.weight], []).append(layer)
        dtypes = {name: tensor.dtype for name, tensor in self.opened.model.state_dict().items()}
        for name, tensor in self.mapped.checkpoint.tensors.items():
            self.mapped.maps.expect(tensor)
            self._refuse_nonfinite(name, tensor)
            for layer in of_tensor.get(name, ()):
                found[layer.name] = scorer.score(layer, _not_wider(tensor, dtypes[layer.weight]))
            self.mapped.maps.let_go(tensor)
        return found

    def _with_numbers(self) -> nn.Module:
        """The network with the mapped tensors as its own: none is read yet."""
        model = copy.deepcopy(self.opened.model)
        model.load_state_dict({name: self.tensor(name) for name in self._sources}, assign=True)
        return model

    def _refuse_nonfinite(self, name: str, tensor: Tensor) -> None:
        flat = tensor.reshape(-1)
        if all(_is_finite(flat[start:end]) for start, end in row_spans(flat, PIECE_BYTES)):
            return
        checkpoint = self.mapped.checkpoint
        try:
            refuse_nonfinite(checkpoint.path, {name: tensor})
        except InputRefused:
            refuse_nonfinite(checkpoint.path, checkpoint.tensors)


@contextmanager
def streamed_checkpoint(opening: Opening, *, progress: Progress = silent) -> Iterator[StreamedCheckpoint]:
    """Open a checkpoint for streaming, for as long as the context lasts; raises as `open_checkpoint` does."""
    opening.take_threads()
    with mapped_checkpoint(str(opening.checkpoint), ema=opening.ema) as mapped:
        checkpoint = replace(mapped.checkpoint, sha256=NOT_HASHED)
        if not all(mapped.maps.holds(tensor) for tensor in checkpoint.tensors.values()):
            raise WrongUse(
                "the file holds pruning masks, which cannot be applied tensor by tensor",
                hints=["hold the network in memory: --no-stream"],
            )
        remark(progress, ["the network is read from the disk tensor by tensor, and not held in memory"])
        yield StreamedCheckpoint(network_of(opening, checkpoint, shapes_only=True, progress=progress), mapped)


def _is_finite(piece: Tensor) -> bool:
    if not piece.is_floating_point() or not piece.numel():
        return True
    low, high = torch.aminmax(piece)
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _not_wider(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor as the network would hold it; one that is narrower is widened where it is used."""
    return tensor.to(dtype) if dtype.itemsize < tensor.dtype.itemsize else tensor
