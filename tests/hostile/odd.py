"""Files that look odd and are in order: types, prefixes, nests, old formats, links, pipes, names; all are read."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from hostile.making import (
    INSPECT,
    Case,
    cases,
    placed,
    safetensors_bytes,
    sample_bytes,
    sample_header,
    sample_weights,
    saved,
    torch_bytes,
    with_document,
)
from safetensors.torch import save, save_file
from torch import Tensor

ARCH = ("inspect", "FILE", "--quiet", "--arch", "digits/vgg6_bn")
Weights = dict[str, Tensor]


def _prefixed(prefix: str) -> Weights:
    return {prefix + name: tensor for name, tensor in sample_weights().items()}


def _typed(dtype: torch.dtype) -> Weights:
    return {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in sample_weights().items()
    }


def _read(
    what: str, make: Callable[[Path], str], *, arguments: tuple[str, ...] = ARCH, says: str = ""
) -> Case:
    return Case(what, make, arguments, (0,), says)


def _values() -> Iterator[Case]:
    whole = sample_weights()
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        yield _read(f"{dtype}", saved(_typed(dtype)))
        yield _read(f"{dtype} in safetensors", placed("model.safetensors", save(_typed(dtype))))
    mixed = {name: tensor.half() if "features.0" in name else tensor for name, tensor in whole.items()}
    yield _read("two types", saved(mixed))
    without = {name: tensor for name, tensor in whole.items() if "num_batches" not in name}
    yield _read("no counters of batch norms", saved(without))
    turned = {
        name: tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor for name, tensor in whole.items()
    }
    yield _read("transposed in memory", saved(turned))
    parameters = {
        name: torch.nn.Parameter(tensor, tensor.is_floating_point()) for name, tensor in whole.items()
    }
    yield _read("parameters", saved({name: p for name, p in parameters.items() if p.is_floating_point()}))
    slices = {
        name: torch.cat([tensor.reshape(-1)] * 2)[: tensor.numel()].view(tensor.shape)
        for name, tensor in whole.items()
    }
    yield _read("views of larger storages", saved(slices))


def _nests() -> Iterator[Case]:
    whole = sample_weights()
    for prefix in ("module.", "_orig_mod.", "model.", "module._orig_mod.", "net.module."):
        yield _read(f"the prefix {prefix}", saved(_prefixed(prefix)))
    for key in ("state_dict", "model", "model_state_dict", "net", "weights", "params", "network"):
        yield _read(f"under {key!r}", saved({key: whole, "epoch": 3, "best": 0.5, "args": {"lr": 0.1}}))
    yield _read("two levels down", saved({"checkpoint": {"model": whole}}))
    yield _read("averaged weights beside", saved({"model": whole, "model_ema": whole}))
    yield _read("averaged weights only", saved({"model_ema": whole}))
    beside = {**whole, "epoch": 3, "names": ["a", "b"]}
    yield _read("plain values among weights", saved(beside))
    ordered = OrderedDict(whole)
    ordered._metadata = OrderedDict(version=1)  # type: ignore[attr-defined]
    yield _read("metadata of a state dict", saved(ordered))
    strange = {**{"state_dict": whole}, "\x1b[2J\u202e": 3, "note": "\x1b]0;title\x07"}
    yield _read("escape codes in what is shown", saved(strange))


def _forms() -> Iterator[Case]:
    whole = sample_weights()
    yield _read("the old format", saved(whole, _use_new_zipfile_serialization=False))
    for name in (
        "weights",
        "weights.bin",
        "weights.th",
        "weights.ckpt",
        "weights.pth.tar",
        "weights.safetensors",
    ):
        yield _read(f"a torch file called {name}", saved(whole, name))
    yield _read("a safetensors file called .pt", placed("model.pt", save(whole)))
    header, data = sample_header()
    metadata = header.pop("__metadata__")
    order = dict(reversed(list(header.items())))
    yield _read("tensors named in another order", placed("a.safetensors", safetensors_bytes(order, data)))
    padded = json.dumps({**header, "__metadata__": metadata}).encode() + b" " * 4096
    yield _read("a padded header", placed("a.safetensors", safetensors_bytes(padded, data)))
    empty = {**header, "empty": {"dtype": "F32", "shape": [0], "data_offsets": [len(data), len(data)]}}
    yield Case(
        "an empty tensor", placed("a.safetensors", safetensors_bytes(empty, data)), ARCH, (3,), "1 extra"
    )
    unaligned = b"".join([json.dumps(header).encode(), b" "])
    yield _read("data at an odd address", placed("a.safetensors", safetensors_bytes(unaligned, data)))

    def sharded(folder: Path) -> str:
        halves = (list(whole)[::2], list(whole)[1::2])
        for number, names in enumerate(halves):
            save_file({name: whole[name] for name in names}, folder / f"{number}.safetensors")
        places = {name: f"{number}.safetensors" for number, names in enumerate(halves) for name in names}
        (folder / "m.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        return "m.safetensors.index.json"

    yield _read("two shards", sharded)


def _paths() -> Iterator[Case]:
    whole = torch_bytes(sample_weights())
    for name in (
        "with space.pt",
        "[red]x[bold].pt",
        "ünï.pt",
        "a\nb.pt",
        "\x1b[31m.pt",
        "%s%d.pt",
        "{0}.pt",
        "~x.pt",
        "*.pt",
    ):
        yield _read(f"a name like {name!r}", placed(name, whole))
    yield _read("a name that is not UTF-8", placed(os.fsdecode(b"\xff\xfe.pt"), whole))
    dashed = ("inspect", "--arch", "digits/vgg6_bn", "--", "FILE")
    yield _read("a name that begins with a dash", placed("-model.pt", whole), arguments=dashed)

    def linked(folder: Path) -> str:
        (folder / "real.pt").write_bytes(whole)
        (folder / "link.pt").symlink_to("real.pt")
        return "link.pt"

    yield _read("a link", linked)

    def read_only(folder: Path) -> str:
        name = placed("model.pt", whole)(folder)
        (folder / name).chmod(0o400)
        return name

    yield _read("a file that cannot be written", read_only)
    piped = ("inspect", "-", "--quiet", "--arch", "digits/vgg6_bn")
    yield Case("a pipe", placed("model.pt", whole), piped, (0,), stdin=True)
    yield Case(
        "a pipe of safetensors", placed("model.pt", sample_bytes()), ("inspect", "-", "-q"), (0,), stdin=True
    )
    yield _read("the sample", placed("model.safetensors", sample_bytes()), arguments=INSPECT)
    later = with_document(lambda document: document.update(version="99.0", more={"a": 1}))
    yield _read("a file of a later version", placed("model.safetensors", later), arguments=INSPECT)
    allowed = ("inspect", "FILE", "--allow-nonfinite", "--arch", "digits/vgg6_bn")
    broken = sample_weights()
    broken["features.0.weight"][0, 0, 0, 0] = float("nan")
    yield _read("NaN that is allowed", saved(broken), arguments=allowed)
    yield Case("NaN that is not allowed", saved(broken), ARCH, (3,), "--allow-nonfinite")


CASES = [
    *cases("values", _values()),
    *cases("nests", _nests()),
    *cases("forms", _forms()),
    *cases("paths", _paths()),
]
