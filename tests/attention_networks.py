"""Tiny networks of attention. All take images of 3x8x8 unless said."""

from __future__ import annotations

import torch
from networks import conv
from torch import nn
from torch.nn import functional


class SeparateAttention(nn.Module):
    """Query, key and value of their own; eight heads by default."""

    heads, width = 8, 4

    def __init__(self, embed=16):
        super().__init__()
        self.embed = conv(3, embed, 1)
        inner = self.heads * self.width
        self.query, self.key, self.value = (nn.Linear(embed, inner) for _ in range(3))
        self.project = nn.Linear(inner, embed)
        self.linear = nn.Linear(embed, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = (
            part(x).view(*x.shape[:2], -1, self.width).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        x = x + self.project(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return self.linear(x.mean(1))

    def attend(self, q, k, v):
        return (q @ k.transpose(-2, -1) / self.width**0.5).softmax(-1) @ v


class ScaledDotProduct(SeparateAttention):
    def attend(self, q, k, v):
        return functional.scaled_dot_product_attention(q, k, v)


class GroupedQueries(nn.Module):
    """Eight heads of queries, four at a time on one head of keys and values."""

    def __init__(self):
        super().__init__()
        self.width, self.repeats = 4, 4
        self.embed = conv(3, 16, 1)
        self.query, self.key, self.value = nn.Linear(16, 32), nn.Linear(16, 8), nn.Linear(16, 8)
        self.project = nn.Linear(32, 16)
        self.linear = nn.Linear(16, 5)

    def repeated(self, x):
        n, heads, tokens, width = x.shape
        x = x[:, :, None].expand(n, heads, self.repeats, tokens, width)
        return x.reshape(n, heads * self.repeats, tokens, width)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = (
            part(x).view(*x.shape[:2], -1, self.width).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        k, v = self.repeated(k), self.repeated(v)
        weights = (q @ k.transpose(-2, -1) * self.width**-0.5).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(*x.shape[:2], -1))
        return self.linear(x.mean(1))


class WindowAttention(nn.Module):
    """Eight heads over windows of 4x4 tokens, a table of biases by relative position."""

    def __init__(self):
        super().__init__()
        self.heads, self.scale = 8, 0.5
        self.qkv, self.project = nn.Linear(16, 96), nn.Linear(32, 16)
        self.table = nn.Parameter(torch.zeros(49, 8))
        rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
        index = (rows[:, None] - rows + 3) * 7 + columns[:, None] - columns + 3
        self.register_buffer("index", index)

    def forward(self, x):
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.heads, 4).permute(2, 0, 3, 1, 4)
        bias = self.table[self.index.view(-1)].view(16, 16, -1).permute(2, 0, 1)
        weights = (q @ k.transpose(-2, -1) * self.scale + bias[None]).softmax(-1)
        return self.project((weights @ v).transpose(1, 2).reshape(n, tokens, -1))


class RelativePosition(nn.Module):
    """One window. Takes 3x4x4."""

    def __init__(self):
        super().__init__()
        self.embed = conv(3, 16, 1)
        self.attention = WindowAttention()
        self.linear = nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.linear((x + self.attention(x)).mean(1))


class ShiftedWindows(RelativePosition):
    """Four windows of an image that is rolled, cut up, put together and rolled back."""

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        n, height, width, channels = x.shape
        y = torch.roll(x, (-2, -2), (1, 2))
        y = y.view(n, height // 4, 4, width // 4, 4, channels).permute(0, 1, 3, 2, 4, 5)
        y = self.attention(y.reshape(-1, 16, channels))
        y = y.view(n, height // 4, width // 4, 4, 4, -1).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(n, height, width, -1), (2, 2), (1, 2))
        return self.linear((x + y).mean((1, 2)))


class WidthOverHeads(SeparateAttention):
    """A head is as wide as what is read over their number, whatever the layers make; eight heads."""

    def __init__(self, embed=32):
        super().__init__(embed)
        self.heads = 8

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        n, tokens, channels = x.shape
        q, k, v = (
            part(x).reshape(n, tokens, self.heads, channels // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        weights = (q @ k.transpose(-2, -1) * (channels // self.heads) ** -0.5).softmax(-1)
        x = x + self.project((weights @ v).transpose(1, 2).reshape(n, tokens, channels))
        return self.linear(x.mean(1))


class Encoder(nn.Module):
    """PyTorch's own attention modules and MLPs, one block for each number of heads, on one stream."""

    def __init__(self, embed=32, heads=(8, 8)):
        super().__init__()
        self.embed = conv(3, embed, 1)
        self.attention = nn.ModuleList(nn.MultiheadAttention(embed, each, batch_first=True) for each in heads)
        self.norm = nn.ModuleList(nn.LayerNorm(embed) for _ in heads)
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(embed, 2 * embed), nn.GELU(), nn.Linear(2 * embed, embed)) for _ in heads
        )
        self.linear = nn.Linear(embed, 5)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        for attention, norm, mlp in zip(self.attention, self.norm, self.mlp, strict=True):
            y = norm(x)
            x = x + attention(y, y, y, need_weights=False)[0]
            x = x + mlp(x)
        return self.linear(x.mean(1))
