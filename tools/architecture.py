"""The house as a floor plan: docs/architecture.svg and docs/architecture.png.

    python -m tools.architecture            writes both (the picture needs Chromium)
    python -m tools.architecture --check    exits 1 where either is not what this file draws

The drawing is text, and the same text on every machine. The picture carries the digest of the
drawing that it was made from, and is made with a font that comes with matplotlib.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
DRAWING, PICTURE = DOCS / "architecture.svg", DOCS / "architecture.png"
WIDTH, HEIGHT, SCALE = 1600, 1020, 1.25
PAPER, CARD, INK, SOFT, EDGE = "#f4f6f7", "#ffffff", "#15212b", "#465461", "#74828e"
BLUE, BLUE_BG, ORANGE, ORANGE_BG = "#0a5a9c", "#e1eff5", "#b4530a", "#fbeee3"
GREEN, GREEN_BG = "#17664b", "#e3f1ea"


@dataclass
class Sheet:
    """What has been drawn so far."""

    parts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.parts.append(text)

    def box(
        self, x: int, y: int, w: int, h: int, fill: str = CARD, edge: str = INK, line: float = 2.5
    ) -> None:
        self.add(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{fill}" stroke="{edge}" '
            f'stroke-width="{line:g}"/>'
        )

    def words(
        self,
        x: int,
        y: int,
        *lines: str,
        size: int = 16,
        fill: str = SOFT,
        bold: bool = False,
        middle: bool = False,
    ) -> None:
        look = f'font-size="{size}" fill="{fill}"'
        look += ' font-weight="bold"' if bold else ""
        look += ' text-anchor="middle"' if middle else ""
        for number, line in enumerate(lines):
            self.add(f'<text x="{x}" y="{y + number * round(size * 1.45)}" {look}>{line}</text>')

    def room(self, x: int, y: int, w: int, h: int, name: str, said: str) -> None:
        """``said`` has a slash where a line ends."""
        self.box(x, y, w, h, line=2)
        self.words(x + 18, y + 34, name, size=19, fill=INK, bold=True)
        self.words(x + 18, y + 62, *said.split(" / "))

    def step(self, x: int, y: int, number: int) -> None:
        self.add(f'<circle cx="{x}" cy="{y}" r="16" fill="{INK}"/>')
        self.words(x, y + 6, str(number), size=17, fill="#ffffff", bold=True, middle=True)

    def arrow(self, points: str, colour: str) -> None:
        head = "blue" if colour == BLUE else "orange"
        self.add(
            f'<path d="{points}" fill="none" stroke="{colour}" stroke-width="5" '
            f'stroke-linejoin="round" marker-end="url(#{head})"/>'
        )

    def envelope(self, x: int, y: int, colour: str, fill: str) -> None:
        self.add(
            f'<g stroke="{colour}" stroke-width="3" fill="{fill}" stroke-linejoin="round">'
            f'<rect x="{x}" y="{y}" width="66" height="42" rx="3"/>'
            f'<path d="M{x} {y + 3} L{x + 33} {y + 25} L{x + 66} {y + 3}" fill="none"/></g>'
        )


def _marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="4.2" '
        f'markerHeight="4.2" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="{colour}"/></marker>'
    )


def drawing() -> str:
    sheet = Sheet()
    sheet.box(0, 0, WIDTH, HEIGHT, PAPER, PAPER)
    sheet.words(60, 62, "Hospitals train one model together", size=32, fill=INK, bold=True)
    sheet.words(60, 98, "No patient row leaves any of them.", size=20)
    _hospital(sheet)
    _wall(sheet)
    _coordinator(sheet)
    _road(sheet)
    _round(sheet)
    body = "\n".join(sheet.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f"font-family=\"'DejaVu Sans', Verdana, sans-serif\">\n"
        "<title>Aegis as a floor plan: hospitals, the wall, the coordinator</title>\n"
        "<desc>Rows stay in the hospital. What leaves passes a gate, is noised, masked, signed and "
        "sealed. The coordinator opens only the sum over three or more hospitals.</desc>\n"
        f"<defs>{_marker('blue', BLUE)}{_marker('orange', ORANGE)}"
        '<pattern id="bricks" width="36" height="24" patternUnits="userSpaceOnUse">'
        f'<rect width="36" height="24" fill="{EDGE}"/>'
        '<path d="M0 0 H36 M0 12 H36 M0 0 V12 M18 12 V24" stroke="#ffffff" stroke-width="2"/>'
        f"</pattern></defs>\n{body}\n</svg>\n"
    )


def _hospital(sheet: Sheet) -> None:
    for back in (28, 14):  # the others, behind
        sheet.box(60 + back, 152 - back, 550, 620, "#eaeef1", EDGE, 1.5)
    sheet.box(60, 152, 550, 620, CARD, INK, 6)
    sheet.box(616, 598, 29, 124, PAPER, PAPER, 0)  # the door
    sheet.box(606, 598, 9, 124, CARD, CARD, 0)
    sheet.words(82, 188, "Each hospital", size=22, fill=INK, bold=True)
    sheet.words(82, 214, "aegis.hospital, training, privacy, secagg", size=14)
    sheet.box(82, 236, 240, 178, ORANGE_BG, ORANGE, 2.5)
    sheet.words(100, 270, "Patient rows", size=19, fill=ORANGE, bold=True)
    sheet.words(100, 298, "files, queries, FHIR,", "images; read here,", "and nowhere else")
    for row in range(3):
        for column in range(5):
            sheet.box(100 + column * 40, 362 + row * 14, 40, 14, CARD, ORANGE, 1.2)
    said = (
        "from rows to an update: / NumPy, PyTorch, / scikit-learn or Spark, / as the hospital likes"
    )
    sheet.room(346, 236, 242, 178, "Training", said)
    said = "what these data have / spent, ever: reserved / before it is used"
    sheet.room(82, 438, 240, 150, "Ledger", said)
    said = "clipped, noised where / the plan is private, / masked for the sum"
    sheet.room(346, 438, 242, 150, "Noise and mask", said)
    sheet.box(82, 612, 506, 136, GREEN_BG, GREEN, 2.5)
    sheet.words(100, 646, "The gate", size=19, fill=GREEN, bold=True)
    sheet.words(
        100, 674, "A policy that the hospital signs itself, and a", "person who approves the plan.",
        "What neither allows is refused.",
    )  # fmt: skip
    sheet.arrow("M322 330 H340", ORANGE)
    sheet.arrow("M467 414 V432", BLUE)


def _wall(sheet: Sheet) -> None:
    sheet.add('<rect x="646" y="124" width="36" height="456" fill="url(#bricks)"/>')
    sheet.add('<rect x="646" y="748" width="36" height="48" fill="url(#bricks)"/>')
    sheet.words(664, 108, "the wall", size=18, fill=INK, bold=True, middle=True)
    sheet.words(664, 822, "no code of the coordinator", "can import what reads rows;",
                "each build checks it", size=14, middle=True)  # fmt: skip


def _coordinator(sheet: Sheet) -> None:
    sheet.box(990, 152, 550, 620, CARD, INK, 6)
    sheet.words(1012, 188, "The coordinator", size=22, fill=INK, bold=True)
    sheet.words(1012, 214, "aegis.coordinator, aggregation, evaluation, store, report", size=14)
    sheet.box(1012, 236, 506, 178, BLUE_BG, BLUE, 2.5)
    sheet.words(1030, 270, "The table", size=19, fill=BLUE, bold=True)
    sheet.words(
        1030, 298, "A state is saved, then acted on. Killed at any step,",
        "it goes on to the same model, bit for bit.",
    )  # fmt: skip
    states = ("register", "ask", "open sum", "combine", "score")
    for number, name in enumerate(states):
        x = 1030 + number * 97
        sheet.box(x, 350, 82, 40, CARD, BLUE, 2)
        sheet.words(x + 41, 375, name, size=14, fill=INK, middle=True)
        if number:
            sheet.add(f'<path d="M{x - 14} 370 H{x - 1}" stroke="{BLUE}" stroke-width="2.5"/>')
    said = "the opened sum, or a / rule that withstands / dishonest hospitals"
    sheet.room(1012, 438, 240, 150, "One of many", said)
    said = "hospitals score it on / held-out rows; counts / come back, not scores"
    sheet.room(1276, 438, 242, 150, "How good", said)
    said = "versions, backups, and / a log that shows every / later change"
    sheet.room(1012, 612, 240, 136, "Memory", said)
    said = "report, model card, / privacy statement, / audit, pages"
    sheet.room(1276, 612, 242, 136, "To read", said)


def _road(sheet: Sheet) -> None:
    sheet.box(718, 176, 236, 262, CARD, EDGE, 1.5)
    sheet.words(736, 208, "What it gets to see", size=17, fill=INK, bold=True)
    for number, (mode, what) in enumerate(
        (("masked, the default", "only the sum"), ("grouped", "sums of three"),
         ("open", "each update"))
    ):  # fmt: skip
        sheet.words(736, 244 + 66 * number, f"trust: {mode}", size=14)
        sheet.words(736, 268 + 66 * number, what, size=17, fill=BLUE, bold=True)
    sheet.words(836, 498, "the road", size=18, fill=INK, bold=True, middle=True)
    sheet.words(836, 526, "one process, Flower, XMPP;", "hospitals connect outwards",
                size=15, middle=True)  # fmt: skip
    sheet.arrow("M984 620 H600", BLUE)
    sheet.envelope(800, 599, BLUE, BLUE_BG)
    sheet.words(836, 588, "model and plan", size=15, fill=BLUE, middle=True)
    sheet.arrow("M594 700 H980", ORANGE)
    sheet.envelope(800, 679, ORANGE, ORANGE_BG)
    sheet.words(836, 746, "signed, sealed, masked update", size=15, fill=ORANGE, middle=True)


STEPS = (
    (1494, 262, "save the state, then ask"),
    (934, 620, "send model and plan"),
    (562, 640, "check policy and ledger"),
    (562, 262, "train on rows that stay"),
    (562, 464, "add noise, mask, sign, seal"),
    (722, 700, "send; asked again, the same"),
    (1226, 464, "open the sum of three or more"),
    (1226, 638, "score, write it down"),
)


def _round(sheet: Sheet) -> None:
    sheet.box(60, 884, 1480, 104, CARD, EDGE, 1.5)
    sheet.words(84, 944, "One round", size=18, fill=INK, bold=True)
    for number, (x, y, words) in enumerate(STEPS, 1):
        sheet.step(x, y, number)
        column, row = (number - 1) % 4, (number - 1) // 4
        left, top = 246 + column * 330, 916 + row * 42
        sheet.step(left, top, number)
        sheet.words(left + 28, top + 6, words, size=17, fill=INK)


def digest() -> str:
    return hashlib.sha256(drawing().encode()).hexdigest()


def rendered() -> bytes:
    """The drawing as a picture, by Chromium, with the digest of its text inside."""
    import shutil

    import matplotlib
    from PIL import Image, PngImagePlugin
    from playwright.sync_api import sync_playwright

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = "".join(
        f'@font-face{{font-family:"DejaVu Sans";src:url("{(fonts / file).as_uri()}");'
        f"font-weight:{weight}}}"
        for file, weight in (("DejaVuSans.ttf", "normal"), ("DejaVuSans-Bold.ttf", "bold"))
    )
    look = f"<style>{faces}body{{margin:0}}svg{{display:block}}</style>"
    page_text = f"<!doctype html><meta charset=utf-8>{look}{drawing()}"
    with sync_playwright() as engine:
        browser = engine.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE
        )
        with tempfile.TemporaryDirectory() as folder:  # only a page in a file may read the fonts
            place = Path(folder) / "page.html"
            place.write_text(page_text, encoding="utf-8")
            page.goto(place.as_uri())
            shot = page.screenshot()
        browser.close()
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture = picture.quantize(128, dither=Image.Dither.NONE)
    note = PngImagePlugin.PngInfo()
    note.add_text("drawing-sha256", digest())
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True, pnginfo=note)
    return out.getvalue()


def noted(picture: Path = PICTURE) -> str:
    """The digest of the drawing that a picture was made from."""
    from PIL import Image

    with Image.open(picture) as image:
        return str(image.info.get("drawing-sha256", ""))


def main(argv: list[str] | None = None) -> int:
    reader = argparse.ArgumentParser(description="Draw the house.")
    reader.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    if reader.parse_args(argv).check:
        same = DRAWING.read_text(encoding="utf-8") == drawing() and noted() == digest()
        print("as drawn" if same else "stale: run make architecture")
        return 0 if same else 1
    DRAWING.write_text(drawing(), encoding="utf-8")
    PICTURE.write_bytes(rendered())
    print(f"{PICTURE.relative_to(DOCS.parent)}: {PICTURE.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
