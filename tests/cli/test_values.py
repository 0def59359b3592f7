"""What option values are accepted, and what they become."""

from __future__ import annotations

import pytest

from prunecli.cli import values
from prunecli.cli.values import Unfit


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (values.ratio, "0.5", 0.5),
        (values.ratios, "0.3, 0.5", (0.3, 0.5)),
        (values.layer_ratio, "layer3.*=0.7", values.LayerRatio("layer3.*", 0.7)),
        (values.layer_ratio, "stem=0", values.LayerRatio("stem", 0.0)),
        (values.shape, "3x32x32", (3, 32, 32)),
        (values.shape, "3, 32, 32", (3, 32, 32)),
        (values.shape, "3X224X224", (3, 224, 224)),
        (values.numbers, "0.485,0.456,-0.406", (0.485, 0.456, -0.406)),
        (values.positive_numbers, "1", (1.0,)),
        (values.sha256, "sha256:" + "AB" * 32, "ab" * 32),
        (values.factory, "nets/net.py:build", "nets/net.py:build"),
        (values.device, "cuda:0", "cuda:0"),
        (values.whole(1), "12", 12),
        (values.number(0), "0", 0.0),
        (values.number(0, above=0), "1e-3", 0.001),
    ],
)
def test_accepted(parse, text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((values.ratio, text) for text in ("0", "1", "-0.5", "nan", "1e999", "x", "")),
        *((values.ratios, text) for text in ("0.3,", "0.3;0.5", "0.3,1")),
        *((values.layer_ratio, text) for text in ("0.5", "=0.5", "a=", "a=1", "a=-0.1", "a=nan")),
        *((values.shape, text) for text in ("", "3x", "x3", "0x3", "3x-1", "3 by 3", "3.0x3")),
        *((values.numbers, text) for text in ("", "a", "1,,2", "inf")),
        *((values.positive_numbers, text) for text in ("0", "1,-1")),
        *((values.sha256, text) for text in ("", "ab", "zz" * 32)),
        *((values.factory, text) for text in ("net.py", "net:build", "net.py:", "net.py:a b")),
        *((values.device, text) for text in ("gpu", "cuda:", "cpu:0", "")),
        *((values.whole(1), text) for text in ("0", "1.0", "x")),
        *((values.number(0, below=1), text) for text in ("1", "-0.1", "nan")),
        (values.number(0, above=0), "0"),
    ],
)
def test_refused_with_what_is_valid(parse, text):
    with pytest.raises(Unfit) as refusal:
        parse(text)
    assert refusal.value.valid


def test_flat_keeps_the_order_and_drops_repetitions():
    assert values.flat([("b", "a"), ("a", "c")]) == ("b", "a", "c")
