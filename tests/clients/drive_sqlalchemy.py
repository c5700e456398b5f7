"""SQLAlchemy 2 with its defaults through pg_dog, over psycopg 3, psycopg 2 and asyncpg, with its own pools (which roll back when a connection
comes back). Asserts by itself; the login is in the environment."""

import asyncio
import datetime
import decimal
import os
import uuid

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from drive_house import MANY, direct, in_threads, sessions_keep_their_parameters


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(sa.Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    born: Mapped[datetime.datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan", order_by="Book.id")


class Book(Base):
    __tablename__ = "books"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(30, 9))
    doc: Mapped[dict] = mapped_column(JSONB)
    words: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    data: Mapped[bytes]
    key: Mapped[uuid.UUID]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))
    author: Mapped[Author] = relationship(back_populates="books")


def url(dialect, **more):
    login = {"username": "PGUSER", "password": "PGPASSWORD", "host": "PGHOST", "port": "PGPORT", "database": "PGDATABASE"}
    parts = {part: os.environ[name] for part, name in login.items()} | more
    return sa.URL.create(f"postgresql+{dialect}", **parts | {"port": int(parts["port"])})


def author(name, books):
    make = [Book(title=f"{name} {i}", price=decimal.Decimal(f"{i}.000000001"), doc={"i": [i, None]}, words=["a", 'b"', "ä"], data=bytes([0, i, 255]),
                 key=uuid.UUID(int=i)) for i in range(books)]
    return Author(name=name, books=make)


def orm(session, number, round):
    """What one session does, in a transaction; everything is its own."""
    name = f"{number}-{round}"
    session.add(author(name, 5))
    session.flush()
    found = session.scalars(sa.select(Author).where(Author.name == name).options(selectinload(Author.books))).one()
    assert [book.title for book in found.books] == [f"{name} {i}" for i in range(5)]
    # A savepoint that fails, and the transaction goes on.
    try:
        with session.begin_nested():
            session.add(Author(name=name))
            session.flush()
        raise AssertionError("the name is there already")
    except sa.exc.IntegrityError as failure:
        assert "authors_name_key" in str(failure)
    found.books[0].title = "changed"
    del found.books[4]
    session.flush()
    session.expire_all()
    assert [book.title for book in found.books] == ["changed"] + [f"{name} {i}" for i in range(1, 4)]
    book = found.books[3]
    assert (book.price, book.doc, book.words, book.data, book.key) == (
        decimal.Decimal("3.000000001"), {"i": [3, None]}, ["a", 'b"', "ä"], bytes([0, 3, 255]), uuid.UUID(int=3))
    locked = session.scalars(sa.select(Author).where(Author.name == name).with_for_update()).one()
    assert locked is found and found.born.tzinfo is not None


def count(session):
    return session.execute(sa.select(sa.func.count(sa.distinct(Author.id)), sa.func.count(Book.id)).join(Book)).one()


def in_turns(engine):
    """Twelve threads, each with its own session; every second transaction is rolled back."""
    def work(number):
        for round in range(8):
            with Session(engine) as session:
                orm(session, number, round)
                session.rollback() if round % 2 else session.commit()
            # An error leaves the connection in a failed transaction: the pool cleans it.
            try:
                with engine.connect() as conn:
                    conn.execute(sa.text("SELECT 1 / :n"), {"n": 0})
                raise AssertionError("the division should have failed")
            except sa.exc.DBAPIError as failure:
                assert "division by zero" in str(failure)

    in_threads(MANY, work)
    with Session(engine) as session:
        assert tuple(count(session)) == (MANY * 4, MANY * 4 * 4)
        # Many rows at once, with what the server made of them; rows that are there already; rows streamed through a cursor.
        made = session.scalars(sa.insert(Author).returning(Author.id, sort_by_parameter_order=True), [{"name": f"many {i}"} for i in range(2500)]).all()
        assert made == sorted(made) and len(made) == 2500
        session.execute(insert(Author).values([{"name": "many 7"}, {"name": "new"}]).on_conflict_do_nothing())
        names = session.scalars(sa.select(Author.name).where(Author.name.like("many %")).order_by(Author.id).execution_options(yield_per=100))
        assert list(names) == [f"many {i}" for i in range(2500)]
        session.rollback()


def isolation(engine):
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as conn:
        assert conn.scalar(sa.text("SHOW transaction_isolation")) == "serializable"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(sa.text("DELETE FROM authors WHERE name = 'nobody'"))
        assert conn.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
    with engine.connect() as conn:
        assert conn.scalar(sa.text("SHOW transaction_isolation")) == "read committed"


def over(dialect):
    engine = sa.create_engine(url(dialect), pool_size=5, max_overflow=MANY - 5, pool_timeout=60, pool_pre_ping=True)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    in_turns(engine)
    isolation(engine)
    assert {column["name"] for column in sa.inspect(engine).get_columns("books")} == set(Book.__table__.columns.keys())
    other = sa.create_engine(url(dialect, **direct))
    sql = sa.select(Author.name, Book.price, Book.doc, Book.data, Author.born).join(Book).order_by(Book.id)
    with engine.connect() as a, other.connect() as b:
        assert a.execute(sql).all() == b.execute(sql).all()
    engine.dispose()
    other.dispose()

    # One connection each, that no pool takes back in between.
    single = sa.create_engine(url(dialect), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")

    def ask(conn, sql, values):
        result = conn.exec_driver_sql(sql, tuple(values) if values else None)
        return [tuple(row) for row in result] if result.returns_rows else []

    sessions_keep_their_parameters(lambda number: single.connect(), ask)


async def over_asyncpg():
    engine = create_async_engine(url("asyncpg"), pool_size=5, max_overflow=MANY - 5, pool_timeout=60, pool_pre_ping=True)
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.drop_all)
        await conn.run_sync(Base.metadata.create_all)

    async def work(number):
        for round in range(8):
            async with AsyncSession(engine) as session:
                await session.run_sync(orm, number, round)
                await (session.rollback() if round % 2 else session.commit())
            try:
                async with engine.connect() as conn:
                    await conn.execute(sa.text("SELECT 1 / CAST(:n AS int)"), {"n": 0})
                raise AssertionError("the division should have failed")
            except sa.exc.DBAPIError as failure:
                assert "division by zero" in str(failure)

    await asyncio.gather(*(work(number) for number in range(MANY)))
    async with AsyncSession(engine) as session:
        assert tuple(await session.run_sync(count)) == (MANY * 4, MANY * 4 * 4)
        streamed = await session.stream_scalars(sa.select(Book.title).order_by(Book.id).execution_options(yield_per=10))
        assert len([title async for title in streamed]) == MANY * 4 * 4
    async with engine.connect() as conn:
        conn = await conn.execution_options(isolation_level="REPEATABLE READ")
        assert await conn.scalar(sa.text("SHOW transaction_isolation")) == "repeatable read"
    async with engine.connect() as conn:
        await conn.execute(sa.text("SET statement_timeout = '100ms'"))
        await conn.commit()
        try:
            await conn.execute(sa.text("SELECT pg_sleep(600)"))
            raise AssertionError("it should have been cancelled")
        except sa.exc.DBAPIError as failure:
            assert "statement timeout" in str(failure)
        await conn.rollback()
        await conn.execute(sa.text("RESET statement_timeout"))
        await conn.commit()
    await engine.dispose()


over("psycopg")
over("psycopg2")
asyncio.run(over_asyncpg())
print("all is well")
