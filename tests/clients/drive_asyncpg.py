"""asyncpg with its defaults through pg_dog, in the pooler mode that the first argument names. It prepares every statement by name and keeps a
hundred of them. Asserts by itself; the login is in the environment."""

import asyncio
import datetime
import decimal

import asyncpg

from drive_house import MANY, MIDNIGHT, ZONES, direct, midnight, schemas


async def each(work):
    """Runs work(number, connection) for many connections at once."""
    async def run(number):
        conn = await asyncpg.connect()
        try:
            await work(number, conn)
        finally:
            await conn.close()

    async with asyncio.TaskGroup() as group:
        for number in range(MANY):
            group.create_task(run(number))


async def the_same_names_for_other_statements():
    """Every connection counts its statements from one, and each means another one."""
    async def work(number, conn):
        for round in range(5):
            for kind in range(6):
                tag = f"{number}-{kind}-{round}"
                row = await conn.fetchrow(f"SELECT {number * 100 + kind} AS n_{number}, $1::text, '{number}' AS own", tag)
                assert tuple(row) == (number * 100 + kind, tag, str(number)) and f"n_{number}" in row.keys(), row
            assert await conn.execute(f"SELECT FROM generate_series(1, {number})") == f"SELECT {number}"
        names = {statement.name for statement in conn._stmt_cache.iter_statements()}
        assert names and "" not in names, names
        own = await conn.prepare("SELECT $1::int * $2::int", name="mine")
        assert [await own.fetchval(i, number) for i in range(10)] == [i * number for i in range(10)]
        assert [attribute.name for attribute in own.get_attributes()] == ["?column?"]

    await each(work)


async def more_statements_than_it_keeps():
    """It keeps a hundred, and closes the oldest."""
    async def work(number, conn):
        for _ in range(2):
            for kind in range(130):
                assert await conn.fetchval(f"SELECT {kind} + $1::int", number) == kind + number
        await conn.execute("DEALLOCATE ALL")
        await conn.reset()
        await conn.reload_schema_state()
        assert await conn.fetchval("SELECT 129 + $1::int", number) == 129 + number

    await each(work)


async def errors(conn):
    await conn.execute("INSERT INTO items VALUES (1000, 'there')")

    async def work(number, conn):
        for round in range(5):
            try:
                await conn.execute("INSERT INTO items VALUES ($1, 'twice')", 1000)
                raise AssertionError("the key is there already")
            except asyncpg.UniqueViolationError as failure:
                assert failure.constraint_name == "items_pkey"
            try:
                await conn.fetch("SELEC $1", round)
                raise AssertionError("that is no statement")
            except asyncpg.PostgresSyntaxError:
                pass
            try:
                await conn.fetch("SELECT $1::int FROM there_is_none", round)
                raise AssertionError("there is no such table")
            except asyncpg.UndefinedTableError:
                pass
            try:
                await conn.fetch("SELECT 1 / $1::int", 0)
                raise AssertionError("the division should have failed")
            except asyncpg.DivisionByZeroError:
                pass
            assert await conn.fetchval("SELECT name FROM items WHERE id = $1", 1000) == "there"

    await each(work)
    await conn.execute("DELETE FROM items WHERE id = 1000")


async def a_table_that_changes(conn):
    """Outside a transaction it prepares anew by itself, as without pg_dog."""
    await conn.execute("DROP TABLE IF EXISTS shape")
    await conn.execute("CREATE TABLE shape AS SELECT 1 AS a")
    other = await asyncpg.connect()
    for columns in range(1, 5):
        for _ in range(4):
            assert tuple(await other.fetchrow("SELECT * FROM shape WHERE a = $1", 1)) == (1,) * columns
        await conn.execute(f"ALTER TABLE shape ADD COLUMN b_{columns} int DEFAULT 1")
    await other.close()
    await conn.execute("DROP TABLE shape")


async def transactions_stay_on_one_server(pool):
    async def work(number):
        for round in range(10):
            async with pool.acquire() as conn:
                async with conn.transaction():
                    seen = [await conn.fetchrow("SELECT pg_backend_pid(), $1::text", f"{number}-{round}-{step}") for step in range(4)]
            assert len({row[0] for row in seen}) == 1, seen
            assert [row[1] for row in seen] == [f"{number}-{round}-{step}" for step in range(4)], seen

    await asyncio.gather(*(work(number) for number in range(12)))


async def values_come_back(conn):
    now = datetime.datetime(2026, 2, 28, 23, 59, 59, 123456, tzinfo=datetime.timezone.utc)
    sql = "SELECT $1::int8, $2::float8, $3::numeric, $4::text, $5::bytea, $6::int[], $7::timestamptz, $8::text, $9::jsonb, $10::bool"
    given = [-(2**62), 1.5, decimal.Decimal("12345678901234567890.000000001"), "ä€😀 'quoted'", bytes(range(256)) * 40, [1, None, 3], now, None,
             '{"a": [1, 2]}', True]
    for _ in range(3):
        assert [*(await conn.fetchrow(sql, *given))] == given
    assert await conn.fetchval("SELECT length($1)", "x" * 300_000) == 300_000
    await conn.execute("TRUNCATE items")
    await conn.executemany("INSERT INTO items VALUES ($1, $2)", [(i, f"name {i}") for i in range(500)])
    assert await conn.fetchrow("SELECT count(*), sum(id) FROM items") == (500, sum(range(500)))
    # A type that asyncpg has to look up first.
    await conn.execute("DROP TYPE IF EXISTS mood")
    await conn.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    assert await conn.fetchval("SELECT ARRAY['glad', 'sad']::mood[]") == ["glad", "sad"]


async def copies(conn):
    await conn.execute("TRUNCATE items")
    rows = [(i, f"name {i}", None) for i in range(20_000)]
    assert await conn.copy_records_to_table("items", records=rows) == "COPY 20000"
    assert await conn.fetchrow("SELECT count(*), sum(id) FROM items") == (20_000, sum(range(20_000)))
    await conn.execute("TRUNCATE items")
    text = "".join(f"{id}\t{name}\t\\N\n" for id, name, _ in rows).encode()

    async def pieces():
        for start in range(0, len(text), 5000):
            yield text[start : start + 5000]

    assert await conn.copy_to_table("items", source=pieces()) == "COPY 20000"
    got = bytearray()

    async def collect(data):
        got.extend(data)

    assert await conn.copy_from_query("SELECT id, name FROM items ORDER BY id", output=collect) == "COPY 20000"
    assert bytes(got) == "".join(f"{id}\t{name}\n" for id, name, _ in rows).encode()

    async def fails():
        yield b"30000\thalf\t\\N\n"
        raise KeyError

    try:
        await conn.copy_to_table("items", source=fails())
        raise AssertionError("the source failed")
    except KeyError:
        pass
    assert await conn.fetchval("SELECT max(id) FROM items") == 19_999


async def rollbacks(conn):
    await conn.execute("TRUNCATE items")
    try:
        async with conn.transaction():
            await conn.execute("INSERT INTO items VALUES (1, 'gone')")
            raise KeyError
    except KeyError:
        pass
    async with conn.transaction(isolation="serializable"):
        await conn.execute("INSERT INTO items VALUES (2, 'kept')")
        try:
            async with conn.transaction():
                await conn.execute("INSERT INTO items VALUES (2, 'twice')")
        except asyncpg.UniqueViolationError:
            pass
    assert [tuple(row) for row in await conn.fetch("SELECT id, name FROM items")] == [(2, "kept")]


async def cancels(conn):
    for _ in range(3):
        try:
            await conn.fetch("SELECT pg_sleep(600)", timeout=0.2)
            raise AssertionError("it should have been cancelled")
        except asyncio.TimeoutError:
            pass
        assert await conn.fetchval("SELECT $1::text", "alive") == "alive"


async def cursors():
    async def work(number, conn):
        async with conn.transaction():
            sql = "SELECT i * $1, pg_backend_pid() FROM generate_series(1, 500) i"
            rows = [tuple(row) async for row in conn.cursor(sql, number, prefetch=50)]
            assert [row[0] for row in rows] == [i * number for i in range(1, 501)] and len({row[1] for row in rows}) == 1
            cursor = await conn.cursor(sql, number)
            assert await cursor.forward(10) == 10
            assert [row[0] for row in await cursor.fetch(3)] == [i * number for i in (11, 12, 13)]

    await each(work)


async def sessions_keep_their_parameters(conn):
    await asyncio.wait_for(prepare_schemas(conn), 30)
    fresh = [await conn.fetchval(f"SHOW {name}") for name in ("search_path", "TimeZone", "statement_timeout")]
    barrier = asyncio.Barrier(MANY)

    async def work(number, conn):
        zone = ZONES[number % len(ZONES)]
        await conn.execute(f"SET search_path TO mine_{number}, public")
        await conn.fetchval("SELECT set_config('TimeZone', $1, false)", zone)
        await conn.execute(f"SET statement_timeout = {50_001 + number}")

        async def is_mine():
            assert await conn.fetchval("SELECT who FROM whoami WHERE id = $1", 1) == number
            assert await conn.fetchval(MIDNIGHT) == midnight(zone)
            assert await conn.fetchval(MIDNIGHT + " + $1::int", 1) == midnight(zone) + 1
            assert await conn.fetchval("SHOW statement_timeout") == f"{50_001 + number}ms"

        await barrier.wait()
        for _ in range(8):
            await is_mine()
        try:
            async with conn.transaction():
                await conn.execute("SET LOCAL statement_timeout = 0")
                await conn.execute("SET TimeZone TO 'Antarctica/Troll'")
                assert await conn.fetchval("SHOW TimeZone") == "Antarctica/Troll"
                raise KeyError
        except KeyError:
            pass
        await is_mine()
        await barrier.wait()
        if number % 2:
            await conn.execute("RESET search_path")
            assert await conn.fetchval("SHOW search_path") == fresh[0]
            # What its pool does when a connection comes back.
            await conn.reset()
            assert [await conn.fetchval(f"SHOW {name}") for name in ("search_path", "TimeZone", "statement_timeout")] == fresh
        await barrier.wait()
        for _ in range(3):
            if number % 2:
                assert await conn.fetchval("SHOW TimeZone") == fresh[1]
            else:
                await is_mine()

    await each(work)


async def prepare_schemas(conn):
    statements = []
    schemas(statements.append)
    for statement in statements:
        await conn.execute(statement)


async def notifications_come(conn):
    listener = await asyncpg.connect()
    got, enough = [], asyncio.Event()

    def heard(_, pid, channel, payload):
        got.append((channel, payload))
        if len(got) == 6:
            enough.set()

    await listener.add_listener("news", heard)
    await listener.add_listener("Other News", heard)
    for i in range(3):
        await conn.execute(f"NOTIFY news, '{i}'")
        await conn.execute("SELECT pg_notify($1, $2)", "Other News", str(i))
        try:
            async with conn.transaction():
                await conn.execute("NOTIFY news, 'never'")
                raise KeyError
        except KeyError:
            pass
    assert await listener.fetchval("SELECT $1::text", "meanwhile") == "meanwhile"
    await asyncio.wait_for(enough.wait(), 20)
    assert got == [(channel, str(i)) for i in range(3) for channel in ("news", "Other News")], got
    await listener.remove_listener("news", heard)
    await listener.remove_listener("Other News", heard)
    assert await listener.fetchval("SELECT count(*) FROM pg_listening_channels()") == 0
    await listener.close()


async def the_same_as_direct(conn):
    other = await asyncpg.connect(**direct)
    sql = "SELECT $1::int8, $2::float8, $3::numeric, $4::text, $5::bytea, $6::int[], $7::timestamptz, $8::interval, $9::jsonb, $10::uuid, $11::inet"
    given = [-(2**62), 0.1, decimal.Decimal("NaN"), "ä", b"\0\xff", [[1, None], [3, 4]], datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc),
             datetime.timedelta(days=-3, microseconds=1), '{"a": null}', "00000000-0000-0000-0000-000000000007", "10.0.0.1/32"]
    for _ in range(3):
        assert str([*(await conn.fetchrow(sql, *given))]) == str([*(await other.fetchrow(sql, *given))])
    assert conn.get_server_version() == other.get_server_version()
    settings = [{name: getattr(c.get_settings(), name) for name in ("server_encoding", "client_encoding", "DateStyle", "TimeZone")} for c in (conn, other)]
    assert settings[0] == settings[1], settings
    await other.close()


async def main():
    async with asyncpg.create_pool(min_size=2, max_size=MANY) as pool:
        await transactions_stay_on_one_server(pool)
    await the_same_names_for_other_statements()
    await more_statements_than_it_keeps()
    await cursors()
    conn = await asyncpg.connect()
    await values_come_back(conn)
    await copies(conn)
    await rollbacks(conn)
    await cancels(conn)
    await errors(conn)
    await a_table_that_changes(conn)
    await the_same_as_direct(conn)
    await notifications_come(conn)
    await sessions_keep_their_parameters(conn)
    await conn.close()


asyncio.run(main())
print("all is well")
