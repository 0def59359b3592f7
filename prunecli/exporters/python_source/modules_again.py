"""Operators of an exported program as the modules and tensors of the network that they came from."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prunecli.exporters.python_source.parts import constructor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import fx, nn


def with_attributes(graph: fx.Graph, paths: Mapping[str, str]) -> None:
    """Put tensors of the network where placeholders of the program stand for them; `paths` by name."""
    for node in list(graph.nodes):
        if node.op == "placeholder" and node.name in paths:
            with graph.inserting_after(node):
                own = graph.get_attr(paths[node.name])
            node.replace_all_uses_with(own)
            graph.erase_node(node)


def with_calls(graph: fx.Graph, model: nn.Module) -> None:
    """Put a call of a standard module where an operator is all that the module does, and does it once."""
    modules = dict(model.named_modules(remove_duplicate=False))
    places = {node: place_of(node, modules) for node in graph.nodes if node.op == "call_function"}
    operations = Counter(places.values())
    makeable = {
        path for path, count in operations.items() if count == 1 and path and constructor(modules[path])
    }
    for node, path in places.items():
        read = [each for each in node.all_input_nodes if each.op != "get_attr"]
        own = [each for each in node.all_input_nodes if each.op == "get_attr"]
        foreign = any(str(each.target).rpartition(".")[0] != path for each in own)
        if path not in makeable or len(read) != 1 or foreign:
            continue
        with graph.inserting_before(node):
            call = graph.call_module(path, (read[0],))
        call.meta = node.meta
        node.replace_all_uses_with(call)
        graph.erase_node(node)


def place_of(node: fx.Node, modules: Mapping[str, Any]) -> str:
    """The path of the innermost module that an operation was issued by; nothing for the network itself."""
    if node.op == "call_module":
        return str(node.target).rpartition(".")[0]
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(each[0] if isinstance(each, tuple) else each) for each in stack.values()]
    path = paths[-1].removeprefix("L['self']").strip(".") if paths else ""
    return path if path in modules else ""
