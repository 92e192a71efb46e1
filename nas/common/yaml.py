"""YAML settings files: safe to load, with errors that name the line."""

from __future__ import annotations

import reprlib
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"
"""The tag of ``<<``, which may repeat."""


class _SettingsLoader(yaml.SafeLoader):
    """Refuses repeated keys, and nested references, which can stand for gigabytes."""

    anchored = False

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if self.anchored and self.check_event(yaml.AliasEvent):
            raise _fault("a referenced value holds a reference", event.start_mark)
        before, self.anchored = self.anchored, self.anchored or bool(event.anchor)
        node = super().compose_node(parent, index)
        self.anchored = before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in keys:
                    raise _fault(f"{key.value!r} occurs twice", key.start_mark)
                keys.add(key.value)
        return node

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as fault:
            kind = node.tag.rpartition(":")[2]
            raise _fault(
                f"{reprlib.repr(node.value)} is not a valid {kind}", node.start_mark
            ) from fault


def load_plain(text: str) -> Any:
    """Return what a YAML text holds: mappings, lists, strings, numbers, dates.

    Raises:
        ValueError: it is not YAML, repeats a key, nests references, or is nested too deep.
    """
    try:
        return yaml.load(text, Loader=_SettingsLoader)
    except yaml.MarkedYAMLError as fault:
        line = f", line {fault.problem_mark.line + 1}" if fault.problem_mark else ""
        raise ValueError(f"{fault.problem}{line}") from fault
    except RecursionError as fault:
        raise ValueError("it is nested too deep") from fault
    except yaml.YAMLError as fault:
        raise ValueError(" ".join(str(fault).split())) from fault


def _fault(problem: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
