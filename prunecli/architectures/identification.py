"""Which architecture a checkpoint belongs to, by the names and shapes of its tensors.

The shipped index finds candidates without importing any source; the chosen one is then built on the meta
device and compared tensor by tensor. Where several architectures have exactly these tensors, one is taken
when they compute the same function (checked when the index was made) or when the names are cifar's or
torchvision's own; otherwise the choice is the user's, for tensors show no stride and no activation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from prunecli.architectures.architecture import Architecture
from prunecli.architectures.construction import build
from prunecli.architectures.fingerprint import (
    Fingerprint,
    Shapes,
    counted,
    fingerprint,
    overlap,
    probed_value,
    shapes_of,
)
from prunecli.architectures.index import Entry, shipped_index
from prunecli.architectures.naming import KNOWN, resolve
from prunecli.architectures.probing import probe_architecture
from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.errors import InputRefused

COINING = ("cifar", "digits", "torchvision")
SURE, CANONICAL = 1.0, 0.9
NEAR = 0.15  # the least estimated overlap of a candidate worth naming
LIVE_LIMIT = 64  # architectures of a third party's source that are built to be looked at


@dataclass(frozen=True)
class Identification:
    """What was found: `confidence` is 1 where the tensors leave one function, 0.9 where a habit chose.

    `candidates` are all architectures with exactly these tensors, the chosen one first.
    """

    architecture: Architecture
    confidence: float
    candidates: tuple[str, ...]
    notes: tuple[str, ...]


def identify(
    shapes: Mapping[str, Sequence[int]], *, input_shape: Sequence[int] | None = None
) -> Identification:
    """The architecture whose tensors have exactly these names and shapes, its number of classes read off.

    `shapes` is name → shape of a checkpoint, with or without `num_batches_tracked`; `input_shape` replaces
    the architecture's own. Raises InputRefused, with the nearest candidates and what to type, when none
    fits, when several fit that differ in what no tensor shows, or when the package it needs is missing.
    """
    tensors = counted(shapes)
    if not tensors:
        raise InputRefused("there are no tensors to identify an architecture by")
    indexed, look = shipped_index().entries, fingerprint(tensors)
    matches = [entry for entry in indexed if _fits(entry, look, tensors)]
    if not matches:
        live = _live_entries()
        matches = [entry for entry in live if _fits(entry, look, tensors)]
        if not matches:
            raise _unknown(look, [*indexed, *live])
    matches.sort(key=_preference)
    chosen = matches[0]
    others = [entry for entry in matches if entry.kin != chosen.kin]
    if not all(_gives_way(entry, chosen) for entry in others):
        raise _ambiguous(matches)
    architecture = _settled(chosen, tensors, input_shape)
    _confirm(architecture, tensors)
    names = tuple(dict.fromkeys(entry.name for entry in matches))
    return Identification(architecture, CANONICAL if others else SURE, names, _notes(matches, chosen))


def _fits(entry: Entry, look: Fingerprint, tensors: Shapes) -> bool:
    """Whether names and sizes agree, the sizes that follow an argument by one value of it."""
    if entry.fingerprint.names != look.names:
        return False
    for probes in (entry.classes, entry.channels):
        if probes and probed_value(tensors, probes) is None:
            return False
    return fingerprint(tensors, (*entry.classes, *entry.channels)).shapes == entry.fingerprint.shapes


def _gives_way(entry: Entry, chosen: Entry) -> bool:
    """Whether `chosen` is the usual meaning of these tensors although `entry` computes something else.

    Names that cifar and torchvision coined mean theirs (timm's anti-aliased resnetblur50 has torchvision's
    resnet50's tensors), and torchvision's networks for quantization are trained as their plain ones.
    """
    source, _, name = entry.name.partition("/")
    if source == chosen.name.partition("/")[0]:
        return name == f"quantized_{chosen.name.partition('/')[2]}"
    return chosen.name.partition("/")[0] in COINING


def _notes(matches: Sequence[Entry], chosen: Entry) -> tuple[str, ...]:
    """What was passed over, and whether it matters."""
    equal = list(dict.fromkeys(entry.name for entry in matches if entry.kin == chosen.kin))[1:]
    other = list(dict.fromkeys(entry.name for entry in matches if entry.kin != chosen.kin))
    notes = []
    if equal:
        named = ", ".join(equal[:3]) + (" …" if len(equal) > 3 else "")
        notes.append(f"taken as {chosen.name}; the same tensors and the same function: {named}")
    if other:
        named = ", ".join(other[:3]) + (" …" if len(other) > 3 else "")
        notes.append(f"the same tensors but another function, to be given with --arch: {named}")
    return tuple(notes)


def _preference(entry: Entry) -> tuple[int, bool, int, str]:
    source, _, name = entry.name.partition("/")
    rank = KNOWN.index(source) if source in KNOWN else len(KNOWN)
    return rank, name.startswith("quantized_"), len(name), name


def _settled(entry: Entry, tensors: Shapes, input_shape: Sequence[int] | None) -> Architecture:
    """The entry with its class and channel counts read from the tensors."""
    source = PROVIDERS[entry.name.partition("/")[0]]
    arguments = dict(entry.arguments)
    classes = probed_value(tensors, entry.classes)
    if classes is not None and source.class_argument is not None:
        arguments[source.class_argument] = classes
    plain = resolve(entry.name, arguments=arguments)
    channels = probed_value(tensors, entry.channels)
    word = source.channel_argument
    if (
        channels is not None
        and word is not None
        and (word in plain.arguments or channels != plain.input_shape[0])
    ):
        plain = resolve(entry.name, arguments={**arguments, word: channels})
    return plain if input_shape is None else replace(plain, input_shape=tuple(input_shape))


def _confirm(architecture: Architecture, tensors: Shapes) -> None:
    """Build the empty network and compare every name and shape; the index may be of another version."""
    built = counted(shapes_of(build(architecture, device="meta")))
    if built == tensors:
        return
    differing = sorted(set(built.items()) ^ set(tensors.items()))
    raise InputRefused(
        f"the installed {architecture.source} builds {architecture.short_name} with other tensors",
        hints=[f"first that differs: {differing[0][0]}", "your own code: --model file.py:factory"],
    )


def _live_entries() -> list[Entry]:
    """Entries of sources that third parties registered, looked at now; each counts as its own function."""
    entries: list[Entry] = []
    for source in PROVIDERS:
        if source in KNOWN:
            continue
        for name in list(PROVIDERS[source].names())[:LIVE_LIMIT]:
            entries += probe_architecture(f"{source}/{name}")
    return [replace(entry, kin=number) for number, entry in enumerate(entries)]


def _unknown(look: Fingerprint, entries: Iterable[Entry]) -> InputRefused:
    """The refusal when nothing fits, with the nearest by names, then by shapes, then by size."""

    def nearness(entry: Entry) -> tuple[float, float]:
        by_name, by_shape = overlap(look.sketch, entry.fingerprint.sketch)
        sizes = sorted((look.parameters + 1, entry.fingerprint.parameters + 1))
        return by_name + by_shape, sizes[0] / sizes[1]

    ranked = [(nearness(entry), entry) for entry in sorted(entries, key=_preference)]
    ranked.sort(key=lambda pair: pair[0], reverse=True)
    near = list(dict.fromkeys(entry.name for (likeness, _), entry in ranked if likeness >= NEAR))[:5]
    hints = ["your own network: --model file.py:factory --input-shape CxHxW"]
    if near:
        hints = [f"nearest: {', '.join(near)}", f"if it is that: --arch {near[0]}", *hints]
    same = [entry.name for _, entry in ranked if entry.fingerprint.names == look.names]
    if same:
        return InputRefused(f"the tensors have the names of {same[0]} but other shapes", hints=hints)
    return InputRefused("no known architecture has these tensors", hints=hints)


def _ambiguous(matches: Sequence[Entry]) -> InputRefused:
    """The refusal when architectures of different function fit, with one of each to type."""
    kinds: dict[int, list[str]] = {}
    for entry in matches:
        kinds.setdefault(entry.kin, []).append(entry.name)
    choices = [f"--arch {names[0]}" for names in kinds.values()]
    return InputRefused(
        f"{len(choices)} architectures have these tensors and differ in what tensors do not show",
        hints=[f"say which: {' or '.join(choices[:6])}"],
    )
