"""Downloads from the Hugging Face hub, with its own client."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rec_gym.fetching.sources import FetchError, HubFile, NotThereError, UnreachableError, inside

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_TIMEOUT = 30.0  # seconds for a listing
_TRIES = 3  # per file; the listing, which comes first, has shown that the hub answers
_OUR_FILES = ".cache"  # where the client keeps its notes on downloads, under the given folder


def resolve(files: Sequence[HubFile], mirror: str = "") -> list[HubFile]:
    """The files of one repository and revision as the hub knows them: commit, size and SHA-256; patterns expanded.

    Raises:
        NotThereError: there is no such repository, revision or file.
        UnreachableError: the hub does not answer.
    """
    repo, revision = files[0].repo, files[0].revision
    with _translated(f"the data set {repo} (revision {revision})", mirror):
        info = _client(mirror).dataset_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT)
    there = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    resolved: dict[str, HubFile] = {}
    for file in files:
        names = fnmatch.filter(there, file.path) if file.is_pattern else [file.path] if file.path in there else []
        if not names:
            raise NotThereError(f"{repo} holds no {file.path} at revision {revision}; it may have been renamed")
        for name in sorted(names):
            published = there[name]
            stated = file.sha256 or (published.lfs.sha256 if published.lfs else "")
            size = published.size or 0
            resolved[name] = replace(file, path=name, revision=info.sha or revision, size=size, sha256=stated)
    return list(resolved.values())


def get(file: HubFile, folder: Path, mirror: str = "") -> Path:
    """Downloads a file that `resolve` returned to its path under `folder`.

    A dropped connection is resumed where it broke. Whether the partial file of a killed process is resumed depends on the
    client's version; complete files are never fetched again.

    Raises:
        FetchError: it could not be downloaded; the message says why.
    """
    target = inside(folder, file.path)
    for left in reversed(range(_TRIES)):  # some versions of the client give up at the first break
        try:
            with _translated(file.where, mirror):
                _client(mirror).hf_hub_download(
                    file.repo, file.path, repo_type="dataset", revision=file.revision, local_dir=folder
                )
            break
        except UnreachableError:
            if not left:
                raise
    return target


def leftovers(folder: Path) -> Path:
    """Where the client keeps its notes and partial downloads, under the folder passed to `get`."""
    return folder / _OUR_FILES


def _client(mirror: str) -> HfApi:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise FetchError(
            "data on the Hugging Face hub is fetched with its own client, which is not installed; "
            "install it with: pip install 'rec-gym[hub]'"
        ) from error
    # The client reads HF_ENDPOINT at import; here it is read at each call. A mirror named on the command line does not get
    # the user's token, which belongs to the hub.
    return HfApi(
        endpoint=mirror or os.environ.get("HF_ENDPOINT") or None,
        token=False if mirror else None,
        library_name="rec_gym",
    )


@contextmanager
def _translated(what: str, mirror: str) -> Iterator[None]:
    """Turns the client's errors into those of this package."""
    _client(mirror)  # if it is missing, that has its own message
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise FetchError(
            f"{what} is available only to users who accept its terms: do so on its page on the hub, then run `hf auth login`"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        # The client got no answer, or one that it did not understand.
        if isinstance(error, errors.LocalEntryNotFoundError):
            cause = error.__cause__ or error
            if isinstance(cause, errors.HfHubHTTPError | errors.FileMetadataError):
                raise FetchError(
                    f"the Hugging Face hub refused {what} ({_first_line(cause)}); try again later"
                ) from error
            raise UnreachableError(f"the Hugging Face hub does not answer ({_first_line(cause)})") from error
        raise NotThereError(f"the Hugging Face hub does not hold {what} ({_first_line(error)})") from error
    except errors.HfHubHTTPError as error:
        raise FetchError(f"the Hugging Face hub refused {what} ({_first_line(error)}); try again later") from error
    except (errors.HTTPError, errors.OfflineModeIsEnabled) as error:
        reason = _first_line(error) or type(error).__name__
        raise UnreachableError(f"the Hugging Face hub does not answer ({reason})") from error
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the client
            raise
        raise FetchError(f"{what} arrived incomplete ({_first_line(error)}); call again") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
