"""Downloads from the web: pooch checks and places a file, and our downloader resumes interrupted downloads."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from rec_gym.fetching.sources import FetchError, NotThereError, UnreachableError, WebFile
from rec_gym.progress import Bar

if TYPE_CHECKING:
    from requests import Response

_TIMEOUT = (10.0, 60.0)  # seconds for a connection, and between two pieces of an answer
_TRIES = 5  # in a row without any progress
_WAIT = 1.0  # seconds before the second try, twice as long before the third, ...
_CHUNK = 1 << 16


def announced_size(file: WebFile, mirror: str = "") -> int:
    """The size that the server states before anything is fetched; 0 if it does not.

    Raises:
        NotThereError: the server has no such file.
        UnreachableError: it does not answer.
    """
    requests = _requests()
    with _translated(file, mirror):
        headers = {"Accept-Encoding": "identity"}
        with requests.head(_address(file, mirror), timeout=_TIMEOUT, allow_redirects=True, headers=headers) as response:
            if response.status_code in (404, 410):
                response.raise_for_status()
            return int(response.headers.get("Content-Length", 0)) if response.ok else 0  # some servers refuse to say


def get(file: WebFile, target: Path, mirror: str = "") -> None:
    """Downloads a file to `target`, resuming what an earlier call left if the server says that the file is unchanged.

    Raises:
        FetchError: it could not be downloaded, or it is not what the publisher states; the message says why.
    """
    requests = _requests()
    import pooch

    part = target.with_name(f"{target.name}.part")
    with (
        _translated(file, mirror),
        _quiet(pooch.get_logger()),
        Bar(f"fetching {target.name}", file.size or None, "bytes") as bar,
    ):
        try:
            pooch.retrieve(
                _address(file, mirror),
                known_hash=file.checksum or None,
                fname=target.name,
                path=target.parent,
                downloader=_Resuming(part, bar),
            )
        except requests.RequestException:  # some of them are a ValueError
            raise
        except ValueError as error:  # the checksum; pooch has removed the file
            raise FetchError(
                f"{file.url} is not what its publisher states: its checksum is not {file.checksum}. It was removed; fetch "
                "it again. If that does not help, the publisher or the mirror has changed the file"
            ) from error


def _requests() -> ModuleType:
    try:
        import pooch  # noqa: F401
        import requests
    except ImportError as error:
        raise FetchError(
            f"data on the web is fetched with pooch, and {error.name} is not installed; "
            "install it with: pip install 'rec-gym[hub]'"
        ) from error
    return requests


class _Resuming:
    """A downloader for pooch that resumes an interrupted download and retries when a connection breaks.

    The next call may be in another process: the bytes so far are in `part`, and the server's validator (its ETag, or its
    date) is next to it. The server sends the rest only if the validator still holds (If-Range), and otherwise everything.
    """

    def __init__(self, part: Path, bar: Bar) -> None:
        self._part, self._name, self._bar, self._shown = part, part.with_name(f"{part.name}.name"), bar, 0
        self._answered = False

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        """Called by pooch: fetches `url` into `output_file`."""
        import requests

        failures = 0
        while True:
            before = self._size()
            try:
                self._resume(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                failures = 0 if self._size() > before else failures + 1
                if failures == _TRIES or not self._answered:  # do not wait for a server that never answered
                    raise
                time.sleep(_WAIT * failures)
        self._name.unlink(missing_ok=True)
        os.replace(self._part, output_file)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _resume(self, url: str) -> None:
        import requests

        headers = {"Accept-Encoding": "identity"}  # so that the bytes sent are those of the file
        done = self._size()
        name = self._name.read_text(encoding="latin-1") if self._name.exists() else ""
        if done and name:
            headers |= {"Range": f"bytes={done}-", "If-Range": name}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            self._answered = True
            content_range = response.headers.get("Content-Range", "")
            if response.status_code == 416 and content_range == f"bytes */{done}":
                return  # the last call had already received the last byte
            resumes = response.status_code == 206 and content_range.startswith(f"bytes {done}-")
            if response.status_code in (206, 416) and not resumes:
                self._part.unlink(missing_ok=True)
                raise requests.ConnectionError(f"the server sent a different part than requested ({content_range})")
            response.raise_for_status()
            if not resumes:
                self._begin(response)
            self._show(self._size())
            with open(self._part, "ab") as file:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    self._show(self._shown + len(chunk))

    def _begin(self, response: Response) -> None:
        """Starts an empty file, with the validator by which the server will recognise it; a weak ETag does not count."""
        self._part.unlink(missing_ok=True)
        etag = response.headers.get("ETag", "")
        name = response.headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
        self._name.write_text(name, encoding="latin-1")
        self._part.touch()

    def _show(self, done: int) -> None:
        self._bar.advance(done - self._shown)
        self._shown = done


def _address(file: WebFile, mirror: str) -> str:
    """The address, with a mirror's host instead of its own."""
    if not mirror:
        return file.url
    own, other = urlsplit(file.url), urlsplit(mirror)
    return urlunsplit((other.scheme, other.netloc, other.path.rstrip("/") + own.path, own.query, ""))


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Silences pooch, which repeats on standard error what is already shown here."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _translated(file: WebFile, mirror: str) -> Iterator[None]:
    """Turns the errors of requests into those of this package."""
    import requests

    address = _address(file, mirror)
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (404, 410):
            raise NotThereError(f"{address} does not exist (status {status}); it may have moved") from error
        raise FetchError(f"the server refused {address} (status {status}); try again later") from error
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise UnreachableError(
            f"{urlsplit(address).netloc} does not answer, or the connection broke ({error})"
        ) from error
    except requests.RequestException as error:
        raise FetchError(f"{address} cannot be fetched ({error})") from error
