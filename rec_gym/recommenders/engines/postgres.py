"""PostgreSQL as a recommender: BM25 in SQL over a table of impacts."""

from __future__ import annotations

import json
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rec_gym.catalog import Catalog
from rec_gym.columns import is_text
from rec_gym.filters import Bound
from rec_gym.progress import Bar
from rec_gym.recommenders.base import RecommenderError
from rec_gym.recommenders.engines.base import Hits, Question
from rec_gym.recommenders.engines.pool import Pool
from rec_gym.recommenders.engines.remote import RemoteEngine, UnavailableError

if TYPE_CHECKING:
    import psycopg

FORMAT = 1

_ITEMS_AT_ONCE = 4096
_PREFIX = "rec_gym_"
# States after which the same request may succeed: lost connections, too many of them, shut-downs, deadlocks, time-outs.
_PASSING = re.compile(r"08...|53300|57P0[1-3]|57014|40001|40P01")
_REFUSED = re.compile("FATAL:(?!.*(starting up|shutting down|recovery|too many|remaining connection))", re.DOTALL)

# An impact is a word's share of an item's BM25 score, in steps of 1e-5: sums of whole numbers do not depend on their order.
_STEPS = 100_000
_INDEX = f"""
create table {{schema}}.postings as
    select l.lexeme as term, position, coalesce(array_length(l.positions, 1), 1) as tf
    from {{schema}}.items, unnest(to_tsvector('{{language}}', searched)) as l;
create table {{schema}}.impacts as
    with lengths as (select position, sum(tf)::float8 as length from {{schema}}.postings group by position),
    mean as (select avg(length) as length from lengths),
    size as (select count(*)::float8 as items from {{schema}}.items),
    idf as (
        select term, ln(1 + (max(size.items) - count(*) + 0.5) / (count(*) + 0.5)) as idf
        from {{schema}}.postings, size group by term
    )
    select term, position,
        greatest(1, round({_STEPS} * idf * tf / (tf + 1.2 * (0.25 + 0.75 * lengths.length / mean.length))))::int as impact
    from {{schema}}.postings join lengths using (position) join idf using (term), mean
    order by term, position;
drop table {{schema}}.postings;
alter table {{schema}}.items drop column searched;
create index on {{schema}}.impacts (term) include (position, impact);
analyze {{schema}}.impacts;
analyze {{schema}}.items;
"""
_SEARCH = """
with words as materialized (
    select n, l.lexeme as term, coalesce(array_length(l.positions, 1), 1) as often
    from unnest(%(texts)s::text[]) with ordinality as u(text, n), unnest(to_tsvector('{language}', text)) as l
),
hidden as materialized (select * from unnest(%(rows)s::bigint[], %(hidden)s::int[]) as h(n, position)),
scored as (
    select n, position, sum(impact * often) as score
    from words join {schema}.impacts using (term) {items}
    where not exists (select from hidden where hidden.n = words.n and hidden.position = impacts.position) {bounds}
    group by n, position
),
ranked as (select *, row_number() over (partition by n order by score desc, position) as place from scored)
select n::int, position, score from ranked where place <= %(k)s
"""


class Postgres(RemoteEngine):
    """BM25 in PostgreSQL (k1 1.2, b 0.75), with its text search's words: those of its parser, stemmed by its dictionary.

    `push` writes a catalogue into a schema of its own, `rec_gym_VERSION`; a task whose catalogue is another one is refused.
    All questions of a batch are one statement; those with filters are one statement per filter, sent as one pipeline.
    Filters and exclusions are conditions of the statement, so they are exact.

    Args:
        url_env: the name of the environment variable that holds the URL, `postgresql://user:password@host/database`.
        version: names the schema: lower-case letters, digits and `_`.
        fields: text columns that are searched; empty for all.
        language: a text search configuration of PostgreSQL, such as `"english"` or `"simple"`.
        stop_words: whether Lucene's 33 English stop words are dropped from queries; PostgreSQL drops its own in any case.
        timeout: seconds that one request may take; to connect, 2 are always granted.
        deadline: seconds that one batch may take, with all retries.
        retries: how often a request is sent again, at most.
        in_flight: requests of this process that are under way at once, at most.
        per_request: questions in one request, at most.

    Raises:
        ValueError: an argument is out of its range.
    """

    filters_items = True
    excludes_items = True
    counts_repeats = True

    def __init__(
        self,
        url_env: str = "REC_GYM_POSTGRES",
        version: str = "shop",
        fields: Sequence[str] = (),
        language: str = "english",
        stop_words: bool = True,
        timeout: float = 10.0,
        deadline: float = 60.0,
        retries: int = 4,
        in_flight: int = 4,
        per_request: int = 256,
    ) -> None:
        super().__init__(url_env, stop_words, timeout, deadline, retries, in_flight, per_request)
        if not re.fullmatch(r"[a-z0-9_]{1,40}", version):
            raise ValueError(f"version must be 1 to 40 lower-case letters, digits and _, not {version!r}")
        if not re.fullmatch(r"[a-z_]+", language):
            raise ValueError(f"language must be a text search configuration, such as 'english', not {language!r}")
        self.version, self.fields, self.language = version, tuple(fields), language
        self._made_from: dict[str, Any] = {}
        self._names: tuple[str, ...] = ()

    def _forget(self) -> None:
        super()._forget()
        self._live_pool: Pool[psycopg.Connection] = Pool()

    @property
    def schema(self) -> str:
        """The schema that holds the catalogue."""
        return _PREFIX + self.version

    def attach(self, catalog: Catalog) -> dict[str, Any]:
        """Checks that the server holds the catalogue, and that it answers.

        Raises:
            RecommenderError: the server cannot be asked.
            ValueError: it holds no catalogue of this name, another one, or one that was written with other settings.
        """
        wanted = self._description(catalog)
        how = f"write it with Postgres(version={self.version!r}, ...).push(catalog), with the settings of this recommender"
        where = f"the schema {self.schema} of the database in {self.url_env}"
        actual = self.patiently(self._what_is_stored, self._failure)
        if actual is None:
            raise ValueError(f"{where} is missing, or was not written by push(); {how}")
        if actual.get("catalog") != wanted["catalog"]:
            raise ValueError(
                f"{where} holds another catalogue (hash {str(actual.get('catalog'))[:12]}) than the dataset's (hash "
                f"{wanted['catalog'][:12]}, {len(catalog):,} items); {how}"
            )
        different = [key for key in wanted if actual.get(key) != wanted[key]]
        if different:
            shown = ", ".join(f"{key} {actual.get(key)!r} instead of {wanted[key]!r}" for key in different)
            raise ValueError(f"{where} was written with other settings: {shown}; {how}")
        return {"_made_from": wanted, "_names": tuple(catalog.table.column_names)}

    def fit(self, catalog: Catalog) -> Postgres:
        """Checks that the server holds `catalog` (see `attach`), and asks it for a title.

        Returns:
            A recommender with the same settings that ranks `catalog`; this one stays as it is.
        """
        fitted = super().fit(catalog)
        fitted.rank(catalog.titles([0]), 1)
        return fitted

    def push(self, catalog: Catalog) -> None:
        """Writes a catalogue to the server, whole or not at all; what is searched meanwhile is the old one.

        Raises:
            RecommenderError: the server failed.
            ValueError: a text holds a NUL character, which PostgreSQL cannot store.
            KeyError: a field is not a text column of the catalogue.
        """
        try:
            with self._connected(0) as connection, connection.transaction():
                self._write(connection, catalog)
            problem = ""
        except UnavailableError as error:
            problem = str(error)
        finally:
            self._live_pool.clear()  # the statements of this connection have no time-out
        if problem:
            raise self._failure(problem)

    def _write(self, connection: psycopg.Connection, catalog: Catalog) -> None:
        """Writes a new schema, which takes the place of the old one at the end of the transaction."""
        new = f"{self.schema}__new"

        def run(statements: str, *values: object) -> psycopg.Cursor:
            return connection.execute(statements.encode(), values or None)

        run("set local statement_timeout = 0")
        run("select pg_advisory_xact_lock(hashtext(%s))", self.schema)  # one push at a time
        taken = run("select 1 from pg_namespace where nspname = %s", self.schema).fetchone()
        if taken and self._stored(connection) is None:
            raise ValueError(f"the schema {self.schema} was not written by push(); choose another version=")
        kinds = [f"c{place} {_type(field.type)}" for place, field in enumerate(catalog.table.schema)]
        columns = ", ".join(["position int primary key", "searched text", *kinds])
        run(f"drop schema if exists {new} cascade; create schema {new}")
        run(f"create table {new}.items ({columns}); create table {new}.made_from (settings text)")
        _copy(connection, f"copy {new}.items from stdin", catalog, self.fields)
        run(_INDEX.format(schema=new, language=self.language))
        run(f"insert into {new}.made_from values (%s)", json.dumps(self._description(catalog)))
        run(f"drop schema if exists {self.schema} cascade; alter schema {new} rename to {self.schema}")

    def _failure(self, problem: str) -> RecommenderError:
        return RecommenderError(f"{type(self).__name__}, database in {self.url_env}: {problem}")

    def _what_is_stored(self, timeout: float) -> dict[str, Any] | None:
        with self._connected(timeout) as connection:
            return self._stored(connection)

    def request(self, questions: Sequence[Question], k: int, timeout: float) -> list[Hits]:
        """Asks the server for all questions, in one transaction; see `RemoteEngine.request`.

        Raises:
            RecommenderError: the server no longer holds the catalogue, or refuses the statement.
            UnavailableError: the connection was lost, or the request took too long.
        """
        groups: dict[tuple[Bound, ...], list[int]] = {}
        for place, question in enumerate(questions):
            groups.setdefault(question.bounds, []).append(place)
        items: list[list[int]] = [[] for _ in questions]
        scores: list[list[float]] = [[] for _ in questions]
        with self._connected(timeout) as connection, connection.transaction(), connection.pipeline():
            check = connection.execute(f"select settings from {self.schema}.made_from".encode())
            cursors = []
            for bounds, places in groups.items():
                statement, values = self._statement([questions[place] for place in places], bounds, k)
                cursors.append(connection.cursor(binary=True).execute(statement, values))
            row = check.fetchone()
            answers = [cursor.fetchall() for cursor in cursors]
        if row is None or json.loads(row[0]) != self._made_from:
            raise self._error(
                questions, f"the schema {self.schema} holds another catalogue by now; fit the recommender again"
            )
        for places, rows in zip(groups.values(), answers, strict=True):
            for n, position, score in rows:
                items[places[n - 1]].append(position)
                scores[places[n - 1]].append(score / _STEPS)
        return [Hits(*answer) for answer in zip(items, scores, strict=True)]

    def _statement(
        self, questions: Sequence[Question], bounds: tuple[Bound, ...], k: int
    ) -> tuple[bytes, dict[str, Any]]:
        """SQL and its values for questions with the same filter; words are data of the statement."""
        values: dict[str, Any] = {
            "texts": [" ".join(question.terms) for question in questions],
            "rows": [n for n, question in enumerate(questions, 1) for _ in question.exclude],
            "hidden": [position for question in questions for position in question.exclude],
            "k": k,
        }
        conditions = ""
        for number, (column, low, high) in enumerate(bounds):
            conditions += f" and items.c{self._names.index(column)} between %(low{number})s and %(high{number})s"
            values |= {f"low{number}": low, f"high{number}": high}
        items = f"join {self.schema}.items using (position)" if bounds else ""
        text = _SEARCH.format(schema=self.schema, language=self.language, items=items, bounds=conditions)
        return text.encode(), values

    def _description(self, catalog: Catalog) -> dict[str, Any]:
        """What decides about the content of the schema."""
        next(catalog.texts(self.fields, 1))  # refuses a field that is not a text column
        fields = list(self.fields or catalog.text_columns)
        return {"catalog": catalog.content_hash, "fields": fields, "language": self.language, "format": FORMAT}

    def _stored(self, connection: psycopg.Connection) -> dict[str, Any] | None:
        """What the schema on the server was made from; None if `push` has not written it."""
        known = connection.execute("select to_regclass(%s)", (f"{self.schema}.made_from",)).fetchone()
        if known is None or known[0] is None:
            return None
        row = connection.execute(f"select settings from {self.schema}.made_from".encode()).fetchone()
        return None if row is None else json.loads(row[0])

    @contextmanager
    def _connected(self, timeout: float) -> Iterator[psycopg.Connection]:
        """A connection for the time of a block; it is kept for later blocks if this one ends well.

        Args:
            timeout: seconds after which the connection is cut; 0 for no limit.

        Raises:
            RecommenderError: the server refuses what was asked, in its own words.
            UnavailableError: the connection is lost or was cut.
        """
        psycopg = _client()
        late = threading.Event()
        try:
            with (
                self._live_pool.one(lambda: self._connect(timeout)) as connection,
                _cut_after(connection, timeout, late),
            ):
                yield connection
                if not late.is_set():
                    return
            words = "it was cut"
        except psycopg.Error as error:
            state = error.sqlstate or ""
            words = self.without_secrets(f"{type(error).__name__}: {error}".strip())
            passing = isinstance(error, psycopg.OperationalError) and not state and not _REFUSED.search(words)
            refused = not (passing or _PASSING.fullmatch(state))
        else:
            refused = False
        self._live_pool.clear()  # the others are as old
        if refused and not late.is_set():
            raise RecommenderError(f"PostgreSQL says: {words}")
        raise UnavailableError(f"no answer within {timeout:g} s; {words}" if late.is_set() else words)

    def _connect(self, timeout: float) -> psycopg.Connection:
        psycopg = _client()
        milliseconds = int(1000 * timeout)
        connection = psycopg.connect(
            self.url,
            connect_timeout=max(2, int(timeout)) if timeout else 10,
            options=f"-c statement_timeout={milliseconds} -c jit=off",
            application_name="rec_gym",
            autocommit=True,
            prepare_threshold=None,  # poolers of connections do not pass prepared statements on
        )
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return connection


@contextmanager
def _cut_after(connection: psycopg.Connection, timeout: float, late: threading.Event) -> Iterator[None]:
    """Shuts the socket of a connection after so many seconds: a server that hangs answers to no other time-out.

    Args:
        connection: in use during the block.
        timeout: seconds; 0 for no limit.
        late: is set if it was cut.
    """
    if not timeout:
        yield
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:

        def cut() -> None:
            late.set()
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(timeout, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _client() -> Any:
    """The client library.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise ImportError("postgres needs psycopg; install the extra: pip install 'rec-gym[postgres]'") from error
    return psycopg


def _type(kind: pa.DataType) -> str:
    """The type of a column on the server; texts compare by code points there, as they do here."""
    if is_text(kind):
        return 'text collate "C"'
    if pa.types.is_boolean(kind):
        return "boolean"
    return "numeric" if pa.types.is_uint64(kind) else "bigint" if pa.types.is_integer(kind) else "double precision"


def _copy(connection: psycopg.Connection, statement: str, catalog: Catalog, fields: Sequence[str]) -> None:
    """Sends the items, with the text that is searched.

    Raises:
        ValueError: a text holds a NUL character.
    """
    names = catalog.table.column_names
    texts = (text for batch in catalog.texts(fields, _ITEMS_AT_ONCE) for text in batch)
    position = 0
    with Bar("Writing the catalogue", len(catalog)) as bar, connection.cursor().copy(statement.encode()) as copy:
        for batch in catalog.table.select(names).to_batches(max_chunksize=_ITEMS_AT_ONCE):
            for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, str) and "\0" in value:
                        raise ValueError(
                            f"the column {name!r} of the item at position {position} holds a NUL character, which PostgreSQL "
                            "cannot store; remove it from the catalogue"
                        )
                copy.write_row((position, next(texts), *row))
                position += 1
            bar.advance(batch.num_rows)
