"""Fetching from a hub and from the web: whole, checked and once."""

import gzip
import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from helpers.fetching import DATA, OTHER, REPO, contents, fetched, nothing_but_whole_files, tarred, zip_link, zipped
from helpers.loopback import Served

from rec_gym.fetching import archives, hub, web
from rec_gym.fetching import download as fetch
from rec_gym.fetching.download import FetchError, HubFile, WebFile, mirrored
from rec_gym.fetching.sources import as_size, inside


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
