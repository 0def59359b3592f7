"""The sources outside this package: built without weights, and arguments that a file may not bring."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from prunecli.architectures import PROVIDERS, Architecture, Provider, build, example_input, provider, resolve
from prunecli.errors import InputRefused, WrongUse
from prunecli.registry import DuplicateName


def test_all_sources_come_through_one_door():
    assert {"cifar", "digits", "torchvision", "timm", "transformers"} <= set(PROVIDERS)
    assert all(isinstance(member, Provider) and member.source for member in PROVIDERS.values())
    with pytest.raises(DuplicateName):
        provider("cifar", source="again")(type(PROVIDERS["cifar"]))


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18", "timm/vit_tiny_patch16_224"])
def test_networks_run_on_meta(name):
    architecture = resolve(name, arguments={"num_classes": 6})
    network = build(architecture, device="meta")
    assert network(example_input(architecture, device="meta")).shape == (1, 6)


def test_segmentation_and_video_networks_run_on_meta():
    segmenter = resolve("torchvision/lraspp_mobilenet_v3_large", input_shape=(3, 64, 64))
    out = build(segmenter, device="meta")(example_input(segmenter, device="meta"))["out"]
    assert out.shape == (1, 21, 64, 64)
    video = resolve("torchvision/r3d_18")
    assert build(video, device="meta")(example_input(video, device="meta")).shape == (1, 400)


def test_torchvision_and_timm_agree_on_resnet18():
    ours = build(resolve("torchvision/resnet18"))
    theirs = build(resolve("timm/resnet18"), initialise=False)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(x), ours(x))


def test_a_timm_tag_may_follow_the_name():
    assert resolve("timm/resnet18.a1_in1k").input_shape == (3, 224, 224)


def test_transformers_take_configuration_fields():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    image = resolve("transformers/vit", arguments={**sizes, "image_size": 32, "num_labels": 3})
    assert image.input_shape == (3, 32, 32)
    assert build(image)(example_input(image)).logits.shape == (1, 3)
    text = resolve("transformers/bert", arguments={**sizes, "vocab_size": 10}, input_shape=(5,))
    assert build(text)(example_input(text)).logits.shape == (1, 2)


def test_transformers_refuse_unknown_fields():
    with pytest.raises(WrongUse, match="no configuration field 'hiden_size'"):
        build(resolve("transformers/vit", arguments={"hiden_size": 16}))


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("torchvision/resnet18", "weights"),
        ("torchvision/quantized_resnet18", "quantize"),
        ("torchvision/deeplabv3_resnet50", "weights_backbone"),
        ("timm/resnet18", "pretrained"),
        ("timm/resnet18", "checkpoint_path"),
    ],
)
def test_a_file_may_not_ask_for_weights(name, word):
    with pytest.raises(WrongUse, match=f"built without '{word}'"):
        build(Architecture(name, {word: "DEFAULT"}))


def test_unknown_arguments_are_wrong_use():
    for name in ("torchvision/resnet18", "timm/resnet18"):
        with pytest.raises(WrongUse, match=r"resnet18 does not take these arguments: .*numclasses"):
            build(Architecture(name, {"numclasses": 3}))


@pytest.mark.parametrize("package", ["timm", "transformers"])
def test_a_missing_extra_says_how_to_install_it(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    name = {"timm": "timm/resnet18", "transformers": "transformers/vit"}[package]
    with pytest.raises(InputRefused, match=f"{package} is not installed") as refused:
        build(Architecture(name))
    assert refused.value.hints == (f'install it with: pip install "prunecli[{package}]"',)


def test_no_network_downloads_weights(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a download was tried")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    for name in ("torchvision/ssd300_vgg16", "torchvision/fcn_resnet50", "timm/resnet18"):
        assert isinstance(build(resolve(name), device="meta"), nn.Module)
