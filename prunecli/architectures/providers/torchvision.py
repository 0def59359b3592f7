"""All networks of torchvision, by the names that `torchvision.models.list_models()` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prunecli.architectures.index import shipped_index
from prunecli.architectures.providers.contract import Provider, checked_call, provider

if TYPE_CHECKING:
    from torch import nn

# The start of a name → the input that its weights were trained for, where that is not (3, 224, 224)
INPUT_SHAPES = {
    "inception_v3": (3, 299, 299),
    "s3d": (3, 16, 224, 224),
    "mvit": (3, 16, 224, 224),
    "swin3d": (3, 16, 224, 224),
    "mc3": (3, 16, 112, 112),
    "r2plus1d": (3, 16, 112, 112),
    "r3d": (3, 16, 112, 112),
    "vit_h_14": (3, 224, 224),
    "efficientnet_b1": (3, 240, 240),
    "efficientnet_b2": (3, 288, 288),
    "efficientnet_b3": (3, 300, 300),
    "efficientnet_b4": (3, 380, 380),
    "efficientnet_b5": (3, 456, 456),
    "efficientnet_b6": (3, 528, 528),
    "efficientnet_b7": (3, 600, 600),
    "efficientnet_v2_s": (3, 384, 384),
    "efficientnet_v2_m": (3, 480, 480),
    "efficientnet_v2_l": (3, 480, 480),
    "swin_v2": (3, 256, 256),
    "deeplabv3": (3, 520, 520),
    "fcn": (3, 520, 520),
    "lraspp": (3, 520, 520),
    "ssd300": (3, 300, 300),
    "ssdlite320": (3, 320, 320),
    "fasterrcnn_mobilenet_v3_large_320": (3, 320, 320),
    "fasterrcnn": (3, 800, 800),
    "fcos": (3, 800, 800),
    "keypointrcnn": (3, 800, 800),
    "maskrcnn": (3, 800, 800),
    "retinanet": (3, 800, 800),
    "raft": (3, 520, 960),
}
# Families whose published checkpoints come with or without the auxiliary heads of training
AUXILIARY = {
    "googlenet": "aux_logits",
    "inception_v3": "aux_logits",
    "deeplabv3": "aux_loss",
    "fcn": "aux_loss",
}
NEVER = ("weights", "weights_backbone", "progress", "quantize")


@provider("torchvision", source="the torchvision package (BSD-3-Clause)")
class Torchvision(Provider):
    """Networks of `torchvision.models`, never with weights."""

    def names(self) -> Mapping[str, str]:
        """What was indexed; `has` also asks the installed version."""
        return shipped_index().lines_of("torchvision")

    def has(self, name: str) -> bool:
        """Whether the index or the installed torchvision has `name`."""
        return name in self.names() or name in _models().list_models()

    def input_shape(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
        """The size of the family's training images; 16 frames first for video."""
        plain = name.removeprefix("quantized_")
        starts = [start for start in INPUT_SHAPES if plain.startswith(start)]
        return INPUT_SHAPES[max(starts, key=len)] if starts else (3, 224, 224)

    def variants(self, name: str) -> Sequence[Mapping[str, Any]]:
        """With and without auxiliary heads where the family has them."""
        plain = name.removeprefix("quantized_")
        words = [word for start, word in AUXILIARY.items() if plain.startswith(start)]
        return ({words[0]: True}, {words[0]: False}) if words else ({},)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """The network from its builder; raises WrongUse for arguments that it does not take."""
        models = _models()
        builder = models.get_model_builder(name)
        fixed: dict[str, Any] = {"weights": None}
        if _takes_backbone(builder):
            fixed["weights_backbone"] = None
        if "googlenet" in name or "inception" in name:
            # their own initialisation is slow and asked for with a warning otherwise
            fixed["init_weights"] = False
        return checked_call(name, builder, fixed, arguments, refused=NEVER)


def _models() -> Any:
    from prunecli.architectures.vision_operators import import_torchvision

    return import_torchvision().models


def _takes_backbone(builder: Any) -> bool:
    import inspect

    return "weights_backbone" in inspect.signature(builder).parameters
