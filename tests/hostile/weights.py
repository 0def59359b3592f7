"""Weights that cannot be worked on: numbers, types, names, shapes, several sets at once, shards, wrong architectures."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from hostile.making import Case, cases, placed, sample_weights, saved, small_weights, torch_bytes
from safetensors.torch import save, save_file
from torch import Tensor

NAME = "model.pt"
Weights = dict[str, Tensor]


def _with(name: str, tensor: object) -> Callable[[Path], str]:
    return saved({**small_weights(), name: tensor})


def _nan(value: float, count: int) -> Tensor:
    tensor = torch.randn(4, 4)
    tensor.view(-1)[:count] = value
    return tensor


def _kinds() -> Iterator[Case]:
    weight = torch.randn(4, 4)
    coo = weight.to_sparse()
    bad = torch.sparse_coo_tensor(torch.tensor([[0, 1], [0, 1]]), torch.ones(2), (4, 4))
    bad._indices()[0, 0] = 1 << 40
    quantised = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
    by_channel = torch.quantize_per_channel(weight, torch.ones(4), torch.zeros(4), 0, torch.qint8)
    yield Case("a sparse tensor", _with("evil.weight", coo), says="a sparse tensor")
    yield Case("a sparse tensor of bad indices", _with("evil.weight", bad), says="a sparse tensor")
    yield Case(
        "a compressed sparse tensor", _with("evil.weight", weight.to_sparse_csr()), says="a sparse tensor"
    )
    yield Case("a quantised tensor", _with("evil.weight", quantised), says="a quantised tensor")
    yield Case("a tensor quantised by channel", _with("evil.weight", by_channel), says="a quantised tensor")
    yield Case("8-bit weights", _with("evil.weight", torch.ones(4, 4, dtype=torch.int8)), says="evil.weight")
    yield Case(
        "packed weights", _with("evil.qweight", torch.ones(4, 4, dtype=torch.uint8)), says="evil.qweight"
    )
    yield Case("a complex tensor", _with("evil.weight", weight.to(torch.complex64)), says="a complex tensor")
    yield Case("a half complex tensor", _with("evil.weight", weight.to(torch.complex32)), says="complex")
    for dtype in (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e8m0fnu):
        yield Case(f"{dtype}", _with("evil.weight", weight.to(dtype)), says="a float8 tensor")
    yield Case("a meta tensor", _with("evil.weight", weight.to("meta")), says="without data")
    yield Case(
        "a nested tensor",
        _with("evil.weight", torch.nested.nested_tensor([weight, weight[0:2]])),
        says="nested",
    )
    yield Case("a view that overlaps", _with("evil.weight", torch.ones(1).expand(4, 4)), says="overlap")
    yield Case(
        "a sliding view", _with("evil.weight", torch.ones(5).as_strided((4, 2), (1, 1))), says="overlap"
    )
    for what, value in {"NaN": float("nan"), "infinite": float("inf")}.items():
        for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
            tensor = _nan(value, 3).to(dtype)
            yield Case(f"{what} in {dtype}", _with("evil.weight", tensor), says=f"evil.weight holds 3 {what}")
    yield Case(
        "NaN in a running variance", _with("bn.running_var", _nan(float("nan"), 1)), says="bn.running_var"
    )
    every = {f"layer{number}.weight": _nan(float("nan"), 1) for number in range(9)}
    yield Case("NaN in nine tensors", saved(every), says="and 4 more")


def _names() -> Iterator[Case]:
    weight = torch.randn(4, 4)
    yield Case("no tensors", saved({"epoch": 3, "loss": 0.1}), says="holds no named tensors")
    yield Case("a list of tensors", saved([weight, weight]), says="holds no named tensors")
    yield Case("one tensor", saved(weight), says="holds no named tensors")
    yield Case("names that are numbers", saved({1: weight, 2: weight}), says="holds no named tensors")
    yield Case("text and bytes of one name", saved({"a": weight, b"a": weight}))
    both = {**small_weights(), **{f"module.{name}": tensor for name, tensor in small_weights().items()}}
    yield Case("names with and without a prefix", saved(both), says="with and without 'module.'")
    yield Case(
        "two sets and no known one", saved({"a": small_weights(), "b": small_weights()}), says="2 places"
    )
    other = {name: tensor[:2] for name, tensor in small_weights().items()}
    yield Case(
        "averaged weights of other shapes",
        saved({"model": small_weights(), "model_ema": other}),
        says="--ema",
    )
    yield Case(
        "no averaged weights", saved(small_weights()), ("inspect", "FILE", "--ema"), says="no averaged"
    )
    masked = {"conv.weight_orig": weight, "conv.weight_mask": torch.ones(2, 2)}
    yield Case("a mask that does not fit", saved(masked), says="the mask of conv.weight does not fit")
    yield Case(
        "only an optimiser", saved({"optimizer": {"state": {}, "param_groups": []}}), says="no named tensors"
    )
    endless: dict[str, object] = {"a": weight}
    endless["self"] = endless
    yield Case("a dictionary that holds itself", saved(endless))
    wide: dict[str, object] = {}
    for _ in range(24):
        wide = {f"k{number}": wide for number in range(24)}
    yield Case("a dictionary that unfolds to 24**24", saved(wide))
    yield Case(
        "an optimiser as a network", saved(torch.optim.SGD([torch.ones(1, requires_grad=True)]).state_dict())
    )


def _fits(weights: Weights, *arguments: str, says: str, what: str) -> Case:
    return Case(
        what,
        placed("model.safetensors", save(weights)),
        ("inspect", "FILE", "--quiet", *arguments),
        says=says,
    )


def _fit() -> Iterator[Case]:
    whole = sample_weights()
    first = "features.0.weight"
    yield _fits({}, what="nothing at all", says="holds no tensors")
    lacking = {name: tensor for name, tensor in whole.items() if name != first}
    yield _fits(lacking, what="a tensor missing", says="")
    yield _fits(
        lacking,
        "--arch",
        "digits/vgg6_bn",
        what="a tensor missing of a named network",
        says="1 tensors missing",
    )
    more = {**whole, **{f"more.{number}": torch.zeros(1) for number in range(7)}}
    yield _fits(more, "--arch", "digits/vgg6_bn", what="seven tensors too many", says="7 extra")
    half = {name: tensor[: len(tensor) // 2] if tensor.dim() else tensor for name, tensor in whole.items()}
    yield _fits(half, what="half-pruned shapes", says="")
    yield _fits(
        half,
        "--arch",
        "digits/vgg6_bn",
        what="half-pruned shapes of a named network",
        says="of another shape",
    )
    for arch in ("cifar/resnet20", "digits/resnet8", "digits/mobilenet"):
        yield _fits(whole, "--arch", arch, what=f"{arch} by force", says="does not fit")
    own = placed(
        "model.safetensors",
        (Path(__file__).parents[2] / "sample_models/vgg6bn-digits.safetensors").read_bytes(),
    )
    yield Case(
        "another --arch than the file's",
        own,
        ("inspect", "FILE", "--arch", "cifar/resnet20"),
        says="says that it is",
    )
    yield Case(
        "an unknown --arch", own, ("inspect", "FILE", "--arch", "cifar/resnet21"), (2, 3), says="resnet2"
    )
    yield _fits(small_weights(), what="no known network", says="")
    classes = {
        **whole,
        **{name: torch.zeros(7, *whole[name].shape[1:]) for name in whole if "classifier" in name},
    }
    yield Case(
        "seven classes and ten in the data",
        placed("model.safetensors", save(classes)),
        ("evaluate", "FILE", "--arch", "digits/vgg6_bn", "--data", "digits", "--quiet"),
        says="classes",
    )


def _index(folder: Path, shards: object, **more: object) -> str:
    weights = small_weights()
    save_file({name: weights[name] for name in ("conv.weight", "conv.bias")}, folder / "one.safetensors")
    save_file({"linear.weight": weights["linear.weight"]}, folder / "two.safetensors")
    (folder / "pickled.bin").write_bytes(torch_bytes(weights))
    name = "model.safetensors.index.json"
    (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": shards, **more}))
    return name


def _shards() -> Iterator[Case]:
    right = {
        "conv.weight": "one.safetensors",
        "conv.bias": "one.safetensors",
        "linear.weight": "two.safetensors",
    }
    maps: dict[str, tuple[object, str]] = {
        "a shard by a path above": ({**right, "conv.bias": "../one.safetensors"}, "not a file beside it"),
        "a shard by an absolute path": ({**right, "conv.bias": "/etc/passwd"}, "not a file beside it"),
        "a shard in a folder": ({**right, "conv.bias": "sub/one.safetensors"}, "not a file beside it"),
        "a shard by backslashes": ({**right, "conv.bias": "..\\one.safetensors"}, "not a file beside it"),
        "a shard that is a number": ({**right, "conv.bias": 3}, "not a file beside it"),
        "a shard of no name": ({**right, "conv.bias": ""}, "not a file beside it"),
        "a shard called ..": ({**right, "conv.bias": ".."}, ""),
        "a shard with a NUL": ({**right, "conv.bias": "a\x00.safetensors"}, "not a file beside it"),
        "a shard that is a pickle": ({**right, "conv.bias": "pickled.bin"}, "only .safetensors shards"),
        "a shard that is missing": ({**right, "conv.bias": "three.safetensors"}, "does not exist"),
        "a shard that lacks a tensor": ({**right, "conv.gain": "one.safetensors"}, "lacks 1 tensor"),
        "an empty map": ({}, "no weight_map"),
        "a map that is a list": ([1], "no weight_map"),
        "a map that is null": (None, "no weight_map"),
        "100,001 tensors": ({f"t{number}": "one.safetensors" for number in range(100_001)}, "no weight_map"),
    }
    for what, (shards, says) in maps.items():
        yield Case(what, lambda folder, shards=shards: _index(folder, shards), says=says)
    name = "model.safetensors.index.json"
    for what, text in {
        "not JSON": "{weights",
        "a list": "[1]",
        "deep": '{"weight_map":' * 20_000,
        "empty": "{}",
    }.items():
        yield Case(f"an index that is {what}", placed(name, text.encode()))
    yield Case("an index that is not UTF-8", placed(name, b'{"weight_map": {"\xff": "a"}}'), says="not UTF-8")
    twice = b'{"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}}'
    yield Case("an index that names a tensor twice", placed(name, twice), says="twice")

    def linked(folder: Path) -> str:
        made = _index(folder, right)
        (folder / "one.safetensors").unlink()
        (folder / "one.safetensors").symlink_to("/dev/zero")
        return made

    yield Case("a shard that is a device", linked, says="is a device")

    def hidden(folder: Path) -> str:
        made = _index(folder, right)
        (folder / "one.safetensors").write_bytes(torch_bytes(small_weights()))
        return made

    yield Case("a shard that is a pickle by another name", hidden, says="not a safetensors file")
    piped = ("inspect", "-", "--quiet")
    yield Case(
        "an index by a pipe", lambda folder: _index(folder, right), piped, says="standard input", stdin=True
    )


CASES = [
    *cases("tensor", _kinds()),
    *cases("names", _names()),
    *cases("fit", _fit()),
    *cases("shards", _shards()),
]
