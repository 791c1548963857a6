"""What the tests of fetching share: content, and a look at what was fetched."""

import hashlib
import io
import json
import tarfile
import zipfile

from rec_gym.fetching import download as fetch

REPO = "somebody/shop"
DATA = bytes(range(256)) * 4096  # 1 MB
OTHER = DATA[::-1]


def nothing_begun(home):
    """Whether no folder of a download is there, not even an unfinished one."""
    return [path for path in (home / "downloads").iterdir() if path.is_dir()] == []


def fetched(*sources):
    return fetch.fetch(sources, "shop", "See the shop.")


def contents(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.name != fetch.MANIFEST}


def nothing_but_whole_files(folder):
    """No temporary file is left beside what the manifest names."""
    stored = json.loads((folder / fetch.MANIFEST).read_text())
    named = {name: file for entry in stored["downloads"] for name, file in entry["files"].items()}
    there = contents(folder)
    assert there.keys() == named.keys()
    for name, content in there.items():
        assert named[name] == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert [path for path in folder.parent.iterdir() if path.is_dir()] == [folder]
    return there


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def tarred(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as file:
        for name, content in members.items():
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return {info: target}
