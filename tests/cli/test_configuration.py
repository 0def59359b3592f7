"""Where an option's value comes from: flag, environment, configuration, default."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def configured(tmp_path, monkeypatch):
    """A folder two levels below a pyproject.toml with the given text."""

    def write(text: str, name: str = "pyproject.toml"):
        (tmp_path / name).write_text(text)
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(below)
        return below

    return write


def test_flag_wins_over_environment_over_configuration_over_default(cli, workflows, configured, monkeypatch):
    def seed(*arguments):
        assert cli("score", "m.pt", *arguments).code == 0
        return workflows["score"].given["seed"]

    assert seed() == 0
    configured("[tool.prunecli]\nseed = 1\n")
    assert seed() == 1
    monkeypatch.setenv("PRUNECLI_SEED", "2")
    assert seed() == 2
    assert seed("--seed", "3") == 3


def test_the_checkpoint_is_taken_relative_to_its_file_and_told(cli, workflows, configured):
    configured('[tool.prunecli]\ncheckpoint = "models/m.safetensors"\n')
    outcome = cli("inspect")
    taken = os.path.join("..", "..", "models", "m.safetensors")  # noqa: PTH118 - the text that is shown
    assert workflows["inspect"].opening.checkpoint == taken
    assert f"checkpoint: {taken} (from [tool.prunecli] of ../../pyproject.toml)" in outcome.err
    assert "checkpoint:" not in cli("inspect", "-q").err
    assert "checkpoint:" not in cli("inspect", "other.pt").err


def test_the_environment_may_name_the_checkpoint(cli, workflows, monkeypatch):
    monkeypatch.setenv("PRUNECLI_CHECKPOINT", "m.pt")
    outcome = cli("inspect")
    assert workflows["inspect"].opening.checkpoint == "m.pt"
    assert "checkpoint: m.pt (from PRUNECLI_CHECKPOINT)" in outcome.err


def test_nothing_configured_leaves_the_sample_to_the_workflow(cli, workflows):
    assert cli("inspect").code == 0
    assert workflows["inspect"].opening.checkpoint is None


def test_a_pyproject_without_the_table_is_passed_by(cli, workflows, configured):
    below = configured("[tool.prunecli]\nseed = 5\n")
    (below / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    cli("score", "m.pt")
    assert workflows["score"].given["seed"] == 5


def test_prunecli_toml_wins_in_its_folder(cli, workflows, configured):
    configured("[tool.prunecli]\nseed = 5\n")
    configured("seed = 6\n", "prunecli.toml")
    cli("score", "m.pt")
    assert workflows["score"].given["seed"] == 6


def test_lists_switches_and_numbers(cli, workflows, configured):
    configured(
        "[tool.prunecli]\n"
        'criteria = ["l1", "fpgm"]\nprotect = "conv1"\nratio = 0.25\nbatch-size = 32\nlr = 0.5\n'
        'force = true\ninput-shape = [3, 8, 8]\nlayer-ratio = ["a=0.5"]\nformat = "json"\n'
    )
    assert cli("score", "m.pt").out.startswith("{")
    assert workflows["score"].given["criteria"] == ("l1", "fpgm")
    assert cli("prune", "m.pt", "--criterion", "l2").code == 0
    given = workflows["prune"].given
    assert (given["ratio"], given["training"].batch_size, given["training"].lr) == (0.25, 32, 0.5)
    assert (given["protect"], given["force"], given["layer_ratio"]) == (("conv1",), True, {"a": 0.5})
    assert workflows["prune"].opening.input_shape == (3, 8, 8)


def test_a_configured_format_gives_way_to_the_command_line(cli, workflows, configured):
    configured('[tool.prunecli]\nformat = "csv"\n')
    assert cli("evaluate", "m.pt").out.startswith("accuracy,")
    assert cli("evaluate", "m.pt", "--json").out.startswith("{")
    assert cli("evaluate", "m.pt", "-q").out == ""
    configured("[tool.prunecli]\njson = true\n")
    assert cli("evaluate", "m.pt").out.startswith("{")
    assert cli("evaluate", "m.pt", "--format", "csv").out.startswith("accuracy,")
    configured('[tool.prunecli]\njson = true\nformat = "csv"\n')
    assert cli("evaluate", "m.pt").out.startswith("{")


def test_an_unknown_key_is_refused_with_the_nearest(cli, workflows, configured):
    configured("[tool.prunecli]\nrato = 0.5\n")
    outcome = cli("inspect", "m.pt")
    assert outcome.code == 2
    assert outcome.err.splitlines()[:2] == [
        "error: unknown key 'rato' in [tool.prunecli] of ../../pyproject.toml",
        "  did you mean 'ratio'?",
    ]
    assert not workflows["inspect"].calls


@pytest.mark.parametrize("key", ["trust-pickle", "trust_pickle"])
def test_trust_is_never_configured(cli, workflows, configured, monkeypatch, key):
    configured(f'[tool.prunecli]\n{key} = "{"ab" * 32}"\n')
    assert cli("inspect", "m.pt").code == 2
    configured("[tool.prunecli]\n")
    monkeypatch.setenv("PRUNECLI_TRUST_PICKLE", "ab" * 32)
    assert cli("inspect", "m.pt").code == 0
    assert workflows["inspect"].opening.trust_pickle is None


@pytest.mark.parametrize(
    "line", ['model = "net.py:build"', 'data = "set.py:make"', 'data = "own:set.py:make"', 'resume = "a.run"']
)
def test_what_runs_code_or_belongs_to_one_run_is_never_configured(cli, workflows, configured, line):
    configured(f"[tool.prunecli]\n{line}\n")
    outcome = cli("evaluate", "m.pt")
    assert outcome.code == 2
    assert "cannot be set in [tool.prunecli] of ../../pyproject.toml" in outcome.err
    assert not workflows["evaluate"].calls


def test_data_by_the_name_of_its_source_is_configured(cli, workflows, configured):
    configured('[tool.prunecli]\ndata = "torchvision:CIFAR10"\n')
    assert cli("evaluate", "m.pt").code == 0
    assert workflows["evaluate"].given["data"] == "torchvision:CIFAR10"


def test_a_wrong_value_says_where_it_stands(cli, workflows, configured, monkeypatch):
    configured("[tool.prunecli]\nratio = 7\n")
    assert "not '7' (in [tool.prunecli] of ../../pyproject.toml)" in cli("prune", "m.pt").err
    monkeypatch.setenv("PRUNECLI_RATIO", "8")
    assert "not '8' (in PRUNECLI_RATIO)" in cli("prune", "m.pt").err


def test_a_switch_of_the_environment(cli, workflows, monkeypatch):
    for text, value in {"1": True, "yes": True, "off": False}.items():
        monkeypatch.setenv("PRUNECLI_EMA", text)
        assert cli("inspect", "m.pt").code == 0
        assert workflows["inspect"].opening.ema is value
    monkeypatch.setenv("PRUNECLI_EMA", "perhaps")
    outcome = cli("inspect", "m.pt")
    assert outcome.code == 2
    assert outcome.err == "error: --ema takes yes or no, not 'perhaps' (in PRUNECLI_EMA)\n"


def test_broken_toml_and_tables_are_refused(cli, workflows, configured):
    configured("[tool.prunecli\n")
    outcome = cli("inspect", "m.pt")
    assert outcome.code == 2
    assert "pyproject.toml is no valid TOML" in outcome.err
    configured("[tool.prunecli.seed]\na = 1\n")
    assert cli("score", "m.pt").code == 2


def test_help_does_not_care_about_the_configuration(cli, configured):
    configured("[tool.prunecli\n")
    assert cli("prune", "--help").code == 0
    assert cli("--help").code == 0


def test_data_folders_are_relative_to_their_file_and_names_are_not(cli, workflows, configured, tmp_path):
    (tmp_path / "images").mkdir()
    for given, taken in {
        "images": os.path.join("..", "..", "images"),  # noqa: PTH118
        "digits": "digits",
        "torchvision:CIFAR10:cifar": "torchvision:CIFAR10:../../cifar",
    }.items():
        configured(f'[tool.prunecli]\ndata = "{given}"\n')
        cli("evaluate", "m.pt")
        assert workflows["evaluate"].given["data"] == taken
