"""psycopg 2 with its defaults through pg_dog: every statement is a simple query, and a transaction is open from the first one on. Asserts by
itself; the login is in the environment."""

import datetime
import decimal
import io
import select
import threading
import uuid

import psycopg2
import psycopg2.extras
import psycopg2.pool
from psycopg2 import errors

from drive_house import MANY, direct, in_threads, sessions_keep_their_parameters


def connect(autocommit=False, **more):
    conn = psycopg2.connect("", **more)
    conn.autocommit = autocommit
    return conn


def ask(conn, sql, values=None):
    with conn.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def transactions():
    def work(number):
        conn = connect()
        for round in range(10):
            tag = f"{number}-{round}"
            # Commits at its end, rolls back at an exception.
            with conn:
                pids = {ask(conn, "SELECT pg_backend_pid(), %s", [tag])[0] for _ in range(3)}
                assert len(pids) == 1 and {said for _, said in pids} == {tag}, pids
                ask(conn, "INSERT INTO items VALUES (%s, %s)", [4000 + number * 10 + round, tag])
                ask(conn, "SAVEPOINT before")
                try:
                    ask(conn, "INSERT INTO items VALUES (%s, 'twice')", [4000 + number * 10 + round])
                    raise AssertionError("the key is there already")
                except errors.UniqueViolation:
                    ask(conn, "ROLLBACK TO before")
                assert ask(conn, "SELECT name FROM items WHERE id = %s", [4000 + number * 10 + round]) == [(tag,)]
            try:
                with conn:
                    ask(conn, "DELETE FROM items WHERE id = %s", [4000 + number * 10 + round])
                    ask(conn, "SELEC 1")
                raise AssertionError("that is no statement")
            except errors.SyntaxError:
                pass
        conn.set_session(isolation_level="SERIALIZABLE", readonly=True)
        assert ask(conn, "SHOW transaction_isolation") == [("serializable",)] and ask(conn, "SHOW transaction_read_only") == [("on",)]
        try:
            ask(conn, "DELETE FROM items WHERE id = 0")
            raise AssertionError("it should only read")
        except errors.ReadOnlySqlTransaction:
            conn.rollback()
        # Back to the defaults by ABORT, RESET ALL and SET SESSION AUTHORIZATION DEFAULT.
        conn.reset()
        assert ask(conn, "SELECT count(*) FROM items WHERE name LIKE %s", [f"{number}-%"]) == [(10,)]
        conn.close()

    in_threads(MANY, work)
    with connect() as conn:
        ask(conn, "DELETE FROM items WHERE id >= 4000")


def values_come_back():
    psycopg2.extras.register_uuid()
    now = datetime.datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=datetime.timezone.utc)
    given = [7, -(2**62), 1.5, decimal.Decimal("12345678901234567890.000000001"), "ä€😀 'quoted' \\ \"double\" %", None, True, [1, 2, 3],
             ["a", None, "b,c"], now, now.date(), datetime.timedelta(days=3, seconds=7), uuid.UUID(int=7), "x" * 300_000]
    sql = "SELECT " + ", ".join(["%s"] * len(given)) + ", %s::bytea, %s::jsonb"
    values = given + [psycopg2.Binary(bytes(range(256)) * 40), psycopg2.extras.Json({"a": [1, None, "ä"]})]

    def look(**more):
        conn = connect(**more)
        *rest, data, doc = ask(conn, sql, values)[0]
        assert rest == given and bytes(data) == bytes(range(256)) * 40 and doc == {"a": [1, None, "ä"]}
        # In another encoding, which the session tells the driver.
        conn.set_client_encoding("LATIN1")
        seen = ask(conn, "SELECT 'ä', 'ä'::bytea, %s || 'ß'", ["ü"])[0]
        assert (seen[0], seen[2]) == ("ä", "üß")
        conn.commit()
        again = ask(conn, "SELECT 'ä', octet_length('ä')")
        conn.set_client_encoding("UTF8")
        conn.close()
        return rest, bytes(seen[1]), again

    through = look()
    assert through == look(**direct)
    in_threads(8, lambda number: look())
    with connect() as conn:
        rows = [(5000 + i, f"row {i}", now) for i in range(2000)]
        with conn.cursor() as cursor:
            psycopg2.extras.execute_values(cursor, "INSERT INTO items VALUES %s", rows)
            psycopg2.extras.execute_batch(cursor, "UPDATE items SET name = name || %s WHERE id = %s", [("!", id) for id, *_ in rows])
            cursor.execute("SELECT id, name, at FROM items WHERE id >= 5000 ORDER BY id")
            assert cursor.fetchall() == [(id, name + "!", at) for id, name, at in rows]
        conn.rollback()


def copies():
    conn = connect()
    text = "".join(f"{id}\tname {id}\t\\N\n" for id in range(6000, 16_000))
    with conn, conn.cursor() as cursor:
        cursor.copy_expert("COPY items FROM STDIN", io.StringIO(text))
        assert cursor.rowcount == 10_000
        got = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM items WHERE id >= 6000 ORDER BY id) TO STDOUT", got)
        assert got.getvalue() == text
    try:
        with conn, conn.cursor() as cursor:
            cursor.copy_expert("COPY items FROM STDIN", io.StringIO("17000\tgood\t\\N\n6000\ttwice\t\\N\n"))
        raise AssertionError("the key is there already")
    except errors.UniqueViolation:
        pass
    assert ask(conn, "SELECT count(*), max(id) FROM items WHERE id >= 6000") == [(10_000, 15_999)]
    ask(conn, "DELETE FROM items WHERE id >= 6000")
    conn.commit()
    conn.close()


def cursors():
    def work(number):
        with connect() as conn:
            with conn.cursor("same", scrollable=True) as cursor:
                cursor.itersize = 100
                cursor.execute("SELECT i, %s, pg_backend_pid() FROM generate_series(1, 1000) i", [number])
                rows = list(cursor)
                assert [row[0] for row in rows] == list(range(1, 1001)) and {row[1] for row in rows} == {number} and len({row[2] for row in rows}) == 1
                cursor.scroll(500, mode="absolute")
                assert [row[0] for row in cursor.fetchmany(3)] == [501, 502, 503]

    in_threads(8, work)
    # A cursor that outlives its transaction.
    with connect() as conn:
        cursor = conn.cursor("held", withhold=True)
        cursor.execute("SELECT i FROM generate_series(1, 300) i")
        assert cursor.fetchmany(2) == [(1,), (2,)]
        conn.commit()
        in_threads(4, work)
        assert [row[0] for row in cursor.fetchall()] == list(range(3, 301))
        cursor.close()
        conn.commit()


def large_objects():
    data = bytes(range(256)) * 2000

    def work(number):
        with connect() as conn:
            mine = data + str(number).encode()
            large = conn.lobject(0, "wb")
            assert large.write(mine) == len(mine)
            large.close()
            conn.commit()
            large = conn.lobject(large.oid, "rwb")
            large.seek(5)
            assert large.read() == mine[5:] and large.tell() == len(mine)
            large.truncate(10)
            large.seek(0)
            assert large.read() == mine[:10]
            large.unlink()
            conn.commit()

    in_threads(6, work)


def cancels():
    conn, watch = connect(autocommit=True), connect(autocommit=True)

    def cancel():
        active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'"
        while ask(watch, active) != [(1,)]:
            pass
        conn.cancel()

    for _ in range(3):
        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            ask(conn, "SELECT pg_sleep(600)")
            raise AssertionError("it should have been cancelled")
        except errors.QueryCanceled:
            pass
        canceller.join()
        assert ask(conn, "SELECT 'alive'") == [("alive",)]
    conn.close()
    watch.close()


def pools():
    pool = psycopg2.pool.ThreadedConnectionPool(1, MANY, "")

    def work(number):
        for round in range(10):
            conn = pool.getconn()
            ask(conn, "INSERT INTO items VALUES (%s, %s)", [7000 + number * 10 + round, f"pool {number}"])
            if round % 2:
                conn.commit()
            # An open transaction is rolled back when the connection goes back.
            pool.putconn(conn)

    in_threads(MANY, work)
    pool.closeall()
    with connect() as conn:
        assert ask(conn, "SELECT count(*) FROM items WHERE id >= 7000") == [(MANY * 5,)]
        ask(conn, "DELETE FROM items WHERE id >= 7000")


def notifications_come():
    listener, conn = connect(autocommit=True), connect()
    ask(listener, "LISTEN news")
    for i in range(5):
        ask(conn, f"NOTIFY news, '{i}'")
        conn.commit() if i % 2 else conn.rollback()
    got = []
    while len(got) < 2:
        assert select.select([listener], [], [], 20)[0], "no notification came"
        listener.poll()
        got += [listener.notifies.pop(0).payload for _ in listener.notifies[:]]
    assert got == ["1", "3"], got
    ask(listener, "UNLISTEN *")
    listener.close()
    conn.close()


transactions()
values_come_back()
copies()
cursors()
large_objects()
cancels()
pools()
notifications_come()
sessions_keep_their_parameters(lambda number: connect(autocommit=True), ask)
print("all is well")
