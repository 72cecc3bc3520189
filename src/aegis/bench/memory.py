"""How much memory a process and all its descendants hold together, looked at now and then."""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread


class MemoryWatch:
    """Watches the proportional set size (a page shared by n processes counts 1/n in each) of a
    tree of processes while it is entered. ``peak_mb`` is None where there is no /proc."""

    def __init__(self, pid: int, every_s: float = 2.0) -> None:
        self.peak_mb: float | None = None
        self._pid, self._every = pid, every_s
        self._done = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            now = sum(_held_mb(pid) for pid in _tree(self._pid))
            if now:
                self.peak_mb = max(self.peak_mb or 0.0, now)


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                found += _tree(int(child))
    except OSError:
        pass
    return found


def _held_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)
