"""``aegis hospital replica``: what each container of a scaled hospital service runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from aegis.cli.options import AsJson


def register(group: typer.Typer) -> None:
    group.command(
        "replica", epilog="Example:  aegis hospital replica --letterbox /letterbox --json"
    )(replica)


def replica(
    letterbox: Path = typer.Option(help="The folder by which it enrols with the coordinator."),
    task: str = typer.Option("breast_cancer", help="Whose public data are shared out."),
    line_file: Path | None = typer.Option(
        None, help="Where it writes how its line stands, for a health check."
    ),
    as_json: AsJson = False,
) -> None:
    """One of several alike hospitals on one machine, on public data: takes a free place in
    AEGIS_HOME/hospitals, enrols by the letterbox, and serves until told to stop."""
    import json
    import os
    import signal
    import threading

    from aegis.cli.hospital_process import spoken
    from aegis.operations import logs
    from aegis.operations.hospital import replica as replicas
    from aegis.operations.hospital.folder import Registered
    from aegis.operations.hospital.process import serve
    from aegis.operations.letterbox import Letterbox
    from aegis.store.home import Home
    from aegis.tasks.task import find_task

    name = find_task(task).name
    logs.start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def told(said: dict[str, Any]) -> None:
        if line_file is not None and said["event"] == "line":
            line_file.write_text(str(said["status"]), encoding="utf-8")
        if logs.as_objects():
            logs.said(said)
        if as_json or not logs.as_objects():
            print(json.dumps(said) if as_json else spoken(said), flush=True)

    box = Letterbox(letterbox).open()
    with replicas.place(Home.from_environment().root / "hospitals") as (share, folder):
        directory = os.environ.get("AEGIS_DATA_DIR", "")
        registered = Registered(name, share=f"{share}/*", directory=directory)
        replicas.furnish(folder, registered, os.environ)
        told({"event": "line", "status": "enrolling"})

        def tell(text: str) -> None:
            told({"event": "enrolling", "hospital": folder.name, "text": text})

        if replicas.enrol(folder, box, stop, told=tell):
            serve(folder, stop, told=told)
        told({"event": "stopped", "hospital": folder.name})
