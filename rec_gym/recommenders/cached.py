"""The `cached` recommender: the answers of an expensive one are kept, in the cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from rec_gym.cache import DamagedError, cache_home
from rec_gym.catalog import Catalog
from rec_gym.columns import Ragged
from rec_gym.recommenders.answers import AnswerFile
from rec_gym.recommenders.base import Recommender, fitted_copy
from rec_gym.recommenders.questions import Answer
from rec_gym.recommenders.stored import Stored

_logger = logging.getLogger(__name__)

_MB = 1_000_000
_FILE = "answers.sqlite"


class Cached(Stored):
    """Asks a recommender only what is not in its cache: for a cross-encoder, a language model or a paid service.

    The answers of each recommender, catalogue and version of this package have a file of their own in the cache folder,
    which any number of processes share. A damaged file is removed and filled again; if it cannot be written, the answers
    are not kept, which is reported once.

    Args:
        recommender: a name, a table `{name = ..., settings}`, or an object that is already fitted.
        ttl_s: seconds for which an answer is used, for a service whose answers change; between 90% and 100% of it, so
            that answers of one moment are not all asked for again in one moment. None for ever.
        max_mb: size of the cache in megabytes; the oldest answers go first.
        identity: as for `Recording`.

    Raises:
        ValueError: `ttl_s` or `max_mb` is not positive.
    """

    def __init__(
        self,
        recommender: str | Mapping[str, Any] | Recommender = "bm25",
        ttl_s: float | None = None,
        max_mb: float = 1000,
        identity: str = "",
    ) -> None:
        super().__init__(recommender, identity)
        if ttl_s is not None and not ttl_s > 0:
            raise ValueError(f"ttl_s, the seconds for which an answer is used, must be above 0 or None, not {ttl_s}")
        if not max_mb > 0:
            raise ValueError(f"max_mb, the size of the cache in megabytes, must be above 0, not {max_mb}")
        self.ttl_s, self.max_mb = ttl_s, max_mb

    def __repr__(self) -> str:
        stats = self.stats
        settings = f"ttl_s={self.ttl_s}, max_mb={self.max_mb:g}"
        return f"Cached({self.recommender!r}, {settings}, hits={stats.hits}, misses={stats.misses})"

    @property
    def path(self) -> Path:
        """The file of the answers.

        Raises:
            RuntimeError: it is not fitted.
        """
        if self._file is None:
            raise RuntimeError("the cache of a recommender that is not fitted has no file yet; call fit(catalog)")
        return self._file.path

    def _forget(self) -> None:
        super()._forget()
        self._has_warned = False

    def _fit(self, catalog: Catalog, histories: Ragged | None) -> Self:
        inner = self._fitted(catalog, histories)
        header = self._header(catalog, histories, inner)
        name = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:24]
        path = (
            cache_home() / "answers" / f"{header['settings'].get('name', 'custom').rpartition(':')[2]}-{name}" / _FILE
        )
        file = AnswerFile(path, header, writes=True, ttl_s=self.ttl_s, max_bytes=int(self.max_mb * _MB))
        fitted = fitted_copy(self, catalog, _size=len(catalog), _inner=inner, _file=file)
        fitted._forget()
        return fitted

    def _known(self, keys: list[bytes]) -> dict[bytes, Answer]:
        assert self._file is not None
        for _ in range(2):
            try:
                return self._file.get(keys)
            except DamagedError as error:
                self._rebuild(error)
            except OSError as error:
                self._warn(error)
                break
        return {}

    def _store(self, answers: dict[bytes, Answer], depth: int) -> tuple[dict[bytes, Answer], int]:
        for _ in range(2):
            try:
                return super()._store(answers, depth)
            except DamagedError as error:
                self._rebuild(error)
            except OSError as error:
                self._warn(error)
                break
        return answers, 0

    def _said(self, query: str) -> Answer | None:
        try:
            return super()._said(query)
        except (DamagedError, OSError) as error:
            _logger.info("%s", error)  # `rank` repairs it
            return None

    def _rebuild(self, error: DamagedError) -> None:
        """Removes the file; the next use makes it again."""
        assert self._file is not None
        folder = self._file.path.parent
        _logger.warning("%s is made again: %s", self._file.path, error.reason)
        self._file.close()
        try:
            # File and journal go at once, so that nobody opens the one with the other of another file.
            aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            with suppress(FileNotFoundError):  # another process was faster
                os.replace(folder, aside / folder.name)
            shutil.rmtree(aside, ignore_errors=True)
        except OSError as failure:
            self._warn(failure)

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            _logger.warning("answers are not kept: %s", error)
