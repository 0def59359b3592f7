"""What a comparison comes to, in words: which choices change nothing, and which differences are noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

from prunecli.analysis.agreement import mean
from prunecli.analysis.applicability import Applicability
from prunecli.analysis.network_wide import GlobalAgreement
from prunecli.analysis.noise import Noise
from prunecli.analysis.pairs import PairAgreement

# Above 0.9 rankings count as the same, below 0.05 scores as without contrast: Huang et al. 2021,
# arXiv:2004.11627. From a Jaccard index of 0.95 on, 39 of 40 removed filters are the same ones.
SAME_RANKING = 0.9
SAME_CHOICE = 0.95
NO_CONTRAST = 0.05
# Two rankings that are alike inside layers are apart over the network from here down.
APART = 0.8
# A correlation with itself is the share of a score's variance that is not noise: below a half noise prevails,
# and below a fifth there is no ranking whose difference to another one could be told.
MORE_NOISE = 0.5
NO_SIGNAL = 0.2

Pairs = Mapping[tuple[str, str], PairAgreement]


def pair_remarks(
    pairs: Sequence[PairAgreement], overall: Sequence[GlobalAgreement], noise: Sequence[Noise]
) -> tuple[str, ...]:
    """Criteria that choose the same filters, that rank alike, or whose difference is noise.

    Three or more criteria of which any two choose or rank alike are one remark.
    """
    by_name = {(pair.a, pair.b): pair for pair in pairs}
    network = {(pair.a, pair.b): pair.spearman for pair in overall}
    same = {names for names, pair in by_name.items() if _same_choice(pair)}
    apart = {
        names: share
        for names, pair in by_name.items()
        if _alike(pair) and (share := network.get(names)) is not None and share <= APART
    }
    floors = {one.criterion: one for one in noise if not one.exact}
    noisy = {
        names: line
        for names, pair in by_name.items()
        if names not in same and (line := _noise_remark(pair, floors)) is not None
    }
    alike = {names for names, pair in by_name.items() if _alike(pair)} - same - set(apart) - set(noisy)
    lines = [*_grouped(same, by_name, _same_words), *noisy.values()]
    lines += [
        f"{a} and {b} agree inside layers ({_number(by_name[a, b].average.spearman)}) "
        f"but not over the network ({share:.2f})"
        for (a, b), share in apart.items()
    ]
    return (*lines, *_grouped(alike, by_name, _alike_words))


def noise_remarks(noise: Sequence[Noise]) -> tuple[str, ...]:
    """Criteria whose ranking is mostly noise."""
    return tuple(
        f"{one.criterion} is more noise than signal here: scored again, it agrees with itself "
        f"only at Spearman {one.average.spearman:.2f}"
        for one in noise
        if one.average.spearman is not None and one.average.spearman < MORE_NOISE
    )


def contrast_remarks(applicability: Sequence[Applicability]) -> tuple[str, ...]:
    """Criteria that hardly tell filters apart."""
    return tuple(
        f"{one.criterion} has no contrast (CV {one.cv:.2g}): it hardly tells one filter from another"
        for one in applicability
        if one.cv is not None and one.cv < NO_CONTRAST
    )


def _same_choice(pair: PairAgreement) -> bool:
    shares = [share for share in pair.average.jaccard.values() if share is not None]
    return bool(shares) and min(shares) >= SAME_CHOICE


def _alike(pair: PairAgreement) -> bool:
    correlation = pair.average.spearman
    return correlation is not None and correlation > SAME_RANKING


def _noise_remark(pair: PairAgreement, floors: Mapping[str, Noise]) -> str | None:
    """When the two correlate as well as the less sure of them does with itself, on the same layers.

    The same ranking seen through two noises correlates at √(r_a r_b), r being each one's correlation with
    itself (Spearman's attenuation). From there on nothing but noise is between them; below it more images
    could still tell them apart. A criterion that is not in `floors` is free of noise: r = 1.
    """
    known = [floors[name] for name in (pair.a, pair.b) if name in floors]
    if not known:
        return None
    layers = [
        name
        for name, layer in pair.layers.items()
        if layer.spearman is not None and all(_spearman_in(one, name) is not None for one in known)
    ]
    between = mean(pair.layers[name].spearman for name in layers)
    own = {one.criterion: mean(_spearman_in(one, name) for name in layers) for one in known}
    sure = {name: value for name, value in own.items() if value is not None}
    if between is None or len(sure) < len(known):
        return None
    least = min(sure, key=lambda name: sure[name])
    if sure[least] < NO_SIGNAL or between < sure[least]:
        return None
    only_noise = between >= math.sqrt(math.prod(sure.values()))
    return (
        f"{pair.a} and {pair.b} differ no more than {least} differs from itself on other images "
        f"(Spearman {between:.2f} against {sure[least]:.2f}): "
        + ("the difference is noise" if only_noise else "more images would tell whether they differ")
    )


def _spearman_in(noise: Noise, layer: str) -> float | None:
    found = noise.layers.get(layer)
    return None if found is None else found.spearman


def _grouped(
    related: set[tuple[str, str]], pairs: Pairs, words: Callable[[str, Sequence[PairAgreement]], str]
) -> list[str]:
    """One remark for each set of criteria of which any two are related, and for each pair in none of them."""
    lines = []
    covered: set[tuple[str, str]] = set()
    for members in _cliques(related, pairs):
        inside = [names for names in combinations(members, 2) if names in pairs]
        covered.update(inside)
        lines.append(words(_listed(members), [pairs[names] for names in inside]))
    single = [names for names in pairs if names in related - covered]
    return [*lines, *(words(_listed(names), [pairs[names]]) for names in single)]


def _cliques(related: set[tuple[str, str]], pairs: Pairs) -> list[tuple[str, ...]]:
    """Disjoint sets of three or more, each criterion in the first set with whose members it is related."""
    sets: list[list[str]] = []
    for name in dict.fromkeys(name for names in pairs for name in names):
        home = next((found for found in sets if all((other, name) in related for other in found)), None)
        if home is None:
            sets.append([name])
        else:
            home.append(name)
    return [tuple(found) for found in sets if len(found) > 2]


def _same_words(names: str, pairs: Sequence[PairAgreement]) -> str:
    ratios = pairs[0].average.jaccard
    shares = {
        ratio: min(share for pair in pairs if (share := pair.average.jaccard[ratio]) is not None)
        for ratio in ratios
        if any(pair.average.jaccard[ratio] is not None for pair in pairs)
    }
    at = " and ".join(f"{share:.2f} at {ratio}" for ratio, share in shares.items())
    return (
        f"{names} choose the same filters here (Jaccard {_least(pairs)}{at}): "
        "choosing between them changes nothing"
    )


def _alike_words(names: str, pairs: Sequence[PairAgreement]) -> str:
    least = min(pair.average.spearman for pair in pairs if pair.average.spearman is not None)
    return f"{names} rank alike (Spearman {_least(pairs)}{least:.2f})"


def _least(pairs: Sequence[PairAgreement]) -> str:
    return "at least " if len(pairs) > 1 else ""


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"


def _number(figure: float | None) -> str:
    return "undefined" if figure is None else f"{figure:.2f}"
