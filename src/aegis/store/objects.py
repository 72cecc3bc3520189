"""An S3-compatible object store: the only module that knows boto3.

Nothing that the store says of itself is believed. What was sent is read back and compared by
SHA-256 before it counts as sent, an ETag is never looked at, and what is fetched is compared with
the digest that the caller knows. A large object goes in parts; an upload or download that was
interrupted goes on with the parts that are there, and begins anew where they do not add up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aegis.errors import AegisError, BadInput, CheckFailed, MissingExtra, RunAborted
from aegis.store.home import setting, write_whole

PART = 8 << 20
PIECE = 1 << 20
MOST_LISTED = 5_000_000
CONNECT_S, READ_S, ATTEMPTS = 5.0, 30.0, 3
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_GONE = ("404", "NoSuchKey", "NotFound")
_REFUSED = ("401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


@dataclass(frozen=True)
class Place:
    """Where objects go. ``endpoint`` empty stands for Amazon's own; ``prefix`` begins every key."""

    bucket: str
    endpoint: str = ""
    prefix: str = ""

    @classmethod
    def from_settings(cls) -> Place | None:
        """What AEGIS_S3_BUCKET, _ENDPOINT and _PREFIX say; None where no bucket is named."""
        if not (bucket := setting("AEGIS_S3_BUCKET")):
            return None
        prefix = setting("AEGIS_S3_PREFIX").strip("/")
        return cls(bucket, setting("AEGIS_S3_ENDPOINT"), f"{prefix}/" if prefix else "")

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if not self.endpoint or parts.scheme == "https":
            return
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
            raise BadInput(
                f"AEGIS_S3_ENDPOINT is {self.endpoint!r}",
                "outside of this machine a store is spoken to by https://",
                "Set AEGIS_S3_ENDPOINT=https://HOST[:PORT]",
            )

    def __str__(self) -> str:
        return f"{self.endpoint or 's3'}/{self.bucket}/{self.prefix}"


class Objects:
    """The objects under one place. ``RunAborted`` where the store fails or is silent: what was here
    is as it was, what arrived there stays, and the same call later goes on from it."""

    def __init__(self, place: Place, read_s: float = READ_S, attempts: int = ATTEMPTS) -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise MissingExtra("an object store", "s3") from error
        self.place, self._attempts = place, attempts
        self._faults, self._client_error = (BotoCoreError, ClientError), ClientError
        self._s3 = boto3.session.Session(
            aws_access_key_id=setting("AWS_ACCESS_KEY_ID") or None,
            aws_secret_access_key=setting("AWS_SECRET_ACCESS_KEY") or None,
            aws_session_token=setting("AWS_SESSION_TOKEN") or None,
            region_name=setting("AWS_REGION") or setting("AWS_DEFAULT_REGION") or "us-east-1",
        ).client(
            "s3",
            endpoint_url=place.endpoint or None,
            config=Config(
                connect_timeout=CONNECT_S,
                read_timeout=read_s,
                retries={"total_max_attempts": attempts, "mode": "standard"},
                s3={"addressing_style": "path" if place.endpoint else "auto"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    @classmethod
    def from_settings(cls) -> Objects:
        """Raises ``BadInput`` where no bucket is named, ``MissingExtra`` without boto3."""
        if (place := Place.from_settings()) is None:
            raise BadInput(
                "no object store is named",
                way_out="Set AEGIS_S3_BUCKET, and AEGIS_S3_ENDPOINT where it is not Amazon's",
            )
        return cls(place)

    def put(self, key: str, data: bytes) -> None:
        """Store a small object. Raises ``CheckFailed`` where other bytes come back."""
        self._call("put_object", key, Body=data)
        self._compared(key, hashlib.sha256(data).hexdigest())

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Store a file whose digest is known, in parts where it is large."""
        size = path.stat().st_size
        if size <= PART:
            self.put(key, path.read_bytes())
            return
        for last in (False, True):
            self._in_parts(key, path, size, anew=last)
            try:
                self._compared(key, sha256)
                return
            except CheckFailed:  # perhaps parts of another upload: once more, with none of them
                if last:
                    raise

    def get(self, key: str, sha256: str | None = None) -> bytes:
        """Raises ``CheckFailed`` where it is not there, or its bytes are not those of ``sha256``
        (None: the caller looks at them)."""
        data = b"".join(self._pieces(key, 0))
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise self._other(key)
        return data

    def get_file(self, key: str, path: Path, sha256: str) -> None:
        """Fetch into ``path``, which holds all of it or what it held before. What an interrupted
        call had fetched is used, if it turns out to be right."""
        part = path.with_name(f".{path.name}.part")
        for last in (False, True):
            done = part.stat().st_size if part.exists() and not last else 0
            try:
                with open(part, "ab" if done else "wb") as file:
                    for piece in self._pieces(key, done):
                        file.write(piece)
            except OSError as error:
                raise RunAborted(
                    f"{path} cannot be written ({error.strerror})", way_out="Check the disk"
                ) from error
            data = part.read_bytes()
            if hashlib.sha256(data).hexdigest() == sha256:
                write_whole(path, data)
                part.unlink()
                return
            if not done:
                part.unlink()
                raise self._other(key)

    def sizes(self, under: str) -> dict[str, int]:
        """The objects whose keys begin so, with their sizes in bytes."""
        found: dict[str, int] = {}
        more: dict[str, Any] = {}
        while len(found) < MOST_LISTED:
            page = self._call("list_objects_v2", None, Prefix=self.place.prefix + under, **more)
            for one in page.get("Contents", []):
                found[str(one["Key"])[len(self.place.prefix) :]] = int(one["Size"])
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}
        raise RunAborted(f"{self.place} holds more than {MOST_LISTED} objects")

    def digest(self, key: str) -> str:
        """SHA-256 of what the store gives back now."""
        found = hashlib.sha256()
        for piece in self._pieces(key, 0):
            found.update(piece)
        return found.hexdigest()

    def remove(self, key: str) -> None:
        self._call("delete_object", key)

    def _compared(self, key: str, sha256: str) -> None:
        if self.digest(key) != sha256:
            self.remove(key)
            raise self._other(key)

    def _in_parts(self, key: str, path: Path, size: int, *, anew: bool) -> None:
        upload, there = self._begun(key, anew=anew)
        named = []
        with open(path, "rb") as file:
            for number in range(1, -(-size // PART) + 1):
                data = file.read(PART)
                known = there.get(number)
                if known is None or known[0] != len(data):
                    told = {"UploadId": upload, "PartNumber": number, "Body": data}
                    known = (len(data), self._call("upload_part", key, **told)["ETag"])
                named.append({"PartNumber": number, "ETag": known[1]})
        self._call(
            "complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": named}
        )

    def _begun(self, key: str, *, anew: bool) -> tuple[str, dict[int, tuple[int, str]]]:
        """An upload that was interrupted, and its parts (size and the store's name of each)."""
        whole = self.place.prefix + key
        said = self._call("list_multipart_uploads", None, Prefix=whole)
        uploads = [one["UploadId"] for one in said.get("Uploads", []) if one["Key"] == whole]
        if uploads and not anew:
            listed = self._call("list_parts", key, UploadId=uploads[-1])
            parts = listed.get("Parts", [])
            return uploads[-1], {p["PartNumber"]: (p["Size"], p["ETag"]) for p in parts}
        for upload in uploads:
            self._call("abort_multipart_upload", key, UploadId=upload)
        return self._call("create_multipart_upload", key)["UploadId"], {}

    def _pieces(self, key: str, done: int) -> Iterator[bytes]:
        """The bytes after the first ``done``; a connection that breaks is taken up again."""
        broken = 0
        while True:
            span = {"Range": f"bytes={done}-"} if done else {}
            try:
                answer = self._s3.get_object(
                    Bucket=self.place.bucket, Key=self.place.prefix + key, **span
                )
                if done and answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                    raise CheckFailed(f"{self.place} does not give {key} in parts")
                body = answer["Body"]
                while piece := body.read(PIECE):
                    done, broken = done + len(piece), 0
                    yield piece
                return
            except self._faults as error:
                if done and _code(error) in ("416", "InvalidRange"):
                    return  # it was whole
                broken += 1
                if isinstance(error, self._client_error) or broken >= self._attempts:
                    raise self._failed(error, key) from error

    def _call(self, name: str, key: str | None, **told: Any) -> Any:
        if key is not None:
            told["Key"] = self.place.prefix + key
        try:
            return getattr(self._s3, name)(Bucket=self.place.bucket, **told)
        except self._faults as error:
            raise self._failed(error, key or "") from error

    def _failed(self, error: Exception, key: str) -> AegisError:
        code, said = _code(error), " ".join(str(error).split())[:200]
        if code in _GONE:
            return CheckFailed(f"{self.place} has no {key}")
        if code in _REFUSED or type(error).__name__ == "NoCredentialsError":
            return BadInput(
                f"{self.place} refuses ({said})",
                way_out="Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
            )
        if code == "NoSuchBucket":
            return BadInput(f"{self.place} does not exist", way_out="Make the bucket first")
        return RunAborted(
            f"the object store {self.place} failed ({said})",
            "what lies here is as it was, and what arrived there is kept",
            "Repeat the command later; it goes on from there",
        )

    def _other(self, key: str) -> CheckFailed:
        return CheckFailed(
            f"{self.place} gives other bytes for {key} than were sent",
            "it was damaged on the way or there",
            "Repeat the command",
        )


def _code(error: Exception) -> str:
    said = getattr(error, "response", None) or {}
    return str(said.get("Error", {}).get("Code", ""))
