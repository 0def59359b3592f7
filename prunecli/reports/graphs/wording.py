"""What is said of a channel group: who makes it and reads it, what couples it, why it stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Group = Mapping[str, Any]

SHOWN_PLACES = 3
_ROLES = {"makes": "made by", "reads": "read by", "follows": "follow"}


def coupling(group: Group, *, shown: int | None = SHOWN_PLACES) -> str:
    """What couples the channels, as in `2 sums in layer1.0, layer1.1`; nothing where nothing does.

    At most `shown` places of a kind are named, all with None.
    """
    met = [_met(each["how"], each["where"], shown) for each in group.get("coupled_by") or ()]
    return "; ".join([*met, *(_linked(each, shown) for each in group.get("linked") or ())])


def members(group: Group) -> dict[str, list[str]]:
    """`made by`, `read by` and `follow` → layers and modules, in forward order; without empty ones."""
    found: dict[str, dict[str, None]] = {}
    for member in group["members"]:
        found.setdefault(_ROLES[member.get("role", "follows")], {})[member["layer"]] = None
    made = found.get("made by", {})
    followers = {name: None for name in found.get("follow", {}) if name not in made}
    ordered = {**{word: found.get(word, {}) for word in _ROLES.values()}, "follow": followers}
    return {word: [*names] for word, names in ordered.items() if names}


def fate(group: Group) -> str:
    """How many channels may leave, or why they stay."""
    count = group["channels"]
    who, stays = ("1 channel", "stays") if count == 1 else (f"{count} channels", "stay")
    return f"{who} may leave" if group["prunable"] else f"{who} {stays}: {group['reason']}"


def reasons(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """Reason → the groups that stay for it, those with the most channels first."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        if not group["prunable"]:
            found.setdefault(_kind(group), []).append(group)
    return dict(sorted(found.items(), key=lambda each: -sum(group["channels"] for group in each[1])))


def _kind(group: Group) -> str:
    """The reason without the name of another group, so that groups of one kind come together."""
    reason = str(group["reason"])
    head, colon, _ = reason.partition(": ")
    return head if colon and head.startswith("another factor") else reason


def _met(how: str, where: Sequence[str], shown: int | None) -> str:
    named, more = where[:shown], len(where[shown:]) if shown is not None else 0
    places = ", ".join(named) + (f" and {more} more" if more else "")
    return f"{_several(how, len(where))} in {places}"


def _linked(link: Mapping[str, Any], shown: int | None) -> str:
    """What has to leave with how many channels: `64 at a time, with 1 of a, 1 of b`."""
    if "of" in link:
        return f"{link['each']} with every {link['unit']} of {link['of']}"
    amounts = [f"{each} of {name}" for name, each in link["with"].items()]
    more = f" and {len(amounts[shown:])} more" if shown is not None and amounts[shown:] else ""
    return f"{link['unit']} at a time, with {', '.join(amounts[:shown])}{more}"


def _several(how: str, count: int) -> str:
    if how in ("attention", "equal parts"):
        return how
    head, _, rest = how.partition(" in ")
    plural = head if count == 1 else f"{head}s"
    return f"{count} {plural}{f' in {rest}' if rest else ''}"
