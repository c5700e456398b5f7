"""psycopg 3 through pg_dog in transaction mode. Asserts by itself; the login is in the environment."""

import datetime
import decimal
import threading

import psycopg
from psycopg import errors


def connect(**more):
    return psycopg.connect("", prepare_threshold=None, autocommit=True, **more)


def in_threads(count, work):
    """Runs work(number) in that many threads; the first failure fails everything."""
    failures = []

    def run(number):
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


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
        many = conn.execute("SELECT ARRAY[" + ", ".join(["%s"] * 65535) + "]", list(range(65535))).fetchone()[0]
        assert [int(value) for value in many] == list(range(65535))


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
    with psycopg.connect("", prepare_threshold=None) as conn:
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
        with psycopg.connect("", prepare_threshold=None) as conn:
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


def named_statements_are_refused():
    with psycopg.connect("", prepare_threshold=0, autocommit=True) as conn:
        try:
            conn.execute("SELECT %s::int", [1])
            raise AssertionError("a named statement should have been refused")
        except errors.FeatureNotSupported as refusal:
            assert "session" in refusal.diag.message_hint
        conn.prepare_threshold = None
        assert conn.execute("SELECT %s::int", [2]).fetchone() == (2,)


transactions_stay_on_one_server()
values_come_back()
pipelines()
copies()
rollbacks()
cancels()
cursors()
notices_arrive()
named_statements_are_refused()
print("all is well")
