"""The names of the tensors as the network itself gives them: prefixes off, pruning masks applied."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from prunecli.checkpoints.nesting import is_average
from prunecli.checkpoints.wording import counted, listed, shown
from prunecli.errors import InputRefused

# What wrappers put before every name: DataParallel and DDP, torch.compile, Lightning and home-made trainers.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
_WRAPPERS = ("module.", "_orig_mod.")
_COUNTER = "n_averaged"  # torch.optim.swa_utils.AveragedModel keeps it beside `module.`

Notes = list[str]


def named_tensors(path: str, entries: Mapping[object, object], notes: Notes) -> dict[str, Tensor]:
    """The tensors among `entries` with their names as text; what is no tensor is left out with a note."""
    tensors: dict[str, Tensor] = {}
    left: list[object] = []
    for key, value in entries.items():
        name = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
        if not isinstance(value, Tensor) or not isinstance(name, str):
            left.append(key if isinstance(key, (str, bytes, int)) else type(key).__name__)
        elif name in tensors:
            raise InputRefused(f"{shown(path)} holds {shown(name)} twice, as text and as bytes")
        else:
            tensors[name] = value
    if left:
        notes.append(f"left out {len(left)} of {len(entries):,} entries that are no tensors: {listed(left)}")
    return tensors


def split_average(tensors: dict[str, Tensor], *, ema: bool, notes: Notes) -> tuple[dict[str, Tensor], bool]:
    """One of two copies in one mapping, and whether there was an averaged one (`ema.` beside `model.`).

    There are two when every name starts with one of two words and just one of them speaks of an average.
    """
    first = {name: name.partition(".")[0] for name in tensors}
    words = set(first.values())
    averages = {word for word in words if is_average(word)}
    if len(words) != 2 or len(averages) != 1:
        return tensors, False
    average = averages.pop()
    kept = {name: tensor for name, tensor in tensors.items() if (first[name] == average) == ema}
    dropped = average if not ema else (words - {average}).pop()
    notes.append(f"left {counted(len(tensors) - len(kept), 'tensor')} under '{shown(dropped)}.' alone")
    if ema:
        kept = {name.partition(".")[2] or name: tensor for name, tensor in kept.items()}
    return kept, True


def strip_prefix(path: str, tensors: dict[str, Tensor], notes: Notes) -> tuple[dict[str, Tensor], str | None]:
    """The tensors without the prefixes that all names share, and those prefixes ("module._orig_mod.").

    A wrapper's prefix on some names only stays, with a note; it is refused where it hides a second
    tensor of the same name.
    """
    names = [name for name in tensors if name != _COUNTER]
    cut = ""
    while names:
        found = next((prefix for prefix in PREFIXES if _all_have(names, cut + prefix)), None)
        if found is None:
            break
        cut += found
    if not cut:
        _check_mixed(path, tensors, notes)
        return tensors, None
    notes.append(f"stripped prefix '{cut}' from {counted(len(names), 'name')}")
    if len(names) < len(tensors):
        notes.append(f"left out {_COUNTER}, the count of averaged models")
    return {name[len(cut) :]: tensors[name] for name in names}, cut


def _all_have(names: list[str], prefix: str) -> bool:
    return all(len(name) > len(prefix) and name.startswith(prefix) for name in names)


def _check_mixed(path: str, tensors: Mapping[str, Tensor], notes: Notes) -> None:
    for prefix in _WRAPPERS:
        having = [name for name in tensors if name.startswith(prefix)]
        twice = [name for name in having if name.removeprefix(prefix) in tensors]
        if twice:
            raise InputRefused(
                f"{shown(path)} holds {counted(len(twice), 'tensor')} with and without '{prefix}'",
                hints=[f"with it: {listed(twice)}", "save one of the two sets by itself"],
            )
        if having:
            notes.append(
                f"only {len(having):,} of {len(tensors):,} names start with '{prefix}': left as they are"
            )


def apply_masks(path: str, tensors: dict[str, Tensor], notes: Notes) -> dict[str, Tensor]:
    """`weight_orig` times `weight_mask` (torch.nn.utils.prune) under the name `weight`, at the same place."""
    masked = {name[: -len("_orig")] for name in tensors if name.endswith("_orig")}
    masked = {name for name in masked if f"{name}_mask" in tensors}
    if not masked:
        return tensors
    made: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        target = name.removesuffix("_orig")
        if name.endswith("_orig") and target in masked:
            if target in tensors:
                raise InputRefused(f"{shown(path)} holds {shown(target)} beside its {shown(name)} and mask")
            made[target] = _product(path, target, tensor, tensors[f"{target}_mask"])
        elif not (name.endswith("_mask") and name.removesuffix("_mask") in masked):
            made[name] = tensor
    notes.append(
        f"applied and removed the masks of {counted(len(masked), 'tensor')}: {listed(sorted(masked))}"
    )
    return made


def _product(path: str, name: str, original: Tensor, mask: Tensor) -> Tensor:
    if original.shape != mask.shape:
        raise InputRefused(
            f"{shown(path)}: the mask of {shown(name)} does not fit it",
            hints=[f"tensor {tuple(original.shape)}, mask {tuple(mask.shape)}"],
        )
    return original * mask.to(original.dtype)
