"""Scores kept in a file: safetensors, one tensor a layer and criterion, with what they were computed from.

Scores that were computed from other weights or other images are stale; they are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.checkpoints import read_checkpoint, write_checkpoint
from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.scoring.filter_scores import FilterScores
from prunecli.workflows.calibrating import Scorer

SCHEMA = "prunecli.scores/1"
_SEPARATOR = "|"


@dataclass(frozen=True, eq=False)
class SavedScores:
    """Scores by layer and criterion as they were saved, and their origin."""

    path: str
    criteria: tuple[str, ...]
    scores: FilterScores
    origin: Mapping[str, Any]


def save_scores(path: str, scores: FilterScores, scorer: Scorer, *, force: bool = False) -> dict[str, Any]:
    """Write the scores (F,) of every layer and criterion; returns path, bytes and sha256."""
    tensors = {
        f"{criterion}{_SEPARATOR}{layer}": values
        for layer, found in scores.items()
        for criterion, values in found.items()
        if values is not None
    }
    document = {
        "scores": SCHEMA,
        "criteria": list(scorer.criteria),
        "layers": {layer.name: layer.channels for layer in scorer.graph.layers},
        "weights": weights_fingerprint(scorer.opened.model),
        "seed": scorer.seed,
        "data": data_origin(scorer),
    }
    written = write_checkpoint(path, tensors, document, force=force)
    return {**asdict(written), "path": path}


def read_scores(path: str) -> SavedScores:
    """Open saved scores; raises InputRefused for a file that holds none."""
    checkpoint = read_checkpoint(path)
    document = checkpoint.document or {}
    if document.get("scores") != SCHEMA:
        raise InputRefused(
            f"{path!r} holds no saved scores",
            hints=["write some: prunecli score model.safetensors --criteria l1,l2 --save scores.safetensors"],
        )
    criteria, layers = _header(path, document)
    scores: dict[str, dict[str, Tensor | None]] = {layer: dict.fromkeys(criteria) for layer in layers}
    for key, values in checkpoint.tensors.items():
        criterion, _, layer = key.partition(_SEPARATOR)
        if layer not in layers or criterion not in criteria or tuple(values.shape) != (layers[layer],):
            raise InputRefused(f"the scores in {path!r} do not fit together: {key!r}")
        scores[layer][criterion] = values
    return SavedScores(path, criteria, scores, document)


def fitting_scores(
    saved: SavedScores, model: nn.Module, graph: ChannelGraph, *, criteria: Sequence[str] | None = None
) -> FilterScores:
    """The saved scores by `criteria`, all of them for None, once it is sure that they are of this network.

    Raises InputRefused for scores of other weights, and for a criterion that was not saved.
    """
    own = weights_fingerprint(model)
    if saved.origin.get("weights") != own:
        raise InputRefused(
            f"the scores in {saved.path!r} are stale: they are of other weights",
            hints=["score this checkpoint anew: prunecli score … --save FILE --force"],
        )
    layers = {layer.name: layer.channels for layer in graph.layers}
    if saved.origin.get("layers") != layers:
        raise InputRefused(f"the scores in {saved.path!r} are of other layers than the network has")
    wanted = tuple(saved.criteria if criteria is None else criteria)
    missing = [name for name in wanted if name not in saved.criteria]
    if missing:
        raise InputRefused(
            f"{saved.path!r} has no scores by {missing[0]}",
            hints=[f"it has: {', '.join(saved.criteria)}"],
        )
    return {layer: {name: found[name] for name in wanted} for layer, found in saved.scores.items()}


def refuse_other_data(saved: SavedScores, scorer: Scorer) -> None:
    """Raise InputRefused when the data that was given is not what the scores were calibrated on."""
    origin = saved.origin.get("data")
    if origin is None:
        return
    images = scorer.chosen().fingerprint
    if origin.get("fingerprint") != images:
        raise InputRefused(
            f"the scores in {saved.path!r} are stale: they were calibrated on other images",
            hints=[
                f"they are of {origin.get('images')} images of {origin.get('name')}",
                "leave --data out to take them as they are, or score anew with --save",
            ],
        )


def weights_fingerprint(model: nn.Module) -> str:
    """One hexadecimal number for all parameters and buffers, whatever file they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        digest.update(repr((name, str(plain.dtype), tuple(plain.shape))).encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def data_origin(scorer: Scorer) -> dict[str, Any] | None:
    """What the calibration ran on; None when no criterion needed images."""
    if not scorer.needs_data:
        return None
    images = scorer.chosen()
    return {
        "name": images.name,
        "images": images.count,
        "batches": scorer.calibration.batches,
        "batch_size": scorer.calibration.batch_size,
        "fingerprint": images.fingerprint,
    }


def _header(path: str, document: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, int]]:
    criteria, layers = document.get("criteria"), document.get("layers")
    plain = isinstance(criteria, list) and all(isinstance(name, str) for name in criteria)
    counts = layers.values() if isinstance(layers, Mapping) else [None]
    if not plain or not all(type(count) is int for count in counts):
        raise InputRefused(f"the scores in {path!r} do not say which criteria and layers they are of")
    return tuple(criteria or ()), dict(layers or {})
