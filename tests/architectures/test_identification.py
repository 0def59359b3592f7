"""Which architecture tensors belong to: exact, with counts read off, refused with what to type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prunecli.architectures import Provider, build, identify, resolve
from prunecli.architectures.fingerprint import shapes_of
from prunecli.architectures.providers.contract import PROVIDERS
from prunecli.errors import InputRefused

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def shapes(name, **arguments):
    return shapes_of(build(resolve(name, arguments=arguments), device="meta"))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cifar/resnet20", {"num_classes": 10, "in_channels": 3, "shortcut": "pad"}),
        ("cifar/resnet56", {"num_classes": 100, "in_channels": 1, "shortcut": "project"}),
        ("cifar/vgg16_bn", {"num_classes": 10, "in_channels": 3}),
        (
            "cifar/densenet40",
            {"num_classes": 10, "in_channels": 3, "bottleneck": True, "reduction": 0.5},
        ),
        ("cifar/mobilenet_v2", {"num_classes": 5, "in_channels": 3}),
        ("cifar/googlenet", {"num_classes": 10, "in_channels": 3}),
        ("digits/resnet8", {"num_classes": 10, "in_channels": 1, "shortcut": "project"}),
        ("digits/mobilenet", {"num_classes": 10, "in_channels": 3}),
    ],
)
def test_own_networks_are_found_with_their_arguments(name, arguments):
    found = identify(shapes(name, **arguments))
    assert (found.architecture.name, found.architecture.arguments) == (name, arguments)
    assert found.architecture.input_shape[0] == arguments["in_channels"]
    assert (found.confidence, found.candidates, found.notes) == (1.0, (name,), ())


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet50", "vgg16_bn", "densenet121", "googlenet", "vit_b_16", "regnet_x_400mf", "r3d_18"],
)
def test_torchvision_networks_are_found(name):
    found = identify(shapes(f"torchvision/{name}", num_classes=37))
    assert found.architecture.name == f"torchvision/{name}"
    assert found.architecture.arguments["num_classes"] == 37


def test_the_auxiliary_heads_are_an_argument():
    for present in (True, False):
        found = identify(shapes("torchvision/googlenet", aux_logits=present))
        assert found.architecture.arguments == {"aux_logits": present, "num_classes": 1000}


def test_class_counts_are_read_through_anchors_and_boxes():
    found = identify(shapes("torchvision/retinanet_resnet50_fpn", num_classes=4))
    assert found.architecture.arguments == {"num_classes": 4}


def test_torchvision_stands_for_what_timm_builds_with_the_same_tensors():
    found = identify(shapes("timm/resnet50"))
    assert found.architecture.name == "torchvision/resnet50"
    assert {"timm/resnet50", "timm/resnetblur50"} <= set(found.candidates)
    assert found.confidence == 0.9
    assert "the same function" in found.notes[0]
    assert "timm/resnet50" in found.notes[0]
    assert "timm/resnetblur50" in found.notes[1]


def test_quantizable_networks_give_way_to_the_plain_one():
    found = identify(shapes("torchvision/mobilenet_v2"))
    assert found.architecture.name == "torchvision/mobilenet_v2"
    assert found.candidates == ("torchvision/mobilenet_v2", "torchvision/quantized_mobilenet_v2")


def test_timm_networks_are_found_with_their_channels():
    found = identify(shapes("timm/convnext_atto", num_classes=3, in_chans=1))
    assert found.architecture.name == "timm/convnext_atto"
    assert found.architecture.arguments == {"num_classes": 3, "in_chans": 1}
    assert found.architecture.input_shape == (1, 224, 224)


def test_what_tensors_do_not_show_is_asked():
    with pytest.raises(InputRefused, match="differ in what tensors do not show") as refused:
        identify(shapes("timm/tf_efficientnet_b0"))
    assert "--arch timm/efficientnet_b0 or " in refused.value.hints[0]
    assert "--arch timm/tf_efficientnet_b0" in refused.value.hints[0]


def test_old_checkpoints_without_counters_are_found():
    old = {name: shape for name, shape in shapes("cifar/resnet20").items() if "num_batches" not in name}
    assert len(old) == 97
    assert identify(old).architecture.name == "cifar/resnet20"


def test_the_input_shape_of_the_user_is_kept():
    found = identify(shapes("torchvision/resnet18"), input_shape=(3, 64, 64))
    assert found.architecture.input_shape == (3, 64, 64)


def test_a_missing_stage_is_refused_with_the_nearest():
    broken = {name: shape for name, shape in shapes("cifar/resnet20").items() if "layer3.2" not in name}
    with pytest.raises(InputRefused, match="no known architecture") as refused:
        identify(broken)
    assert refused.value.exit_code == 3
    assert refused.value.hints[0].startswith("nearest: cifar/resnet20, ")
    assert refused.value.hints[1] == "if it is that: --arch cifar/resnet20"
    assert "--model file.py:factory" in refused.value.hints[2]


def test_other_widths_are_refused_and_named():
    with pytest.raises(InputRefused, match="names of cifar/resnet20 but other shapes"):
        identify(shapes("cifar/resnet20", widths=[8, 16, 32]))


def test_class_sizes_that_disagree_are_refused():
    odd = {**shapes("cifar/resnet20"), "linear.bias": (9,)}
    with pytest.raises(InputRefused, match="names of cifar/resnet20 but other shapes"):
        identify(odd)


@pytest.mark.parametrize("tensors", [{}, {"steps": ()}, {"bn.num_batches_tracked": ()}])
def test_what_is_no_network_is_refused(tensors):
    with pytest.raises(InputRefused):
        identify(tensors)


def test_own_networks_need_neither_torchvision_nor_timm():
    code = (
        "import sys; from prunecli.architectures import build, identify, resolve;"
        "tensors = build(resolve('cifar/resnet20'), device='meta').state_dict();"
        "identify({name: tuple(value.shape) for name, value in tensors.items()});"
        "sys.exit(len({'torchvision', 'timm', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Other(Provider):
    """A third party's source with one network that no index knows."""

    def names(self):
        return {"net": "theirs"}

    def build(self, name, arguments):
        return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, arguments.get("num_classes", 2)))


def test_third_parties_networks_are_found_too(monkeypatch):
    assert "theirs" not in PROVIDERS
    monkeypatch.setitem(PROVIDERS._members, "theirs", Other())
    found = identify({"0.weight": (3, 4), "0.bias": (3,), "1.weight": (9, 3), "1.bias": (9,)})
    assert found.architecture.name == "theirs/net"
    assert found.architecture.arguments == {"num_classes": 9}


def test_another_version_of_the_source_is_noticed(monkeypatch):
    tensors = shapes("cifar/resnet20")
    monkeypatch.setitem(PROVIDERS["cifar"].presets["resnet20"].settings, "widths", [8, 16, 32])
    with pytest.raises(InputRefused, match="builds resnet20 with other tensors"):
        identify(tensors)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.parametrize("file", ["resnet20-12fca82f.th", "resnet20_cifar10jpeg.pt"])
def test_the_public_resnet20_is_found_and_loads(file):
    stored = torch.load(DATA / file, map_location="cpu", weights_only=True)["state_dict"]
    tensors = {name.removeprefix("module."): value for name, value in stored.items()}
    found = identify({name: tuple(value.shape) for name, value in tensors.items()})
    assert found.architecture.name == "cifar/resnet20"
    assert found.architecture.arguments == {"num_classes": 10, "in_channels": 3, "shortcut": "pad"}
    network = build(found.architecture, initialise=False)
    network.load_state_dict(tensors, strict=True)
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 32, 32)).softmax(1).max() > 0.1
