"""Pictures of both consoles for the README: docs/screenshots/*.png (``make screenshots``).

A demonstration is run for real, with a comparison and an attack test, and another with noise; then
Chromium looks at the consoles that a person would open. Nothing on a picture is made up. Needs
AEGIS_DATA_DIR, where the four hospitals of the heart disease data are.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aegis.console.coordinator.opening import coordinator_window
from aegis.console.hospital.opening import hospital_window
from aegis.console.listening import Listening
from aegis.console.people.roles import Role
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.policies import strict
from aegis.plan import load_plan
from aegis.report.pdf import chromium
from aegis.simulation import local
from aegis.store.home import Home
from aegis.tasks.vitals_sample import write_samples

OUT = Path(__file__).parents[1] / "docs" / "screenshots"
MOST_BYTES, COLOURS = 200_000, 192
PASSWORD = "kettle orbit walnut pier"
# The demonstration as it is; and one that shows how hospitals compare, which masked ones do not.
PRIVATE = {
    "task": "breast_cancer",
    "privacy.mechanism": "distributed",
    "privacy.epsilon_budget": "1.0",
    "privacy.delta": "1e-5",
}
OPEN = {
    "task": "heart",
    "trust": "open",
    "federated.partition.by": "site",
    "federated.num_rounds": "24",
    "privacy.enabled": "false",
    "training.solver": "gradient",
    "training.learning_rate": "1.0",
}
PROPOSED = PRIVATE | {
    "task": "vitals",
    "federated.num_clients": "4",
    "training.solver": "gradient",
    "model.name": "logistic",
    "model.init": "zeros",
    "training.optimizer": "sgd",
    "training.learning_rate": "null",
    "training.schedule": "constant",
    "training.weight_decay": "0.0",
    "federated.num_rounds": "null",
    "evaluation.every": "0",
    "evaluation.keep": "last",
    "data.validation_fraction": "0.0",
}


def main(out: Path = OUT) -> int:
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as engine:
        root = Path(folder)
        private, shown = _runs(root / "data")
        browser = engine.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        with _coordinator(browser, root / "data") as taken:
            taken(f"/?run={shown}", out / "overview-1440-light.png", height=1150)
            taken(f"/?run={shown}", out / "overview-390-light.png", width=390, height=1150)
            taken(f"/clinical?run={shown}", out / "clinical-1440-light.png", height=1150)
            taken(f"/technical?run={shown}", out / "technical-1440-light.png", height=1150)
            taken(f"/technical?run={shown}", out / "technical-1440-dark.png", "dark", height=1150)
            taken(f"/privacy?run={private}", out / "privacy-1440-light.png", height=1150)
            taken("/training", out / "training-1440-light.png", height=1150)
        with _hospital(browser, root / "north") as (taken, plan):
            taken(f"/plans/{plan}", out / "hospital-plan-1440-light.png", height=1150)
        browser.close()
    for path in sorted(out.glob("*.png")):
        print(f"{path.relative_to(out.parents[1])}: {path.stat().st_size // 1000} kB")
    return 0


def _runs(root: Path) -> tuple[str, str]:
    """The names of a private run and of a later one that is compared."""
    names = []
    for said in (PRIVATE, OPEN):
        names.append(local.run(load_plan(None, said).plan, home=root).document["run"])
    return names[0], names[1]


@contextmanager
def _coordinator(browser: Any, root: Path) -> Iterator[Any]:
    with (
        coordinator_window(Home(root)) as window,
        Listening(window, "127.0.0.1", 0, None) as listening,
    ):
        accounts = window.door.accounts
        accounts.welcome(accounts.first_admin_link() or "", "root", PASSWORD)
        roles = [Role.RESEARCHER, Role.PRIVACY_OFFICER, Role.AUDITOR]
        yield _camera(browser, listening.url, accounts.add("mara", roles, "root"))


@contextmanager
def _hospital(browser: Any, root: Path) -> Iterator[tuple[Any, str]]:
    files, _ = write_samples(root.parent / "vitals", 1, 150, 16)
    folder = HospitalFolder(root, "north")
    init(folder, Registered("vitals", str(files[0])), policy_text("north", _policy()))
    with hospital_window(folder, folder.identity()) as window:
        plan = load_plan(None, PROPOSED).plan
        window.desk.decisions.refuses("20261122-101500-vitals-4f2a1c", plan)
        window.door.accounts.welcome(
            window.door.accounts.first_admin_link() or "", "root", PASSWORD
        )
        roles = [Role.HOSPITAL_OPERATOR, Role.PRIVACY_OFFICER]
        link = window.door.accounts.add("ana", roles, "root")
        with Listening(window, "127.0.0.1", 0, None) as listening:
            yield _camera(browser, listening.url, link), plan.sha256


def _policy() -> Any:
    from dataclasses import replace

    return replace(strict("vitals"), epsilon_total=4.0)


def _camera(browser: Any, base: str, link: str) -> Any:
    """``taken(path, file, scheme, width, height)``, by somebody who came in by ``link``."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{base}/welcome?token={link}")
    if page.get_by_label("Your name").count():
        page.get_by_label("Your name").fill("root")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("The same password again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password and sign in").click()
    kept = context.storage_state()
    context.close()

    def taken(
        path: str, file: Path, scheme: str = "light", width: int = 1440, height: int = 1100
    ) -> None:
        seen = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            storage_state=kept,
            device_scale_factor=2 if width < 500 else 1,
        )
        page = seen.new_page()
        page.goto(base + path)
        page.wait_for_timeout(1200)  # the stream is up
        file.write_bytes(small(page.screenshot()))
        seen.close()

    return taken


def small(shot: bytes) -> bytes:
    """The picture with few colours. Raises ``ValueError`` beyond 200 kB."""
    from PIL import Image

    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    if len(out.getvalue()) > MOST_BYTES:
        raise ValueError(f"a picture of {len(out.getvalue())} bytes, beyond {MOST_BYTES}")
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main())
