"""YAML as people write settings: a few lines of references cannot stand for gigabytes."""

from __future__ import annotations

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
                fault = f"{key.value!r} stands there twice"
                raise yaml.composer.ComposerError(None, None, fault, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > _MOST:
            raise yaml.YAMLError("its references stand for more than a file of settings can hold")
        return node


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


def _size(node: Any, known: dict[int, int]) -> int:
    """Number of values below a node, those of references counted wherever they stand."""
    if id(node) not in known:
        known[id(node)] = _MOST + 1  # until it is known: one that holds itself has no end
        children = node.value if not isinstance(node, yaml.ScalarNode) else ()
        flat = (
            part for child in children for part in (child if type(child) is tuple else (child,))
        )
        known[id(node)] = 1 + sum(_size(part, known) for part in flat)
    return known[id(node)]
