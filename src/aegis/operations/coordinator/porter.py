"""Answers the letterbox: a code for each letter, and fingerprints compared with the letters'.

A hospital is admitted if the keys that came over the network are those of its letter, and never
otherwise: what does not match waits at the front desk for a person.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from aegis.errors import AegisError
from aegis.identity.enrolment import LIFETIME_S
from aegis.operations.coordinator.enrolling import FrontDesk
from aegis.operations.letterbox import Letter, Letterbox

log = logging.getLogger("aegis")


class Porter:
    """``address`` is host and port of the console, as hospitals reach it."""

    def __init__(
        self,
        box: Letterbox,
        desk: FrontDesk,
        address: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._box, self._desk, self._address, self._clock = box, desk, address, clock
        self._said: dict[str, str] = {}
        self._without: set[str] = set()

    def look(self) -> list[str]:
        """Answer what lies there; the hospitals that were admitted."""
        letters = self._box.letters()
        if not letters:
            return []
        try:
            waiting = {one.name: one.fingerprint for one in self._desk.waiting()}
        except AegisError as error:  # many come at once; the letters lie here for the next look
            self._once("", str(error))
            return []
        admitted = []
        for letter in letters:
            try:
                if letter.name in waiting:
                    self._desk.confirm(letter.name, letter.fingerprint)
                    admitted.append(letter.name)
                elif self._wants_code(letter):
                    code = self._desk.invite(letter.name, self._address)
                    self._box.answer(letter.name, code)
            except AegisError as error:
                self._once(letter.name, str(error))
        return admitted

    def _wants_code(self, letter: Letter) -> bool:
        standing = self._desk.member(letter.name)
        at = self._box.answered(letter.name)
        if standing is not None and standing.fingerprint == letter.fingerprint:
            if at is not None:
                self._without.discard(letter.name)
            elif letter.name in self._without:
                # it came in and never took its welcome home: this leads it back
                self._box.answer(letter.name, self._desk.reminder(self._address))
                self._without.discard(letter.name)
            else:
                self._without.add(letter.name)  # one look's grace: it may be clearing up just now
            return False
        return at is None or self._clock() - at > LIFETIME_S

    def _once(self, name: str, reason: str) -> None:
        if self._said.get(name) != reason:
            log.warning("the letter of %s: %s", name, reason)
            self._said[name] = reason
