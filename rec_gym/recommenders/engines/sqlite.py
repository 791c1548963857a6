"""SQLite's full-text search (FTS5) as a recommender: an engine that comes with Python."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from rec_gym.cache import atomic_path, cache_home, prepared, reading
from rec_gym.catalog import Catalog
from rec_gym.columns import is_text
from rec_gym.progress import Bar
from rec_gym.recommenders.base import RecommenderError
from rec_gym.recommenders.engines.base import Hits, Question, SearchEngine
from rec_gym.recommenders.engines.pool import Pool
from rec_gym.tables import unknown

FORMAT = 1
TOKENIZERS = {"english": "porter unicode61", "none": "unicode61"}

_FILE = "index.sqlite"
_ITEMS_AT_ONCE = 8192
_logger = logging.getLogger(__name__)


class SQLite(SearchEngine):
    """SQLite's full-text search: BM25 as FTS5 computes it (k1 1.2, b 0.75), over words that its tokenizer stems.

    The index is a file. Without `file` it is made in the cache folder when the recommender is fitted, and made again if
    it is damaged. With `file` it is a file of yours that `push` has written; one that holds another catalogue is refused.

    Filters and exclusions are conditions of the SQL statement, so they are exact. Any number of threads may search at
    once, each over a connection of its own; a forked or unpickled copy opens its own connections.

    Args:
        fields: text columns that are searched; empty for all.
        weights: how much a word in each of the fields counts, >= 0; empty for 1 each.
        language: `"english"` for Porter's stems, `"none"` for words as they are.
        stop_words: whether Lucene's 33 English stop words are dropped from queries.
        file: the file to search; empty for one in the cache folder.

    Raises:
        ValueError: an argument is out of its range.
    """

    filters_items = True
    excludes_items = True
    lower_is_better = True  # bm25() is negative, the best lowest

    def __init__(
        self,
        fields: Sequence[str] = (),
        weights: Sequence[float] = (),
        language: str = "english",
        stop_words: bool = True,
        file: str = "",
    ) -> None:
        super().__init__(stop_words)
        if language not in TOKENIZERS:
            raise ValueError(unknown("language", language, TOKENIZERS))
        if len(weights) not in (0, len(fields)) or not all(0 <= weight < 1e6 for weight in weights):
            raise ValueError(f"weights holds one number >= 0 for each of the {len(fields)} fields, not {list(weights)}")
        self.fields, self.weights = tuple(fields), tuple(float(weight) for weight in weights)
        self.language, self.file = language, file
        self._path: Path | None = None
        self._kinds: dict[str, pa.DataType] = {}  # of the file's columns, in their order

    def _forget(self) -> None:
        super()._forget()
        self._live_pool: Pool[sqlite3.Connection] = Pool()

    def attach(self, catalog: Catalog) -> dict[str, Any]:
        """Opens the file of the index; without `file` it is built first if it is missing, stale or damaged.

        Raises:
            KeyError: a field is not a text column of the catalogue.
            ValueError: `file` is missing, cannot be read or holds another catalogue.
        """
        made_from = self._made_from(catalog)
        kinds = dict(_columns(catalog.table))
        if self.file:
            path = Path(self.file).expanduser().absolute()
            _check_file(path, made_from, catalog, self)
            return {"_path": path, "_kinds": kinds}
        version = {"sqlite": sqlite3.sqlite_version}  # the one that split the texts has to split the queries
        key = hashlib.sha256(json.dumps(made_from | version, sort_keys=True).encode()).hexdigest()[:24]
        folder = cache_home() / "indexes" / f"sqlite-{key}"

        def build(target: Path) -> None:
            _logger.info("building the SQLite index of %s items in %s", f"{len(catalog):,}", folder)
            _write(target / _FILE, catalog, self._searched_fields(catalog), made_from)

        prepared(folder, made_from | version, build, _logger.warning, _open_folder)
        return {"_path": folder / _FILE, "_kinds": kinds}

    def push(self, catalog: Catalog) -> None:
        """Writes a catalogue to `file`, whole or not at all; what was there is replaced.

        Raises:
            ValueError: there is no `file` among the settings.
            KeyError: a field is not a text column of the catalogue.
        """
        if not self.file:
            raise ValueError("SQLite without file= searches a file in the cache folder, which fit(catalog) writes")
        with atomic_path(Path(self.file).expanduser().absolute()) as path:
            _write(path, catalog, self._searched_fields(catalog), self._made_from(catalog))

    def _searched_fields(self, catalog: Catalog) -> tuple[str, ...]:
        next(catalog.texts(self.fields, 1))  # refuses a field that is not a text column
        return self.fields or catalog.text_columns

    def _made_from(self, catalog: Catalog) -> dict[str, Any]:
        """What decides about the content of the file."""
        return {
            "recommender": "sqlite",
            "catalog": catalog.content_hash,
            "fields": list(self._searched_fields(catalog)),
            "language": self.language,
            "format": FORMAT,
        }

    def search(self, questions: Sequence[Question], k: int) -> list[Hits]:
        """Asks SQLite, one statement per question; see `SearchEngine.search`.

        Raises:
            RecommenderError: SQLite failed; the message holds its own words.
        """
        answers = []
        path = self._path
        assert path is not None
        with self._live_pool.one(lambda: _connect(path, fixed=not self.file)) as connection:
            for question in questions:
                statement, values = self._statement(question, k)
                try:
                    rows = connection.execute(statement, values).fetchall()
                except sqlite3.Error as error:
                    problem = f"SQLite says {str(error)!r} of {path}; {self._remedy()}"
                    raise self._error([question], problem) from error
                answers.append(Hits([row[0] - 1 for row in rows], [row[1] for row in rows]))
        return answers

    def _statement(self, question: Question, k: int) -> tuple[str, list[Any]]:
        """SQL and its values: every word is a quoted string of FTS5, so nothing of its syntax is left in a query."""
        weights = "".join(f", {weight!r}" for weight in self.weights)
        tables, conditions = "texts", ["texts match ?"]
        values: list[Any] = [" OR ".join(f'"{term}"' for term in question.terms)]
        if question.bounds:
            tables = "texts join items on items.position = texts.rowid"
        for column, low, high in question.bounds:
            kind = self._kinds[column]
            conditions.append(f"items.c{list(self._kinds).index(column)} between ? and ?")
            values += [_stored(low, kind), _stored(high, kind)]
        if question.exclude:
            conditions.append("texts.rowid not in (select value from json_each(?))")
            values.append(json.dumps([position + 1 for position in question.exclude]))
        where = " and ".join(conditions)
        return (
            f"select texts.rowid, bm25(texts{weights}) as score from {tables} where {where} order by score limit ?",
            [*values, k],
        )

    def _remedy(self) -> str:
        return "push the catalogue again" if self.file else "fit the recommender again"


def _connect(path: Path, fixed: bool) -> sqlite3.Connection:
    """A connection that reads.

    Args:
        path: the file.
        fixed: whether it never changes, so that SQLite needs no locks.

    Raises:
        RecommenderError: the file cannot be opened.
    """
    options = "mode=ro&immutable=1" if fixed else "mode=ro"
    try:
        return sqlite3.connect(f"{path.as_uri()}?{options}", uri=True, check_same_thread=False)
    except sqlite3.Error as error:
        raise RecommenderError(f"SQLite cannot open {path} ({error}); fit the recommender again") from error


def _columns(table: pa.Table) -> list[tuple[str, pa.DataType]]:
    """The columns as the file stores them: numbers first, since a long text before a column makes it slow to reach."""
    fields = [(field.name, field.type) for field in table.schema]
    return sorted(fields, key=lambda field: is_text(field[1]))


def _stored(value: Any, kind: pa.DataType) -> Any:
    """A value as the file holds it: SQLite's integers end at 2^63 - 1, texts of equal length have the same order."""
    if value is None or not (pa.types.is_uint64(kind) or pa.types.is_float16(kind)):
        return value
    return f"{value:020d}" if pa.types.is_uint64(kind) else float(value)


def _write(path: Path, catalog: Catalog, fields: Sequence[str], made_from: dict[str, Any]) -> None:
    """Writes the file of a catalogue: its words, its columns for filters, and what it was made from."""
    columns = _columns(catalog.table)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = off")
        connection.execute("pragma synchronous = off")  # a file that is not complete is thrown away
        _create(connection, len(columns), len(fields), TOKENIZERS[made_from["language"]])
        names = [name for name, _ in columns]
        marks, text_marks = ", ".join("?" * (1 + len(columns))), ", ".join("?" * (1 + len(fields)))
        connection.execute("begin")
        position = 0
        with Bar("Writing the index", len(catalog)) as bar:
            for batch in catalog.table.select(names).to_batches(max_chunksize=_ITEMS_AT_ONCE):
                values = {name: [_stored(v, kind) for v in batch.column(name).to_pylist()] for name, kind in columns}
                places = range(position + 1, position + 1 + batch.num_rows)
                connection.executemany(
                    f"insert into items values ({marks})", zip(places, *values.values(), strict=True)
                )
                texts = [values[field] for field in fields]
                connection.executemany(
                    f"insert into texts(rowid, {_list('f', len(fields))}) values ({text_marks})",
                    zip(places, *texts, strict=True),
                )
                position += batch.num_rows
                bar.advance(batch.num_rows)
        connection.execute("insert into texts(texts) values ('optimize')")
        connection.execute("insert into made_from values (?)", (json.dumps(made_from, sort_keys=True),))
        connection.execute("commit")
    finally:
        connection.close()


def _create(connection: sqlite3.Connection, columns: int, fields: int, tokenizer: str) -> None:
    connection.execute(f"create table items (position integer primary key, {_list('c', columns)})")
    connection.execute("create table made_from (settings text)")
    try:
        connection.execute(
            f"create virtual table texts using fts5({_list('f', fields)}, content='', tokenize='{tokenizer}')"
        )
    except sqlite3.OperationalError as error:
        raise RuntimeError(
            f"this Python's SQLite ({sqlite3.sqlite_version}) has no full-text search ({error}); choose bm25, or use a "
            "Python whose SQLite has FTS5"
        ) from error


def _list(letter: str, count: int) -> str:
    """Names of columns, such as `c0, c1`: those of a catalogue may be any text."""
    return ", ".join(f"{letter}{number}" for number in range(count))


def _open_folder(folder: Path) -> Path:
    with reading(folder / _FILE):
        _read_made_from(folder / _FILE)
    return folder


def _read_made_from(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return json.loads(connection.execute("select settings from made_from").fetchone()[0])
    finally:
        connection.close()


def _check_file(path: Path, wanted: dict[str, Any], catalog: Catalog, engine: SQLite) -> None:
    """Refuses a file that is not the index of a catalogue with these settings.

    Raises:
        ValueError: it is missing, cannot be read, or was made from something else.
    """
    how = f"write it with SQLite(file={engine.file!r}, ...).push(catalog), with the settings of this recommender"
    if not path.is_file():
        raise ValueError(f"there is no file {path}; {how}")
    try:
        actual = _read_made_from(path)
    except (sqlite3.Error, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not an index that push() has written ({error}); {how}") from error
    if actual.get("catalog") != wanted["catalog"]:
        raise ValueError(
            f"{path} holds another catalogue (hash {str(actual.get('catalog'))[:12]}) than the dataset's (hash "
            f"{wanted['catalog'][:12]}, {len(catalog):,} items); {how}"
        )
    different = [name for name in wanted if actual.get(name) != wanted[name]]
    if different:
        shown = ", ".join(f"{name} {actual.get(name)!r} instead of {wanted[name]!r}" for name in different)
        raise ValueError(f"{path} was written with other settings: {shown}; {how}")
