"""Small pictures in files, as hospitals and their devices write them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def striped(seed, ill, side=40, height=None):
    """Stripes across for the ill, along for the healthy, with noise of its own."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(128, 20, (height or side, side))
    picture += 60 * np.sin(0.5 * np.arange(side)) if not ill else 0
    picture += 60 * np.sin(0.5 * np.arange(height or side))[:, None] if ill else 0
    return np.clip(picture, 0, 255).astype(np.uint8)


def png(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def jpeg(pixels, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    return file.getvalue()


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def classes(root: Path, ill="PNEUMONIA", healthy="NORMAL", count=6, seed=0, side=40):
    """A folder for each class."""
    for number in range(count):
        is_ill = number % 2 == 0
        name = ill if is_ill else healthy
        written(root / name / f"{number}.png", png(striped(seed + number, is_ill, side)))
    return root


def bomb(width=65_535, height=65_535):
    """A PNG that would unpack to as many bytes as it has pixels."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def dicom(pixels, **tags):
    """A DICOM file of one picture; ``tags`` are set as they are."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        UID,
        ExplicitVRLittleEndian,
        SecondaryCaptureImageStorage,
        generate_uid,
    )

    syntax = tags.pop("syntax", ExplicitVRLittleEndian)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    file.Rows, file.Columns = pixels.shape[:2]
    file.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    file.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        file.PlanarConfiguration = 0
    file.BitsAllocated = 8 * pixels.dtype.itemsize
    file.BitsStored, file.HighBit = file.BitsAllocated, file.BitsAllocated - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    file.PixelData = pixels.tobytes()
    if UID(syntax).is_compressed:
        file.PixelData = encapsulate([b"\xff\xd8 no codestream"])
    for name, value in tags.items():
        setattr(file, name, value)
    data = io.BytesIO()
    file.save_as(data, enforce_file_format=True)
    return data.getvalue()
