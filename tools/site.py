"""Hooks of mkdocs.yml: the pages that lie beside the code join the site, and a link that leads out
of the documentation becomes the path that it names.

In the repository a page may link to a file of the code; in a folder that holds the site alone
there is no such file, and no address on the web is known.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s:]+)(#[^)]*)?\)")


def on_files(files: Any, config: Any, **_: Any) -> Any:
    from mkdocs.structure.files import File

    for name in BESIDE:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    beside = page.file.src_uri in BESIDE
    return LINK.sub(lambda found: _link(found, page.file.src_uri, beside, files), markdown)


def _link(found: re.Match[str], page: str, beside: bool, files: Any) -> str:
    picture, words, target, anchor = found.groups()
    folder = "" if beside else posixpath.join("docs", posixpath.dirname(page))
    path = posixpath.normpath(posixpath.join(folder, target))
    inside = path.removeprefix("docs/") if path.startswith("docs/") else path
    if not path.startswith("docs/") and path not in BESIDE:
        return f"{words} (`{path}`)"
    if files.get_file_from_path(inside) is None:
        return found.group(0)  # mkdocs says that it leads nowhere
    here = posixpath.relpath(inside, posixpath.dirname(page) or ".")
    return f"{picture}[{words}]({here}{anchor or ''})"
