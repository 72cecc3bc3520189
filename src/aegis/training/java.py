"""Is Spark here, and the Java that it needs? Answered without starting either."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aegis.errors import BadInput, MissingExtra

LEAST_JAVA = 17
_WAY_OUT = (
    f"Install a Java runtime, version {LEAST_JAVA} or newer (Debian: apt-get install "
    "openjdk-17-jre-headless), or choose another engine for this hospital"
)


def check_spark() -> None:
    """Raises ``MissingExtra`` without PySpark and ``BadInput`` without a Java that it takes."""
    if find_spec("pyspark") is None or find_spec("pyarrow") is None:
        raise MissingExtra("a Spark hospital", "spark")
    home = os.environ.get("JAVA_HOME", "")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME is {home} and holds none" if home else "there is none on this machine"
        raise BadInput(f"a Spark hospital needs Java, and {where}", way_out=_WAY_OUT)
    version = _version(java)
    if version is not None and version < LEAST_JAVA:
        raise BadInput(f"Java is version {version}", f"Spark needs {LEAST_JAVA}", _WAY_OUT)


def fault_of_spark() -> str | None:
    """Why nothing can be trained in Spark here, or nothing."""
    try:
        check_spark()
    except BadInput as error:
        return str(error)
    return None


@cache
def _version(java: str) -> int | None:
    """The major version, None where Java does not tell it."""
    try:
        told = subprocess.run(  # noqa: S603 - the administrator's own Java
            [java, "-version"], capture_output=True, text=True, timeout=60, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else None
