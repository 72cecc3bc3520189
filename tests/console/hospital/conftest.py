"""One hospital with invented vital signs, and its window without a guard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from aegis.console.hospital.app import hospital_app
from aegis.console.hospital.desk import HospitalDesk
from aegis.console.people.book import Book
from aegis.console.people.roles import Person, Role
from aegis.console.people.two_persons import Proposals
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.policies import strict
from aegis.tasks.vitals_sample import write_samples
from tests.console.asking import Asking

ANA = Person("ana", frozenset({Role.PRIVACY_OFFICER, Role.HOSPITAL_OPERATOR}), "north")
BEN = Person("ben", frozenset({Role.PRIVACY_OFFICER}), "north")
OTTO = Person("otto", frozenset({Role.HOSPITAL_OPERATOR}), "north")
VERA = Person("vera", frozenset({Role.VIEWER}), "north")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 rows of invented vital signs."""
    files, _ = write_samples(tmp_path_factory.mktemp("vitals"), 1, 150, 16)
    return Path(files[0])


@pytest.fixture
def north(tmp_path: Path, sample: Path) -> HospitalFolder:
    folder = HospitalFolder(tmp_path / "north", "north")
    policy = replace(strict("vitals"), epsilon_total=4.0)
    init(folder, Registered("vitals", str(sample)), policy_text("north", policy))
    return folder


@pytest.fixture
def desk(north: HospitalFolder) -> Iterator[HospitalDesk]:
    found = HospitalDesk(north, north.identity())
    yield found
    found.training.wait(30)
    found.close()


class _Door:
    """As much of the real one as the pages of a hospital ask."""

    def __init__(self, desk: HospitalDesk) -> None:
        self.book = Book(desk.folder.root)

        def tell(event: object) -> None:
            desk.acts.record(desk.signer().signing, "two people", str(getattr(event, "what", "")))

        self.proposals = Proposals(self.book, tell)


class Browser(Asking):
    """Asks as a browser does: for pages."""

    def request(self, method: str, path: str, **said: Any) -> httpx.Response:
        headers = {"Accept": "text/html", **said.pop("headers", {})}
        return super().request(method, path, headers=headers, **said)


@pytest.fixture
def window(desk: HospitalDesk) -> Iterator[Callable[..., Browser]]:
    """A browser for each person who is logged in."""
    app = hospital_app(desk)
    app.state.door = _Door(desk)
    yield partial(Browser, app)
    app.state.door.book.close()
