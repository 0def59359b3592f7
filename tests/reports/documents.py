"""Small documents of commands with a report, written by hand, with a name that a page must not run."""

from __future__ import annotations

HOSTILE = "<script>alert(1)</script>"
FACTS = {"torch": "2.12.0", "Python": "3.11.7"}
COMMAND = "prunecli compare 'a b.pt' --criteria l1,l2 --report out.html"
CHECKPOINT = {"path": f"models/{HOSTILE}.pt", "sha256": "ab12" * 16, "architecture": "cifar/resnet20"}
CRITERIA = ["l1", "l2", "apoz"]


def _agreement(spearman, jaccard, **further):
    return {"spearman": spearman, "kendall": spearman, "jaccard": {"0.5": jaccard}, "rbo": jaccard, **further}


def _pair(a, b, spearman, jaccard):
    undefined = _agreement(None, None, name=HOSTILE)
    layers = [_agreement(spearman, jaccard, name="conv1"), undefined]
    interval = {"spearman": None if spearman is None else [spearman - 0.125, spearman]}
    return _agreement(spearman, jaccard, a=a, b=b, interval=interval, layers=layers)


def compared(**changed):
    """The document of `compare` with every key that it can have; a key that is None is left out."""
    pairs = [
        _pair("l1", "l2", 0.9238297, 0.875),
        _pair("l1", "apoz", -0.00012345, 0.125),
        _pair("l2", "apoz", None, None),
    ]
    scaled = [{key: pair[key] for key in ("a", "b", "spearman", "jaccard", "rbo")} for pair in pairs]
    layers = [{"name": "conv1", "cv": 0.25, "gap": 0.5}, {"name": HOSTILE, "cv": None, "gap": None}]
    indices = {"l1": [12, 3, 4], "l2": [12, 4, 3], "apoz": None}
    document = {
        "schema": "prunecli.compare/1",
        "version": "0.1.0",
        "checkpoint": CHECKPOINT,
        "data": {"name": "digits", "images": 512, "batches": 8, "batch_size": 64, "fingerprint": "c0ffee"},
        "criteria": CRITERIA,
        "ratios": [0.5],
        "rbo_p": 0.9,
        "pairs": pairs,
        "global": [{**pair, "kendall": 0.5} for pair in scaled],
        "global_by_normalization": [
            {"normalization": "none", "pairs": scaled, "left_out": []},
            {"normalization": "per-MAC", "pairs": scaled[:1], "left_out": [HOSTILE]},
        ],
        "applicability": [{"criterion": name, "cv": 0.25, "layers": layers} for name in CRITERIA],
        "first_pruned": [{"layer": name, "indices": indices} for name in ("conv1", HOSTILE)],
        "noise": [
            _agreement(1.0, 1.0, criterion="l1", exact=True, layers=[]),
            _agreement(
                0.625, 0.5, criterion="apoz", exact=False, layers=[_agreement(0.5, 0.5, name=HOSTILE)]
            ),
        ],
        "cwda": [
            _distribution("conv1", "outside the assumption: first layer"),
            _distribution(HOSTILE, "not normal (12% of filters pass, skew 2, excess kurtosis 3)"),
            _distribution("conv3", "holds"),
        ],
        "judgement": [
            {
                "criterion": name,
                "oracle_spearman": agreement,
                "cuts": [
                    {
                        "ratio": 0.5,
                        "loss": loss,
                        "accuracy": 80.0,
                        "output_error": 0.25,
                        "params": 1234567,
                        "macs": 7654321,
                    }
                ],
            }
            for name, agreement, loss in (("l1", 0.5, 1.5), ("l2", 0.25, 2.5), ("apoz", None, None))
        ],
        "judgement_before": {"images": 512, "loss": 0.25, "accuracy": 92.5},
        "oracle_foretells": [{"ratio": 0.5, "spearman": 0.75}],
        "gates": [_gate("l1", "apoz", 0.125, met=True), _gate("l1", "l2", 0.875, met=False)],
        "remarks": [f"l1 and l2 choose the same filters in {HOSTILE}", "apoz has no contrast"],
    }
    return {key: value for key, value in {**document, **changed}.items() if value is not None}


def _distribution(name, verdict):
    figures = {"normal_share": 0.125, "mean_over_std": 1e-7, "variance_cv": 1.25, "variance_cv_excess": 0.5}
    further = {"variance_cv_expected": 0.75, "skew": 2.0, "abs_skew": 2.5, "excess_kurtosis": 3.0}
    return {"name": name, "filters": 16, "dimension": 144, "verdict": verdict, **figures, **further}


def _gate(a, b, value, *, met):
    return {"metric": "jaccard", "limit": 0.8, "a": a, "b": b, "value": value, "met": met, "ratio": 0.5}


GRAPH = {
    "groups": [
        {
            "name": HOSTILE,
            "channels": 16,
            "members": [
                {"layer": HOSTILE, "axis": 0, "role": "makes"},
                {"layer": "layer1.conv2", "axis": 0, "role": "makes"},
                {"layer": "bn1", "axis": 0, "role": "follows"},
                {"layer": "layer1.conv1", "axis": 1, "role": "reads"},
                {"layer": "linear", "axis": 1, "role": "reads"},
            ],
            "prunable": True,
            "reason": None,
            "coupled_by": [{"how": "sum", "where": ["layer1"]}],
        },
        {
            "name": "layer1.conv1",
            "channels": 8,
            "members": [
                {"layer": "layer1.conv1", "axis": 0, "role": "makes"},
                {"layer": "layer1.conv2", "axis": 1, "role": "reads"},
            ],
            "prunable": True,
            "reason": None,
            "coupled_by": [],
        },
        {
            "name": "linear",
            "channels": 10,
            "members": [{"layer": "linear", "axis": 0, "role": "makes"}],
            "prunable": False,
            "reason": "an output of the network",
            "coupled_by": [],
        },
        {
            "name": f"{HOSTILE}#2",
            "channels": 1,
            "members": [{"layer": HOSTILE, "axis": 1, "role": "reads"}],
            "prunable": False,
            "reason": "convolves a fixed dimension",
            "coupled_by": [],
        },
    ],
    "flow": [
        {"layer": HOSTILE, "type": "Conv2d", "channels": 16, "reads": [f"{HOSTILE}#2"], "makes": [HOSTILE]},
        {
            "layer": "layer1.conv1",
            "type": "Conv2d",
            "channels": 8,
            "reads": [HOSTILE],
            "makes": ["layer1.conv1"],
        },
        {
            "layer": "layer1.conv2",
            "type": "Conv2d",
            "channels": 16,
            "reads": ["layer1.conv1"],
            "makes": [HOSTILE],
        },
        {"layer": "linear", "type": "Linear", "channels": 10, "reads": [HOSTILE], "makes": ["linear"]},
    ],
}
"""The channel graph of a residual block, whose stream has the hostile name."""


def inspected(**changed):
    """The document of `inspect` with every key that it can have; a key that is None is left out."""
    document = {
        "schema": "prunecli.inspect/1",
        "version": "0.1.0",
        "path": f"models/{HOSTILE}.pt",
        "kind": "torch zip",
        "architecture": {"name": "cifar/resnet20", "confidence": 1.0, "arguments": {"num_classes": 10}},
        "input_shape": [3, 32, 32],
        "dtype": "float32",
        "params": 1234,
        "macs": 56789,
        "bytes": 5000,
        "sha256": "ab12" * 16,
        "thop": {"params": 1234, "macs": 57000},
        "differences": ["thop adds 211 MACs for norms"],
        "layers": [{"name": HOSTILE, "type": "Conv2d", "channels": 16}],
        **GRAPH,
        "widths": {"multiple": 16, "measured": False, "slow": ["layer1.conv1"]},
        "problems": [f"no coupling rule for {HOSTILE}"],
    }
    return {key: value for key, value in {**document, **changed}.items() if value is not None}


def sensitive(**changed):
    """The document of `sensitivity` of three groups, one without points."""

    def points(*accuracies):
        return [
            {
                "ratio": ratio,
                "removed": 8 * place,
                "macs": 0.5,
                "loss": 10 - accuracy / 10,
                "accuracy": accuracy,
            }
            for place, (ratio, accuracy) in enumerate(zip((0.5, 0.9), accuracies, strict=True), 1)
        ]

    groups = [
        {"name": "layer1.conv1", "channels": 16, "points": points(97.0, 90.0), "reason": None},
        {"name": HOSTILE, "channels": 16, "points": points(52.5, 10.0), "reason": None},
        {"name": "tiny", "channels": 1, "points": [], "reason": "it has too few channels"},
    ]
    document = {
        "schema": "prunecli.sensitivity/1",
        "version": "0.1.0",
        "origin": {
            "path": None,
            "criterion": "l2",
            "ratios": [0.5, 0.9],
            "data": "digits",
            "images": 136,
            "seed": 0,
        },
        "before": {"loss": 0.125, "accuracy": 97.5},
        "groups": groups,
        "output": None,
    }
    return {**document, **changed}


def benched(**changed):
    """The document of `bench` of two networks in two settings."""

    def model(path, macs, median):
        latency = {"median": median, "p10": 0.9 * median, "p90": 1.25 * median}
        figures = {"images_per_second": 1000 / median, "peak_memory_bytes": None}
        return {"path": path, "macs": macs, "params": 100, "latency_ms": latency, **figures}

    def setting(batch):
        models = [model(f"{HOSTILE}.pt", 800, 4.0 * batch), model("small.pt", 400, 2.5 * batch)]
        ratio = {"latency": 1.6, "interval": [1.5, 1.75], "macs": 2.0, "latency_of_macs": 0.8}
        ratios = [{"a": f"{HOSTILE}.pt", "b": "small.pt", **ratio}]
        return {
            "backend": "eager",
            "threads": 2,
            "batch": batch,
            "rounds": 9,
            "models": models,
            "ratios": ratios,
        }

    runs = [setting(1), setting(16)]
    document = {
        "schema": "prunecli.bench/1",
        "version": "0.1.0",
        "device": "cpu",
        **{key: runs[0][key] for key in ("backend", "threads", "batch", "models", "ratios")},
        "dtype": None,
        "memory_kept": False,
        "machine": {"device": "cpu", "processor": "a processor"},
        "runs": runs,
    }
    return {**document, **changed}


def scored(**changed):
    """The document of `score`; the criteria part in the layer with the hostile name."""
    layers = [
        {
            "name": "conv1",
            "type": "Conv2d",
            "filters": 4,
            "scores": {"l1": [1.0, 2.0, 3.0, 4.0], "l2": [1.0, 2.0, 3.0, 5.0], "apoz": None},
        },
        {
            "name": HOSTILE,
            "type": "Conv2d",
            "filters": 4,
            "scores": {"l1": [1.0, 2.0, 3.0, 4.0], "l2": [4.0, 3.0, 2.0, 1.0], "apoz": [0.0, 0.0, 0.0, 0.0]},
        },
    ]
    document = {
        "schema": "prunecli.score/1",
        "version": "0.1.0",
        "checkpoint": CHECKPOINT,
        "criteria": CRITERIA,
        "scope": "local",
        "data": None,
        "layers": layers,
        "groups": [{"name": HOSTILE, "channels": 4, "scores": layers[1]["scores"]}],
        "graph": GRAPH,
        "output": None,
    }
    return {**document, **changed}


def _epoch(number, train_loss, loss, accuracy):
    speed = {"seconds": 1.5, "images_per_second": 1234.5}
    return {
        "epoch": number,
        "lr": 0.05,
        "train_loss": train_loss,
        "loss": loss,
        "accuracy": accuracy,
        **speed,
    }


def finetuned(**changed):
    """The document of `finetune` with every key that it can have; a key that is None is left out."""
    document = {
        "schema": "prunecli.finetune/1",
        "version": "0.1.0",
        "checkpoint": CHECKPOINT,
        "data": "digits",
        "teacher": {"path": "dense.pt", "sha256": "cd34" * 16},
        "settings": {
            "epochs": 5,
            "optimiser": "sgd",
            "lr": 0.05,
            "nesterov": True,
            "clip": None,
            "mixup": 0.0,
            "freeze": ["stem*", HOSTILE],
            "distill": 0.5,
        },
        "epochs": 3,
        "stopped_early": True,
        "best": {"epoch": 2, "accuracy": 87.5},
        "before": {"accuracy": 11.0, "loss": 4.25},
        "recalibrated": {"accuracy": 61.5, "loss": 1.125},
        "after": {"accuracy": 86.25, "loss": 0.4567},
        "history": [
            _epoch(1, 1.5, 1.25, 75.0),
            _epoch(2, 0.5, 0.625, 87.5),
            _epoch(3, 0.25, 0.75, 87.25),
        ],
        "output": {"path": "tuned.safetensors", "sha256": "ef" * 32, "bytes": 1300},
        "notes": [f"read {HOSTILE}.pt"],
    }
    return {key: value for key, value in {**document, **changed}.items() if value is not None}


def pruned(**changed):
    """The document of `prune` with every key that it can have; a key that is None is left out."""
    document = {
        "schema": "prunecli.prune/1",
        "version": "0.1.0",
        "checkpoint": {"path": f"{HOSTILE}.pt", "sha256": "ab12" * 16, "architecture": "digits/resnet8"},
        "strategy": "iterative",
        "criterion": "l2",
        "scope": "global",
        "ratio": None,
        "seed": 7,
        "target": {
            "kind": "macs",
            "asked": "macs=0.5",
            "before": 800,
            "limit": 400.0,
            "after": 398,
            "share": 0.4975,
            "met": True,
        },
        "before": {"params": 100, "macs": 800, "flops": 1600, "bytes": 400},
        "after": {"params": 40, "macs": 398, "flops": 796, "bytes": 160},
        "layers": [
            {"name": HOSTILE, "type": "Conv2d", "before": 16, "after": 8, "removed": [*range(8)]},
            {"name": "linear", "type": "Linear", "before": 10, "after": 10, "removed": []},
        ],
        "protected": [{"name": "linear", "reason": "an output of the network"}],
        "graph": GRAPH,
        "data": "digits",
        "rules": [{"group": HOSTILE, "rule": "7 kept channels rounded up to 8"}],
        "widths": {"multiple": 16, "measured": True, "slow": [HOSTILE]},
        "bites": [{"ratio": 0.25, "epochs": 1}, {"ratio": 0.5, "epochs": 2}],
        "history": [
            {"epoch": 1, "lr": 0.05, "train_loss": 1.5, "loss": 1.25, "accuracy": 75.0},
            {"epoch": 1, "lr": 0.05, "train_loss": 0.5, "loss": 0.625, "accuracy": 87.5},
        ],
        "accuracy": {"before": 97.5, "cut": 20.0, "after": 95.0},
        "verification": {
            "method": "masked original",
            "max_abs_error": 1e-15,
            "max_rel_error": 2e-16,
            "tolerance": 1e-9,
            "equivalent": True,
        },
        "seconds": {"trace": 0.5, "verify": 1.25},
        "output": {"path": "small.safetensors", "sha256": "ef56" * 16, "bytes": 1234},
    }
    return {key: value for key, value in {**document, **changed}.items() if value is not None}
