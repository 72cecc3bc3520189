"""Whether a party is well, for a container's health check: exit 0 or 1, with the reason.

    python health.py coordinator 8081     its console answers, over TLS and with its own root
    python health.py hospital /tmp/line   its line to the coordinator stands

Standard library only, since it runs every few seconds.
"""

import json
import os
import ssl
import sys
import urllib.request
from pathlib import Path


def coordinator(port: str) -> str:
    root = Path(os.environ.get("AEGIS_HOME") or "aegis-data") / "tls" / "root.pem"
    context = ssl.create_default_context(cafile=str(root))
    url = f"https://localhost:{int(port)}/health"
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    with direct.open(url, timeout=4) as answer:
        return str(json.load(answer)["status"])


def hospital(line: str) -> str:
    said = Path(line).read_text(encoding="utf-8")
    return "ok" if said == "connected" else said


def main(arguments: list[str]) -> int:
    try:
        party, where = arguments
        status = {"coordinator": coordinator, "hospital": hospital}[party](where)
    except (OSError, ValueError, KeyError) as error:
        status = f"{type(error).__name__}: {error}"
    print(status)
    return 0 if status == "ok" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
