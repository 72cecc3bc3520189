"""The policy as a file that a hospital signs: ``policy.toml``, and ``policy.toml.sig`` beside it.

Somebody writes the file, the hospital's own Ed25519 key signs its very bytes, and only then it
counts. Missing, unsigned, changed by one byte since, signed by somebody else, for another
hospital, of another version, or older than one that counted before: each of these closes the
hospital, with a sentence that says what happened and what to do. Nothing is half read: one unknown
key, and the whole file is refused.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from aegis.errors import AegisError, DataError
from aegis.hospital.policy import Closed, Policy
from aegis.identity.keys import PublicKey, SigningKey

VERSION = 1
DOMAIN = "aegis/policy/v1"
MOST_BYTES = 64 * 1024
_ABOUT = ("version", "hospital")
_SIGNED = ("version", "hospital", "file_sha256", "policy_sha256", "signed", "key")


class Remembered(Protocol):
    """Where a hospital keeps what may not be taken back."""

    def policy_signed(self) -> str:
        """The latest time at which a policy that counted here was signed, or nothing."""
        ...

    def saw_policy(self, sha256: str, signed: str) -> None: ...


@dataclass(frozen=True)
class Signature:
    """What stands in the signature file. ``signed`` is the time in UTC, ``key`` the public key."""

    version: int
    hospital: str
    file_sha256: str
    policy_sha256: str
    signed: str
    key: str
    signature: str

    @property
    def covered(self) -> bytes:
        """The bytes that are signed."""
        document = {name: getattr(self, name) for name in _SIGNED}
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def signature_path(path: Path) -> Path:
    return path.with_name(path.name + ".sig")


def parse_policy(data: bytes, source: str, hospital: str) -> Policy:
    """The policy in these bytes. ``DataError`` names every fault at once."""
    if len(data) > MOST_BYTES:
        raise DataError(f"{source} has {len(data)} bytes", f"a policy has {MOST_BYTES} at most")
    try:
        said = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise DataError(f"{source} is not TOML ({error})") from error
    known = {field.name: field.default for field in fields(Policy)}
    faults = [_unknown(name, known) for name in said if name not in known and name not in _ABOUT]
    version = said.get("version")
    if type(version) is not int or version != VERSION:
        shown = "no version" if version is None else f"the version {version!r}"
        faults.append(f"it has {shown}, and this program reads version {VERSION}")
    if said.get("hospital") != hospital:
        faults.append(f"hospital is {said.get('hospital')!r}, and this is {hospital!r}")
    if "tasks" not in said:
        faults.append('tasks is missing: list what may be learned here, as in ["heart"]')
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in said.items()
        if name in known and known[name] is not MISSING
    }
    try:
        policy = Policy(**values)
    except (AegisError, TypeError) as error:
        faults.append(str(error))
    if faults:
        raise DataError(
            f"{source}: {'; '.join(faults)}",
            way_out=f"Correct it, then sign it: {_sign(hospital)}",
        )
    return policy


def read_policy(
    path: Path, hospital: str, key: PublicKey, remembered: Remembered | None = None
) -> Policy:
    """The policy that counts at this hospital, whose own key is ``key``. ``DataError`` where there
    is none that can be trusted."""
    data, signature = policy_bytes(path, hospital), _signature_bytes(path, hospital)
    return _verified(path, data, signature, hospital, key, remembered)


def sign_policy(path: Path, hospital: str, key: SigningKey, now: datetime | None = None) -> Policy:
    """Sign the file as it is, and write ``policy.toml.sig``. ``DataError`` where the file is no
    sound policy of this hospital: nothing is signed then."""
    from aegis.store.home import write_whole

    data = policy_bytes(path, hospital)
    policy = parse_policy(data, path.name, hospital)
    signed = (now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    about = Signature(
        VERSION,
        hospital,
        hashlib.sha256(data).hexdigest(),
        policy.sha256,
        signed,
        key.public.hex,
        "",
    )
    made = {name: getattr(about, name) for name in _SIGNED}
    made["signature"] = key.sign(DOMAIN, about.covered).hex()
    write_whole(signature_path(path), (json.dumps(made, indent=2) + "\n").encode())
    return policy


class PolicyFile:
    """A signed policy that is read anew for every request: a node notices at once that the file
    was changed, or is gone."""

    def __init__(
        self, path: Path, hospital: str, key: PublicKey, remembered: Remembered | None = None
    ) -> None:
        self.path, self.hospital, self.key = path, hospital, key
        self._remembered = remembered
        self._last: tuple[bytes, bytes, Policy] | None = None

    def current(self) -> Policy | Closed:
        try:
            data = policy_bytes(self.path, self.hospital)
            signature = _signature_bytes(self.path, self.hospital)
            if self._last is not None and self._last[:2] == (data, signature):
                return self._last[2]
            self._last = None
            policy = _verified(
                self.path, data, signature, self.hospital, self.key, self._remembered
            )
        except AegisError as error:
            return Closed(str(error))
        self._last = (data, signature, policy)
        return policy


def _verified(
    path: Path,
    data: bytes,
    signature: bytes,
    hospital: str,
    key: PublicKey,
    remembered: Remembered | None,
) -> Policy:
    signed = _signature(signature, signature_path(path), hospital)
    again = f"If the change is yours, sign it: {_sign(hospital, path)}"
    if signed.version != VERSION:
        raise DataError(
            f"the policy {path} was signed by version {signed.version!r} of this program's format",
            f"this program reads version {VERSION}",
            again,
        )
    try:
        theirs = PublicKey(bytes.fromhex(signed.key))
        mark = bytes.fromhex(signed.signature)
    except (AegisError, ValueError) as error:
        raise DataError(
            f"{signature_path(path)} holds no Ed25519 key and signature", way_out=again
        ) from error
    if theirs != key:
        raise DataError(
            f"the policy {path} is signed by the key {theirs.fingerprint}",
            f"only this hospital's own counts, {key.fingerprint}",
            again,
        )
    if not key.verifies(DOMAIN, signed.covered, mark):
        raise DataError(f"the signature of the policy {path} is false", way_out=again)
    if hashlib.sha256(data).hexdigest() != signed.file_sha256:
        raise DataError(
            f"the policy {path} was changed after it was signed on {signed.signed[:10]}",
            "until it is signed again this hospital takes part in nothing",
            again,
        )
    policy = parse_policy(data, path.name, hospital)
    if (signed.hospital, signed.policy_sha256) != (hospital, policy.sha256):
        raise DataError(
            f"the signature of {path} is for the policy {signed.policy_sha256[:12]} of "
            f"{signed.hospital}",
            f"read was {policy.sha256[:12]} of {hospital}",
            again,
        )
    if remembered is not None:
        latest = remembered.policy_signed()
        if signed.signed < latest:
            raise DataError(
                f"the policy {path} was signed on {signed.signed[:19]}",
                f"one signed on {latest[:19]} has counted here since, and an older one may allow "
                "more",
                again,
            )
        remembered.saw_policy(policy.sha256, signed.signed)
    return policy


def _signature(data: bytes, path: Path, hospital: str) -> Signature:
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"{len(data)} bytes")
        found: Mapping[str, Any] = json.loads(data)
        if set(found) != {*_SIGNED, "signature"}:
            raise ValueError("other fields than those of a signature")
        made = Signature(**found)
        if not all(isinstance(found[name], str) for name in found if name != "version"):
            raise ValueError("something that is not text")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} cannot be read as a signature ({error})",
            way_out=f"Sign the policy: {_sign(hospital, path)}",
        ) from error
    return made


def _signature_bytes(path: Path, hospital: str) -> bytes:
    try:
        return signature_path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"the policy {path} is not signed",
            "without its signature this hospital takes part in nothing",
            f"Sign it: {_sign(hospital, path)}",
        ) from error
    except OSError as error:
        raise DataError(f"{signature_path(path)} cannot be read ({error.strerror})") from error


def policy_bytes(path: Path, hospital: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"there is no policy at {path}",
            "without one this hospital takes part in nothing",
            f"Write one (config/policy.toml is a sample), then: {_sign(hospital, path)}",
        ) from error
    except OSError as error:
        raise DataError(f"the policy {path} cannot be read ({error.strerror})") from error


def _sign(hospital: str, path: Path | None = None) -> str:
    """The command; with ``--home`` where the file lies elsewhere than a hospital's files do."""
    command = f"aegis hospital policy sign --hospital {hospital}"
    if path is None or path.absolute().parent.parts[-2:] == ("hospitals", hospital):
        return command
    return f"{command} --home {path.parent}"


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, [*known, *_ABOUT], 1, 0.6)
    return f"{name} is not a key{f'; did you mean {near[0]}?' if near else ''}"
