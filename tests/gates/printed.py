"""What commands print, as small as the gates need it."""

from __future__ import annotations

from prunecli.gates.reading import Report

COSTS = {"params": 1000, "macs": 4000, "bytes": 4400}
HALVED = {"params": 250, "macs": 1000, "bytes": 1100}


def bench(*latencies, backends=("eager",)):
    """A benchmark of one network or more, with latencies in ms; the first is the whole one."""
    models = [
        {
            "path": f"{number}.pt",
            "macs": 4000 // (1 + number),
            "params": 1000,
            "peak_memory_bytes": 10,
            "latency_ms": {"median": each},
        }
        for number, each in enumerate(latencies)
    ]
    ratios = [
        {"a": "0.pt", "b": f"{number}.pt", "latency": latencies[0] / each * 1.01}
        for number, each in enumerate(latencies[1:], 1)
    ]
    runs = [
        {"backend": backend, "threads": 2, "batch": 1, "models": models, "ratios": ratios}
        for backend in backends
    ]
    return {**runs[0], "runs": runs}


PRINTED = {
    "prune": {
        "before": COSTS,
        "after": HALVED,
        "accuracy": {"before": 97.5, "after": 90.25},
        "verification": {"max_abs_error": 2e-16, "equivalent": True},
        "target": {"met": False},
        "output": {"bytes": 1300},
    },
    "finetune": {
        "before": {"accuracy": 90.0, "loss": 0.5},
        "after": {"accuracy": 95.0, "loss": 0.25},
        "output": {"bytes": 1300},
    },
    "evaluate": {"accuracy": 96.0, "loss": 0.125},
    "export": {
        "output": {"bytes": 1500},
        "verification": {"max_abs_error": 1e-6, "equivalent": True, "top1_agreement": 0.95},
    },
    "inspect": {"params": 1000, "macs": 4000, "bytes": 4600},
    "diff": {"a": COSTS, "b": HALVED, "identical": False},
    "sweep": {
        "dense": {"accuracy": 99.0, "macs": 4000, "params": 1000},
        "chosen": {"accuracy": {"before": 97.5, "test": 94.5}, "macs": 3000, "params": 900},
        "output": {"bytes": 4000},
    },
    "bench": bench(2.0, 1.0),
    "compare": {"pairs": []},
}


def printed(command, **changed):
    """A report of `command`, with some keys of its document as given."""
    document = {"schema": f"prunecli.{command}/1", "version": "0", **PRINTED[command], **changed}
    return Report(f"{command}.json", command, document)
