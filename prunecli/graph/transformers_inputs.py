"""Models of the transformers package: which of their inputs they need, told from their configuration."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import nn

from prunecli.graph.inputs import Calling, Input

BASE = "PreTrainedModel"
DECODED = 8  # length of what a decoder has written so far


def transformers_model(model: nn.Module, shape: tuple[int, ...]) -> Sequence[Calling]:
    """How a model of transformers is called; nothing for every other network.

    `shape` is that of its main input, the others follow from the configuration. Some look at values for where
    a text begins when they get no attention mask, others when they get one; none does at a mask that says for
    every pair of tokens what is added to their weight.
    """
    if not any(
        each.__name__ == BASE and each.__module__.startswith("transformers.") for each in type(model).__mro__
    ):
        return ()
    network: Any = model
    taken = inspect.signature(model.forward).parameters
    main = network.main_input_name
    inputs = {main: _input(main, network.config, shape)}
    if network.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = Input((DECODED,), _words(network.config))
    if main == "input_ids" and "pixel_values" in taken and hasattr(network.config, "vision_config"):
        vision = network.config.vision_config
        inputs["pixel_values"] = Input((vision.num_channels, vision.image_size, vision.image_size))
    masks = {
        name.replace("input_ids", "attention_mask"): Input(each.shape, below=2, least=1)
        for name, each in inputs.items()
        if name.endswith("input_ids")
    }
    masks = {name: mask for name, mask in masks.items() if name in taken}
    pairs = {name: Input((1, *mask.shape, *mask.shape)) for name, mask in masks.items()}
    settings = {"use_cache": False} if "use_cache" in taken else {}
    return tuple(
        Calling(tuple(given.values()), tuple(given), settings, result=_logits)
        for given in (inputs, {**inputs, **masks}, {**inputs, **pairs})
    )


def _logits(found: Any) -> Any:
    """The logits where there are any: hidden states that come beside them are no output."""
    logits = [found[name] for name in found if name.startswith("logits")]
    return logits or found


def _input(name: str, config: Any, shape: tuple[int, ...]) -> Input:
    return Input(shape, _words(config) if name == "input_ids" else None)


def _words(config: Any) -> int:
    """The size of the vocabulary of the part that reads text."""
    return int(config.get_text_config().vocab_size)
