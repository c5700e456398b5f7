"""asyncpg through pg_dog, in the pooler mode that the first argument names. Asserts by itself; the login is in the environment."""

import asyncio
import datetime
import decimal
import sys

import asyncpg

session = sys.argv[1] == "session"
# In transaction mode only unnamed statements can be used, so the cache of named ones is off.
settings = {} if session else {"statement_cache_size": 0}


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
    await conn.executemany("INSERT INTO items VALUES ($1, $2)", [(i, f"name {i}") for i in range(500)])
    assert await conn.fetchrow("SELECT count(*), sum(id) FROM items") == (500, sum(range(500)))
    # A type that asyncpg has to look up first.
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


async def statements_and_cursors(conn):
    if not session:
        # Without a cache the statement has no name and is parsed again with each use.
        statement = await conn.prepare("SELECT $1::int * 2")
        assert [await statement.fetchval(i) for i in range(20)] == [2 * i for i in range(20)]
        try:
            await conn.prepare("SELECT $1::int", name="mine")
            raise AssertionError("a named statement should have been refused")
        except asyncpg.FeatureNotSupportedError as refusal:
            assert "session" in refusal.hint
        assert await conn.fetchval("SELECT 2") == 2
        return
    statement = await conn.prepare("SELECT $1::int * 2")
    assert [await statement.fetchval(i) for i in range(20)] == [2 * i for i in range(20)]
    async with conn.transaction():
        assert [row[0] async for row in conn.cursor("SELECT i FROM generate_series(1, 500) i", prefetch=50)] == list(range(1, 501))


async def main():
    # In session mode a connection keeps its server, so no more than the pool has are open at once.
    async with asyncpg.create_pool(min_size=2, max_size=2 if session else 12, **settings) as pool:
        await transactions_stay_on_one_server(pool)
    conn = await asyncpg.connect(**settings)
    await values_come_back(conn)
    await copies(conn)
    await rollbacks(conn)
    await cancels(conn)
    await statements_and_cursors(conn)
    await conn.close()


asyncio.run(main())
print("all is well")
