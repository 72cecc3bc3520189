"""The coordinator's own log, written by two at once: a console and a run of the command line."""

from __future__ import annotations

import threading
from contextlib import closing

from aegis.events import ConfigChanged
from aegis.identity.keys import SigningKey
from aegis.store.audit_log import AuditLog
from aegis.store.checkpoint import OWN, Checkpoint, digest
from aegis.store.note import Note
from aegis.store.outcome import enter_own


def test_two_who_write_at_once_lose_nothing_and_fix_the_keys_once(tmp_path):
    path, key, each = tmp_path / "audit.db", SigningKey.generate(), 15
    errors, ready = [], threading.Barrier(2)

    def write(who):
        with closing(AuditLog(path)) as log:
            ready.wait()
            for number in range(each):
                try:
                    enter_own(log, key, ConfigChanged("", f"{who} {number}", "", ""))
                except Exception as error:
                    errors.append(error)

    threads = [threading.Thread(target=write, args=(who,)) for who in ("console", "run")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with closing(AuditLog(path)) as log:
        entries = [one.data for one in log.entries(OWN)]
        assert len(entries) == 1 + 2 * each
        assert [b"RosterFixed" in data for data in entries] == [True] + [False] * 2 * each
        notes = [Note.parse(note) for note in log.checkpoints(OWN)]
        marks = [Checkpoint.parse(note.text) for note in notes]
        assert marks[-1].size == len(entries)
        assert all(log.root(OWN, mark.size) == mark.root for mark in marks)
        follows = zip(notes, marks[1:], strict=False)
        assert all(after.previous == digest(before) for before, after in follows)
