#!/usr/bin/env bash
# Makes one shard of the messenger in a container, when its data folder is new: PostgreSQL's image runs what is mounted where this is.
set -euo pipefail

psql -X -q -1 -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
  -v shard="$SHARD" -v shards="$SHARDS" -v app="$POSTGRES_USER" -v dog="$POSTGRES_USER" -f /messenger/shard.sql
