"""Tasks that did not come with Aegis: found by name, loaded only when somebody may and does ask.

    AEGIS_PLUGINS_DIR/              (default: AEGIS_HOME/plugins)
    ├── sepsis/                     dataset.py, model.py, hyperparams.py, evaluate.py
    └── stroke.py                   one file with a Task in it
    an installed package            an entry point of the group aegis.tasks

A name is looked up without reading any code. Code runs in ``find_task`` alone: on a machine whose
user named the task, and at a hospital behind its signed policy, which lists the plug-ins it takes
(``plugins``, by default none). A coordinator can name what it likes: what the policy does not list
is refused before it is loaded. A plug-in that others on the machine may write is not loaded at all,
and none can take the name of a task that came with Aegis.
"""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from aegis.errors import AegisError, BadInput

GROUP = "aegis.tasks"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def plugins_folder() -> Path:
    said = os.environ.get("AEGIS_PLUGINS_DIR")
    return Path(said) if said else Path(os.environ.get("AEGIS_HOME") or "aegis-data", "plugins")


@cache
def installed() -> dict[str, EntryPoint]:
    """Entry points by name; of two with one name, that of Aegis."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name not in found or _ours(entry):
            found[entry.name] = entry
    return found


def dropped_in() -> dict[str, Path]:
    """Folders and files in the plug-ins folder by name; nothing of them is read."""
    folder = plugins_folder()
    try:
        there = sorted(folder.iterdir())
    except OSError:
        return {}
    found: dict[str, Path] = {}
    for path in there:
        if path.is_dir():
            name = path.name
        elif path.suffix == ".py" and path.is_file():
            name = path.stem
        else:
            continue
        if _NAME.fullmatch(name) and name not in installed():
            found.setdefault(name, path)
    return found


def is_plugin(name: str) -> bool:
    """Whether this task did not come with Aegis; nothing of it is loaded to find out."""
    entry = installed().get(name)
    return not _ours(entry) if entry is not None else name in dropped_in()


def checked_plugin_name(name: str) -> str:
    """The name, where a new plug-in may have it."""
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name for a plug-in",
            "it has small letters, digits and underscores, a letter first, 41 at most",
        )
    if name in installed():
        raise BadInput(f"a task is called {name} already", way_out="Choose another name")
    return name


def load_plugin(name: str) -> Any:
    """The object that a plug-in's file or folder makes its task. Raises ``BadInput`` that says
    which file is missing, what it lacks, or what went wrong while it was loaded."""
    path = dropped_in()[name]
    if path.is_dir():
        from aegis.tasks.plugin_folder import PARTS, folder_task

        files = [path / f"{part}.py" for part in PARTS]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise BadInput(
                f"the plug-in {path} has no {' and no '.join(missing)}",
                f"it needs {', '.join(file.name for file in files)}",
                "A complete one to start from: aegis models new NAME",
            )
        _refuse_writable(path.parent, path, *files)
        return _folder(path, tuple(_stamp(file) for file in files), folder_task)
    _refuse_writable(path.parent, path)
    return _single(path, _stamp(path))


@cache
def _folder(path: Path, stamps: tuple[Any, ...], made: Any) -> Any:
    from aegis.tasks.plugin_folder import PARTS

    parts = {part: _module(path.name, path / f"{part}.py", part) for part in PARTS}
    return made(path.name, parts)


@cache
def _single(path: Path, stamp: Any) -> Any:
    from aegis.tasks.task import Task

    module = _module(path.stem, path, "task")
    for found in (getattr(module, "task", None), getattr(module, path.stem, None)):
        if isinstance(found, Task) and not isinstance(found, type):
            return found
    raise BadInput(
        f"the plug-in {path} has no task in it",
        "a variable called task with name, title, positive, schema, credits, preset and load",
    )


def _module(name: str, path: Path, part: str) -> ModuleType:
    """The file as a module of a package of its own, so that its neighbours can be imported."""
    package = f"aegis_plugin_{name}"
    parent = ModuleType(package)
    parent.__path__ = [str(path.parent)]
    sys.modules[package] = parent
    spec = importlib.util.spec_from_file_location(f"{package}.{part}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except AegisError:
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise BadInput(
            f"the plug-in {path} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return module


def _ours(entry: EntryPoint) -> bool:
    return entry.module.split(".")[0] == "aegis"


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _refuse_writable(*paths: Path) -> None:
    for path in paths:
        if os.name == "posix" and path.stat().st_mode & stat.S_IWOTH:
            raise BadInput(
                f"everybody on this machine may write {path}",
                "a plug-in is code that runs here",
                f"chmod o-w {path}",
            )
