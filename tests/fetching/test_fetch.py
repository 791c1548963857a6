"""Fetching from a hub and from the web: whole, checked and once, whatever goes wrong on the way."""

import contextlib
import errno
import fnmatch
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.loopback import Served

from rec_gym.fetching import archives, hub, web
from rec_gym.fetching import download as fetch
from rec_gym.fetching.download import FetchError, HubFile, WebFile, download_folder, mirrored, partial_folder
from rec_gym.fetching.sources import as_size, inside

REPO = "somebody/shop"
DATA = bytes(range(256)) * 4096  # 1 MB
OTHER = DATA[::-1]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("REC_GYM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(web, "_WAIT", 0.01)
    hasty = SimpleNamespace(**{**vars(time), "sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.file_download.time", hasty)
    return tmp_path / "home"


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


class TestHub:
    def test_files_and_patterns_once(self, loopback, capfd):
        loopback.add_hub(REPO, {"data/a.bin": DATA, "data/b.bin": OTHER, "data/c.txt": b"c", "list.csv": b"x,y"})
        folder = fetched(HubFile(REPO, "data/*.bin"), HubFile(REPO, "list.csv"))
        assert nothing_but_whole_files(folder) == {"data/a.bin": DATA, "data/b.bin": OTHER, "list.csv": b"x,y"}
        assert f"rec-gym: fetching shop: 3 files, 2.10 MB, into {folder}\n" in capfd.readouterr().err
        before = len(loopback.log)
        assert fetched(HubFile(REPO, "data/*.bin"), HubFile(REPO, "list.csv")) == folder
        assert len(loopback.log) == before
        assert capfd.readouterr().err == ""

    def test_a_connection_that_drops_is_taken_up_again(self, loopback):
        large = DATA * 12  # the client keeps pieces of 10 MiB
        loopback.add_hub(REPO, {"a.bin": Served(large, drops=[11 << 20, 1000])})
        assert contents(fetched(HubFile(REPO, "a.bin"))) == {"a.bin": large}
        assert loopback.fetched("a.bin") == ["", f"bytes={10 << 20}-", f"bytes={10 << 20}-"]

    def test_content_that_is_not_what_the_hub_states(self, loopback):
        loopback.add_hub(REPO, {"a.bin": DATA, "b.bin": OTHER})
        loopback.stated[REPO, "b.bin"] = DATA  # of the same size
        wanted = (HubFile(REPO, "a.bin"), HubFile(REPO, "b.bin"))
        with pytest.raises(FetchError, match=r"b\.bin of somebody/shop is not what its publisher states: its SHA-256"):
            fetched(*wanted)
        loopback.stated[REPO, "b.bin"] = OTHER
        loopback.repositories[REPO]["b.bin"].content = OTHER
        # The plan of the first call names a commit; the repaired file is another one.
        assert nothing_but_whole_files(fetched(*wanted)) == {"a.bin": DATA, "b.bin": OTHER}

    def test_a_checksum_that_the_loader_states(self, loopback):
        loopback.add_hub(REPO, {"a.bin": DATA})
        with pytest.raises(FetchError, match=r"its SHA-256 is \w{64}, not 0{64}"):
            fetched(HubFile(REPO, "a.bin", sha256="0" * 64))

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            (HubFile(REPO, "b.bin"), r"somebody/shop holds no b\.bin at revision main; it may have been renamed"),
            (HubFile(REPO, "*.parquet"), r"holds no \*\.parquet at revision main"),
            (
                HubFile("nobody/shop", "a.bin"),
                r"the Hugging Face hub does not hold the data set nobody/shop \(revision main\)",
            ),
        ],
    )
    def test_what_is_not_there(self, loopback, source, message):
        loopback.add_hub(REPO, {"a.bin": DATA})
        with pytest.raises(FetchError, match=message):
            fetched(source)

    def test_a_file_that_went_away_after_the_listing(self, loopback):
        loopback.add_hub(REPO, {"a.bin": DATA})
        loopback.repositories[REPO]["a.bin"].status = 404
        with pytest.raises(FetchError, match=r"the Hugging Face hub does not hold a\.bin of somebody/shop"):
            fetched(HubFile(REPO, "a.bin"))
        loopback.repositories[REPO]["a.bin"].status = 200
        assert contents(fetched(HubFile(REPO, "a.bin"))) == {"a.bin": DATA}

    def test_an_interrupted_download_stays_with_its_commit(self, loopback):
        loopback.add_hub(REPO, {"a.bin": DATA, "b.bin": OTHER})
        loopback.repositories[REPO]["b.bin"].drops = [1] + [0] * 40
        first = loopback.commit(REPO)
        with pytest.raises(FetchError, match="cannot be fetched"):
            fetched(HubFile(REPO, "*.bin"))
        loopback.repositories[REPO]["b.bin"].drops = []
        with mirrored("http://127.0.0.1:9"), pytest.raises(FetchError, match=r"Missing: 'b\.bin of somebody/shop'; 1"):
            fetched(HubFile(REPO, "*.bin"))
        folder = fetched(HubFile(REPO, "*.bin"))
        assert loopback.fetched("a.bin") == [""]  # it was whole
        stored = json.loads((folder / fetch.MANIFEST).read_text())
        assert {entry["source"]["revision"] for entry in stored["downloads"]} == {first}

    def test_files_that_the_publisher_renamed_meanwhile(self, loopback):
        loopback.add_hub(REPO, {"a-of-2.bin": DATA, "b-of-2.bin": Served(OTHER, drops=[0] * 40)})
        with pytest.raises(FetchError, match="cannot be fetched"):
            fetched(HubFile(REPO, "*.bin"))
        loopback.add_hub(REPO, {"a-of-1.bin": DATA + OTHER})
        assert nothing_but_whole_files(fetched(HubFile(REPO, "*.bin"))) == {"a-of-1.bin": DATA + OTHER}

    def test_a_name_that_leads_out_of_the_folder(self, loopback, home):
        loopback.add_hub(REPO, {"../../a.bin": DATA})
        with pytest.raises((FetchError, ValueError), match=r"\.\."):
            fetched(HubFile(REPO, "*"))
        assert not list(home.rglob("a.bin"))


class TestWeb:
    def test_checksum_redirect_and_size(self, loopback, capfd):
        loopback.add("/new/a.bin", DATA)
        url = loopback.add("/old/a.bin", moved_to=loopback.storage + "/new/a.bin")
        md5 = hashlib.md5(DATA).hexdigest()
        folder = fetched(WebFile(url, "sub/a.bin", checksum=f"md5:{md5}"))
        assert nothing_but_whole_files(folder) == {"sub/a.bin": DATA}
        assert "fetching shop: 1 file, 1.05 MB" in capfd.readouterr().err

    def test_a_connection_that_drops_is_taken_up_again(self, loopback):
        url = loopback.add("/a.bin", DATA, drops=[5 << 16, 2 << 16])
        assert contents(fetched(WebFile(url, "a.bin"))) == {"a.bin": DATA}
        assert loopback.fetched("a.bin") == ["", f"bytes={5 << 16}-", f"bytes={7 << 16}-"]

    @pytest.mark.parametrize("faults", [{"named": False}, {"ranges": False}])
    def test_a_server_that_cannot_go_on_starts_over(self, loopback, faults):
        url = loopback.add("/a.bin", DATA, drops=[300_000], **faults)
        assert contents(fetched(WebFile(url, "a.bin"))) == {"a.bin": DATA}

    def test_a_file_that_changed_meanwhile_is_fetched_again(self, loopback):
        url = loopback.add("/a.bin", DATA, drops=[5 << 16] + [0] * 5)
        with pytest.raises(FetchError):
            fetched(WebFile(url, "a.bin"))
        loopback.add("/a.bin", OTHER)
        assert contents(fetched(WebFile(url, "a.bin"))) == {"a.bin": OTHER}
        assert loopback.fetched("a.bin")[-1] == f"bytes={5 << 16}-"

    def test_a_wrong_checksum(self, loopback):
        url = loopback.add("/a.bin", OTHER)
        source = WebFile(url, "a.bin", checksum=f"sha256:{hashlib.sha256(DATA).hexdigest()}")
        with pytest.raises(FetchError, match=r"a\.bin is not what its publisher states: its checksum is not sha256:"):
            fetched(source)
        loopback.add("/a.bin", DATA)
        assert nothing_but_whole_files(fetched(source)) == {"a.bin": DATA}

    @pytest.mark.parametrize(
        ("status", "size", "message"),
        [
            (404, 0, r"/a\.bin does not exist \(status 404\); it may have moved"),
            (404, 1, r"/a\.bin does not exist \(status 404\); it may have moved"),
            (503, 0, r"the server refused .*/a\.bin \(status 503\); try again later"),
        ],
    )
    def test_refusals(self, loopback, status, size, message):
        url = loopback.add("/a.bin", DATA, status=status)
        with pytest.raises(FetchError, match=message):
            fetched(WebFile(url, "a.bin", size=size))

    def test_a_slow_server_is_waited_for(self, loopback):
        url = loopback.add("/a.bin", DATA[:100_000], pause=0.02, piece=10_000)
        assert contents(fetched(WebFile(url, "a.bin"))) == {"a.bin": DATA[:100_000]}
        assert loopback.fetched("a.bin") == [""]

    def test_a_server_that_falls_silent_is_asked_again(self, loopback, monkeypatch):
        monkeypatch.setattr(web, "_TIMEOUT", (1.0, 0.2))
        url = loopback.add("/a.bin", DATA[:200_000], pause=0.6, piece=150_000)
        assert contents(fetched(WebFile(url, "a.bin"))) == {"a.bin": DATA[:200_000]}
        assert len(loopback.fetched("a.bin")) == 2

    def test_a_download_that_lacked_its_last_step(self, loopback, tmp_path):
        url = loopback.add("/a.bin", DATA)
        (tmp_path / "a.part").write_bytes(DATA)
        (tmp_path / "a.part.name").write_text(f'"{loopback.web["/a.bin"].sha256}"')
        web.get(WebFile(url, "a"), tmp_path / "a")
        assert {path.name for path in tmp_path.iterdir()} == {"a"}
        assert (tmp_path / "a").read_bytes() == DATA
        assert loopback.fetched("a.bin") == [f"bytes={len(DATA)}-"]


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


def tar_link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return {info: b""}


FILES = {"set/one.txt": b"one", "set/sub/two.txt": b"two" * 1000}

# Named, since the bytes of an archive change with the time at which it is packed.
REFUSED = {
    "zip-above": (zipped({"../out.txt": b"x"}), r"its member '\.\./out\.txt' leads out of the folder"),
    "zip-in-and-above": (zipped({"a/../../out.txt": b"x"}), "leads out of the folder"),
    "zip-root": (zipped({"/out.txt": b"x"}), "leads out of the folder"),
    "zip-drive": (zipped({"C:\\out.txt": b"x"}), "leads out of the folder"),
    "zip-backslash": (zipped({"..\\out.txt": b"x"}), "leads out of the folder"),
    "zip-link": (zipped(zip_link("link", "/etc")), "'link' is a link or a device"),
    "tar-above": (tarred({"../out.txt": b"x"}), "leads out of the folder"),
    "tar-root": (tarred({"/out.txt": b"x"}), "leads out of the folder"),
    "tar-link": (tarred({**tar_link("link", ".."), "link/out.txt": b"x"}), "'link' is a link or a device"),
    "tar-hard-link": (tarred(tar_link("hard", "/etc/passwd", tarfile.LNKTYPE)), "'hard' is a link or a device"),
    "tar-pipe": (tarred(tar_link("pipe", "", tarfile.FIFOTYPE)), "'pipe' is a link or a device"),
    "zip-cut": (zipped(FILES)[:-30], "not a zip, tar or gz archive"),
    "tar-cut": (tarred(FILES)[:-30], "is damaged"),
    "gz-cut": (gzip.compress(DATA)[:-30], "is damaged"),
    "page": (b"<html>Sign in</html>", "not a zip, tar or gz archive"),
    "empty": (b"", "not a zip, tar or gz archive"),
}


class TestArchives:
    @pytest.mark.parametrize("pack", [zipped, tarred, lambda members: tarred(members, "w:xz")])
    @pytest.mark.parametrize("path", [".", "there"])
    def test_unpacked(self, loopback, pack, path):
        url = loopback.add("/set.archive", pack(FILES))
        folder = fetched(WebFile(url, path, unpack=True))
        expected = {(Path(path) / name).as_posix(): content for name, content in FILES.items()}
        assert nothing_but_whole_files(folder) == expected

    def test_one_compressed_file(self, loopback):
        url = loopback.add("/ratings.csv.gz", gzip.compress(DATA))
        assert nothing_but_whole_files(fetched(WebFile(url, "raw/ratings.csv", unpack=True))) == {
            "raw/ratings.csv": DATA
        }

    @pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
    def test_refused(self, loopback, home, content, message):
        url = loopback.add("/set.archive", content)
        with pytest.raises(FetchError, match=message):
            fetched(WebFile(url, "there/file", unpack=True))
        assert not list(home.parent.rglob("out.txt"))
        loopback.add("/set.archive", zipped(FILES))  # what was refused is not taken for the archive by a later call
        assert nothing_but_whole_files(fetched(WebFile(url, "there/file", unpack=True)))

    def test_content_that_is_damaged_in_a_zip(self, tmp_path):
        content = bytearray(zipped(FILES))
        content[45] ^= 0xFF
        (tmp_path / "set.zip").write_bytes(content)
        with pytest.raises(FetchError, match="is damaged"):
            archives.unpack(tmp_path / "set.zip", tmp_path / "set")

    @pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "..", "C:/a", "\\\\host\\a", "a\0b", "..\\a"])
    def test_paths_that_lead_out(self, name):
        with pytest.raises(ValueError, match="leads out"):
            inside(Path("/data"), name)

    def test_paths_inside(self):
        assert inside(Path("/data"), "a/b.txt") == Path("/data/a/b.txt")
        assert inside(Path("/data"), ".") == Path("/data")


SCRIPT = """
import sys
from rec_gym.fetching.download import HubFile, WebFile, fetch
print(fetch([{source}], "shop"), flush=True)
"""


def start(source):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(source=source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_when_begun(process, folder, pattern, done=()):
    """Kills a download when a file of the pattern has some content, and those that come before it are whole."""

    def sizes(pattern):
        # Files and folders are renamed while they are looked for: os.walk passes over what has gone, rglob would raise.
        for root, _, names in os.walk(folder):
            for name in fnmatch.filter(names, pattern):
                with contextlib.suppress(FileNotFoundError):
                    yield (Path(root) / name).stat().st_size

    while not (any(sizes(pattern)) and all(any(sizes(name)) for name in done)):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)


class TestProcesses:
    def test_one_works_and_the_other_waits(self, loopback):
        url = loopback.add("/a.bin", DATA)
        loopback.goes_on.clear()
        source = WebFile(url, "a.bin")
        first = start(source)
        assert loopback.arrived.wait(30)
        second = start(source)
        assert second.stderr.readline() == "rec-gym: another process is fetching shop; waiting for it\n"
        loopback.goes_on.set()
        outputs = [process.communicate(timeout=30)[0] for process in (first, second)]
        assert outputs == [f"{download_folder([source], 'shop')}\n"] * 2
        assert loopback.fetched("a.bin") == [""]

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_killed_in_the_middle_of_a_web_file(self, loopback):
        url = loopback.add("/a.bin", DATA, piece=200_000)
        loopback.goes_on.clear()
        source = WebFile(url, "a.bin")
        process = start(source)
        folder = download_folder([source], "shop")
        kill_when_begun(process, partial_folder(folder), "*.part")
        assert not folder.exists()
        (part,) = partial_folder(folder).rglob("*.part")
        done = part.stat().st_size
        loopback.goes_on.set()
        assert nothing_but_whole_files(fetched(source)) == {"a.bin": DATA}
        assert loopback.fetched("a.bin") == ["", f"bytes={done}-"]

    def test_killed_while_the_manifest_was_written(self, loopback):
        source = WebFile(loopback.add("/a.bin", DATA), "a.bin")
        holder = partial_folder(download_folder([source], "shop")) / f".{fetch.MANIFEST}.abcdefgh"
        holder.mkdir(parents=True)
        (holder / fetch.MANIFEST).write_text("{")
        assert {path.name for path in fetched(source).iterdir()} == {"a.bin", fetch.MANIFEST}

    @pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
    def test_killed_in_the_middle_of_a_hub_file(self, loopback):
        # The client writes pieces of 10 MiB; the answer stops for long enough behind the first one.
        loopback.add_hub(REPO, {"a.bin": b"a", "b.bin": Served(DATA * 20, piece=12 << 20, pause=5)})
        source = HubFile(REPO, "*.bin")
        process = start(source)
        kill_when_begun(process, partial_folder(download_folder([source], "shop")), "*.incomplete", done=["a.bin"])
        loopback.repositories[REPO]["b.bin"].pause = 0
        assert nothing_but_whole_files(fetched(source)) == {"a.bin": b"a", "b.bin": DATA * 20}
        assert loopback.fetched("a.bin") == [""]


Usage = namedtuple("Usage", "total used free")


class TestWhatFails:
    def test_offline(self, loopback, home):
        loopback.add_hub(REPO, {"a.bin": DATA})
        url = loopback.url
        loopback.close()
        for source in (HubFile(REPO, "a.bin", size=len(DATA)), WebFile(f"{url}/a.bin", "a.bin", size=len(DATA))):
            with pytest.raises(FetchError) as caught:
                fetched(source)
            message = str(caught.value)
            assert "the data of shop is not here and cannot be fetched: " in message
            assert "does not answer" in message
            assert f"Missing: {source.where}; 1.05 MB" in message.replace("'", "")
            assert "run `rec-gym prepare ID` on a machine with a connection, and copy downloads/shop-" in message
            assert f"to {download_folder([source], 'shop')}; or name a folder" in message
            assert message.endswith("with data_dir=... (--data-dir). See the shop.")
            assert nothing_begun(home)

    def test_the_hubs_own_switch(self, loopback, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(FetchError, match="cannot be fetched: the Hugging Face hub does not answer"):
            fetched(HubFile(REPO, "a.bin"))

    def test_only_what_is_missing_is_named(self, loopback):
        a, b = loopback.add("/a.bin", DATA), loopback.add("/b.bin", OTHER, drops=[0] * 10)
        with pytest.raises(FetchError, match=r"Missing: '?http://\S+/b\.bin'?; 1\.05 MB"):
            fetched(WebFile(a, "a.bin"), WebFile(b, "b.bin"))

    def test_too_little_space_is_seen_before(self, loopback, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 1_500_000))
        url = loopback.add("/a.zip", DATA)
        with pytest.raises(
            FetchError, match=r"2\.10 MB must be fetched, but the disk of .* has 1\.50 MB left: make room"
        ):
            fetched(WebFile(url, "a", unpack=True))
        assert loopback.fetched("a.zip") == []
        fetched(WebFile(url, "a.zip"))

    def test_too_little_space_for_what_an_archive_holds(self, loopback, monkeypatch):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 100_000))
        url = loopback.add("/a.zip", zipped({"a": bytes(200_000)}))
        with pytest.raises(FetchError, match=r"unpacks to 200 kB, but .* has 100 kB of space left"):
            fetched(WebFile(url, ".", unpack=True))

    def test_a_disk_that_fills_up(self, loopback, monkeypatch):
        a, b = loopback.add("/a.bin", b"a"), loopback.add("/b.bin", DATA)
        real = web._Resuming._show

        def full(self, done):
            if done > 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(self, done)

        wanted = (WebFile(a, "a.bin"), WebFile(b, "b.bin"))
        monkeypatch.setattr(web._Resuming, "_show", full)
        with pytest.raises(FetchError, match=r"the disk of .*downloads is full .*No space left.* complete ones kept"):
            fetched(*wanted)
        assert contents(partial_folder(download_folder(wanted, "shop"))) == {"a.bin": b"a"}
        monkeypatch.setattr(web._Resuming, "_show", real)
        assert nothing_but_whole_files(fetched(*wanted)) == {"a.bin": b"a", "b.bin": DATA}

    def test_a_disk_that_fills_up_under_the_hubs_client(self, loopback, monkeypatch, home):
        def full(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        loopback.add_hub(REPO, {"a.bin": DATA})
        monkeypatch.setattr("huggingface_hub.file_download._chmod_and_move", full)
        with pytest.raises(FetchError, match=r"the disk of .*downloads is full .*No space left"):
            fetched(HubFile(REPO, "a.bin"))
        assert not [path for path in home.rglob("*") if path.is_file() and path.stat().st_size >= len(DATA)]

    def test_an_invalid_address(self):
        with pytest.raises(FetchError, match=r"http:///a\.bin cannot be fetched"):
            fetched(WebFile("http:///a.bin", "a.bin", size=1))

    def test_a_size_that_is_stated_otherwise_is_no_other_source(self, loopback):
        url = loopback.add("/a.bin", DATA)
        assert fetched(WebFile(url, "a.bin")) == fetched(WebFile(url, "a.bin", size=5))

    def test_a_folder_that_was_damaged_later(self, loopback):
        urls = [loopback.add(f"/{name}.bin", DATA) for name in "ab"]
        wanted = [WebFile(url, url[-5:]) for url in urls]
        folder = fetched(*wanted)
        (folder / "b.bin").write_bytes(b"short")
        with pytest.warns(UserWarning, match=r"fetched again where needed: its file b\.bin is missing or damaged"):
            assert fetched(*wanted) == folder
        assert nothing_but_whole_files(folder) == {"a.bin": DATA, "b.bin": DATA}
        assert (loopback.fetched("a.bin"), loopback.fetched("b.bin")) == ([""], ["", ""])
        (folder / fetch.MANIFEST).write_text("{")
        with pytest.warns(UserWarning, match="its manifest cannot be read"):
            fetched(*wanted)

    @pytest.mark.parametrize(
        ("source", "module"),
        [
            (HubFile(REPO, "a"), "huggingface_hub"),
            (WebFile("http://x", "a"), "pooch"),
            (WebFile("http://x", "a", size=9), "pooch"),
        ],
    )
    def test_a_client_that_is_not_installed(self, monkeypatch, home, source, module):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(FetchError, match=r"not installed; install it with: pip install 'rec-gym\[hub\]'"):
            fetched(source)
        assert nothing_begun(home)

    def test_a_cache_folder_that_cannot_be_written(self, monkeypatch, tmp_path):
        def refuse(*arguments, **keywords):
            raise PermissionError("no")

        monkeypatch.setattr(Path, "mkdir", refuse)
        with pytest.raises(PermissionError, match="set REC_GYM_HOME"):
            fetched(WebFile("http://x", "a"))


class TestMirror:
    def test_of_the_hub_and_of_the_web(self, loopback, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        loopback.add_hub(REPO, {"a.bin": DATA})
        loopback.add("/deep/b.bin", OTHER)
        with mirrored(loopback.url + "/"):
            folder = fetched(HubFile(REPO, "a.bin"), WebFile("https://nowhere.invalid/deep/b.bin", "b.bin"))
        assert contents(folder) == {"a.bin": DATA, "b.bin": OTHER}
        assert fetched(HubFile(REPO, "a.bin"), WebFile("https://nowhere.invalid/deep/b.bin", "b.bin")) == folder

    def test_a_part_of_an_address_is_kept(self):
        assert web._address(WebFile("https://a.org/x/y.zip?v=1", "y"), "http://b.org/m") == "http://b.org/m/x/y.zip?v=1"

    @pytest.mark.parametrize("url", ["b.org", "ftp://b.org", "http://"])
    def test_what_is_no_mirror(self, url):
        with pytest.raises(ValueError, match="a mirror is a web address"), mirrored(url):
            pass

    def test_a_mirror_is_not_shown_the_token(self):
        assert hub._client("http://b.org").token is False
        assert hub._client("").token is None


def test_sizes_for_people():
    assert [as_size(count) for count in (0, 999, 1000, 1_234_567, 99_960_000, 2_518_000_000, 5e15)] == [
        "0 bytes", "999 bytes", "1.00 kB", "1.23 MB", "100 MB", "2.52 GB", "5000 TB"
    ]  # fmt: skip
