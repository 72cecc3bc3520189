"""What an agent does by itself: it walks its states, and it listens."""

from __future__ import annotations

import logging

from spade.behaviour import CyclicBehaviour, FSMBehaviour, State

from aegis.transport.xmpp.machines import Machine

log = logging.getLogger("aegis.xmpp")


def walking(machine: Machine) -> FSMBehaviour:
    """The behaviour whose transitions are those of the table, and no others."""
    walk = FSMBehaviour()
    for name in machine.states:
        walk.add_state(name, _Standing(name), initial=name == machine.initial)
    for source, target in machine.transitions():
        walk.add_transition(source, target)
    return walk


class _Standing(State):  # type: ignore[misc]
    """One state: it ends with the first happening that leads elsewhere."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    async def run(self) -> None:
        agent = self.agent
        while (happening := await agent.happenings.get()) is not None:
            target = agent.machine.after(self.name, happening)
            if target is None:
                log.debug("%s: %s changes nothing in %s", agent.who, happening, self.name)
            elif target != self.name:
                log.info("%s: %s -> %s (%s)", agent.who, self.name, target, happening)
                agent.standing = target
                self.set_next_state(target)
                return
        self.next_state = None


class Listening(CyclicBehaviour):  # type: ignore[misc]
    async def run(self) -> None:
        spoken = await self.receive(timeout=1)
        if spoken is None:
            return
        try:
            await self.agent.inbox.take(spoken)
        except Exception:  # a behaviour that raises is ended by SPADE, and the agent with it deaf
            log.exception("%s: a message could not be taken", self.agent.who)
