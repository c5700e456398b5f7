"""A messenger's three calls, by many tasks on one pool of asyncpg at its defaults: a user looks at his conversations, opens one, and sometimes
answers. It knows nothing of shards. Every answer is checked; the first wrong one ends it with status 1. The login is in the environment
(PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE). Each second it prints how many of each call there were, and how long they took."""

import argparse
import asyncio
import random
import sys
import time

import asyncpg

CONVERSATIONS = """
SELECT conversation_id, conversation_name, last_message_content, last_message_at, unread_count FROM user_conversation_list
WHERE user_id = $1 AND is_archived = false ORDER BY last_message_at DESC LIMIT 20"""
MESSAGES = """
SELECT original_message_id, sender_id, content, has_attachments, created_at, is_read FROM user_messages
WHERE recipient_user_id = $1 AND conversation_id = $2 ORDER BY created_at DESC LIMIT 50"""
SEND = "INSERT INTO messages (conversation_id, sender_id, type_id, content) VALUES ($1, $2, 1, $3) RETURNING id"

# Ids that are remembered to see that none comes twice.
REMEMBERED = 1_000_000


class Wrong(Exception):
    """An answer that is not the user's."""


def check(holds, *what):
    if not holds:
        raise Wrong(*what)


class Clock:
    """How long each kind of call took, since the last line."""

    def __init__(self):
        self.took = {"conversations": [], "messages": [], "send": []}
        self.all = 0

    async def time(self, call, work):
        begin = time.perf_counter()
        rows = await work
        self.took[call].append(time.perf_counter() - begin)
        self.all += 1
        return rows

    def line(self, seconds):
        parts = []
        for call, took in self.took.items():
            took.sort()
            at = lambda share: f"{took[int(share * (len(took) - 1))] * 1000:6.2f}" if took else "     -"
            parts.append(f"{call} {len(took) / seconds:6.0f}/s  p50 {at(0.5)}  p99 {at(0.99)} ms")
            took.clear()
        return "   ".join(parts)


class Messenger:
    def __init__(self, pool, users, rounds, seed):
        self.pool, self.users, self.rounds = pool, users, rounds
        self.lots = random.Random(seed)
        self.clock = Clock()
        self.ids = {}  # id → sender, in the order they came
        self.shards = {}  # sender → the part of his ids that names their shard

    def somebody(self):
        """A few users are online most of the time."""
        return int(self.users * self.lots.random() ** 2) + 1

    async def conversations(self, user):
        rows = await self.clock.time("conversations", self.pool.fetch(CONVERSATIONS, user))
        check(0 < len(rows) <= 20, user, "has no conversations, or more than were asked for", len(rows))
        names = [row["conversation_name"] for row in rows]
        check(all(name.split(" ")[0] == f"user{user}" for name in names), user, "got somebody else's conversations", names)
        times = [row["last_message_at"] for row in rows]
        check(times == sorted(times, reverse=True), user, "got them in another order", times)
        return [row["conversation_id"] for row in rows]

    async def messages(self, user, conversation):
        rows = await self.clock.time("messages", self.pool.fetch(MESSAGES, user, conversation))
        check(0 < len(rows) <= 50, user, conversation, "no messages, or more than were asked for", len(rows))
        contents = [row["content"] for row in rows]
        check(all(content.startswith(f"[{conversation}] ") for content in contents), user, conversation, "another's messages", contents)
        times = [row["created_at"] for row in rows]
        check(times == sorted(times, reverse=True), user, conversation, "in another order", times)

    async def send(self, user, conversation):
        content = f"[{conversation}] from user{user}"
        id = await self.clock.time("send", self.pool.fetchval(SEND, conversation, user, content))
        check(id not in self.ids, id, "came twice, for", user, self.ids.get(id))
        self.ids[id] = user
        if len(self.ids) > REMEMBERED:
            del self.ids[next(iter(self.ids))]
        check(self.shards.setdefault(user, id % 1024) == id % 1024, user, "wrote on two shards", id)

    async def task(self, end, answers):
        while time.monotonic() < end and self.rounds > 0:
            self.rounds -= 1
            user = self.somebody()
            conversation = self.lots.choice(await self.conversations(user))
            await self.messages(user, conversation)
            if self.lots.random() < answers:
                await self.send(user, conversation)

    async def report(self):
        last = time.monotonic()
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            print(self.clock.line(now - last), flush=True)
            last = now


async def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--tasks", type=int, default=16, help="how many users at the same time (16)")
    arguments.add_argument("--seconds", type=float, default=float("inf"), help="how long (until it is stopped)")
    arguments.add_argument("--rounds", type=float, default=float("inf"), help="how often a user comes, at most")
    arguments.add_argument("--users", type=int, default=10_000, help="how many users there are (10000)")
    arguments.add_argument("--answers", type=float, default=0.3, help="part of the users that answer (0.3)")
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    begin = time.monotonic()
    async with asyncpg.create_pool() as pool:
        messenger = Messenger(pool, asked.users, asked.rounds, asked.seed)
        reporter = asyncio.create_task(messenger.report())
        async with asyncio.TaskGroup() as group:
            for _ in range(asked.tasks):
                group.create_task(messenger.task(begin + asked.seconds, asked.answers))
        reporter.cancel()
    shards = sorted(set(messenger.shards.values()))
    print(f"{messenger.clock.all} calls, {len(messenger.ids)} ids, all of them right; senders live on shards {shards}")


try:
    asyncio.run(main())
except* (Wrong, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as failed:
    sys.exit(f"{failed.exceptions[0]!r}")
except* KeyboardInterrupt:
    sys.exit(130)
