"""Notes and checkpoints against those that others signed."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput, CheckFailed, DataError
from aegis.identity.keys import SigningKey
from aegis.store.checkpoint import OWN, Checkpoint, digest, origin, read
from aegis.store.note import (
    WITNESS,
    Note,
    Verifier,
    cosigned,
    key_name,
    line,
    parse_line,
    seconds_of,
    signed,
)

# The example in the documentation of Go's golang.org/x/mod/sumdb/note.
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    f"{TEXT}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKv"
    "qfqdngotpRZb6KE6RyyBwJnAM=\n"
)
VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
SECRET = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]

# A checkpoint of a public log, as it and two public witnesses signed it; one of the log's two
# signatures is of a kind that we do not know and pass over.
PUBLIC = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPM\
HbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3N\
ygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9s\
XTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJm\
IY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
"""
LOG = (
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
)
WITNESSES = (
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
)


def test_our_note_is_gos_to_the_byte():
    key = SigningKey.from_raw(SECRET)
    assert str(signed(TEXT, "PeterNeumann", key)) == NOTE
    assert str(Verifier("PeterNeumann", key.public)) == VERIFIER
    assert Note.parse(NOTE).signed(Verifier.parse(VERIFIER))
    with pytest.raises(CheckFailed, match="PeterNeumann"):
        Note.parse(NOTE.replace("crypt", "Crypt")).signed(Verifier.parse(VERIFIER))


def test_a_public_logs_checkpoint_and_its_witnesses_verify():
    note = Note.parse(PUBLIC)
    assert str(note) == PUBLIC
    for text in (LOG, *WITNESSES):
        verifier = Verifier.parse(text)
        assert str(verifier) == text
        assert note.signed(verifier)
        with pytest.raises(CheckFailed):
            Note(note.text.replace("1432088532", "1432088533"), note.signatures).signed(verifier)
    assert seconds_of(note.signatures[2]) == 0x6A122120
    found = Checkpoint.parse(note.text)
    assert (found.size, found.text) == (1432088532, note.text)
    assert not note.signed(Verifier.parse(VERIFIER))


def test_a_signature_of_one_kind_is_none_of_another():
    key = SigningKey.generate()
    log, witness = Verifier("a", key.public), Verifier("a", key.public, WITNESS)
    note = signed("text\n", "a", key)
    cosignature = cosigned("text\n", "a", key, 1)
    assert log.accepts("text\n", note.signatures[0])
    assert witness.accepts("text\n", cosignature)
    assert not witness.accepts("text\n", note.signatures[0])
    assert not log.accepts("text\n", cosignature)
    later = (cosignature[0], cosignature[1][:11] + b"\2" + cosignature[1][12:])
    assert not witness.accepts("text\n", later)
    bare = key.sign("aegis/any", b"text\n")
    assert not log.accepts("text\n", ("a", log.key_id + bare))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no end",
        "text\n\n",
        "text\n\n— a\n",
        "text\n\n— a b c\n",
        "text\n\n— a AAAA\n",
        "text\n\n- a AAAAAAAAAAAA\n",
        "text\n\n— a AAAAAAAAAAAB=\n",
        "te\x1bxt\n\n— a AAAAAAAAAAAA\n",
        "text\n\n— a+b AAAAAAAAAAAA\n",
        "text\n\n— a AAAAAAAAAAAA",
        "te\ud800xt\n\n— a AAAAAAAAAAAA\n",
        "text\n\n— a\udcf2 AAAAAAAAAAAA\n",
    ],
)
def test_what_is_no_signed_note_is_refused(text):
    with pytest.raises(DataError):
        Note.parse(text)


@settings(max_examples=200)
@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_note_passes(place, flip):
    data = bytearray(NOTE.encode())
    data[place] ^= flip
    try:
        note = Note.parse(data.decode())
        assert not note.signed(Verifier.parse(VERIFIER))
    except (UnicodeDecodeError, DataError, CheckFailed):
        pass


@settings(max_examples=200)
@given(st.text(min_size=1))
def test_any_hospitals_name_can_stand_in_a_note(name):
    try:
        found = key_name(name)
    except UnicodeEncodeError:  # half a surrogate pair is no name
        return
    signature = (found, bytes(72))
    assert parse_line(line(signature)) == signature


def test_checkpoints_name_the_one_before_and_are_written_in_one_way_only():
    first = Checkpoint(origin("a run"), 3, bytes(32))
    assert first.origin == "aegis/run/a%20run"
    note = signed(first.text, first.origin, SigningKey.generate())
    second = Checkpoint(origin("a run"), 5, bytes(32), digest(note))
    for one in (first, second, Checkpoint(origin(OWN), 0, bytes(32))):
        assert Checkpoint.parse(one.text) == one
    assert read(str(note), "a run")[1] == first
    with pytest.raises(BadInput, match="asked about"):
        read(str(note), "another run")
    for wrong in (
        first.text.replace("\n3\n", "\n03\n"),
        first.text.replace("\n3\n", "\n-3\n"),
        first.text.replace("=", ""),
        first.text + "more\n",
        second.text.replace("previous ", "previous  "),
        "aegis\n3\n",
    ):
        with pytest.raises(DataError):
            Checkpoint.parse(wrong)


def test_no_key_has_half_a_letter_in_its_name():
    with pytest.raises(DataError):
        Verifier.parse(VERIFIER.replace("Neumann", "\udcf2"))


def test_a_verifier_key_with_another_id_is_refused():
    for wrong in (VERIFIER.replace("c74f", "c74e"), VERIFIER[:-4], "a", "a+b+c"):
        with pytest.raises((DataError, CheckFailed)):
            Verifier.parse(wrong)
