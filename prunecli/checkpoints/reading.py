"""Opening a checkpoint: what it is, where its weights lie, what they are called; nothing of it is run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor, nn

from prunecli.checkpoints.document import KEY, parse
from prunecli.checkpoints.facts import facts_of
from prunecli.checkpoints.naming import apply_masks, named_tensors, split_average, strip_prefix
from prunecli.checkpoints.nesting import Choice, Place, choose_place, is_average
from prunecli.checkpoints.pickles import load_pickled
from prunecli.checkpoints.safetensors import load_safetensors
from prunecli.checkpoints.sharded import load_shards
from prunecli.checkpoints.sniff import SAFETENSORS, SHARD_INDEX
from prunecli.checkpoints.soundness import dense_tensors, nonfinite, refuse_nonfinite
from prunecli.checkpoints.source import Source, open_source
from prunecli.checkpoints.wording import counted, listed, shown
from prunecli.errors import InputRefused


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a file under the names that the network itself gives them.

    `kind` is "safetensors", "sharded safetensors", "torch zip", "torch legacy" or "torch module" (a trusted
    pickle that held the module itself, then in `module`). `sha256` and `bytes` are the file's (of an index:
    over all its shards). `tensors` lie on the CPU, in the file's order, with nested key (`found_under`) and
    wrapper's prefix (`prefix`) removed; tensors of large safetensors files are mapped. `document` is what
    prunecli wrote into a pruned checkpoint. `facts` are other plain values, for display. `notes` say what
    was decided.
    """

    path: str
    sha256: str
    bytes: int
    kind: str
    tensors: dict[str, Tensor]
    found_under: str | None = None
    prefix: str | None = None
    document: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    module: nn.Module | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of every tensor."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}


@dataclass(frozen=True)
class Content:
    """What a file holds before its weights are looked for."""

    loaded: object
    kind: str
    sha256: str
    bytes: int
    metadata: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_checkpoint(
    source: str | Path | BinaryIO,
    *,
    ema: bool = False,
    trust_pickle: str | None = None,
    allow_nonfinite: bool = False,
) -> Checkpoint:
    """Read a checkpoint from a path or a binary stream.

    `ema` takes averaged weights where the file has both. `trust_pickle` is the file's own sha256 and lets a
    pickle run that holds more than weights. `allow_nonfinite` admits NaN and infinity,
    with a note for each tensor.

    Raises InputRefused when the file is missing, no checkpoint, damaged, unsafe, ambiguous or holds tensors
    that cannot be worked on; WrongUse when `trust_pickle` is no sha256; WorkFailed when memory runs out.
    """
    with closing(open_source(source)) as opened:
        content = _content(opened, trust_pickle)
    name = opened.path
    own = KEY in content.metadata
    checkpoint = pruned(name, content) if own else found(name, content, ema=ema)
    if not allow_nonfinite:
        refuse_nonfinite(name, checkpoint.tensors)
        return checkpoint
    notes = [f"{shown(tensor)} holds {fault}" for tensor, fault in nonfinite(checkpoint.tensors).items()]
    return replace(checkpoint, notes=(*checkpoint.notes, *notes))


def _content(source: Source, trust_pickle: str | None) -> Content:
    if source.kind == SHARD_INDEX:
        shards = load_shards(source)
        return Content(
            shards.tensors, "sharded safetensors", shards.sha256, shards.bytes, shards.metadata, shards.notes
        )
    sha256 = source.sha256()
    if source.kind == SAFETENSORS:
        tensors, header = load_safetensors(source)
        return Content(tensors, source.kind, sha256, source.size, header.metadata)
    loaded, ran = load_pickled(source, sha256=sha256, trust_pickle=trust_pickle)
    notes = (f"ran the code that {source.name} names: its sha256 was given",) if ran else ()
    return Content(loaded, source.kind, sha256, source.size, notes=notes)


def pruned(path: str, content: Content) -> Checkpoint:
    """A file of our own: its names are exact, so nothing is looked for."""
    notes = list(content.notes)
    entries = content.loaded if isinstance(content.loaded, Mapping) else {}
    return Checkpoint(
        path=path,
        sha256=content.sha256,
        bytes=content.bytes,
        kind=content.kind,
        tensors=dense_tensors(path, named_tensors(path, entries, notes)),
        document=parse(content.metadata[KEY], path=path),
        facts=_metadata_facts(content),
        notes=tuple(notes),
    )


def found(path: str, content: Content, *, ema: bool) -> Checkpoint:
    """A file of others: its weights are looked for, and their names freed of what wrappers added."""
    choice = choose_place(path, content.loaded, ema=ema)
    place, notes = choice.place, [*content.notes, *choice.notes]
    tensors = dense_tensors(path, named_tensors(path, place.entries, notes))
    prefix, averaged = None, False
    if place.module is None:  # a module's own names are right as they are
        tensors, averaged = split_average(tensors, ema=ema, notes=notes)
        tensors, prefix = strip_prefix(path, tensors, notes)
        tensors = apply_masks(path, tensors, notes)
    _refuse_absent_average(path, place, ema=ema, inside=averaged)
    if not tensors:
        raise InputRefused(f"{shown(path)} holds no tensors under '{shown(place.dotted)}'")
    _speak_of_average(path, choice, tensors, notes)
    if place.where:
        notes.insert(0, f"took the {counted(len(tensors), 'tensor')} under '{shown(place.dotted)}'")
    return Checkpoint(
        path=path,
        sha256=content.sha256,
        bytes=content.bytes,
        kind=content.kind if place.module is None else "torch module",
        tensors=tensors,
        found_under=place.dotted or None,
        prefix=prefix,
        facts=_metadata_facts(content) | _facts_beside(content.loaded, place),
        notes=tuple(notes),
        module=place.module,
    )


def _refuse_absent_average(path: str, place: Place, *, ema: bool, inside: bool) -> None:
    if ema and not inside and not any(map(is_average, place.where)):
        raise InputRefused(
            f"{shown(path)} holds no averaged (EMA) weights",
            hints=[
                f"its weights lie under '{shown(place.dotted)}'"
                if place.where
                else "it holds one set of weights"
            ],
        )


def _metadata_facts(content: Content) -> dict[str, Any]:
    return facts_of({name: text for name, text in content.metadata.items() if name != KEY})


def _facts_beside(loaded: object, place: Place) -> dict[str, Any]:
    if not place.where or not isinstance(loaded, Mapping):
        return {}
    return facts_of(
        {key: value for key, value in loaded.items() if not isinstance(key, str) or key != place.where[0]}
    )


def _speak_of_average(
    path: str,
    choice: Choice,
    tensors: Mapping[str, Tensor],
    notes: list[str],
) -> None:
    """Say which of the two sets was taken; refuse to choose between two networks of different shapes."""
    if choice.averaged is None:
        return
    silent: list[str] = []
    other = strip_prefix(path, named_tensors(path, choice.averaged.entries, silent), silent)[0]
    differ = [
        name for name, tensor in other.items() if name in tensors and tensor.shape != tensors[name].shape
    ]
    where = shown(choice.averaged.dotted)
    if differ:
        raise InputRefused(
            f"{shown(path)}: the averaged weights under '{where}' have other shapes than those beside them",
            hints=[
                f"they differ in {counted(len(differ), 'tensor')}: {listed(differ)}",
                "to take them: --ema",
            ],
        )
    notes.append(f"left the averaged (EMA) weights under '{where}' alone; --ema takes them")
