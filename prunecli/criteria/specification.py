"""How a criterion is asked for: by name, with options, or as an ensemble of others.

l1      entropy(bins=100)      ens(l1,taylor_act,apoz)      ens(l1,apoz,how=min)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from prunecli.criteria.contract import CRITERIA, Criterion, Evidence, Needs
from prunecli.errors import WrongUse, nearest

if TYPE_CHECKING:
    from torch import Tensor

ENSEMBLE = "ens"
_CALL = re.compile(r"\s*(?P<name>[\w-]+)\s*(\((?P<inside>.*)\))?\s*", re.DOTALL)
_WAYS = ("mean", "min", "max")


def criterion_named(specification: str) -> Criterion:
    """The criterion that a specification asks for, its name the specification without spaces.

    Raises WrongUse for an unknown name or option, or a value of another kind than the option's default.
    """
    call = _CALL.fullmatch(specification)
    if call is None:
        raise WrongUse(f"{specification!r} is no criterion", hints=["for example: l1, entropy(bins=100)"])
    name, inside = call["name"], call["inside"]
    words = [] if inside is None else [word.strip() for word in split_outside(inside)]
    given = dict(_option(word) for word in words if "=" in word and "(" not in word.partition("=")[0])
    rest = [word for word in words if "=" not in word or "(" in word.partition("=")[0]]
    canonical = "".join(specification.split())
    if name == ENSEMBLE:
        return _ensemble(canonical, rest, given)
    known = CRITERIA[name]
    if rest:
        raise WrongUse(f"{name} takes no criterion in parentheses", hints=[f"it was given {rest[0]!r}"])
    if not given:
        return known
    options = {option: _value(known, option, text) for option, text in given.items()}
    return replace(known, name=canonical, function=partial(known.function, **options))


def split_outside(text: str) -> list[str]:
    """Split at the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _option(word: str) -> tuple[str, str]:
    option, _, value = word.partition("=")
    return option.strip(), value.strip()


def _value(known: Criterion, option: str, text: str) -> Any:
    if option not in known.options:
        near = nearest(option, known.options)
        hints = [f"did you mean {near!r}?"] if near else []
        valid = ", ".join(f"{name}={value}" for name, value in known.options.items())
        hints.append(f"valid: {valid}" if valid else f"{known.name} has no options")
        raise WrongUse(f"{known.name} has no option {option!r}", hints=hints)
    kind = type(known.options[option])
    try:
        return kind(text)
    except ValueError:
        raise WrongUse(
            f"{option} of {known.name} takes a value like {known.options[option]!r}, not {text!r}"
        ) from None


def _ensemble(canonical: str, members: Sequence[str], given: dict[str, str]) -> Criterion:
    how = given.pop("how", "mean")
    if given or how not in _WAYS:
        odd = next(iter(given), f"how={how}")
        raise WrongUse(
            f"{ENSEMBLE} takes criteria and how, not {odd!r}", hints=[f"valid: how={'|'.join(_WAYS)}"]
        )
    if len(members) < 2:
        raise WrongUse(
            f"{ENSEMBLE} combines at least two criteria", hints=["for example: ens(l1,taylor_act)"]
        )
    chosen = [criterion_named(member) for member in members]
    return Criterion(
        name=canonical,
        function=partial(combined_ranks, members=chosen, how=how),
        needs=reduce(or_, (each.needs for each in chosen), Needs.NOTHING),
        source="; ".join(dict.fromkeys(each.source for each in chosen)),
        caption=f"The {how} of the ranks that {', '.join(each.name for each in chosen)} give.",
        zero_is_lowest=False,
        per_batch=any(each.per_batch for each in chosen),
    )


def combined_ranks(evidence: Evidence, *, members: Sequence[Criterion], how: str) -> Tensor:
    """The mean, least or greatest of the members' ranks of each filter, as a share of F; ties share a rank.

    score_f = mean_i rank_i(f) / F                            (F,)
    """
    import numpy as np
    import torch
    from scipy.stats import rankdata

    ranks = [rankdata(member.function(evidence).double().cpu().numpy()) for member in members]
    stacked = torch.from_numpy(np.stack(ranks)) / len(evidence.weight)
    combined = {"mean": stacked.mean(dim=0), "min": stacked.amin(dim=0), "max": stacked.amax(dim=0)}[how]
    return combined.to(evidence.weight.dtype).to(evidence.weight.device)
