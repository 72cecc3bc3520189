"""Key files: whole or absent, for their owner alone, never overwritten by chance."""

import errno
import json
import os
import shutil
import stat
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aegis.errors import AegisError, BadInput, DataError
from aegis.identity import keyfile, pkcs8
from aegis.identity.identity import Identity
from aegis.identity.keyfile import Keys


@pytest.fixture
def keys(tmp_path, monkeypatch):
    monkeypatch.setattr(pkcs8, "N", 2**8)  # the real one is tested with openssl below
    return Keys(tmp_path / "keys")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("passphrase", [None, "a long one, of several words", "é"])
@pytest.mark.parametrize("hybrid", [False, True])
def test_an_identity_comes_back_as_it_was_written(keys, passphrase, hybrid):
    written = Identity.generate("mercy", hybrid).rotated(1_700_000_000)
    path = keys.write(written, passphrase)
    read = keys.read("mercy", passphrase)
    assert read.public == written.public == keys.public("mercy")
    assert read.signing.raw == written.signing.raw
    assert read.rotations == written.rotations
    sealed = read.public.sealing.encrypt(b"", b"secret")
    assert written.sealing.decrypt(b"", sealed) == b"secret"
    assert keys.described("mercy")["locked"] == (passphrase is not None)
    assert written.signing.raw.hex() not in path.read_text()


def test_files_are_for_their_owner_alone_whatever_the_umask(keys):
    before = os.umask(0)
    try:
        path = keys.write(Identity.generate("mercy"))
    finally:
        os.umask(before)
    assert (mode(keys.folder), mode(path)) == (0o700, 0o600)
    public = json.loads((keys.folder / "mercy.public.json").read_text())
    assert public["fingerprint"] == keys.public("mercy").fingerprint
    assert "PRIVATE" not in json.dumps(public)


@pytest.mark.parametrize("opened", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_read_is_refused_with_the_way_out(keys, opened):
    path = keys.write(Identity.generate("mercy"))
    path.chmod(opened)
    with pytest.raises(BadInput, match="chmod 600"):
        keys.read("mercy")
    assert len(keys.faults()) == 1
    path.chmod(0o600)
    keys.folder.chmod(0o755)
    with pytest.raises(BadInput, match="chmod 700"):
        keys.read("mercy")
    with pytest.raises(BadInput, match="chmod 700"):
        keys.write(Identity.generate("other"))


def test_a_link_is_no_key_file(keys, tmp_path):
    path = keys.write(Identity.generate("mercy"))
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput):
        keys.read("mercy")


def test_a_key_is_overwritten_only_when_forced(keys):
    first = Identity.generate("mercy")
    keys.write(first)
    with pytest.raises(BadInput, match="--force"):
        keys.write(Identity.generate("mercy"))
    assert keys.read("mercy").public == first.public
    second = Identity.generate("mercy")
    keys.write(second, force=True)
    assert keys.read("mercy").public == second.public
    assert keys.names() == ["mercy"]
    assert [path for path in keys.folder.iterdir() if path.suffix == ".tmp"] == []


@pytest.mark.parametrize("step", ["fsync", "replace", "link"])
def test_a_full_disk_leaves_the_old_key_in_place(keys, monkeypatch, step):
    first = Identity.generate("mercy")
    keys.write(first)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keyfile.os, step, full)
    new = "other" if step == "link" else "mercy"
    with pytest.raises(BadInput, match="No space left"):
        keys.write(Identity.generate(new), force=step != "link")
    monkeypatch.undo()
    assert keys.read("mercy").public == first.public
    assert sorted(path.name for path in keys.folder.iterdir()) == ["mercy.key", "mercy.public.json"]


def test_a_disk_without_links_still_keeps_old_keys(keys, monkeypatch):
    def none(*arguments):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(keyfile.os, "link", none)
    first = Identity.generate("mercy")
    keys.write(first)
    with pytest.raises(BadInput, match="--force"):
        keys.write(Identity.generate("mercy"))
    assert keys.read("mercy").public == first.public


def test_a_wrong_or_missing_passphrase_is_said(keys):
    keys.write(Identity.generate("mercy"), "right")
    with pytest.raises(BadInput, match="locked"):
        keys.read("mercy")
    with pytest.raises(BadInput, match="does not open"):
        keys.read("mercy", "wrong")
    assert keys.public("mercy")  # needs none


def test_damaged_key_files_are_refused_and_never_crash(keys):
    path = keys.write(Identity.generate("mercy"))
    whole = path.read_text()
    other = keys.write(Identity.generate("other")).read_text()
    document, foreign = json.loads(whole), json.loads(other)
    damaged = [
        "",
        "{",
        "[" * 5000,
        "[]",
        "{}",
        json.dumps({**document, "format": "other/1"}),
        json.dumps({**document, "signing": foreign["signing"]}),
        json.dumps({**document, "signing": document["sealing"]}),
        json.dumps({**document, "signing": 7}),
        json.dumps({**document, "public": foreign["public"]}),
        json.dumps({**document, "public": None}),
        json.dumps({**document, "rotations": [1]}),
        json.dumps({**document, "rotations": None}),
        json.dumps({k: v for k, v in document.items() if k != "sealing"}),
        *(whole[: len(whole) * i // 20] for i in range(20)),
    ]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(AegisError):
            keys.read("mercy")
    path.write_text(whole)
    keys.read("mercy")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 64, "é", "a b", "-x"])
def test_a_name_cannot_lead_out_of_the_folder(keys, name):
    with pytest.raises(BadInput, match="name"):
        keys.read(name)
    with pytest.raises(BadInput, match="name"):
        Identity.generate(name)


def test_openssl_reads_a_locked_key_as_we_wrote_it(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl on this machine")
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_text(pkcs8.write(key, "pass"))
    done = subprocess.run(
        [openssl, "pkey", "-in", tmp_path / "key.pem", "-passin", "pass:pass", "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    )
    private = done.stdout.partition("priv:")[2].partition("pub:")[0].replace(":", "")
    assert "".join(private.split()) == key.private_bytes_raw().hex()


def test_a_key_of_another_kind_is_refused():
    with pytest.raises(DataError, match="no private key"):
        pkcs8.read("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
