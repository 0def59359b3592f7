"""Small networks for the 8×8 grey digits that scikit-learn carries, those of the bundled sample models."""

from __future__ import annotations

from typing import ClassVar

from prunecli.architectures.presets import Preset, PresetProvider
from prunecli.architectures.providers.contract import provider


@provider("digits", source="this package")
class Digits(PresetProvider):
    """Networks for (1, 8, 8) images and 10 classes."""

    image_shape = (1, 8, 8)
    presets: ClassVar = {
        "resnet8": Preset(
            "resnet:ResNet",
            "ResNet-8, three one-block stages, shortcut project or pad (He et al. 2016, arXiv:1512.03385)",
            {"blocks": [1, 1, 1], "widths": [16, 32, 64], "shortcut": "project"},
            shown=("shortcut",),
            variants=({"shortcut": "pad"},),
        ),
        "vgg6_bn": Preset(
            "vgg:VGG",
            "VGG with five convolutions and batch norm (Simonyan and Zisserman 2015, arXiv:1409.1556)",
            {"stages": [[16, 16], [32, 32], [64]]},
        ),
        "mobilenet": Preset(
            "mobilenet:MobileNetV2",
            "MobileNetV2 with five inverted residuals (Sandler et al. 2018, arXiv:1801.04381)",
            {
                "settings": [[1, 16, 1, 1], [4, 24, 2, 1], [4, 32, 2, 2]],
                "stem": 16,
                "head": 128,
            },
        ),
    }
