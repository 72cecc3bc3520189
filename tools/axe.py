"""axe-core for the tests of pages, in the virtual environment and not in the repository: it is
under MPL-2.0, and no page needs it (``python -m tools.axe``, by ``make .venv/.axe``).

npm fetches the package, and its integrity is compared with the one below.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.vendor import Mismatch, packed, taken

PACKAGE = {
    "name": "axe-core",
    "version": "4.14.1",
    "integrity": "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNt"
    "uFooJpZe37OgudVGtQ==",
    "files": [{"source": "axe.min.js", "file": "axe.min.js"}],
}


def main(folder: Path = Path(sys.prefix) / "axe") -> int:
    try:
        files = taken(PACKAGE, packed(PACKAGE))
    except Mismatch as error:
        print(f"no axe-core here, pages are not judged by it: {error}", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    print(f"axe-core {PACKAGE['version']} is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
