"""Every route of an app, also of what was included in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, routing

from aegis.console.people.rights import PUBLIC, Right, declared


@dataclass(frozen=True)
class Route:
    """``path`` with its parameters in braces; ``methods`` in capitals; ``described`` whether
    OpenAPI has it."""

    path: str
    methods: tuple[str, ...]
    rights: frozenset[Right]
    described: bool

    @property
    def public(self) -> bool:
        below = tuple(one for one in PUBLIC if one.endswith("/"))
        return self.path in PUBLIC or self.path.startswith(below)


def routes_of(app: FastAPI) -> Iterator[Route]:
    for one in _flat(app.routes):
        yield Route(
            str(getattr(one, "path_format", None) or getattr(one, "path", "?")),
            tuple(sorted(getattr(one, "methods", None) or ())),
            declared(one),
            bool(getattr(one, "include_in_schema", False)),
        )


def _flat(routes: Sequence[Any]) -> Iterator[Any]:
    # Newer releases of FastAPI keep an included router whole and have this to look into it.
    contexts = getattr(routing, "iter_route_contexts", None)
    yield from contexts(routes) if contexts is not None else routes
