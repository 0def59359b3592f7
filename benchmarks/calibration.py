"""What scoring by many activation and gradient criteria costs, against one plain forward and backward pass.

    python benchmarks/calibration.py                                20 criteria on ResNet-50, 8 batches of 16
    python benchmarks/calibration.py --arch cifar/resnet20 --criteria taylor,apoz --rounds 3

Every measurement is a process of its own, so that its peak of resident memory is its own. A round runs the
plain passes and the calibration with the scores after it, one after the other, in an order that turns; ratios
are taken within a round. The plain passes do what training would: forward, cross-entropy, backward to all
parameters. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

CRITERIA = (
    *("apoz", "mean_act", "std_act", "act_l2", "entropy", "hrank", "chip", "act_corr", "lda", "thinet"),
    *("taylor_act", "taylor_weight", "gate_taylor", "bn_taylor", "snip", "fisher_mask", "group_fisher"),
    *("hessian_diag", "obdc", "woodfisher"),
)


def measured(kind: str, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds and peak memory of one kind of run, in this process."""
    import torch
    from torch.nn import functional

    from prunecli.architectures import build, resolve
    from prunecli.calibration.gathering import gather
    from prunecli.calibration.observing import Scene
    from prunecli.graph.channel_graph import build_graph
    from prunecli.scoring.filter_scores import needs_of, score_filters
    from prunecli.workflows.calibrating import classify

    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    architecture = resolve(asked.arch)
    model = build(architecture).eval()
    shape, criteria = architecture.input_shape, asked.criteria.split(",")
    images = torch.randn(asked.batches, asked.batch_size, *shape)
    labels = torch.randint(0, 10, (asked.batches, asked.batch_size))
    batches = list(zip(images, labels, strict=True))
    graph = build_graph(model, shape)
    started = _peak()
    start = time.perf_counter()
    parts = {}
    if kind == "plain":
        for batch, classes in batches:
            functional.cross_entropy(model(batch), classes).backward()
            model.zero_grad(set_to_none=True)
    else:
        scene = Scene(model, graph, asked.batches * asked.batch_size)
        gathered = gather(scene, batches, classify, needs=needs_of(criteria))
        parts["gather"] = time.perf_counter() - start
        score_filters(model, graph, criteria, gathered=gathered)
    return {"seconds": time.perf_counter() - start, "peak": _peak(), "before": started, **parts}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(kind: str, arguments: list[str]) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, *arguments, "--run", kind]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure round by round, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--arch", default="torchvision/resnet50")
    parser.add_argument("--criteria", default=",".join(CRITERIA))
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", choices=("plain", "scored"))
    asked = parser.parse_args()
    if asked.run:
        print(json.dumps(measured(asked.run, asked)))
        return
    rounds = []
    for number in range(asked.rounds):
        order = ("plain", "scored") if number % 2 == 0 else ("scored", "plain")
        rounds.append({kind: in_a_process(kind, sys.argv[1:]) for kind in order})
    count = len(asked.criteria.split(","))
    print(f"{count} criteria on {asked.arch}, {asked.batches} batches of {asked.batch_size}, ", end="")
    print(f"{asked.threads} threads, medians of {asked.rounds} rounds\n")
    print("| | seconds | peak memory, MB |\n|---|---|---|")
    for kind in ("plain", "scored"):
        seconds = statistics.median(each[kind]["seconds"] for each in rounds)
        peak = statistics.median(each[kind]["peak"] for each in rounds)
        print(f"| {kind} | {seconds:.2f} | {peak:.0f} |")
    ratio = statistics.median(each["scored"]["seconds"] / each["plain"]["seconds"] for each in rounds)
    gather = statistics.median(each["scored"]["gather"] / each["plain"]["seconds"] for each in rounds)
    extra = statistics.median(each["scored"]["peak"] - 1.5 * each["plain"]["peak"] for each in rounds)
    print(f"\nscored ÷ plain: {ratio:.2f} (the passes alone {gather:.2f}); ", end="")
    print(f"peak − 1.5 × plain's peak: {extra:+.0f} MB")
    print(f"\ncriteria: {asked.criteria}")


if __name__ == "__main__":
    main()
