"""A traced graph as the lines of a forward pass, with few names: one is free again after its last use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from prunecli.exporters.python_source.expressions import DEVICE, NotPrintable, call, literal
from prunecli.exporters.python_source.modules_again import place_of
from prunecli.exporters.python_source.parts import path_expression
from prunecli.exporters.python_source.tracing import Traced

if TYPE_CHECKING:
    from torch import fx, nn

A_DEVICE = re.compile(rf"(?<![.\w]){DEVICE}(?!=)")
LETTERS = ("x", "y", "z", "u", "v", "w")


class Forward:
    """The arguments and the lines of `forward`, and the paths of modules that are called in it."""

    def __init__(self, traced: Traced, model: nn.Module) -> None:
        self._modules = dict(model.named_modules(remove_duplicate=False))
        self._names: dict[fx.Node, str] = {}
        self._own: set[fx.Node] = set()  # nodes whose names this file chose
        self._free: list[str] = []
        self._count = 0
        self.arguments: list[str] = []
        self.called: set[str] = set()
        nodes = list(traced.graph.nodes)
        self._last = self._last_uses(nodes)
        self.lines = list(self._written(nodes))
        if any(A_DEVICE.search(line) for line in self.lines):
            self.lines.insert(0, f"{DEVICE} = {self.arguments[0]}.device")

    def _last_uses(self, nodes: list[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
        """Node → those whose value nobody reads after it."""
        last: dict[fx.Node, fx.Node] = {}
        for node in nodes:
            for read in (*node.all_input_nodes, node):
                last[read] = node
        ends: dict[fx.Node, list[fx.Node]] = {}
        for read, end in last.items():
            ends.setdefault(end, []).append(read)
        return ends

    def _written(self, nodes: list[fx.Node]) -> Iterator[str]:
        part = ""
        for node in nodes:
            if node.op == "output":
                yield f"return {literal(node.args[0], self._name_of)}"
                return
            if self._is_named(node):
                continue
            text = self._expression(node)
            where = place_of(node, self._modules)
            if where != part:
                part = where
                if part:
                    yield f"# {part}"
            for ended in self._last.get(node, []):
                if ended is not node and ended in self._own:
                    self._free.append(self._names[ended])
            name = self._new_name()
            self._names[node] = name
            self._own.add(node)
            if node in self._last.get(node, []):
                self._free.append(name)
            yield f"{name} = {text}"

    def _is_named(self, node: fx.Node) -> bool:
        """Whether a node is an input or a tensor of the network, which need no line."""
        if node.op == "get_attr":
            target = str(node.target)
            self._names[node] = path_expression(target)
            return True
        if node.op != "placeholder":
            return False
        self._names[node] = str(node.target)
        self.arguments.append(str(node.target))
        return True

    def _expression(self, node: fx.Node) -> str:
        if node.op == "call_module":
            self.called.add(str(node.target))
            return self._call(path_expression(str(node.target)), node)
        if node.op == "call_method":
            own, *rest = node.args
            return self._call(f"{literal(own, self._name_of)}.{node.target}", node, tuple(rest))
        return call(node.target, node.args, node.kwargs, self._name_of)

    def _call(self, function: str, node: fx.Node, args: tuple[Any, ...] | None = None) -> str:
        given = [literal(each, self._name_of) for each in (node.args if args is None else args)]
        given += [f"{name}={literal(each, self._name_of)}" for name, each in node.kwargs.items()]
        return f"{function}({', '.join(given)})"

    def _name_of(self, value: Any) -> str | None:
        from torch import fx

        if not isinstance(value, fx.Node):
            return None
        if value not in self._names:
            raise NotPrintable(f"{value.name} is read and was not written")
        return self._names[value]

    def _new_name(self) -> str:
        if self._free:
            self._free.sort(key=lambda name: (len(name), LETTERS.index(name.split("_")[0])))
            return self._free.pop(0)
        while True:
            number, letter = divmod(self._count, len(LETTERS))
            self._count += 1
            name = LETTERS[letter] + (f"_{number}" if number else "")
            if name not in self.arguments:
                return name
