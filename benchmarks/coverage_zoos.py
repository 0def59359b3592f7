"""The zoos of `coverage.py`: which architectures each has, and their random weights."""

from __future__ import annotations

from typing import Any

# What a small variant is called in timm, the smallest first
SMALL = """
    atto femto pico nano zepto tiny xxs xs 050 s0 m0 m1 small _s_ b0 t0 18 26 _s xxtiny mini
""".split()  # noqa: SIM905
# Small networks of transformers: model type → configuration beside the automatic class of its provider
TRANSFORMERS = {
    "vit": {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 192},
    "deit": {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 192},
    "beit": {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 192},
    "dinov2": {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8},
    "swin": {"embed_dim": 48, "depths": [1, 1, 2, 1], "num_heads": [2, 4, 8, 16]},
    "convnext": {"hidden_sizes": [24, 48, 96, 192], "depths": [1, 1, 2, 1]},
    "segformer": {},
    "bert": {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8, "intermediate_size": 192},
    "distilbert": {"dim": 96, "n_layers": 3, "n_heads": 8, "hidden_dim": 192},
    "roberta": {
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "intermediate_size": 192,
    },
    "gpt2": {"n_embd": 96, "n_layer": 3, "n_head": 8, "n_inner": 192},
    "t5": {"d_model": 96, "d_kv": 12, "d_ff": 192, "num_layers": 3, "num_heads": 8},
    "llama": {
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 192,
    },
    "qwen2": {
        "hidden_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 192,
    },
    "clip": {},
    "whisper": {
        "d_model": 96,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 192,
        "decoder_ffn_dim": 192,
    },
}


def names_of(zoo: str) -> list[str]:
    """The zoo's architectures; of timm one small variant of each module."""
    if zoo == "timm":
        return [f"timm/{name}" for name in _one_a_module()]
    if zoo == "torchvision":
        from prunecli.torchvision_import import load_torchvision

        return [f"torchvision/{name}" for name in load_torchvision().models.list_models()]
    if zoo == "transformers":
        return [f"transformers/{name}" for name in TRANSFORMERS]
    from prunecli.architectures import known_names

    return [name for name in known_names() if name.startswith(f"{zoo}/")]


def arguments_of(name: str) -> dict[str, Any]:
    """What the architecture is built with besides its name."""
    zoo, _, short = name.partition("/")
    return dict(TRANSFORMERS[short]) if zoo == "transformers" else {}


def _one_a_module() -> list[str]:
    from prunecli.torchvision_import import load_torchvision

    load_torchvision()
    import timm

    found = []
    for module in timm.list_modules():
        names = timm.list_models(module=module)
        if names:
            found.append(min(names, key=_largeness))
    return found


def _largeness(name: str) -> tuple[int, int]:
    return next((i for i, word in enumerate(SMALL) if word in name), len(SMALL)), len(name)


def randomise(model: Any) -> None:
    """Random weights, scales, shifts and statistics: zeros and ones of a fresh network hide mistakes."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("var") or (tensor.dim() == 1 and "weight" in name):
                tensor.copy_(noise.abs() + 0.5)
            else:
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 4
                tensor.copy_(noise * (2 / max(1, fan_in)) ** 0.5)
