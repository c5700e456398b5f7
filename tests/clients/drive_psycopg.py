"""psycopg 3 with its defaults through pg_dog. Asserts by itself; the login is in the environment."""

import asyncio
import datetime
import decimal
import os
import struct
import threading

import psycopg
import psycopg_pool
from psycopg import errors
from psycopg.types.json import Jsonb

from drive_house import MANY, direct, in_threads, sessions_keep_their_parameters


def connect(**more):
    return psycopg.connect("", autocommit=True, **more)


def names_it_gave(conn):
    """How many statements the driver has prepared by itself: it does so when a text comes for the sixth time."""
    return len(conn._prepared._names)


def what_it_is_told_at_first():
    """What libpq asks for when it connects comes back as PostgreSQL spells it."""
    names = ["client_encoding", "DateStyle", "IntervalStyle", "TimeZone", "standard_conforming_strings", "application_name", "server_version"]
    for asks in ({}, {"PGDATESTYLE": "German", "PGTZ": "Asia/Tokyo"}, {"PGDATESTYLE": "sql, euro"}, {"PGDATESTYLE": "ISO"}):
        for encoding in ("utf-8", "ISO_8859-15", "sql_ascii"):
            os.environ.update(asks)
            conns = [psycopg.connect("", client_encoding=encoding, **more) for more in ({}, direct)]
            for name in asks:
                del os.environ[name]
            told = [{name: conn.info.parameter_status(name) for name in names} for conn in conns]
            assert told[0] == told[1], told
            for conn in conns:
                assert conn.execute("SELECT 'ok'").fetchone()[0] in ("ok", b"ok")
                conn.close()


def the_same_names_for_other_statements():
    """Every connection calls its first statement _pg3_0, and each means another one."""
    def work(number):
        with connect() as conn:
            for round in range(12):
                for kind in range(5):
                    tag = f"{number}-{kind}-{round}"
                    row = conn.execute(f"SELECT {number * 100 + kind} AS n_{number}, %s::text, '{number}'", [tag]).fetchone()
                    assert row == (number * 100 + kind, tag, str(number)), row
                    plain = conn.execute(f"SELECT 'plain {number} {kind}'").fetchone()
                    assert plain == (f"plain {number} {kind}",), plain
            assert names_it_gave(conn) >= 5
            with conn.cursor(binary=True) as cursor:
                assert [cursor.execute("SELECT %s + %s", [number, i]).fetchone() for i in range(10)] == [(number + i,) for i in range(10)]

    in_threads(MANY, work)


def more_statements_than_it_keeps():
    """It keeps a hundred, and gives up the oldest."""
    def work(number):
        with connect() as conn:
            for kind in range(105):
                for round in range(6):
                    assert conn.execute(f"SELECT {kind} + %s::int", [round]).fetchone() == (kind + round,)
            assert names_it_gave(conn) >= conn.prepared_max and conn._prepared._prepared_idx > conn.prepared_max
            assert conn.execute("SELECT 0 + %s::int", [7]).fetchone() == (7,)
            # It forgets all of them when the session is cleaned by hand.
            conn.execute("DEALLOCATE ALL")
            for round in range(8):
                assert conn.execute("SELECT 1 + %s::int", [round]).fetchone() == (1 + round,)
            conn.execute("DISCARD ALL")
            for round in range(8):
                assert conn.execute("SELECT 2 + %s::int", [round]).fetchone() == (2 + round,)

    in_threads(4, work)


def errors_of_statements_it_prepared():
    def work(number):
        with connect() as conn:
            conn.execute("INSERT INTO items VALUES (%s, 'there')", [1000 + number])
            for round in range(8):
                try:
                    conn.execute("INSERT INTO items VALUES (%s, 'twice')", [1000 + number])
                    raise AssertionError("the key is there already")
                except errors.UniqueViolation as failure:
                    assert failure.diag.constraint_name == "items_pkey"
                try:
                    conn.execute("SELEC %s", [round])
                    raise AssertionError("that is no statement")
                except errors.SyntaxError:
                    pass
                try:
                    conn.execute("SELECT %s::int FROM there_is_none", [round], prepare=True)
                    raise AssertionError("there is no such table")
                except errors.UndefinedTable:
                    pass
                with conn.transaction(), conn.cursor() as cursor:
                    cursor.execute("SELECT %s::int / 1", [round])
                    try:
                        with conn.transaction():
                            cursor.execute("SELECT 1 / %s::int", [0])
                        raise AssertionError("the division should have failed")
                    except errors.DivisionByZero:
                        pass
                    assert cursor.execute("SELECT name FROM items WHERE id = %s", [1000 + number]).fetchone() == ("there",)
            conn.execute("DELETE FROM items WHERE id = %s", [1000 + number])

    in_threads(MANY, work)


def a_table_that_changes():
    """A statement that was prepared for other columns fails as without pg_dog, or is prepared anew; it never answers with old columns."""
    with connect() as conn, connect() as other:
        other.execute("DROP TABLE IF EXISTS shape")
        other.execute("CREATE TABLE shape AS SELECT 1 AS a")
        for columns in range(1, 4):
            for _ in range(7):
                try:
                    assert conn.execute("SELECT * FROM shape").fetchone() == (1,) * columns
                except errors.FeatureNotSupported as failure:
                    assert "cached plan must not change result type" in str(failure), failure
                    conn.execute("DEALLOCATE ALL")
            other.execute(f"ALTER TABLE shape ADD COLUMN b_{columns} int DEFAULT 1")
        other.execute("DROP TABLE shape")


def pools():
    """The driver's own pools, which look at a connection when it comes back."""
    with psycopg_pool.ConnectionPool("", min_size=2, max_size=MANY, open=True, timeout=60, check=psycopg_pool.ConnectionPool.check_connection) as pool:
        def work(number):
            for round in range(10):
                with pool.connection() as conn:
                    conn.execute("INSERT INTO items VALUES (%s, %s)", [2000 + number * 10 + round, f"pool {number}"])
                    if round % 2:
                        conn.rollback()
                # A transaction that fails is rolled back when the connection goes back.
                try:
                    with pool.connection() as conn:
                        conn.execute("INSERT INTO items VALUES (%s, 'gone')", [3000 + number])
                        conn.execute("SELECT 1 / %s", [0])
                    raise AssertionError("the division should have failed")
                except errors.DivisionByZero:
                    pass

        in_threads(MANY, work)
        with pool.connection() as conn:
            assert conn.execute("SELECT count(*) FROM items WHERE id >= 2000").fetchone() == (MANY * 5,)
            conn.execute("DELETE FROM items WHERE id >= 2000")

    async def in_tasks():
        async with psycopg_pool.AsyncConnectionPool("", min_size=2, max_size=MANY, timeout=60) as pool:
            async def work(number):
                for round in range(10):
                    async with pool.connection() as conn:
                        cursor = await conn.execute("SELECT %s::text, pg_backend_pid()", [f"{number}-{round}"])
                        first = await cursor.fetchone()
                        await cursor.execute("SELECT %s::text, pg_backend_pid()", [f"{number}-{round}"])
                        assert first[0] == f"{number}-{round}" and await cursor.fetchone() == first

            await asyncio.gather(*(work(number) for number in range(MANY)))

    asyncio.run(in_tasks())


def notifications_come():
    with connect() as listener:
        listener.execute("LISTEN news")
        listener.execute('LISTEN "Other News"')

        def work(number):
            with connect() as conn:
                conn.execute("NOTIFY news, %s" % f"'{number}'")
                conn.execute("SELECT pg_notify('Other News', %s)", [f"other {number}"])
                try:
                    with conn.transaction():
                        conn.execute("SELECT pg_notify('news', 'never')")
                        raise KeyError
                except KeyError:
                    pass

        in_threads(5, work)
        # Some may come together with the answer to a query.
        assert listener.execute("SELECT 'meanwhile'").fetchone() == ("meanwhile",)
        got = {(note.channel, note.payload) for note in listener.notifies(timeout=20, stop_after=10)}
        assert got == {("news", str(i)) for i in range(5)} | {("Other News", f"other {i}") for i in range(5)}, got
        listener.execute("UNLISTEN *")
        in_threads(1, work)
        assert list(listener.notifies(timeout=0.2)) == []
        assert listener.execute("SELECT count(*) FROM pg_listening_channels()").fetchone() == (0,)


def transactions_stay_on_one_server():
    def work(number):
        with connect() as conn:
            for round in range(15):
                with conn.transaction():
                    seen = {
                        conn.execute("SELECT pg_backend_pid(), %s::text", [f"{number}-{round}-{step}"]).fetchone()
                        for step in range(4)
                    }
                assert len({pid for pid, _ in seen}) == 1, seen
                assert {tag for _, tag in seen} == {f"{number}-{round}-{step}" for step in range(4)}, seen

    in_threads(12, work)


def values_come_back():
    now = datetime.datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=datetime.timezone.utc)
    given = [
        7, -(2**62), 1.5, decimal.Decimal("12345678901234567890.000000001"), "ä€😀 'quoted' \\ \"double\"", None, True,
        bytes(range(256)) * 40, [1, 2, 3], ["a", None, "b,c"], now, now.date(), datetime.timedelta(days=3, seconds=7), "x" * 300_000,
    ]
    with connect() as conn:
        for binary in (False, True):
            holes = ["%s::text[]" if isinstance(value, list) and "a" in value else "%s" for value in given]
            got = conn.cursor(binary=binary).execute("SELECT " + ", ".join(holes), given).fetchone()
            for value, expected in zip(got, given, strict=True):
                assert value == expected, (binary, str(value)[:200], str(expected)[:200])
            with psycopg.connect("", **direct) as other:
                assert other.cursor(binary=binary).execute("SELECT " + ", ".join(holes), given).fetchone() == got
        many = conn.execute("SELECT ARRAY[" + ", ".join(["%s"] * 65535) + "]", list(range(65535))).fetchone()[0]
        assert [int(value) for value in many] == list(range(65535))
        # One more cannot be said in the protocol; its client goes on.
        try:
            conn.execute("SELECT ARRAY[" + ", ".join(["%s"] * 65536) + "]", list(range(65536)))
            raise AssertionError("a count of two bytes has no room for it")
        except psycopg.OperationalError:
            pass
        assert conn.execute("SELECT 'on'").fetchone() == ("on",)


def pipelines():
    def work(number):
        with connect() as conn:
            with conn.pipeline():
                cursors = [conn.execute("SELECT %s::int, repeat('x', %s::int)", [number * 1000 + i, i]) for i in range(50)]
                got = [cursor.fetchone() for cursor in cursors]
            assert got == [(number * 1000 + i, "x" * i) for i in range(50)], got
            with connect() as other:
                other.execute("SELECT 1")
            after = None
            try:
                with conn.pipeline():
                    conn.execute("SELECT 1")
                    bad = conn.execute("SELECT 1 / %s::int", [0])
                    after = conn.execute("SELECT 2")
                    bad.fetchone()
                raise AssertionError("the division should have failed")
            except errors.DivisionByZero:
                pass
            # The error may be seen before the last statement is sent; if that was sent, it was skipped.
            try:
                assert after is None or after.fetchone() is None, "what follows an error in a pipeline should be skipped"
            except (errors.PipelineAborted, psycopg.InterfaceError, psycopg.ProgrammingError):
                pass
            assert conn.execute("SELECT %s::int", [number]).fetchone() == (number,)

    in_threads(8, work)


def copies():
    rows = [(i, f"name {i}", None) for i in range(20_000)]
    with connect() as conn:
        for options in ("", "(FORMAT BINARY)"):
            conn.execute("TRUNCATE items")
            with conn.cursor() as cursor:
                with cursor.copy(f"COPY items FROM STDIN {options}") as copy:
                    if options:
                        copy.set_types(["int4", "text", "timestamptz"])
                    for row in rows:
                        copy.write_row(row)
                assert cursor.rowcount == 20_000
                with cursor.copy(f"COPY (SELECT id, name FROM items ORDER BY id) TO STDOUT {options}") as copy:
                    copy.set_types(["int4", "text"])
                    assert list(copy.rows()) == [(id, name) for id, name, _ in rows]
        # Documents and floats, in the server's own format; float4 in the shortest text that means it.
        made = [(i, Jsonb({"i": i, "odd": ["ä", None, 1.5]}), i / 7, i / 8) for i in range(2_000)]
        made += [(2_000, None, float("inf"), float("-inf")), (2_001, Jsonb([]), -0.0, 1e-38)]
        with conn.transaction():
            conn.execute("CREATE TEMP TABLE made (id int, doc jsonb, exact float8, short float4) ON COMMIT DROP")
            types = ["int4", "jsonb", "float8", "float4"]
            with conn.cursor() as cursor:
                with cursor.copy("COPY made FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(types)
                    for row in made:
                        copy.write_row(row)
                with cursor.copy("COPY (SELECT * FROM made ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
                    copy.set_types(types)
                    got = list(copy.rows())
            expected = [(i, doc and doc.obj, exact, struct.unpack("f", struct.pack("f", short))[0]) for i, doc, exact, short in made]
            assert got == expected
            # Read as text, by another way, it is the same.
            assert conn.execute("SELECT id, doc, exact, short::float8 FROM made ORDER BY id").fetchall() == expected
        # Refused by the server, given up by us: nothing is stored, the connection goes on.
        try:
            with conn.cursor().copy("COPY items FROM STDIN") as copy:
                copy.write_row((1, "twice", None))
            raise AssertionError("the key is there already")
        except errors.UniqueViolation:
            pass
        try:
            with conn.cursor().copy("COPY items FROM STDIN") as copy:
                copy.write_row((30_000, "half", None))
                raise KeyError("changed my mind")
        except KeyError:
            pass
        assert conn.execute("SELECT count(*), max(id) FROM items").fetchone() == (20_000, 19_999)


def rollbacks():
    with connect() as conn:
        conn.execute("TRUNCATE items")
        try:
            with conn.transaction():
                conn.execute("INSERT INTO items VALUES (1, 'gone')")
                raise KeyError
        except KeyError:
            pass
        with conn.transaction():
            conn.execute("INSERT INTO items VALUES (2, 'kept')")
            try:
                with conn.transaction():
                    conn.execute("INSERT INTO items VALUES (3, 'gone')")
                    conn.execute("INSERT INTO items VALUES (2, 'twice')")
            except errors.UniqueViolation:
                pass
            conn.execute("INSERT INTO items VALUES (4, 'kept')")
        assert conn.execute("SELECT id, name FROM items ORDER BY id").fetchall() == [(2, "kept"), (4, "kept")]
    with psycopg.connect("") as conn:
        conn.execute("INSERT INTO items VALUES (5, 'gone')")
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        conn.rollback()
        conn.execute("INSERT INTO items VALUES (6, 'kept')")
        conn.commit()
        conn.cursor().executemany("INSERT INTO items VALUES (%s, %s)", [(i, str(i)) for i in range(100, 200)])
    with connect() as conn:
        assert conn.execute("SELECT count(*), sum(id) FROM items").fetchone() == (103, 2 + 4 + 6 + sum(range(100, 200)))


def cancels():
    with connect() as conn, connect() as watch:
        def cancel():
            active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(600)%'"
            while watch.execute(active).fetchone() != (1,):
                pass
            conn.cancel_safe(timeout=10)

        for _ in range(3):
            canceller = threading.Thread(target=cancel)
            canceller.start()
            try:
                conn.execute("SELECT pg_sleep(600)")
                raise AssertionError("it should have been cancelled")
            except errors.QueryCanceled:
                pass
            canceller.join()
            assert conn.execute("SELECT 'alive'").fetchone() == ("alive",)


def cursors():
    def work(number):
        with psycopg.connect("") as conn:
            with conn.cursor(name="same", scrollable=True) as cursor:
                cursor.itersize = 100
                cursor.execute("SELECT i, %s::int, pg_backend_pid() FROM generate_series(1, 1000) i", [number])
                assert cursor.fetchone()[:2] == (1, number)
                rest = list(cursor)
                assert [row[0] for row in rest] == list(range(2, 1001)) and {row[1] for row in rest} == {number}
                assert len({row[2] for row in rest}) == 1
                cursor.scroll(500, mode="absolute")
                assert [row[0] for row in cursor.fetchmany(3)] == [501, 502, 503]

    in_threads(8, work)


def notices_arrive():
    with connect() as conn:
        said = []
        conn.add_notice_handler(lambda notice: said.append(notice.message_primary))
        conn.execute("DO $$ BEGIN FOR i IN 1..20 LOOP RAISE NOTICE 'notice %', i; END LOOP; END $$")
        assert said == [f"notice {i}" for i in range(1, 21)], said


def ask(conn, sql, values):
    cursor = conn.execute(sql, values)
    return cursor.fetchall() if cursor.description else []


what_it_is_told_at_first()
the_same_names_for_other_statements()
more_statements_than_it_keeps()
errors_of_statements_it_prepared()
a_table_that_changes()
transactions_stay_on_one_server()
values_come_back()
pipelines()
copies()
rollbacks()
cancels()
cursors()
notices_arrive()
pools()
notifications_come()
sessions_keep_their_parameters(lambda number: connect(), ask)
print("all is well")
