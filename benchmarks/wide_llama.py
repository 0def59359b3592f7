"""A network with the shapes of Llama, in sizes from 40 MB to 10 GB, for the benchmark of large checkpoints.

    prunecli inspect model.safetensors --model benchmarks/wide_llama.py:gb10 --input-shape 16

Token ids come as numbers, which the network makes whole: so one input of a plain shape serves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Size:
    """Widths of the network; `kv_heads` heads of keys serve `heads` of queries."""

    width: int
    ffn: int
    blocks: int
    vocabulary: int
    heads: int
    kv_heads: int


class Norm(nn.Module):
    """Division by the root of the mean square, and a scale: (…, width) → the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x * torch.rsqrt(x.pow(2).mean(dim=-1, keepdim=True) + 1e-5) * self.weight


class Attention(nn.Module):
    """Causal attention with fewer heads of keys than of queries: (B, T, width) → the same."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.head = size.width // size.heads
        self.repeats = size.heads // size.kv_heads
        shared = size.kv_heads * self.head
        self.q_proj = nn.Linear(size.width, size.width, bias=False)
        self.k_proj = nn.Linear(size.width, shared, bias=False)
        self.v_proj = nn.Linear(size.width, shared, bias=False)
        self.o_proj = nn.Linear(size.width, size.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        batch, length, _ = x.shape
        q, k, v = (
            each(x).view(batch, length, -1, self.head).transpose(1, 2)
            for each in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = (each.repeat_interleave(self.repeats, dim=1) for each in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class Gated(nn.Module):
    """The gated unit of two branches and the way back: (…, width) → the same."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.width, size.ffn, bias=False)
        self.up_proj = nn.Linear(size.width, size.ffn, bias=False)
        self.down_proj = nn.Linear(size.ffn, size.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention and gated unit, each behind a norm and beside a shortcut."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.input_layernorm = Norm(size.width)
        self.self_attn = Attention(size)
        self.post_attention_layernorm = Norm(size.width)
        self.mlp = Gated(size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) → the same."""
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Token ids (B, T) → logits (B, T, vocabulary)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(size.vocabulary, size.width)
        self.layers = nn.ModuleList(Block(size) for _ in range(size.blocks))
        self.norm = Norm(size.width)
        self.lm_head = nn.Linear(size.width, size.vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """See the class."""
        x = self.embed_tokens(ids.long().abs() % self.embed_tokens.num_embeddings)
        for block in self.layers:
            x = block(x)
        return self.lm_head(self.norm(x))


def mb40() -> nn.Module:
    """40 MB in bfloat16."""
    return Llama(Size(width=512, ffn=1376, blocks=4, vocabulary=8000, heads=8, kv_heads=4))


def gb1() -> nn.Module:
    """1 GB in bfloat16."""
    return Llama(Size(width=2048, ffn=5632, blocks=8, vocabulary=32000, heads=16, kv_heads=8))


def gb10() -> nn.Module:
    """10 GB in bfloat16: the widths of Llama 3 8B, its vocabulary cut to a quarter."""
    return Llama(Size(width=4096, ffn=14336, blocks=22, vocabulary=32000, heads=32, kv_heads=8))
