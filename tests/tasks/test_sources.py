from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import IO
from urllib.error import URLError

import pytest

from aegis.errors import BadInput, DataError
from aegis.tasks.sources import Source, fetch, located

CONTENT = b"63,1,1,145\n" * 20_000
SOURCE = Source(
    "heart",
    "processed.test.data",
    "https://example.org/processed.test.data",
    hashlib.sha256(CONTENT).hexdigest(),
    len(CONTENT),
    "CC BY 4.0",
    "nobody",
)


def publisher(content: bytes, asked: list[str] | None = None):
    def open_url(url: str) -> IO[bytes]:
        if asked is not None:
            asked.append(url)
        return io.BytesIO(content)

    return open_url


class Breaking(io.BytesIO):
    """A stream that dies half-way."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 0:
            raise ConnectionResetError("connection reset")
        return super().read(size)


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_a_fetched_file_is_found_again(tmp_path: Path) -> None:
    path = fetch(SOURCE, tmp_path, open_url=publisher(CONTENT))
    assert path == tmp_path / "heart" / SOURCE.name
    assert located(tmp_path, SOURCE) == path
    assert path.read_bytes() == CONTENT
    assert left_in(tmp_path) == [SOURCE.name]


def test_a_file_in_the_folder_itself_is_found_too(tmp_path: Path) -> None:
    (tmp_path / SOURCE.name).write_bytes(CONTENT)
    assert located(tmp_path, SOURCE) == tmp_path / SOURCE.name


def test_progress_ends_at_the_length_of_the_file(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fetch(SOURCE, tmp_path, lambda *so_far: told.append(so_far), publisher(CONTENT))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    asked: list[str] = []
    for _ in range(2):
        fetch(SOURCE, tmp_path, open_url=publisher(CONTENT, asked))
    assert asked == [SOURCE.url]


@pytest.mark.parametrize("sent", [CONTENT[:-1], b"X" + CONTENT[1:], CONTENT + b"\n", b""])
def test_other_bytes_than_the_published_leave_nothing_behind(tmp_path: Path, sent: bytes) -> None:
    with pytest.raises(DataError):
        fetch(SOURCE, tmp_path, open_url=publisher(sent))
    assert left_in(tmp_path) == []


def test_other_bytes_do_not_replace_the_file_that_is_there(tmp_path: Path) -> None:
    kept = tmp_path / "heart" / SOURCE.name
    kept.parent.mkdir()
    kept.write_bytes(b"an older edition")
    with pytest.raises(DataError):
        fetch(SOURCE, tmp_path, open_url=publisher(b"something else"))
    assert kept.read_bytes() == b"an older edition"


def test_a_connection_that_breaks_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="connection reset"):
        fetch(SOURCE, tmp_path, open_url=lambda url: Breaking(CONTENT))
    assert left_in(tmp_path) == []


def test_without_a_network_the_error_names_the_way_round(tmp_path: Path) -> None:
    def unreachable(url: str) -> IO[bytes]:
        raise URLError("Name or service not known")

    with pytest.raises(DataError) as caught:
        fetch(SOURCE, tmp_path, open_url=unreachable)
    assert SOURCE.url in caught.value.value
    assert "Name or service not known" in caught.value.value
    assert str(tmp_path / "heart") in caught.value.way_out


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "heart").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written"):
        fetch(SOURCE, tmp_path, open_url=publisher(CONTENT))


def test_plain_http_is_refused(tmp_path: Path) -> None:
    plain = Source("heart", "x", "http://example.org/x", "0" * 64, 1, "", "")
    with pytest.raises(BadInput, match="https"):
        fetch(plain, tmp_path, open_url=publisher(b"x"))


def test_an_absent_file_names_the_variable_and_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        located(tmp_path, SOURCE, "Or else")
    assert SOURCE.name in caught.value.value
    assert "AEGIS_DATA_DIR" in caught.value.way_out
    assert "aegis data fetch heart" in caught.value.way_out
    assert "Or else" in caught.value.way_out


def test_an_altered_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    (tmp_path / SOURCE.name).write_bytes(CONTENT.replace(b"145", b"146"))
    with pytest.raises(DataError) as caught:
        located(tmp_path, SOURCE)
    altered = hashlib.sha256(CONTENT.replace(b"145", b"146")).hexdigest()
    assert altered in str(caught.value)
    assert SOURCE.sha256 in str(caught.value)
