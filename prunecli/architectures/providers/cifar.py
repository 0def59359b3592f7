"""The classic networks for 32×32 images, with the tensor names of the checkpoints that circulate."""

from __future__ import annotations

from typing import ClassVar

from prunecli.architectures.presets import Preset, PresetProvider
from prunecli.architectures.providers.contract import provider

HE = "He et al. 2016, arXiv:1512.03385"
SIMONYAN = "Simonyan and Zisserman 2015, arXiv:1409.1556"
HUANG = "Huang et al. 2017, arXiv:1608.06993"
SANDLER = "Sandler et al. 2018, arXiv:1801.04381"
SZEGEDY = "Szegedy et al. 2015, arXiv:1409.4842"


def _thin_resnet(depth: int) -> Preset:
    """Depth 6n + 2: three stages of n blocks, 16, 32 and 64 channels wide."""
    return Preset(
        "resnet:ResNet",
        f"ResNet-{depth} with three thin stages, shortcut pad or project ({HE}, section 4.2)",
        {"blocks": [(depth - 2) // 6] * 3, "widths": [16, 32, 64], "shortcut": "pad"},
        shown=("shortcut",),
        variants=({"shortcut": "project"},),
    )


def _wide_resnet(depth: int, blocks: list[int]) -> Preset:
    """The four ImageNet stages without the stem's shrinking, as widely trained on CIFAR-10."""
    return Preset(
        "resnet:ResNet",
        f"ResNet-{depth} with the four ImageNet stages at CIFAR strides ({HE})",
        {"blocks": blocks, "widths": [64, 128, 256, 512], "shortcut": "project"},
        shown=("shortcut",),
        variants=({"shortcut": "pad"},),
    )


def _vgg(depth: int, convolutions: list[int]) -> Preset:
    """Five stages of `convolutions` each, with batch norm and one linear layer."""
    widths = (64, 128, 256, 512, 512)
    return Preset(
        "vgg:VGG",
        f"VGG-{depth} with batch norm and one linear layer ({SIMONYAN})",
        {"stages": [[width] * count for width, count in zip(widths, convolutions, strict=True)]},
    )


@provider("cifar", source="this package")
class Cifar(PresetProvider):
    """Networks for (3, 32, 32) images and 10 classes."""

    presets: ClassVar = {
        "resnet20": _thin_resnet(20),
        "resnet32": _thin_resnet(32),
        "resnet44": _thin_resnet(44),
        "resnet56": _thin_resnet(56),
        "resnet110": _thin_resnet(110),
        "resnet18": _wide_resnet(18, [2, 2, 2, 2]),
        "resnet34": _wide_resnet(34, [3, 4, 6, 3]),
        "vgg11_bn": _vgg(11, [1, 1, 2, 2, 2]),
        "vgg13_bn": _vgg(13, [2, 2, 2, 2, 2]),
        "vgg16_bn": _vgg(16, [2, 2, 3, 3, 3]),
        "vgg19_bn": _vgg(19, [2, 2, 4, 4, 4]),
        "densenet40": Preset(
            "densenet:DenseNet",
            f"DenseNet-40, growth 12, without bottlenecks; BC by arguments ({HUANG})",
            {"depth": 40, "growth": 12, "bottleneck": False, "reduction": 1.0},
            shown=("bottleneck", "reduction"),
            variants=({"bottleneck": True, "reduction": 0.5}, {"bottleneck": False, "reduction": 0.5}),
        ),
        "densenet100": Preset(
            "densenet:DenseNet",
            f"DenseNet-BC-100, growth 12, with bottlenecks and compression ({HUANG})",
            {"depth": 100, "growth": 12, "bottleneck": True, "reduction": 0.5},
            shown=("bottleneck", "reduction"),
        ),
        "mobilenet_v2": Preset("mobilenet:MobileNetV2", f"MobileNetV2 with CIFAR strides ({SANDLER})"),
        "googlenet": Preset("googlenet:GoogLeNet", f"GoogLeNet with batch norm, one-layer stem ({SZEGEDY})"),
    }
