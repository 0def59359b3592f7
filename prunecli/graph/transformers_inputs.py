"""Models of the transformers package: which of their inputs they need, told from their configuration."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from prunecli.graph.inputs import Calling, Input

BASE = "PreTrainedModel"
DECODED = 8  # length of what a decoder has written so far


def transformers_model(model: nn.Module, shape: tuple[int, ...]) -> Calling | None:
    """How a model of transformers is called; None for every other network.

    `shape` is that of its main input, the others follow from the configuration.
    """
    if not any(
        each.__name__ == BASE and each.__module__.startswith("transformers.") for each in type(model).__mro__
    ):
        return None
    network: Any = model
    taken = inspect.signature(model.forward).parameters
    main = network.main_input_name
    inputs = {main: _input(main, network.config, shape)}
    if network.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = Input((DECODED,), _words(network.config))
    if main == "input_ids" and "pixel_values" in taken and hasattr(network.config, "vision_config"):
        vision = network.config.vision_config
        inputs["pixel_values"] = Input((vision.num_channels, vision.image_size, vision.image_size))
    settings = {"use_cache": False} if "use_cache" in taken else {}
    return Calling(tuple(inputs.values()), tuple(inputs), settings)


def _input(name: str, config: Any, shape: tuple[int, ...]) -> Input:
    return Input(shape, _words(config) if name == "input_ids" else None)


def _words(config: Any) -> int:
    """The size of the vocabulary of the part that reads text."""
    return int(config.get_text_config().vocab_size)
