"""DICOM: what a radiologist sees, and no word of what stands beside it."""

import logging
import warnings

import numpy as np
import pytest

from aegis.errors import DataError, MissingExtra
from aegis.tasks.folders import dicom as module
from aegis.tasks.folders.dicom import decode_dicom, is_dicom
from aegis.tasks.folders.raster import squared
from tests.tasks.pictures import dicom, striped

pytest.importorskip("pydicom")
GREY = striped(2, True)
NAME = "Musterfrau^Erika"


def seen(data):
    return squared(decode_dicom(data)[0], 40)


def test_8_bits_without_a_window_are_taken_as_they_are():
    data = dicom(GREY)
    assert is_dicom(data)
    assert np.array_equal(seen(data), GREY)
    assert decode_dicom(data)[1].bits == 8
    assert not is_dicom(data[:100])


def test_small_values_that_mean_bright_are_turned():
    assert np.array_equal(seen(dicom(GREY, PhotometricInterpretation="MONOCHROME1")), 255 - GREY)


def test_slope_and_intercept_come_before_the_window():
    stored = (GREY.astype(np.int16) * 4).astype(np.int16)
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1024", "BitsStored": 12, "HighBit": 11}
    values = stored * 2.0 - 1024
    found = seen(dicom(stored, **tags, WindowCenter="-200", WindowWidth="901"))
    wanted = np.clip(((values + 200.5) / 900 + 0.5) * 255, 0, 255)
    assert np.abs(found - wanted).max() <= 0.51
    exact = seen(
        dicom(stored, **tags, WindowCenter=["-200", "50"], WindowWidth=["900", "9"],
              VOILUTFunction="LINEAR_EXACT")
    )  # fmt: skip
    assert np.abs(exact - np.clip(((values + 200) / 900 + 0.5) * 255, 0, 255)).max() <= 0.51
    soft = seen(
        dicom(stored, **tags, WindowCenter="-200", WindowWidth="900", VOILUTFunction="SIGMOID")
    )
    assert np.abs(soft - 255 / (1 + np.exp(-4 * (values + 200) / 900))).max() <= 0.51


def test_deep_values_without_a_window_are_spread_over_their_own_range():
    deep = GREY.astype(np.uint16) * 9
    low, high = GREY.min(), GREY.max()
    wanted = (GREY.astype(float) - low) * 255 / (high - low)
    for tags in ({}, {"WindowWidth": "0", "WindowCenter": "3"}, {"RescaleSlope": "3.5"}):
        more = {"RescaleIntercept": "1"} if "RescaleSlope" in tags else {}
        assert np.abs(seen(dicom(deep, **tags, **more)) - wanted).max() <= 0.51


def test_colours_become_luminance_and_run_length_coding_is_unpacked():
    colours = np.dstack([GREY] * 3)
    assert np.array_equal(seen(dicom(colours)), GREY)
    import io

    import pydicom
    from pydicom.uid import RLELossless

    file = pydicom.dcmread(io.BytesIO(dicom(GREY)))
    file.compress(RLELossless)
    packed = io.BytesIO()
    file.save_as(packed)
    assert np.array_equal(seen(packed.getvalue()), GREY)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            lambda: dicom(GREY, syntax="1.2.840.10008.1.2.4.80"),
            "JPEG-LS Lossless.*plug-in.*pip install",
        ),
        (lambda: dicom(GREY, syntax="1.2.840.10008.1.2.4.100"), "compressed as MPEG2"),
        (lambda: dicom(GREY, NumberOfFrames=3), "3 pictures; one is wanted"),
        (lambda: dicom(GREY, Rows=60_000, Columns=60_000), "60,000 x 60,000 pixels"),
        (lambda: dicom(GREY, PhotometricInterpretation="PALETTE COLOR"), "colours are of a kind"),
        (lambda: dicom(GREY)[:-300], "truncated or damaged"),
        (lambda: dicom(GREY)[:200], "truncated or damaged|holds no picture"),
        (lambda: bytes(128) + b"DICM", "truncated or damaged|holds no picture"),
    ],
)
def test_what_cannot_be_read_is_said(data, sentence):
    with pytest.raises(DataError, match=sentence):
        decode_dicom(data())


def test_a_file_deflated_as_a_whole_is_not_unpacked():
    with pytest.raises(DataError, match="deflated as a whole"):
        decode_dicom(dicom(GREY, syntax="1.2.840.10008.1.2.1.99"))


def test_a_patients_name_is_told_of_and_never_told(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    broken = {"PatientBirthDate": "no date " + NAME, "StudyInstanceUID": "1.x." + NAME}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = dicom(GREY, PatientName=NAME, PatientID="K-4711", **broken)
        short = data[:-300]
    caplog.clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _, facts = decode_dicom(data)
        with pytest.raises(DataError) as caught:
            decode_dicom(short)
    assert facts.named
    everything = [
        *map(str, said),
        caplog.text,
        *capsys.readouterr(),
        str(caught.value),
        repr(facts),
    ]
    assert not any("Erika" in text or "4711" in text for text in everything)
    assert logging.getLogger("pydicom").disabled is False


def test_the_same_patient_has_the_same_digest_and_nobody_none():
    one, again, other, nobody = (
        decode_dicom(dicom(GREY, **tags))[1]
        for tags in ({"PatientID": "a1"}, {"PatientID": " a1 "}, {"PatientID": "a2"}, {})
    )
    assert one.patient == again.patient != other.patient
    assert nobody.patient == ""
    assert not nobody.named
    assert not decode_dicom(dicom(GREY, PatientName="^"))[1].named
    assert decode_dicom(dicom(GREY, BurnedInAnnotation="YES"))[1].written


def test_without_pydicom_the_extra_is_named(monkeypatch):
    data = dicom(GREY)
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"\.\[dicom\]"):
        module.decode_dicom(data)
