"""All networks of timm, by the names that `timm.list_models()` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunecli.architectures.index import shipped_index
from prunecli.architectures.providers.contract import Provider, checked_call, imported, provider
from prunecli.errors import InputRefused

if TYPE_CHECKING:
    from torch import nn

NEVER = (
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "checkpoint_path",
    "cache_dir",
    "features_only",
)


@provider("timm", source="the timm package (Apache-2.0), as an extra")
class Timm(Provider):
    """Networks of `timm.create_model`, never with weights; a tag ("resnet50.a1_in1k") may follow a name."""

    channel_argument = "in_chans"

    def names(self) -> Mapping[str, str]:
        """What was indexed; `has` also asks the installed version."""
        return shipped_index().lines_of("timm")

    def has(self, name: str) -> bool:
        """Whether the index or the installed timm has `name`."""
        base = name.partition(".")[0]
        return base in self.names() or bool(_timm().is_model(base))

    def input_shape(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
        """The size in timm's own default configuration, or `img_size` where that is an argument."""
        known = shipped_index().input_shapes.get(f"timm/{name}")
        shape = known if known is not None else tuple(_configuration(name).input_size)
        channels = int(arguments.get("in_chans", shape[0]))
        size = arguments.get("img_size", shape[1:])
        return (channels, size, size) if isinstance(size, int) else (channels, *size)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """The network from `timm.create_model(pretrained=False)`."""
        timm = _timm()

        def create(**given: Any) -> nn.Module:
            network: nn.Module = timm.create_model(name, **given)
            return network

        return checked_call(name, create, {"pretrained": False}, arguments, refused=NEVER)


def _timm() -> Any:
    from prunecli.architectures.vision_operators import import_torchvision

    import_torchvision()
    return imported("timm", extra="timm")


def _configuration(name: str) -> Any:
    found = _timm().models.get_pretrained_cfg(name)
    if found is None:
        raise InputRefused(f"timm has no configuration for {name!r}", hints=["give the size: --input-shape"])
    return found
