"""Keeps a child process no longer than its parent lives. Run as a file, with the command behind it.

The parent holds the other end of standard input: a line asks the child to end, and the end of the
input, which also a parent that was killed cannot avoid, kills it and all that it started.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    child = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, start_new_session=os.name == "posix"
    )
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: _end(child, "SIGTERM"))
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    code = child.wait()
    _end(child, "SIGKILL")  # what it started and left behind
    return code if code >= 0 else 128 - code


def _watch(child: "subprocess.Popen[bytes]") -> None:
    if os.read(0, 64):
        _end(child, "SIGTERM")
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(5)
    _end(child, "SIGKILL")


def _end(child: "subprocess.Popen[bytes]", how: str) -> None:
    try:
        if os.name == "posix":
            os.killpg(child.pid, getattr(signal, how))
        else:
            child.kill()
    except (ProcessLookupError, PermissionError):
        pass


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))  # not waiting for the thread that reads
