"""psycopg2's replication connections through pg_dog. Asserts by itself; the login is in the environment."""

import select
import time

import psycopg2
from psycopg2.extras import LogicalReplicationConnection, PhysicalReplicationConnection, StopReplication


def ordinary():
    connection = psycopg2.connect("")
    connection.autocommit = True
    return connection


def wait_for(cursor, enough, seen):
    """Reads the stream until `enough(seen)`, and answers it; returns the position that it has confirmed last."""
    last = 0
    end = time.monotonic() + 20
    while not enough(seen):
        assert time.monotonic() < end, f"the stream stands still after {seen[-3:]}"
        message = cursor.read_message()
        if message is None:
            select.select([cursor], [], [], 0.5)
            continue
        seen.append(message.payload)
        last = message.data_start
        message.cursor.send_feedback(flush_lsn=last, force=True)
    return last


def wait_until_heard(writer, last):
    """Waits until the server has heard of the confirmation of `last`: a driver that closes while there is something to read resets its connection, and
    its own kernel throws away what it has not sent yet."""
    end = time.monotonic() + 20
    cursor = writer.cursor()
    while True:
        cursor.execute("SELECT confirmed_flush_lsn - '0/0' >= %s FROM pg_replication_slots WHERE slot_name = 'drive'", (last,))
        if cursor.fetchone() == (True,):
            return
        assert time.monotonic() < end, "the server has not heard of the last confirmation"


def rows_arrive():
    connection = psycopg2.connect("", connection_factory=LogicalReplicationConnection)
    cursor = connection.cursor()
    cursor.create_replication_slot("drive", output_plugin="test_decoding")
    cursor.start_replication(slot_name="drive", decode=True, options={"include-xids": "0"})
    writer = ordinary()
    for number in range(50):
        writer.cursor().execute("INSERT INTO items VALUES (%s, %s)", (number, f"row {number}"))
    seen = []
    last = wait_for(cursor, lambda seen: seen[-1:] == ["COMMIT"] and sum("INSERT" in line for line in seen) == 50, seen)
    expected = [f"table public.items: INSERT: a[integer]:{n} b[text]:'row {n}'" for n in range(50)]
    assert [line for line in seen if "INSERT" in line] == expected, seen
    wait_until_heard(writer, last)
    writer.close()
    connection.close()


def what_was_confirmed_does_not_come_again():
    connection = psycopg2.connect("", connection_factory=LogicalReplicationConnection)
    cursor = connection.cursor()
    cursor.start_replication(slot_name="drive", decode=True, options={"include-xids": "0"})
    writer = ordinary()
    writer.cursor().execute("INSERT INTO items VALUES (1000, 'last')")
    seen = []

    def consume(message):
        seen.append(message.payload)
        message.cursor.send_feedback(flush_lsn=message.data_start, force=True)
        if message.payload == "COMMIT" and any("1000" in line for line in seen):
            raise StopReplication

    try:
        cursor.consume_stream(consume)
    except StopReplication:
        pass
    else:
        raise AssertionError("it has not stopped")
    assert sum("INSERT" in line for line in seen) == 1, seen
    writer.close()
    connection.close()


def slots_and_physical_ones():
    connection = psycopg2.connect("", connection_factory=PhysicalReplicationConnection)
    cursor = connection.cursor()
    cursor.execute("IDENTIFY_SYSTEM")
    system, timeline, position, database = cursor.fetchone()
    assert int(system) > 0 and int(timeline) == 1 and "/" in position and database is None
    cursor.start_replication(start_lsn=position)
    writer = ordinary()
    writer.cursor().execute("INSERT INTO items VALUES (2000, 'physical')")
    seen = []
    wait_for(cursor, lambda seen: len(seen) > 0, seen)
    writer.close()
    connection.close()
    connection = psycopg2.connect("", connection_factory=LogicalReplicationConnection)
    end = time.monotonic() + 20
    while True:
        # The walsender of before may still be on its way out.
        try:
            connection.cursor().drop_replication_slot("drive")
            break
        except psycopg2.errors.ObjectInUse:
            assert time.monotonic() < end
    connection.close()
    check = ordinary()
    cursor = check.cursor()
    cursor.execute("SELECT count(*) FROM pg_replication_slots")
    assert cursor.fetchone() == (0,)
    cursor.execute("SELECT count(*), max(a) FROM items")
    assert cursor.fetchone() == (52, 2000)
    check.close()


rows_arrive()
what_was_confirmed_does_not_come_again()
slots_and_physical_ones()
print("all is well")
