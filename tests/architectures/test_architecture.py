"""The architecture as JSON."""

from __future__ import annotations

import json

import pytest

from prunecli.architectures import Architecture, resolve
from prunecli.errors import InputRefused


def test_document_goes_through_json_and_back():
    architecture = resolve("cifar/resnet20", arguments={"widths": [8, 16, 32]})
    assert Architecture.from_document(json.loads(json.dumps(architecture.document()))) == architecture


def test_source_and_short_name():
    architecture = Architecture("file/sub/net.py:make")
    assert (architecture.source, architecture.short_name) == ("file", "sub/net.py:make")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"name": "resnet20", "arguments": {}, "input_shape": [3, 32, 32]},
        {"name": "cifar/resnet20", "arguments": {}, "input_shape": []},
        {"name": "cifar/resnet20", "arguments": {}, "input_shape": [3, 0, 32]},
        {"name": "cifar/resnet20", "arguments": 3, "input_shape": [3, 32, 32]},
    ],
)
def test_other_documents_are_refused(document):
    with pytest.raises(InputRefused, match="not the description"):
        Architecture.from_document(document)
