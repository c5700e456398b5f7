"""What the Python scripts beside this file share: threads that fail together, and what every driver is asked in the same way."""

import datetime
import os
import sys
import threading
import zoneinfo

# Which pooler mode pg_dog is in, and where PostgreSQL itself listens, for what has to be the same without pg_dog.
session = sys.argv[1] == "session"
direct = {"host": os.environ["PGHOST"], "port": int(sys.argv[2])}

# More sessions than pg_dog has servers; in session mode a connection keeps its server.
MANY = 2 if session else 12

ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Europe/Berlin", "Pacific/Auckland"]

# Times without a zone, as literals: what they mean is settled when the statement is prepared.
MIDNIGHT = "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::bigint"


def midnight(zone):
    """What MIDNIGHT is in that zone."""
    return int(datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo(zone)).timestamp())


def in_threads(count, work, barrier=None):
    """Runs work(number) in that many threads; the first failure fails everything, and breaks the barrier at which others wait."""
    failures = []

    def run(number):
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)
            if barrier:
                barrier.abort()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        # Who waits at a barrier that another one broke has nothing to say.
        raise next((failure for failure in failures if not isinstance(failure, threading.BrokenBarrierError)), failures[0])


def schemas(execute, count=MANY):
    """Makes one schema for each session, each with a table of the same name that says whose it is."""
    for number in range(count):
        execute(f"DROP SCHEMA IF EXISTS mine_{number} CASCADE")
        execute(f"CREATE SCHEMA mine_{number}")
        execute(f"CREATE TABLE mine_{number}.whoami AS SELECT 1 AS id, {number} AS who")


def sessions_keep_their_parameters(connect, ask):
    """Sessions with parameters of their own take turns on fewer servers. connect(number) gives a connection that commits each statement by
    itself, ask(connection, sql, values) the rows as a list of tuples; holes are written %s."""
    conn = connect(0)
    schemas(lambda sql: ask(conn, sql, None))
    fresh = [ask(conn, f"SHOW {name}", None) for name in ("search_path", "TimeZone", "statement_timeout")]
    conn.close()
    barrier = threading.Barrier(MANY, timeout=60)

    def work(number):
        conn = connect(number)
        zone = ZONES[number % len(ZONES)]
        ask(conn, f"SET search_path TO mine_{number}, public", None)
        ask(conn, "SELECT set_config('TimeZone', %s, false)", [zone])
        ask(conn, f"SET statement_timeout = {50_001 + number}", None)

        def is_mine():
            assert ask(conn, "SELECT who FROM whoami WHERE id = %s", [1]) == [(number,)]
            assert ask(conn, MIDNIGHT, None) == [(midnight(zone),)]
            assert ask(conn, MIDNIGHT + " + %s", [1]) == [(midnight(zone) + 1,)]
            assert ask(conn, "SHOW statement_timeout", None) == [(f"{50_001 + number}ms",)]

        barrier.wait()
        for _ in range(8):
            is_mine()
        # What a transaction sets is gone when it is rolled back, and what is set for the transaction alone at its end.
        ask(conn, "BEGIN", None)
        ask(conn, "SET LOCAL statement_timeout = 0", None)
        ask(conn, "SET TimeZone TO 'Antarctica/Troll'", None)
        ask(conn, "SET search_path TO pg_catalog", None)
        assert ask(conn, MIDNIGHT, None) == [(midnight("Antarctica/Troll"),)]
        ask(conn, "ROLLBACK", None)
        is_mine()
        ask(conn, "BEGIN", None)
        ask(conn, f"SET LOCAL search_path TO mine_{(number + 1) % MANY}", None)
        assert ask(conn, "SELECT who FROM whoami WHERE id = %s", [1]) == [((number + 1) % MANY,)]
        ask(conn, "COMMIT", None)
        is_mine()
        barrier.wait()
        if number % 2:
            ask(conn, "RESET ALL" if number % 4 == 1 else "RESET search_path", None)
            assert ask(conn, "SHOW search_path", None) == fresh[0]
            left = [ask(conn, "SHOW TimeZone", None), ask(conn, "SHOW statement_timeout", None)]
            assert left == (fresh[1:] if number % 4 == 1 else [[(zone,)], [(f"{50_001 + number}ms",)]]), (number, left)
        barrier.wait()
        for _ in range(3):
            if not number % 2:
                is_mine()
            elif number % 4 == 3:
                assert ask(conn, MIDNIGHT, None) == [(midnight(zone),)]
            else:
                assert ask(conn, "SHOW TimeZone", None) == fresh[1]
        conn.close()

    in_threads(MANY, work, barrier)
