"""The admin console with psycopg 2 (autocommit) and psycopg 3, as people write it."""

import psycopg
import psycopg2

SHOWS = ["CLIENTS", "SERVERS", "POOLS", "STATS", "CONFIG", "DATABASES", "USERS", "SOCKETS", "STATE", "TOTALS", "MEM", "HELP", "BANS"]


def check(cursor):
    for show in SHOWS:
        cursor.execute(f"SHOW {show}")
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
        assert all(len(row) == len(names) for row in rows), show
        assert bool(rows) == (show != "BANS"), show
    cursor.execute("SHOW POOLS")
    names = [column[0] for column in cursor.description]
    row = next(row for row in map(lambda row: dict(zip(names, row)), cursor.fetchall()) if row["user"] == "app")
    assert row["paused"] is False and row["sv_idle_xact"] == 1, row
    cursor.execute("RELOAD")
    cursor.execute("SET checkout_timeout TO 4000")
    cursor.execute("SHOW CONFIG")
    assert dict(cursor.fetchall())["checkout_timeout"] == "4s"
    try:
        cursor.execute("SELECT 1")
    except (psycopg.Error, psycopg2.Error) as error:
        assert (getattr(error, "sqlstate", None) or error.pgcode) == "08P01", error
    else:
        raise AssertionError("it ran SQL")
    cursor.execute("SHOW VERSION")
    assert cursor.fetchone()[0].startswith("pg_dog ")


old = psycopg2.connect("")
old.autocommit = True
check(old.cursor())
old.close()

# The simple protocol is all there is; ClientCursor is how psycopg 3 speaks it.
with psycopg.connect("", autocommit=True, cursor_factory=psycopg.ClientCursor) as new:
    check(new.cursor())

# As it is by default it sends statements without parameters as simple ones too.
with psycopg.connect("", autocommit=True) as new:
    names = [row[0] for row in new.execute("SHOW DATABASES").fetchall()]
    assert names == ["app", "admin"], names

print("all is well")
