"""Archives that would fill a disk, hold nothing, or have impossible names are refused, and leave nothing."""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from collections import namedtuple

import pytest

from rec_gym.fetching import archives
from rec_gym.fetching.sources import FetchError

ZEROS = bytes(2 << 20)


def zipped(*members):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return target.getvalue()


def tarred(*members, mode="w"):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode, format=tarfile.PAX_FORMAT) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return target.getvalue()


def unpack(tmp_path, content):
    (tmp_path / "archive").write_bytes(content)
    return archives.unpack(tmp_path / "archive", tmp_path / "there", "file")


def refused(tmp_path, content, message):
    with pytest.raises(FetchError, match=message):
        unpack(tmp_path, content)
    assert not (tmp_path / "there").exists()


BOMBS = {
    "zip": zipped(("a", ZEROS), ("b", ZEROS)),
    "gz": gzip.compress(b"1" + ZEROS),
    **{kind: tarred(("a", ZEROS), mode=f"w:{kind}") for kind in ("gz", "bz2", "xz")},
    "tar-gz": tarred(("a", b"1"), ("b", ZEROS), mode="w:gz"),
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_what_unpacks_to_many_times_its_size_is_refused(tmp_path, monkeypatch, content):
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", 1 << 20)
    refused(tmp_path, content, r"unpacks to .* or more, over 200 times its own size.* with data_dir=")
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", 8 << 20)
    unpack(tmp_path, content)


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_every_kind_is_compared_with_the_disk(tmp_path, monkeypatch, content):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 1 << 20))
    refused(tmp_path, content, r"unpacks to .*, but .* has 1\.05 MB of space left")


EMPTY = {
    "gzip of zeros": gzip.compress(ZEROS),
    "bz2 of zeros": bz2.compress(ZEROS),
    "xz of zeros": lzma.compress(ZEROS),
    "zeros": ZEROS,
    "tar": tarred(),
    "zip": zipped(),
    "zip of folders": zipped(("a/", b"")),
}


@pytest.mark.parametrize("content", EMPTY.values(), ids=EMPTY)
def test_an_archive_without_a_file_is_refused(tmp_path, content):
    refused(tmp_path, content, "holds no file; what was fetched is not the data")


@pytest.mark.parametrize("pack", [zipped, tarred])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["/".join("a" * 1500)], "lies more than 64 folders deep"),
        (["x" * 300], "a name of over 255 bytes"),
        (["."], "'.' names no file"),
        (["a/b", "a"], "'a' is a file and a folder at once"),
        (["a", "a/b"], "'a/b' is a file and a folder at once"),
    ],
)
def test_names_that_cannot_be_files(tmp_path, pack, names, message):
    refused(tmp_path, pack(("first", b"1"), *((name, b"2") for name in names)), message)


def test_a_name_that_is_not_utf8(tmp_path):
    content = tarred(("a-name", b"1")).replace(b"a-name", b"a\xff-nam")
    header = bytearray(content[:512])
    header[148:156] = b" " * 8
    content = header[:148] + b"%06o\0 " % sum(header) + header[156:] + content[512:]
    refused(tmp_path, content, "has a name that is not UTF-8")


def test_a_header_that_claims_to_be_long(tmp_path):
    target = io.BytesIO()
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    target.write(info.tobuf(tarfile.GNU_FORMAT))
    target.write(bytes(4096))
    refused(tmp_path, tarred(("a", b"1"))[:1024] + target.getvalue(), "is damaged .a header of 8.59 GB")


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_FILES", 2)
    refused(tmp_path, zipped(*((name, b"") for name in "abc")), "'c' comes after 2 others")


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("kept")
    with pytest.raises(FileExistsError):
        unpack(tmp_path, zipped(("a", b"1")))
    assert (tmp_path / "there" / "mine").read_text() == "kept"
