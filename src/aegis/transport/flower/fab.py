"""The Flower app that the coordinator starts: built here, from three lines, without any network."""

from __future__ import annotations

import warnings

from aegis.transport.flower import compat

_PYPROJECT = """\
[project]
name = "aegis-road"
version = "1.0.0"
description = "Carries sealed envelopes between a coordinator and its hospitals."
license = {{ file = "LICENSE" }}
dependencies = ["flwr>={version}"]

[tool.flwr.app]
publisher = "aegis"
fab-format-version = 1
flwr-version-target = "{version}"

[tool.flwr.app.components]
serverapp = "aegis_road:server"
clientapp = "aegis_road_hospital:client"

[tool.flwr.app.config]
relay = ""
"""


def road_app() -> bytes:
    """The FAB. Its components are in the installed Aegis; the app only names them."""
    files = {
        "pyproject.toml": _PYPROJECT.format(version=compat.package_version).encode(),
        "LICENSE": b"As Aegis itself.\n",
        "aegis_road.py": b"from aegis.transport.flower.relay import app as server\n",
        "aegis_road_hospital.py": b"from aegis.transport.flower.clientapp import app as client\n",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Flower's own, about pathspec
        return compat.build_fab_from_files(files)[0]
