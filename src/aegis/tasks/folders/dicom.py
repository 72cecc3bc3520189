"""DICOM pictures by pydicom, which is imported here and nowhere else and comes with an extra.

Stored values become what a radiologist sees: rescaled (slope and intercept, or their table), then
windowed where the file names a window, then turned where small values mean bright (MONOCHROME1).
A file that compresses its pixels in a way that needs another plug-in says so.

These files carry names. What pydicom says in warnings, logs and errors may quote a value, so
nothing of it is passed on; whether there is a name is told, and a patient's number serves only to
keep the patient's pictures together, as a keyed digest that nobody can turn back.
"""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aegis.errors import DataError, MissingExtra
from aegis.tasks.folders.raster import Grey, luminance, sane, spread

DEFLATED = "1.2.840.10008.1.2.1.99"
_KEY = secrets.token_bytes(32)
_BRIGHT = {"MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}


@dataclass(frozen=True)
class DicomFacts:
    """``patient`` is a digest, "" where no number is given; ``named`` whether the file carries a
    patient's name; ``written`` whether text is burnt into the pixels."""

    bits: int
    patient: str
    named: bool
    written: bool


def is_dicom(data: bytes) -> bool:
    return data[128:132] == b"DICM"


def decode_dicom(data: bytes) -> tuple[Grey, DicomFacts]:
    """The picture (height, width) and what is said beside it. Raises ``DataError`` without a word
    of the file's, and ``MissingExtra`` where pydicom is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtra("a DICOM file", "dicom") from error
    with _quiet():
        try:
            _refuse_deflated(data)
            dataset: Any = pydicom.dcmread(io.BytesIO(data))
            facts = _facts(dataset)
            return _seen(dataset), facts
        except DataError:
            raise
        except Exception as error:  # whatever pydicom and its plug-ins raise may quote a value
            said = type(error).__name__
            raise DataError(f"it is truncated or damaged DICOM ({said})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    log = logging.getLogger("pydicom")
    before = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


def _refuse_deflated(data: bytes) -> None:
    """Such a file is unpacked whole before anything in it can be asked."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    file: Any = io.BytesIO(data)
    read_preamble(file, False)
    if str(_read_file_meta_info(file).get("TransferSyntaxUID", "")) == DEFLATED:
        raise DataError("it is deflated as a whole", "its size is not known beforehand")


def _facts(dataset: Any) -> DicomFacts:
    # Sensitive: the name and the number of a patient; neither leaves this function.
    number = str(dataset.get("PatientID", "") or "").strip()
    name = str(dataset.get("PatientName", "") or "").strip()
    digest = hashlib.blake2b(number.encode(), key=_KEY, digest_size=16).hexdigest()
    return DicomFacts(
        bits=int(dataset.get("BitsStored", 0) or 0),
        patient=digest if number else "",
        named=bool(name.strip("^ =")),
        written=str(dataset.get("BurnedInAnnotation", "")).upper() == "YES",
    )


def _seen(dataset: Any) -> Grey:
    from pydicom.pixels.processing import apply_modality_lut

    if "PixelData" not in dataset or "Rows" not in dataset:
        raise DataError("it holds no picture")
    sane(int(dataset.Columns), int(dataset.Rows))
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise DataError(f"it holds {frames} pictures", "one is wanted")
    _refuse_unreadable(dataset)
    meaning = str(dataset.get("PhotometricInterpretation", ""))
    if meaning not in _BRIGHT | {"MONOCHROME1"}:
        raise DataError("its colours are of a kind that is not read", "grey or RGB is")
    pixels = dataset.pixel_array
    if pixels.ndim == 3:
        return _luminance(pixels)
    values = np.asarray(apply_modality_lut(pixels, dataset), dtype=np.float64)
    shown = _windowed(dataset, values)
    if shown is None:
        plain = pixels.dtype == np.uint8 and np.array_equal(values, pixels)
        asis = plain and int(dataset.BitsStored) == 8
        shown = values if asis else spread(values).astype(np.float64)
    turned = 255 - shown if meaning == "MONOCHROME1" else shown
    return turned.astype(np.float32)


def _refuse_unreadable(dataset: Any) -> None:
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        ready = get_decoder(syntax).is_available
    except NotImplementedError:
        ready = False
    if not ready:
        raise DataError(
            f"its pixels are compressed as {syntax.name}",
            "pydicom needs a plug-in for that, which is not installed",
            "Install one (pip install pylibjpeg pylibjpeg-libjpeg), or export it uncompressed",
        )


def _windowed(dataset: Any, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """0 to 255 by the file's first window (PS3.3 C.11.2.1.2), or nothing where it names none."""
    centre, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    kind = str(dataset.get("VOILUTFunction", "") or "LINEAR")
    if centre is None or width is None or not width > 0:
        return None
    if kind == "SIGMOID":
        return np.asarray(255 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if kind == "LINEAR":
        if width < 1:
            return None
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return np.where(values > centre, 255.0, 0.0)
    return np.asarray(np.clip(((values - centre) / width + 0.5) * 255, 0, 255))


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value[0])
    except TypeError:
        return float(value)


def _luminance(pixels: NDArray[Any]) -> Grey:
    if pixels.dtype != np.uint8:
        raise DataError("its colours are deeper than 8 bits")
    return luminance(pixels)
