"""A hospital's folder: everything that it owns, and what ``hospital.toml`` says of its data.

HOSPITALS/NAME/
├── hospital.toml   which data, for which task
├── policy.toml     what it allows, with policy.toml.sig
├── keys/           its own
├── federation/     what it took home when it joined: members, root certificate, road
├── ledger.db       what its data have spent
├── decisions.db  answers.db  memory.db  seen.db  envelopes.db
├── features/       what its images become
└── sent.jsonl      one line for everything that left

Only this hospital's user may read it (mode 0700).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aegis.errors import BadInput, DataError
from aegis.hospital.policy import Policy
from aegis.hospital.policy_file import sign_policy
from aegis.identity.identity import Identity, checked_name
from aegis.identity.keyfile import Keys
from aegis.store.home import held_alone, write_whole
from aegis.training.engines import engine_named

KEYS_OF_DATA = (
    *("task", "path", "site", "share", "label", "positive", "group", "directory"),
    "engine",
)


@dataclass(frozen=True)
class Registered:
    """The data that a hospital brings. ``path`` is a file or folder; without one the task's own
    public data are taken: of those ``site`` (a real centre), or ``share`` ("2/5": the second of
    five hospitals that the plan's partition makes; "2/*": of as many as the plan counts), for
    demonstrations. ``directory`` is where
    public data sets lie. ``engine`` is what this hospital trains in (numpy, sklearn, spark);
    without it Spark where USE_SPARK is set."""

    task: str
    path: str = ""
    site: str = ""
    share: str = ""
    label: str = ""
    positive: str = ""
    group: str = ""
    directory: str = ""
    engine: str = ""

    def __post_init__(self) -> None:
        if self.engine:
            engine_named(self.engine)
        if self.share:
            number, of = self.numbered
            if not 1 <= number <= (of or number):
                raise BadInput(f"the share {self.share!r}", "K/N with 1 <= K <= N, as in 2/5")

    @property
    def numbered(self) -> tuple[int, int | None]:
        """Which share of how many; None where the plan says of how many."""
        first, slash, second = self.share.partition("/")
        if not (slash and first.isdigit() and (second.isdigit() or second == "*")):
            raise BadInput(f"the share {self.share!r}", "K/N with 1 <= K <= N, as in 2/5")
        return int(first), None if second == "*" else int(second)

    @property
    def demonstration(self) -> bool:
        """Whether everybody may see these rows anyway."""
        return not self.path

    def text(self) -> str:
        lines = ["# The data of this hospital. Change it, then restart: aegis hospital serve", ""]
        lines += ["[data]"]
        lines += [
            f"{key} = {json.dumps(getattr(self, key), ensure_ascii=False)}"
            for key in KEYS_OF_DATA
            if getattr(self, key)
        ]
        return "\n".join(lines) + "\n"

    @classmethod
    def read(cls, path: Path) -> Registered:
        try:
            said = tomllib.loads(path.read_text(encoding="utf-8"))["data"]
            unknown = sorted(set(said) - set(KEYS_OF_DATA))
            if unknown:
                raise DataError(f"{path}: {unknown[0]} is not known", ", ".join(KEYS_OF_DATA))
            return cls(**{key: str(value) for key, value in said.items()})
        except FileNotFoundError as error:
            raise BadInput(
                f"{path.parent} is no hospital",
                way_out="Make one: aegis hospital init NAME; or name the folder of one that is "
                "there: AEGIS_HOME, or --home",
            ) from error
        except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise DataError(f"{path} cannot be read ({error})") from error


@dataclass(frozen=True)
class HospitalFolder:
    root: Path
    name: str

    @property
    def registered(self) -> Registered:
        return Registered.read(self.root / "hospital.toml")

    @property
    def policy(self) -> Path:
        return self.root / "policy.toml"

    @property
    def keys(self) -> Keys:
        return Keys(self.root / "keys")

    @property
    def decisions(self) -> Path:
        return self.root / "decisions.db"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def federation(self) -> Path:
        return self.root / "federation"

    @property
    def sent(self) -> Path:
        return self.root / "sent.jsonl"

    def identity(self, passphrase: str | None = None) -> Identity:
        return self.keys.read(self.name, passphrase)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process serves a hospital. The lock ends with its process, however that ends."""
        with held_alone(self.root / ".serving", self._held):
            yield

    def _held(self, by: str) -> BadInput:
        return BadInput(
            f"{self.name} is being served already ({by})",
            way_out=f"Stop it, or serve another folder than {self.root}",
        )


def init(
    folder: HospitalFolder,
    registered: Registered,
    policy: str,
    passphrase: str | None = None,
    hybrid: bool = False,
) -> Identity:
    """Make the folder: keys, registration, a signed policy (``policy`` is its text). Keys that are
    there stay. Raises ``BadInput`` where it is a hospital already."""
    checked_name(folder.name)
    path = folder.root / "hospital.toml"
    if path.exists():
        raise BadInput(
            f"{folder.root} is a hospital already",
            way_out=f"Edit {path}, or choose another --home",
        )
    if folder.policy.exists() and folder.policy.read_text(encoding="utf-8") != policy:
        raise BadInput(
            f"{folder.policy} is there already, and says something else",
            "what is signed is what was asked for, not what was left there",
            "Move it away; afterwards edit the new one and sign it: aegis hospital policy sign",
        )
    folder.root.mkdir(parents=True, exist_ok=True)
    folder.root.chmod(0o700)
    if folder.name not in folder.keys.names():
        folder.keys.write(Identity.generate(folder.name, hybrid), passphrase)
    identity = folder.identity(passphrase)
    write_whole(folder.policy, policy.encode())
    sign_policy(folder.policy, folder.name, identity.signing)
    write_whole(path, registered.text().encode())  # last: only now it is a hospital
    return identity


def policy_text(name: str, policy: Policy) -> str:
    """A policy as the file that a hospital signs."""
    lines = [
        "# What this hospital allows. Sign it again after every change:",
        f"#   aegis hospital policy sign --hospital {name}",
        "version = 1",
        f"hospital = {json.dumps(name)}",
        "",
    ]
    for key, value in json.loads(policy.to_json()).items():
        if value is not None:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
