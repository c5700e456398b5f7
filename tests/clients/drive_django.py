"""Django's ORM with its defaults through pg_dog (over psycopg 3): migrations, CRUD, atomic blocks and savepoints, select_for_update, server-side
cursors, and connections kept between requests. Asserts by itself; the login is in the environment."""

import datetime
import decimal
import os
import tempfile
import threading
import uuid

import django
from django.conf import settings

from drive_house import MANY, direct, in_threads, sessions_keep_their_parameters

login = {"ENGINE": "django.db.backends.postgresql", "USER": os.environ["PGUSER"], "PASSWORD": os.environ["PGPASSWORD"], "NAME": os.environ["PGDATABASE"],
         "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"]}
settings.configure(
    # Connections are kept, and looked at before a request uses them. TIME_ZONE is set on each of them, because it is not the server's.
    DATABASES={
        "default": {**login, "CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True, "TIME_ZONE": "Asia/Tokyo"},
        "pooled": {**login, "OPTIONS": {"pool": {"min_size": 2, "max_size": MANY, "timeout": 60}}},
        "bound": {**login, "OPTIONS": {"server_side_binding": True, "isolation_level": 3}},
        "direct": {**login, "HOST": direct["host"], "PORT": direct["port"]},
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "shop"],
    MIGRATION_MODULES={"shop": "shop.migrations"},
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)

# An app is a package: this one is made for the run.
folder = tempfile.TemporaryDirectory()
os.makedirs(os.path.join(folder.name, "shop/migrations"))
for name in ("shop/__init__.py", "shop/migrations/__init__.py"):
    open(os.path.join(folder.name, name), "w").close()
with open(os.path.join(folder.name, "shop/models.py"), "w") as models:
    models.write('''
from django.contrib.postgres.fields import ArrayField
from django.db import models

class Shelf(models.Model):
    name = models.TextField(unique=True)

class Item(models.Model):
    shelf = models.ForeignKey(Shelf, models.CASCADE, related_name="items")
    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=30, decimal_places=9)
    doc = models.JSONField()
    words = ArrayField(models.TextField())
    data = models.BinaryField()
    key = models.UUIDField()
    at = models.DateTimeField(auto_now_add=True)
    tags = models.ManyToManyField(Shelf)
''')
import sys  # noqa: E402

sys.path.insert(0, folder.name)
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, IntegrityError, connections, transaction  # noqa: E402
from django.db.models import Count, F, Sum  # noqa: E402
from shop.models import Item, Shelf  # noqa: E402


def ended(work):
    """In Django each thread has its own connections, and who starts threads closes them."""
    def run(number):
        try:
            work(number)
        finally:
            connections.close_all()

    return run


def crud(using):
    def work(number):
        for round in range(8):
            name = f"{using} {number}-{round}"
            shelf = Shelf.objects.using(using).create(name=name)
            items = [Item(shelf=shelf, title=f"{name} {i}", price=decimal.Decimal(f"{i}.000000001"), doc={"i": [i, None]}, words=["a", 'b"', "ä"],
                          data=bytes([0, i, 255]), key=uuid.UUID(int=i)) for i in range(5)]
            Item.objects.using(using).bulk_create(items)
            mine = Item.objects.using(using).filter(shelf__name=name).order_by("id")
            assert [item.title for item in mine.select_related("shelf")] == [f"{name} {i}" for i in range(5)]
            got = mine[3]
            assert (got.price, got.doc, got.words, bytes(got.data), got.key) == (
                decimal.Decimal("3.000000001"), {"i": [3, None]}, ["a", 'b"', "ä"], bytes([0, 3, 255]), uuid.UUID(int=3))
            assert abs(got.at - datetime.datetime.now(datetime.timezone.utc)) < datetime.timedelta(hours=1)
            got.tags.set([shelf])
            assert mine.update(price=F("price") + 1) == 5 and mine.aggregate(sum=Sum("price"))["sum"] == decimal.Decimal("15.000000005")
            assert Shelf.objects.using(using).update_or_create(name=name, defaults={"name": name})[1] is False
            # Of three blocks one is rolled back by an exception, one at a savepoint, one is kept.
            try:
                with transaction.atomic(using=using):
                    mine.delete()
                    raise KeyError
            except KeyError:
                pass
            with transaction.atomic(using=using):
                locked = mine.select_for_update().get(id=got.id)
                try:
                    with transaction.atomic(using=using):
                        Shelf.objects.using(using).create(name=name)
                    raise AssertionError("the name is there already")
                except IntegrityError:
                    pass
                locked.title = "changed"
                locked.save()
                done = []
                transaction.on_commit(lambda: done.append(name), using=using)
            assert done == [name]
            try:
                mine.extra(where=["1 / 0 = 1"]).count()
                raise AssertionError("the division should have failed")
            except DatabaseError:
                pass
            assert sorted(item.title for item in mine) == sorted([f"{name} {i}" for i in (0, 1, 2, 4)] + ["changed"])
            if round % 2:
                shelf.delete()

    in_threads(MANY, ended(work))
    kept = Shelf.objects.using(using).filter(name__startswith=f"{using} ").annotate(items_count=Count("items"))
    assert len(kept) == MANY * 4 and {shelf.items_count for shelf in kept} == {5}


def one_counter():
    """Everybody adds one under the same row lock."""
    shelf = Shelf.objects.create(name="counter")
    item = Item.objects.create(shelf=shelf, title="0", price=0, doc={}, words=[], data=b"", key=uuid.UUID(int=0))

    def work(number):
        for _ in range(5):
            with transaction.atomic():
                locked = Item.objects.select_for_update().get(id=item.id)
                locked.title = str(int(locked.title) + 1)
                locked.save()

    in_threads(MANY, ended(work))
    item.refresh_from_db()
    assert item.title == str(MANY * 5)
    shelf.delete()


def server_side_cursors():
    """iterator() declares a cursor WITH HOLD outside a transaction, and an ordinary one inside."""
    titles = sorted(Item.objects.values_list("title", flat=True))

    def cursors():
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_cursors")
            return cursor.fetchone()[0]

    def work(number):
        with transaction.atomic():
            rows = Item.objects.iterator(chunk_size=20)
            first = next(rows)
            assert cursors() == 1
            assert sorted([first.title] + [item.title for item in rows]) == titles
        for _ in range(3):
            assert sorted(Item.objects.values_list("title", flat=True).iterator(chunk_size=20)) == titles
        assert cursors() == 0

    in_threads(MANY, ended(work))
    half = Item.objects.order_by("id").iterator(chunk_size=20)
    first = next(half)
    assert Item.objects.get(id=first.id).title == first.title
    assert 1 + sum(1 for _ in half) == len(titles)


def zones():
    def zone(alias):
        with connections[alias].cursor() as cursor:
            cursor.execute("SHOW TimeZone")
            return cursor.fetchone()[0]

    def work(number):
        for _ in range(10):
            assert (zone("default"), zone("pooled")) == ("Asia/Tokyo", "UTC")
            with transaction.atomic(using="bound"), connections["bound"].cursor() as cursor:
                cursor.execute("SELECT %s || 'x', current_setting('transaction_isolation')", [f"{number}"])
                assert cursor.fetchone() == (f"{number}x", "repeatable read")

    in_threads(8, ended(work))
    rows = [list(Item.objects.using(using).order_by("id").values_list("title", "price", "doc", "words", "at")) for using in ("default", "direct")]
    assert rows[0] == rows[1] and rows[0]


def ask(conn, sql, values):
    with conn.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


call_command("makemigrations", "shop", verbosity=0)
for app in ("shop", "auth", "contenttypes"):
    if connections["default"].introspection.table_names():
        call_command("migrate", app, "zero", verbosity=0)
call_command("migrate", verbosity=0)
crud("default")
crud("pooled")
one_counter()
server_side_cursors()
zones()
sessions_keep_their_parameters(lambda number: connections.create_connection("bound"), ask)
call_command("migrate", "shop", "zero", verbosity=0)
connections.close_all()
connections["pooled"].close_pool()
assert threading.active_count() < 10
folder.cleanup()
print("all is well")
