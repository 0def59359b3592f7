"""docs/comparison.md: its figures are those of benchmarks/results."""

from __future__ import annotations

import re

import pytest
from docs.markdown import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PAGE = " ".join((ROOT / "docs" / "comparison.md").read_text(encoding="utf-8").split())


def result(name):
    return (RESULTS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("zoo", ["torchvision", "timm"])
def test_how_many_networks_were_pruned(zoo):
    (found,) = re.findall(r"^- pruned: (\d+ of \d+)$", result(f"coverage_{zoo}.md"), flags=re.MULTILINE)
    assert re.search(rf"\[{found} (networks )?of {zoo}\]", PAGE)


def test_how_long_the_peer_takes():
    text = result("speed.md")
    (median,) = re.findall(r"Median of peer ÷ ours .*: ([\d.]+)", text)
    assert f"Torch-Pruning took {median} times as long" in PAGE
    ratios = re.findall(r"^\| \w+ \|(?:[^|]*\|){3} ([\d.]+) \|", text, flags=re.MULTILINE)
    least, most = (f"{edge(map(float, ratios)):g}" for edge in (min, max))
    assert f"from {least} to {most} times" in PAGE
    rows = re.findall(r"^\| \w+ \| [\d.]+ \|", text, flags=re.MULTILINE)
    assert f"in the median of {len(rows)} networks" in PAGE


def test_how_much_of_the_theoretical_speed_is_reached():
    counts = {
        side: number
        for number, side in re.findall(
            r"(\d+)(?: of 18)? settings of \"([^\"]+)\"", result("pruned_speed.md")
        )
    }
    wanted = (
        f"in {counts['prunecli, auto, by latency']} of 18 settings by prunecli with widths",
        f"in {counts['prunecli, --round-to auto']} by `--round-to auto` alone",
        f"in {counts['Torch-Pruning, round_to']} by Torch-Pruning with `round_to`",
        f"in {counts['Torch-Pruning']} by either without rounding",
    )
    assert counts["prunecli"] == counts["Torch-Pruning"]
    assert all(words in PAGE for words in wanted)
