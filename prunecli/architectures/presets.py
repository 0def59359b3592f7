"""Providers made of the project's own networks with fixed settings."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from prunecli.architectures.providers.contract import Provider
from prunecli.errors import WrongUse, nearest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Preset:
    """One network class with settings.

    `network` is "module:Class" below `prunecli.architectures.networks`; `settings` are its arguments, of
    which those in `shown` are recorded with the architecture even at their default; `variants` are
    further values of them that give other tensors.
    """

    network: str
    line: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    variants: tuple[Mapping[str, Any], ...] = ()


class PresetProvider(Provider):
    """A table of presets for images of one size."""

    channel_argument = "in_channels"
    presets: ClassVar[Mapping[str, Preset]] = {}
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)

    def names(self) -> Mapping[str, str]:
        """The table's captions."""
        return {name: preset.line for name, preset in self.presets.items()}

    def defaults(self, name: str) -> dict[str, Any]:
        """Classes, channels, and the settings that the preset shows."""
        preset = self.presets[name]
        shown = {word: preset.settings[word] for word in preset.shown}
        return {"num_classes": 10, "in_channels": self.image_shape[0], **shown}

    def input_shape(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
        """The source's image size with the asked number of channels."""
        return (int(arguments.get("in_channels", self.image_shape[0])), *self.image_shape[1:])

    def variants(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The preset as it stands, then with each variant's settings."""
        return ({}, *self.presets[name].variants)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """The network class called with the preset's settings, which `arguments` override.

        Raises WrongUse for an argument that the network does not have or a value that it refuses.
        """
        preset = self.presets[name]
        valid = {**preset.settings, **self.defaults(name)}
        for word in arguments:
            if word not in valid:
                near = nearest(word, valid)
                hints = [f"did you mean {near!r}?"] if near else []
                raise WrongUse(
                    f"{name} has no argument {word!r}", hints=[*hints, f"valid: {', '.join(sorted(valid))}"]
                )
        module, _, cls = preset.network.partition(":")
        network = getattr(importlib.import_module(f"prunecli.architectures.networks.{module}"), cls)
        try:
            built: nn.Module = network(**{**valid, **arguments})
        except ValueError as error:
            raise WrongUse(f"{name}: {error}") from error
        return built
