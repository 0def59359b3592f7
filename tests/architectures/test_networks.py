"""The project's own networks: published sizes, published tensor names, and what a forward pass computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from prunecli.architectures.networks.densenet import DenseNet
from prunecli.architectures.networks.googlenet import GoogLeNet
from prunecli.architectures.networks.mobilenet import InvertedResidual, MobileNetV2
from prunecli.architectures.networks.resnet import PaddedShortcut, ResNet, shortcut_path
from prunecli.architectures.networks.vgg import VGG


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("blocks", "published"),
    [(3, 269_722), (5, 464_154), (7, 658_586), (9, 853_018), (18, 1_727_962)],
)
def test_thin_resnets_have_the_published_sizes(blocks, published):
    with torch.device("meta"):
        assert parameters(ResNet(blocks=[blocks] * 3)) == published


def test_other_networks_have_the_published_sizes():
    with torch.device("meta"):
        stages = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
        assert parameters(VGG(stages=stages)) == 14_728_266
        assert parameters(MobileNetV2()) == 2_296_922
        assert parameters(GoogLeNet()) == 6_166_250
        assert parameters(DenseNet(depth=100, bottleneck=True, reduction=0.5)) == 769_162


def test_padded_shortcut_takes_every_second_pixel_between_zero_channels():
    image = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    out = PaddedShortcut(1, 2, 2)(image)
    assert out.shape == (1, 4, 2, 2)
    assert out[0, 1].tolist() == [[1.0, 3.0], [9.0, 11.0]]
    assert out[0, [0, 2, 3]].abs().sum() == 0


def test_padded_shortcut_follows_its_attributes():
    shortcut = PaddedShortcut(8, 8, 2)
    shortcut.before, shortcut.after = 3, 1
    assert shortcut(torch.ones(1, 5, 4, 4)).shape == (1, 9, 2, 2)


def test_padding_is_split_evenly_and_the_odd_channel_comes_after():
    shortcut = shortcut_path(16, 33, stride=2, kind="pad")
    assert (shortcut.before, shortcut.after) == (8, 9)
    assert len(list(shortcut_path(16, 16, stride=1, kind="project"))) == 0


def test_resnet_adds_the_shortcut_before_the_last_relu():
    network = ResNet(blocks=[1], widths=[4], num_classes=2).eval()
    block = network.layer1[0]
    x = torch.randn(2, 4, 5, 5)
    nn.init.zeros_(block.bn2.weight)
    assert torch.equal(block(x), torch.relu(x))


def test_tensor_names_are_those_of_public_checkpoints():
    with torch.device("meta"):
        pad = ResNet(blocks=[1, 1], widths=[4, 8]).state_dict()
        project = ResNet(blocks=[1, 1], widths=[4, 8], shortcut="project").state_dict()
        vgg = VGG(stages=[[4, 4], [8]]).state_dict()
        dense = DenseNet(depth=7, growth=2).state_dict()
        mobile = MobileNetV2(settings=[(1, 8, 1, 1)], stem=4, head=8).state_dict()
        google = GoogLeNet().state_dict()
    assert {"conv1.weight", "bn1.running_mean", "layer2.0.conv2.weight", "linear.bias"} <= pad.keys()
    assert not [name for name in pad if "shortcut" in name]
    assert {"layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.bias"} <= project.keys()
    assert {"features.0.bias", "features.4.weight", "features.7.weight", "classifier.weight"} <= vgg.keys()
    assert {"block1.layer.0.bn1.weight", "trans2.conv1.weight", "bn1.bias", "fc.weight"} <= dense.keys()
    assert {"layers.0.conv2.weight", "layers.0.shortcut.1.weight", "linear.weight"} <= mobile.keys()
    assert {"pre_layers.1.weight", "a3.b1.0.bias", "b5.b4.2.weight", "b3.b3.7.weight"} <= google.keys()


def test_dense_layer_keeps_its_input_in_front():
    network = DenseNet(depth=7, growth=2).eval()
    x = torch.randn(1, 4, 6, 6)
    out = network.block1(x)
    assert out.shape == (1, 6, 6, 6)
    assert torch.equal(out[:, :4], x)


def test_inverted_residual_adds_its_input_at_stride_one_only():
    x = torch.randn(1, 4, 6, 6)
    same = InvertedResidual(4, 4, expansion=2, stride=1).eval()
    nn.init.zeros_(same.bn3.weight)
    assert torch.equal(same(x), x)
    assert InvertedResidual(4, 4, expansion=2, stride=2)(x).shape == (1, 4, 3, 3)


@pytest.mark.parametrize("size", [32, 40])
def test_no_forward_depends_on_the_image_size_or_batch(size):
    networks = [
        ResNet(blocks=[1, 1, 1], in_channels=2, num_classes=5),
        VGG(stages=[[4], [8]], in_channels=2, num_classes=5),
        DenseNet(depth=7, growth=2, in_channels=2, num_classes=5),
        MobileNetV2(settings=[(2, 8, 2, 2)], stem=4, head=8, in_channels=2, num_classes=5),
    ]
    for network in networks:
        assert network(torch.randn(3, 2, size, size)).shape == (3, 5)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"shortcut": "none"}, "valid: pad, project"),
        ({"widths": [4]}, "3 stages of blocks, but 1 widths"),
        ({"widths": [8, 4, 4]}, "from 8 to 4"),
    ],
)
def test_resnet_refuses_settings_that_cannot_be(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        ResNet(blocks=[1, 1, 1], **settings)


def test_densenet_refuses_a_depth_that_does_not_divide():
    with pytest.raises(ValueError, match="depth of 41"):
        DenseNet(depth=41)
