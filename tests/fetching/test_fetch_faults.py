"""Fetching where processes are killed, disks fill up and machines are offline."""

import contextlib
import errno
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from helpers.fetching import (
    DATA,
    OTHER,
    REPO,
    contents,
    fetched,
    nothing_begun,
    nothing_but_whole_files,
    zipped,
)
from helpers.loopback import Served

from rec_gym.fetching import download as fetch
from rec_gym.fetching import web
from rec_gym.fetching.download import FetchError, HubFile, WebFile, download_folder, partial_folder

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
