"""prunecli bench."""

from __future__ import annotations

from prunecli.cli import bench_options, options
from prunecli.cli.gathering import Drawing, Manner, Subjects
from prunecli.cli.pages import bench as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import flat

EXAMPLES = """
prunecli bench model.safetensors small.safetensors
prunecli bench model.safetensors small.safetensors --backend eager,channels-last,onnxruntime --batch-size 1,16
prunecli bench small.safetensors --threads 1,2,4 --json
prunecli bench model.safetensors small.safetensors --report latency.html
"""


def bench(
    subjects: Subjects,
    *,
    drawing: Drawing,
    manner: Manner,
    backend: bench_options.Backends = None,
    threads: bench_options.Threads = None,
    batch_size: bench_options.BatchSizes = None,
    dtype: bench_options.Dtype = None,
    seconds: bench_options.Seconds = 10.0,
    rounds: bench_options.Rounds = None,
    memory: bench_options.Memory = True,
    keep_memory: bench_options.KeepMemory = False,
    force: options.Force = False,
) -> None:
    """Measure latency, throughput and memory of one or more checkpoints, side by side."""
    from prunecli.workflows.bench import bench as work

    present(
        "bench",
        lambda progress: work(
            subjects.openings(),
            backends=flat(backend or ()) or bench_options.usual_backends(subjects.checkpoint or ()),
            threads=flat(threads or ()),
            batch_sizes=flat(batch_size or ()) or (1,),
            dtype=dtype,
            seconds=seconds,
            rounds=rounds,
            memory=memory,
            keep_memory=keep_memory,
            keep=drawing.keepsakes(force=force),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
    )
