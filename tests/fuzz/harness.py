"""What a harness is, and when what happened in one is a finding.

Time is that of this process on the processor, so that a busy machine finds nothing; what was slow
once is tried again, since the first of a kind may have imported something. Memory is how far the
peak of the process moved.
"""

from __future__ import annotations

import atexit
import os
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from aegis.errors import AegisError

LONGEST_S, MOST_MIB = 1.0, 200.0
GIVEN_UP_S = 10.0
LARGEST = 1 << 19

Mutate = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""From a seed (and all of them) to a case."""


@dataclass(frozen=True)
class Harness:
    """``take`` is handed anything; ``seeds`` are good cases, from our own writers. ``more_mib`` may
    be needed above the usual, where a small file may rightly hold much."""

    name: str
    take: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutate
    more_mib: float = 0.0

    def case(self, seed: int | str) -> bytes:
        rng, seeds = Random(f"{self.name} {seed}"), self.seeds()
        return self.mutate(rng, rng.choice(seeds), seeds)[:LARGEST]


@dataclass(frozen=True)
class Finding:
    """``where`` is the innermost line of the house; findings of one ``key`` are one fault."""

    harness: str
    kind: str
    what: str
    where: str
    data: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        return self.kind, self.what.partition(":")[0], self.where

    def __str__(self) -> str:
        return f"{self.harness}: {self.kind} at {self.where}: {self.what:.200}"


class _GivenUp(BaseException):
    pass


def judged(harness: Harness, data: bytes) -> Finding | None:
    """What is wrong with how these bytes were taken, or nothing."""
    for last in (False, True):
        before, began = _peak_mib(), time.process_time()
        try:
            with _given_up_after(GIVEN_UP_S):
                harness.take(data)
        except AegisError:
            pass
        except (KeyboardInterrupt, SystemExit):
            raise
        except _GivenUp as error:
            return Finding(harness.name, "slow", f"over {GIVEN_UP_S} s", _place(error), data)
        except BaseException as error:
            what = f"{type(error).__name__}: {error}"
            return Finding(harness.name, "uncaught", what, _place(error), data)
        took, grew = time.process_time() - began, _peak_mib() - before
        if grew > MOST_MIB + harness.more_mib:
            return Finding(harness.name, "memory", f"{grew:.0f} MiB", "the whole", data)
        if took <= LONGEST_S:
            return None
        if last:
            return Finding(harness.name, "slow", f"{took:.1f} s", "the whole", data)
    return None


@cache
def scratch() -> Path:
    """A folder of this process, gone with it."""
    made = Path(tempfile.mkdtemp(prefix="aegis-fuzz-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def in_file(data: bytes, name: str) -> Path:
    path = scratch() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def replay(harness: Harness) -> None:
    """Take each file that the command names, and let whatever comes out come out."""
    for name in sys.argv[1:]:
        data = Path(name).read_bytes()
        began = time.process_time()
        try:
            print(f"{name}: {harness.take(data)!s:.200}")
        except AegisError as error:
            print(f"{name}: {type(error).__name__}: {error}")
        except BaseException:
            traceback.print_exc()
        took = time.process_time() - began
        print(f"{name}: {took:.2f} s, peak {_peak_mib():.0f} MiB; judged: {judged(harness, data)}")


@contextmanager
def _given_up_after(seconds: float) -> Iterator[None]:
    """Where nothing can interrupt, nothing is."""
    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "setitimer")):
        yield
        return

    def stop(*_: object) -> None:
        raise _GivenUp

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [one for one in frames if f"{os.sep}aegis{os.sep}" in one.filename]
    last = (ours or frames)[-1]
    _, _, short = last.filename.rpartition(f"{os.sep}aegis{os.sep}")
    return f"{short}:{last.lineno}"
