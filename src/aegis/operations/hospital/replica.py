"""One of several alike hospitals on one machine, as a container of a scaled service is.

Each takes the first place that no other process holds, AEGIS_HOME/hospitals/hospital_01 and so on,
and with it that place's keys, ledger and share of the task's public data; so identity and spent
budget outlive the process, however it is named and however often it is replaced. It makes itself,
enrols by the letterbox, and needs nobody to be there first.

For public data only: all places are owned by one user.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aegis.errors import AegisError, BadInput
from aegis.hospital.policy import Policy
from aegis.hospital.policy_file import sign_policy
from aegis.operations.hospital.folder import HospitalFolder, Registered, init, policy_text
from aegis.operations.hospital.joining import join
from aegis.operations.hospital.policies import for_public_data
from aegis.operations.letterbox import Letterbox
from aegis.store.home import held_alone, write_whole

MOST = 99
LOOK_S, AGAIN_S = 0.5, 3.0
Told = Callable[[str], None]


@contextmanager
def place(hospitals: Path) -> Iterator[tuple[int, HospitalFolder]]:
    """The first free place and its number, from 1, held until the end. Raises ``BadInput`` where
    all 99 are taken."""
    hospitals.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, MOST + 1):
        name = f"hospital_{number:02d}"
        held = held_alone(hospitals / f".{name}", lambda by: _Taken(by))
        try:
            held.__enter__()
        except _Taken:
            continue
        try:
            yield number, HospitalFolder(hospitals / name, name)
        finally:
            held.__exit__(None, None, None)
        return
    raise BadInput(f"all {MOST} places in {hospitals} are taken", way_out="Scale down")


def furnish(
    folder: HospitalFolder,
    registered: Registered,
    environment: Mapping[str, str],
    passphrase: str | None = None,
) -> None:
    """Make the hospital where it is none yet, and let its policy say what the environment says."""
    if not registered.demonstration:
        raise BadInput(
            "replicas hold public data only",
            way_out="Make a hospital of its own: aegis hospital init NAME",
        )
    text = policy_text(folder.name, policy_of(environment))
    if not (folder.root / "hospital.toml").exists():
        folder.policy.unlink(missing_ok=True)  # of a beginning that was cut short
        init(folder, registered, text, passphrase)
    if folder.policy.read_text(encoding="utf-8") != text:
        write_whole(folder.policy, text.encode())
        sign_policy(folder.policy, folder.name, folder.identity(passphrase).signing)


def policy_of(environment: Mapping[str, str]) -> Policy:
    """Where DP_EPSILON is above 0, no plan is let in without noise, and no run may spend more."""
    public = for_public_data()
    said = (environment.get("DP_EPSILON") or "0").strip()
    try:
        epsilon = float(said)
        if epsilon > 0:
            noisy = tuple(one for one in public.mechanisms if one != "none")
            return replace(public, mechanisms=noisy, epsilon_per_run=epsilon)
    except ValueError:
        epsilon = -1.0
    if not epsilon >= 0:
        raise BadInput(f"DP_EPSILON is {said!r}", "a number of 0 or more; 0 turns noise off")
    return public


def enrol(
    folder: HospitalFolder,
    box: Letterbox,
    stop: threading.Event,
    passphrase: str | None = None,
    told: Told = lambda text: None,
) -> bool:
    """Join by the letterbox, however long it takes; whether it has joined when ``stop`` is set."""
    if (folder.federation / "federation.json").exists():
        return True
    identity = folder.identity(passphrase)
    box.post(identity.public)
    told("waits for a join code in the letterbox")
    while not stop.is_set():
        try:
            code = box.code(folder.name)
            if code is not None:
                join(folder, identity, code, patience_s=60.0, rest=lambda s: _rest(stop, s))
                box.clear(folder.name)
                return True
        except _Stopped:
            break
        except AegisError as error:
            told(f"cannot join yet: {error}")
            if error.exit_code != 3:  # not merely out of reach: this code does not serve
                box.refuse(folder.name)
            stop.wait(AGAIN_S)
        stop.wait(LOOK_S)
    return False


def _rest(stop: threading.Event, seconds: float) -> None:
    if stop.wait(seconds):
        raise _Stopped


class _Stopped(Exception):
    pass


class _Taken(AegisError):
    pass
