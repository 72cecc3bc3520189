"""YAML that is nested no deeper than a person would write it.

A reader of YAML takes time that grows with the square of the depth, so a few kilobytes of brackets
would hold it for seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml.composer import Composer
else:
    Composer = object

DEEPEST = 50


class Shallow(Composer):
    """To be put before a loader of PyYAML; ``RecursionError`` for what is nested deeper."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self._depth == DEEPEST:
            raise RecursionError(f"nested more than {DEEPEST} deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1
