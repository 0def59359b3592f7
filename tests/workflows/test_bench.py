"""`bench` on the samples: every figure of the document, several settings, and what cannot be timed."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from prunecli.checkpoints import sample_models
from prunecli.errors import WrongUse
from prunecli.latency.timing import Timing
from prunecli.workflows import bench as story
from prunecli.workflows import bench_memory
from prunecli.workflows.bench import BenchResult, BenchRun, Figures, bench
from prunecli.workflows.bench_memory import measured_here, peak_memory
from prunecli.workflows.bench_subjects import BenchSubject, Setting, open_subject
from prunecli.workflows.opening import Opening

RESNET, MOBILENET = (str(sample_models()[name]) for name in ("resnet8-digits", "mobilenet-digits"))


def openings(*paths, **settings):
    return [Opening(checkpoint=path, **settings) for path in paths]


def test_two_networks_in_two_settings():
    result = bench(openings(RESNET, MOBILENET), batch_sizes=(1, 3), threads=(1,), rounds=3, memory=False)
    document = result.document()
    assert [(run["batch"], run["threads"], run["rounds"]) for run in document["runs"]] == [
        (1, 1, 3),
        (3, 1, 3),
    ]
    assert {key: document[key] for key in ("device", "threads", "batch", "backend")} == {
        "device": "cpu",
        "threads": 1,
        "batch": 1,
        "backend": "eager",
    }
    resnet, mobilenet = document["models"]
    assert (resnet["path"], mobilenet["path"]) == (RESNET, MOBILENET)
    assert (resnet["macs"], resnet["params"]) == (763520, 77754)
    latency = resnet["latency_ms"]
    assert 0 < latency["p10"] <= latency["median"] <= latency["p90"]
    assert resnet["images_per_second"] == pytest.approx(1e3 / latency["median"])
    (ratio,) = document["ratios"]
    assert (ratio["a"], ratio["b"]) == (RESNET, MOBILENET)
    assert ratio["macs"] == resnet["macs"] / mobilenet["macs"]
    assert ratio["latency_of_macs"] == ratio["latency"] / ratio["macs"]
    assert document["models"] == document["runs"][0]["models"]


def test_settings_are_every_combination_in_order(monkeypatch):
    seen = []

    def timed(subjects, files, setting, **given):
        seen.append((setting.backend, setting.threads, setting.batch))
        return tuple(Timing((1.0, 1.0, 1.0)) for _ in subjects), 0.0

    monkeypatch.setattr(story, "_timed", timed)
    bench(
        openings(RESNET), backends=("channels-last", "eager"), threads=(1, 2), batch_sizes=(4,), memory=False
    )
    assert seen == [("channels-last", 1, 4), ("channels-last", 2, 4), ("eager", 1, 4), ("eager", 2, 4)]


def test_standard_input_is_one_of_them(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(Path(RESNET).read_bytes())))
    document = bench(openings("-"), rounds=1, memory=False).document()
    assert document["models"][0]["path"] == "-"
    assert document["models"][0]["macs"] == 763520
    with pytest.raises(WrongUse, match="one checkpoint"):
        bench(openings("-", "-"), rounds=1, memory=False)


def test_memory_is_that_of_a_process_of_its_own(tmp_path):
    subject = open_subject(Opening(checkpoint=RESNET))
    found = peak_memory(subject, Setting("eager", 1, 64), onnx=None, keep_memory=False)
    activations = 64 * 16 * 8 * 8 * 4  # what one layer makes, and another reads
    assert found is None or subject.weight_bytes + activations < found < 100 * 2**20


def test_memory_of_what_breaks_down_is_unknown(tmp_path):
    subject = BenchSubject(path="none", opening=Opening(checkpoint=str(tmp_path / "none.pt")), dtype=None)
    assert peak_memory(subject, Setting("eager", 1, 1), onnx=None, keep_memory=False) is None


def peak(batch):
    return measured_here(
        {
            "opening": {"checkpoint": RESNET},
            "setting": {"backend": "eager", "threads": 1, "batch": batch},
            "dtype": None,
            "onnx": None,
            "keep_memory": False,
        }
    )


def test_weights_count_and_what_the_run_adds(monkeypatch):
    monkeypatch.setattr(bench_memory, "resident_bytes", lambda: 100)
    monkeypatch.setattr(bench_memory, "peak_bytes", lambda: 150)
    monkeypatch.setattr(bench_memory, "forget_the_peak", lambda: True)
    assert peak(1) == 50 + open_subject(Opening(checkpoint=RESNET)).weight_bytes
    monkeypatch.setattr(bench_memory, "forget_the_peak", lambda: False)
    assert peak(1) is None


def test_the_peak_is_more_for_more_inputs():
    few, many = peak(1), peak(2048)
    assert few is None or many - few > 2048 * 16 * 8 * 8 * 4


def test_an_onnx_file_is_for_onnxruntime_only(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    with pytest.raises(WrongUse, match="runs in onnxruntime only, not by eager"):
        bench(openings(str(path)), rounds=1)
    with pytest.raises(WrongUse, match="has its types"):
        bench(openings(str(path)), backends=("onnxruntime",), dtype="fp16", rounds=1)


def result(first, second, *, share=0.0, kept=False):
    subject = BenchSubject(path="m", opening=Opening(), dtype=None, notes=("opened",))
    figures = tuple(Figures(subject, Timing(each), 1, None) for each in (first, second))
    return BenchResult("cpu", None, kept, (BenchRun(Setting("eager", 1, 1), figures, share),))


def test_quiet_figures_have_no_doubts():
    assert result((1.0,) * 5, (2.0,) * 5).notes == ("opened",)


def test_a_busy_machine_is_told():
    notes = result((1.0, 1.0, 2.0, 2.0), (2.0, 2.0, 4.0, 4.0)).notes
    assert len(notes) == 2
    assert "up to 2.0 times as long" in notes[1]


def test_unsure_ratios_are_told():
    _, note = result((1.0, 1.1, 1.2, 1.1), (1.0, 1.0, 1.0, 1.0)).notes
    assert "ratios are known within ±" in note


def test_time_for_the_system_is_told_unless_memory_is_kept():
    (_, note) = result((1.0,) * 3, (1.0,) * 3, share=0.4).notes
    assert "up to 40% of the processor time" in note
    assert result((1.0,) * 3, (1.0,) * 3, share=0.4, kept=True).notes == ("opened",)
