"""A few model types of transformers, built from their configuration classes' defaults.

Arguments are overrides of the configuration (`num_labels`, `hidden_size`, `image_size`, …). The networks
give transformers' output objects, whose first field is the logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prunecli.architectures.providers.contract import Provider, imported, provider
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from torch import nn

IMAGES = "AutoModelForImageClassification"
MAPS = "AutoModelForSemanticSegmentation"
SENTENCES = "AutoModelForSequenceClassification"
WORDS = "AutoModelForCausalLM"
TRANSLATION = "AutoModelForSeq2SeqLM"
SPEECH = "AutoModelForSpeechSeq2Seq"
PAIRS = "AutoModel"  # of an image and a text
TOKENS = 128  # length of the input that text models are traced with

# model type → (automatic class, side of a square image or None for token ids or sounds)
TYPES: dict[str, tuple[str, int | None]] = {
    "beit": (IMAGES, 224),
    "convnext": (IMAGES, 224),
    "convnextv2": (IMAGES, 224),
    "deit": (IMAGES, 224),
    "dinov2": (IMAGES, 224),
    "mobilenet_v2": (IMAGES, 224),
    "resnet": (IMAGES, 224),
    "swin": (IMAGES, 224),
    "vit": (IMAGES, 224),
    "bert": (SENTENCES, None),
    "distilbert": (SENTENCES, None),
    "roberta": (SENTENCES, None),
    "gpt2": (WORDS, None),
    "llama": (WORDS, None),
    "qwen2": (WORDS, None),
    "t5": (TRANSLATION, None),
    "segformer": (MAPS, 512),
    "clip": (PAIRS, None),
    "whisper": (SPEECH, None),
}
SHORTER = {"clip": 77}  # texts no longer than its table of positions


@provider("transformers", source="the transformers package (Apache-2.0), as an extra")
class Transformers(Provider):
    """Models from `AutoConfig.for_model`, with random weights; other model types through --model."""

    class_argument = "num_labels"

    def names(self) -> Mapping[str, str]:
        """The table of model types."""
        return {kind: f"transformers {word}, default configuration" for kind, (word, _) in TYPES.items()}

    def input_shape(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, ...]:
        """A square image, a number of token ids, or the spectrum of a sound over time."""
        side = TYPES[name][1]
        if TYPES[name][0] == SPEECH:
            return (
                int(arguments.get("num_mel_bins", 80)),
                2 * int(arguments.get("max_source_positions", 1500)),
            )
        if side is None:
            return (SHORTER.get(name, TOKENS),)
        side = int(arguments.get("image_size", side))
        return (int(arguments.get("num_channels", 3)), side, side)

    def build(self, name: str, arguments: Mapping[str, Any]) -> nn.Module:
        """The model of the configuration; raises WrongUse for a field that the configuration lacks."""
        from prunecli.architectures.vision_operators import import_torchvision

        import_torchvision()
        transformers = imported("transformers", extra="transformers")
        plain = transformers.AutoConfig.for_model(name)
        for word in arguments:
            if word.startswith("_") or not hasattr(plain, word):
                raise WrongUse(f"transformers/{name} has no configuration field {word!r}")
        # another attention gives the same numbers, but not as operations that can be followed
        chosen = transformers.AutoConfig.for_model(name, **arguments)
        chosen._attn_implementation = "eager"
        chosen.architectures = chosen.architectures or []  # the automatic classes look through it
        network: nn.Module = getattr(transformers, TYPES[name][0]).from_config(chosen)
        return network
