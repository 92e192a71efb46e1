"""YAML as people write settings: a few lines of references cannot stand for gigabytes."""

from __future__ import annotations

import reprlib
from typing import Any

import yaml

_MOST = 100_000
"""Values in a file with its references written out: a thousand times what a recipe has."""


_MERGE = "tag:yaml.org,2002:merge"
"""The tag of ``<<``, which brings in what stands elsewhere."""


class _PlainLoader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if key.tag != _MERGE and isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise _fault(f"{key.value!r} stands there twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Compose what comes next; an anchor of its own must be new."""
        if not self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            if event.anchor in self.anchors:
                raise _fault(f"the anchor {event.anchor!r} stands there twice", event.start_mark)
        return super().compose_node(parent, index)

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None:
            _size(node, {})
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Make what a node says, which may be none of what it is called or looks like."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as fault:
            kind = node.tag.rpartition(":")[2]
            raise _fault(f"{reprlib.repr(node.value)} is no {kind}", node.start_mark) from fault


def load_plain(text: str) -> Any:
    """Return what a YAML text holds: mappings, lists, strings, numbers, dates.

    Raises:
        ValueError: it is no YAML, names a key twice, or is nested or refers to itself out of all
            reason.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as fault:
        where = f", line {fault.problem_mark.line + 1}" if fault.problem_mark else ""
        raise ValueError(f"{fault.problem}{where}") from fault
    except RecursionError as fault:
        raise ValueError("it is nested too deep") from fault
    except yaml.YAMLError as fault:
        raise ValueError(" ".join(str(fault).split())) from fault


def _fault(told: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=told, problem_mark=mark)


def _size(node: Any, known: dict[int, int | None]) -> int:
    """Number of values below a node, those of references counted wherever they stand.

    Raises:
        MarkedYAMLError: they are out of all reason, or have no end; says where.
    """
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise _fault("a value refers to itself", node.start_mark)
        return size
    known[id(node)] = None  # until it is known
    children = node.value if not isinstance(node, yaml.ScalarNode) else ()
    flat = (part for child in children for part in (child if type(child) is tuple else (child,)))
    size = 1 + sum(_size(part, known) for part in flat)
    if size > _MOST:
        told = "its references stand for more than a file of settings can hold"
        raise _fault(told, node.start_mark)
    known[id(node)] = size
    return size
