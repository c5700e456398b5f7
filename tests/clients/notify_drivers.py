# asyncpg and psycopg 3 that listen through pg_dog in transaction mode. Asserts by itself; the login is in the environment.
import asyncio
import asyncpg
import psycopg

COUNT = 50


async def with_asyncpg():
    listener, notifier = await asyncpg.connect(), await asyncpg.connect()
    heard, done = [], asyncio.Event()

    def callback(_connection, _pid, channel, payload):
        heard.append((channel, payload))
        if len(heard) == COUNT:
            done.set()

    await listener.add_listener('from asyncpg', callback)
    for number in range(COUNT):
        await notifier.execute("SELECT pg_notify('from asyncpg', $1)", str(number))
        # It works for something else meanwhile.
        assert await listener.fetchval('SELECT $1::int', number) == number
    await asyncio.wait_for(done.wait(), 20)
    assert heard == [('from asyncpg', str(number)) for number in range(COUNT)], heard
    await listener.remove_listener('from asyncpg', callback)
    await listener.close()
    await notifier.close()


def with_psycopg():
    with psycopg.connect(autocommit=True) as listener, psycopg.connect(autocommit=True) as notifier:
        listener.execute('LISTEN from_psycopg')
        for number in range(COUNT):
            notifier.execute(f"NOTIFY from_psycopg, '{number}'")
        heard = [(notify.channel, notify.payload) for notify in listener.notifies(timeout=20, stop_after=COUNT)]
        assert heard == [('from_psycopg', str(number)) for number in range(COUNT)], heard
        assert listener.execute('SELECT 1').fetchone() == (1,)
        # Its own.
        listener.execute("NOTIFY from_psycopg, 'own'")
        assert [notify.payload for notify in listener.notifies(timeout=20, stop_after=1)] == ['own']
        listener.execute('UNLISTEN *')


asyncio.run(with_asyncpg())
with_psycopg()
print('all is well')
