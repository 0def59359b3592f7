"""Pruned files whose own document lies: another architecture, monstrous arguments, plans that do not fit, junk."""

# ruff: noqa: E501 - a case a line

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hostile.making import Case, cases, placed, safetensors_bytes, sample_header, with_document

NAME = "model.safetensors"
HUGE = 1 << 40
Document = dict[str, Any]


def _document(change: Callable[[Document], object]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        return placed(NAME, with_document(change))(folder)

    return make


def _set(key: str, value: object, document: Document) -> None:
    document[key] = value


def _architecture(document: Document, **fields: object) -> None:
    document["architecture"] = {**document["architecture"], **fields}


JUNK: tuple[object, ...] = (3, "text", True, [], [1], {}, {"a": 1}, [[]], -1, 1e308)
KEYS = ("architecture", "input_shape", "normalisation", "history", "plan", "schema")
# What a key may well be: nothing is known then, and nothing is wrong.
FINE = {("normalisation", "{}"), ("normalisation", '{"a": 1}'), ("history", "[]"), ("input_shape", "[1]")}


def _junk() -> Iterator[Case]:
    for key in KEYS:
        for value in JUNK:
            known = (key, json.dumps(value)) in FINE
            yield Case(
                f"{key} is {json.dumps(value)}",
                _document(partial(_set, key, value)),
                codes=(0, 3) if known else (3,),
            )
    for text in (
        "",
        "{",
        "null",
        "[]",
        "3",
        '"a"',
        "{}",
        "NaN",
        "[" * 5000,
        '{"schema":"prunecli.checkpoint/2"}',
    ):
        yield Case(f"is {text[:40]}", _document(lambda _, text=text: text))
    twice = '{"schema":"prunecli.checkpoint/1","schema":"prunecli.checkpoint/1"}'
    yield Case("says a key twice", _document(lambda _: twice), says="twice")


NAMES = (
    "digits/resnet8",
    "cifar/resnet20",
    "torchvision/resnet18",
    "torchvision/nothing",
    "nothing/vgg",
    "digits/",
    "/vgg6_bn",
    "vgg6_bn",
    "digits/../digits/vgg6_bn",
    "digits/vgg6_bn\x00",
    "file/net.py:make",
    "file//tmp/net.py:make",
    "module/Net",
    "os/system",
    "torchvision/../os",
    "torchvision/list_models",
    "torchvision/get_model",
    "timm/hf-hub:evil/repository",
    "timm/hf_hub:evil/repository",
    "timm/local-dir:/tmp",
    "timm/resnet18",
    "timm/nothing",
    "transformers/vit",
    "transformers/nothing",
    "transformers/../vit",
    "\x1b[2Jdigits/vgg6_bn",
    "x" * 100_000 + "/y",
)
ARGUMENTS: tuple[dict[str, object], ...] = (
    {"num_classes": HUGE},
    {"num_classes": 1 << 62},
    {"num_classes": 10**30},
    {"num_classes": 200_000_000},
    {"num_classes": -1},
    {"num_classes": 0},
    {"num_classes": 1.5},
    {"num_classes": "10"},
    {"num_classes": None},
    {"num_classes": [10]},
    {"num_classes": 11},
    {"in_channels": 0},
    {"in_channels": HUGE},
    {"in_channels": 200_000},
    {"stages": [[1, 1]] * 3000},
    {"stages": [[HUGE, 1]]},
    {"stages": [[1, 10**9]]},
    {"stages": HUGE},
    {"stages": "abc"},
    {"stages": []},
    {"weights": "DEFAULT"},
    {"pretrained": True},
    {"checkpoint_path": "/etc/passwd"},
    {"self": 1},
    {"": 1},
    {"__class__": "os"},
)
ELSEWHERE: tuple[tuple[str, dict[str, object]], ...] = (
    ("torchvision/resnet18", {"weights": "DEFAULT"}),
    ("torchvision/resnet18", {"weights_backbone": "DEFAULT"}),
    ("torchvision/resnet18", {"num_classes": HUGE}),
    ("torchvision/resnet18", {"width_per_group": 1 << 20}),
    ("torchvision/resnet18", {"width_per_group": "64"}),
    ("torchvision/resnet18", {"norm_layer": "os.system"}),
    ("torchvision/resnet18", {"layers": [1, 1, 1, 1]}),
    ("torchvision/densenet121", {"block_config": [100_000, 1]}),
    ("torchvision/mobilenet_v2", {"inverted_residual_setting": [[1, 1, 10**7, 1]]}),
    ("torchvision/squeezenet1_0", {"version": "evil"}),
    ("torchvision/vit_b_16", {"num_classes": HUGE}),
    ("timm/resnet18", {"pretrained": True}),
    ("timm/resnet18", {"pretrained_cfg": {"url": "http://example.org/x"}}),
    ("timm/resnet18", {"checkpoint_path": "/etc/passwd"}),
    ("timm/resnet18", {"num_classes": HUGE}),
    ("timm/resnet18", {"layers": [10**7, 1, 1, 1]}),
    ("timm/resnet18", {"act_layer": "os.system"}),
    ("timm/resnet18", {"norm_layer": "os.system"}),
    ("timm/resnet18", {"nonsense": 1}),
    ("timm/vit_tiny_patch16_224", {"depth": 10**7}),
    ("timm/vit_tiny_patch16_224", {"img_size": 10**7}),
    ("transformers/vit", {"hidden_size": HUGE}),
    ("transformers/vit", {"num_hidden_layers": 10**8}),
    ("transformers/vit", {"hidden_act": "os.system"}),
    ("transformers/vit", {"image_size": "big"}),
    ("transformers/vit", {"architectures": ["evil"]}),
    ("transformers/vit", {"_attn_implementation": "kernels-community/evil"}),
    ("transformers/vit", {"attn_implementation": "kernels-community/evil"}),
    ("transformers/vit", {"auto_map": {"AutoConfig": "evil--code.Config"}}),
    ("transformers/vit", {"name_or_path": "evil/repository"}),
    ("transformers/vit", {"problem_type": 3}),
    ("transformers/vit", {"num_labels": HUGE}),
    ("transformers/vit", {"id2label": {}}),
    ("transformers/clip", {"text_config": {"_attn_implementation": "kernels-community/evil"}}),
    ("transformers/clip", {"text_config": {"auto_map": {"AutoConfig": "evil--code.Config"}}}),
    ("transformers/clip", {"text_config": 3}),
)
SHAPES: tuple[object, ...] = (
    [],
    [0],
    [1, 8, -8],
    [1] * 9,
    [1, 8, 8, 8],
    [3, 8, 8],
    [8],
    [1, 1 << 20, 1 << 20],
    [1, 1 << 21, 1],
    [1, 8.0, 8],
    ["1", "8", "8"],
    [1, 1, 1],
    None,
    "1x8x8",
)


def _architectures() -> Iterator[Case]:
    for name in NAMES:
        yield Case(
            f"is a {name[:40]!r}", _document(lambda document, name=name: _architecture(document, name=name))
        )
    for arguments in ARGUMENTS:
        yield Case(f"takes {str(arguments)[:60]}", _with(arguments))
    for name, arguments in ELSEWHERE:
        yield Case(
            f"is {name} of {str(arguments)[:60]}",
            _document(
                lambda document, name=name, arguments=arguments: _architecture(
                    document, name=name, arguments=arguments
                )
            ),
        )
    for shape in SHAPES:
        yield Case(
            f"takes images of {shape}",
            _document(lambda document, shape=shape: _architecture(document, input_shape=shape)),
            codes=(0, 3) if shape in ([3, 8, 8], [1, 1, 1], None) else (3,),
        )


def _with(arguments: dict[str, object]) -> Callable[[Path], str]:
    return _document(lambda document: document["architecture"]["arguments"].update(arguments))


def plan_of(**fields: object) -> Document:
    """A plan of one cut, in the sample's first convolution, with some of it changed."""
    plan: Document = {
        "schema": "prunecli.plan/1",
        "index_sets": [[0, 1]],
        "cuts": [{"tensor": "features.0.weight", "axis": 0, "size": 16, "removed": 0}],
        "attributes": [],
        "groups": [{"name": "features.0", "channels": 16, "removed": 0}],
        "scalings": [],
    }
    return {**plan, **fields}


def _cut(**fields: object) -> Document:
    return plan_of(cuts=[{**plan_of()["cuts"][0], **fields}])


def _sets(*sets: object) -> Document:
    return plan_of(index_sets=list(sets))


def _attribute(module: str, attribute: str, before: object, after: object) -> Document:
    change = {"module": module, "attribute": attribute, "before": before, "after": after}
    return plan_of(cuts=[], groups=[], attributes=[change])


def _scaling(**fields: object) -> Document:
    scaling = {"tensor": "features.0.weight", "axis": 0, "rows": 0, "factor": 2.0, **fields}
    return plan_of(cuts=[], groups=[], scalings=[scaling])


PLANS: dict[str, object] = {
    "that is empty": {},
    "of another form": plan_of(schema="prunecli.plan/2"),
    "without index sets": {key: value for key, value in plan_of().items() if key != "index_sets"},
    "whose cuts are text": plan_of(cuts="abc"),
    "whose cuts are numbers": plan_of(cuts=[1, 2]),
    "whose cuts are null": plan_of(cuts=None),
    "of an unknown tensor": _cut(tensor="nothing.weight"),
    "of a tensor of no name": _cut(tensor=""),
    "of a method": _cut(tensor="forward"),
    "of a dunder": _cut(tensor="__class__"),
    "of an axis that is not there": _cut(axis=9),
    "of a negative axis": _cut(axis=-1),
    "of an axis as text": _cut(axis="0"),
    "of a size that is too small": _cut(size=1),
    "of a size that lies": _cut(size=17),
    "of a size of 2**62": _cut(size=1 << 62),
    "of another set": _cut(removed=5),
    "of a negative set": _cut(removed=-1),
    "of indices out of range": _sets([0, 99]),
    "of negative indices": _sets([-1, 0]),
    "of indices twice": _sets([1, 1]),
    "of indices in disorder": _sets([1, 0]),
    "of indices as text": _sets(["0"]),
    "of indices that are true": _sets([True]),
    "of indices of 2**70": _sets([1 << 70]),
    "of sets that are numbers": _sets(3),
    "of sets that are null": _sets(None),
    "of sets that are objects": _sets({"0": 1}),
    "that takes everything": _sets(list(range(16))),
    "that the tensors do not follow": plan_of(),
    "of the same cut twice": plan_of(cuts=plan_of()["cuts"] * 2),
    "of 100,000 cuts": plan_of(cuts=plan_of()["cuts"] * 100_000),
    "of an unknown module": _attribute("nothing", "out_channels", 16, 14),
    "that sets what is not there": _attribute("features.0", "nothing", 16, 14),
    "that sets a method": _attribute("features.0", "forward", 16, 14),
    "that sets a class": _attribute("features.0", "__class__", 16, 14),
    "that sets the mode": _attribute("features.0", "training", 0, 1),
    "that sets a stride of nothing": _attribute("features.0", "stride", [1, 1], [0, 0]),
    "that sets a huge padding": _attribute("features.0", "padding", [1, 1], [1 << 40, 1 << 40]),
    "that raises channels": _attribute("features.0", "out_channels", 16, 1 << 40),
    "that lies about what was": _attribute("features.0", "out_channels", 99, 16),
    "that sets a number to a list": _attribute("features.0", "out_channels", 16, [16]),
    "that sets a number to text": _attribute("features.0", "out_channels", 16, "16"),
    "that sets groups": _attribute("features.0", "groups", 1, 0),
    "that scales by NaN": _scaling(factor="NaN"),
    "that scales by zero": _scaling(factor=0),
    "that scales by nothing": _scaling(factor=-1),
    "that scales what is not there": _scaling(tensor="nothing"),
    "that scales a far row": plan_of(index_sets=[[99]], cuts=[], groups=[], scalings=_scaling()["scalings"]),
    "of a group that is not there": plan_of(groups=[{"name": "x", "channels": 1, "removed": 0}]),
    "of a scatter that is not there": _cut(tensor="nothing.scatter_index"),
    "of a scatter on a convolution": _cut(tensor="features.0.scatter_index"),
    "of a scatter of 2**40": _cut(tensor="features.0.scatter_index", size=HUGE),
}


def _plans() -> Iterator[Case]:
    for what, plan in PLANS.items():
        # A lie about what was there before, where nothing changes, does no harm.
        codes = (0, 3) if "lies about what was" in what else (3,)
        yield Case(
            f"plan {what}", _document(lambda document, plan=plan: document.update(plan=plan)), codes=codes
        )


def _texts() -> Iterator[Case]:
    header, data = sample_header()

    def metadata(text: str) -> Callable[[Path], str]:
        changed = {**header, "__metadata__": {"prunecli": text}}
        return placed(NAME, safetensors_bytes(changed, data))

    long = '{"schema":"prunecli.checkpoint/1","a":"' + "x" * (17 << 20) + '"}'
    yield Case("a document of 17 MB", metadata(long), says="characters long")
    many = '{"schema":"prunecli.checkpoint/1","a":[' + "{}," * 600_000 + "{}]}"
    yield Case("a document of 600,000 objects", metadata(many), says="objects")
    deep = '{"schema":"prunecli.checkpoint/1","a":' + "[" * 90_000 + "]" * 90_000 + "}"
    yield Case("a document that is deep", metadata(deep), says="nested too deep")


CASES = [
    *cases("document", _junk()),
    *cases("document", _architectures()),
    *cases("document", _plans()),
    *cases("document", _texts()),
]
