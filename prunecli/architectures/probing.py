"""Making an index entry: an architecture built a few times on the meta device, and what changed."""

from __future__ import annotations

from prunecli.architectures.construction import build
from prunecli.architectures.fingerprint import Probe, Shapes, counted, fingerprint, probes_between, shapes_of
from prunecli.architectures.index import Entry
from prunecli.architectures.naming import resolve
from prunecli.architectures.providers.contract import PROVIDERS

# Unlike any usual count, so that what changes has changed with it
CLASSES, CHANNELS = 7, 5


def probe_architecture(name: str) -> list[Entry]:
    """One entry for each of the architecture's variants; networks of one source/name."""
    source, _, short = name.partition("/")
    entries = []
    for variant in PROVIDERS[source].variants(short):
        provider = PROVIDERS[source]
        plain = _tensors(name, dict(variant))
        classes = _probes(name, dict(variant), plain, provider.class_argument, CLASSES)
        channels = _probes(name, dict(variant), plain, provider.channel_argument, CHANNELS)
        look = fingerprint(plain, (*classes, *channels))
        entries.append(Entry(name, dict(variant), look, classes, channels))
    return entries


def _tensors(name: str, arguments: dict[str, object]) -> Shapes:
    return counted(shapes_of(build(resolve(name, arguments=arguments), device="meta")))


def _probes(
    name: str, variant: dict[str, object], plain: Shapes, word: str | None, value: int
) -> tuple[Probe, ...]:
    """The sizes that follow the argument `word`; none where the builder cannot vary it."""
    if word is None:
        return ()
    try:
        changed = _tensors(name, {**variant, word: value})
    except Exception:  # builders fail in their own ways; what cannot vary is then part of the name
        return ()
    return probes_between(plain, changed, value)
