"""A model card: front matter that YAML reads, from the document of the report."""

from __future__ import annotations

import pytest
import yaml
from reports.documents import COMMAND, FACTS, HOSTILE, finetuned, pruned

from prunecli.errors import WrongUse
from prunecli.reports.card import card, check_card, write_card


def matter_of(document, **more):
    text = card(document, command=COMMAND, facts=FACTS, **more)
    _, matter, body = text.split("---\n", 2)
    return yaml.safe_load(matter), body


def test_a_pruning_has_tags_a_base_and_its_figures():
    matter, body = matter_of(pruned(), base_model="owner/resnet8")
    assert matter["library_name"] == "prunecli"
    assert matter["tags"] == ["prunecli", "pruning", "structured-pruning", "resnet8", "iterative", "l2"]
    assert matter["base_model"] == "owner/resnet8"
    assert matter["pipeline_tag"] == "image-classification"
    [model] = matter["model-index"]
    [result] = model["results"]
    assert model["name"] == "small"
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "digits", "type": "digits"}
    assert {each["type"]: each["value"] for each in result["metrics"]} == {
        "accuracy": 95.0,
        "macs": 398,
        "params": 40,
        "bytes": 160,
    }
    assert body.lstrip().startswith("# small\n")
    assert 'model = prunecli.load("small.safetensors")' in body


def test_a_training_has_its_accuracy():
    matter, _ = matter_of(finetuned())
    [metric] = matter["model-index"][0]["results"][0]["metrics"]
    assert (metric["type"], metric["value"]) == ("accuracy", 86.25)
    assert "base_model" not in matter


def test_without_an_accuracy_there_is_no_index():
    matter, body = matter_of(pruned(accuracy=None))
    assert not {"model-index", "pipeline_tag"} & set(matter)
    assert "50.2 % of the MACs" in body


@pytest.mark.parametrize("name", ['a: "b"\n- c', "---", HOSTILE, "\x1b[31m", "é"])
def test_any_name_is_a_value_and_no_mark(name):
    matter, _ = matter_of(pruned(data=name, output={"path": f"{name}.safetensors"}))
    dataset = matter["model-index"][0]["results"][0]["dataset"]
    assert dataset["name"] in (name, name.encode("unicode_escape").decode())


def test_a_card_is_markdown_and_kept_without_force(tmp_path):
    with pytest.raises(WrongUse, match="names no model card"):
        check_card("card.html")
    path = tmp_path / "README.md"
    write_card(str(path), pruned(), command=COMMAND, facts=FACTS)
    assert path.read_text().startswith('---\nlibrary_name: "prunecli"\n')
    with pytest.raises(WrongUse):
        write_card(str(path), pruned(), command=COMMAND, facts=FACTS)
