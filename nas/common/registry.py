"""A named table of components that refuses duplicates and names the valid choices."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from nas.common.errors import InputError

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Components by name, in order of registration. Filled by explicit ``add`` calls only."""

    def __init__(self, kind: str, reserved: Collection[str] = ()) -> None:
        self._kind = kind
        self._reserved = reserved
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register ``item`` under ``name`` and return it.

        Raises:
            InputError: ``name`` is taken already.
        """
        if name in self._items or name in self._reserved:
            raise InputError(f"a {self._kind} named '{name}' is registered already; choose another")
        self._items[name] = item
        return item

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            choices = ", ".join(self._items)
            raise InputError(
                f"there is no {self._kind} '{name}'; choose one of {choices}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
