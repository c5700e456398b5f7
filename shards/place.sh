# shellcheck shell=bash
# Where `shards/start` puts things, and which processes are its own. Sourced after need.sh; expects `root`, the folder of the checkout.

run="$root/.run"
dog_port=6432

# PostgreSQL's data: in the checkout, or, when root runs this, where the ordinary user that runs PostgreSQL can reach it.
choose_place() {
  choose_pg_user
  if [ "$(id -un)" = "$pg_user" ]; then
    place="$run"
  else
    place="/tmp/pg_dog-$(printf '%s' "$root" | sha256sum | cut -c 1-12)"
  fi
  data="$place/postgres"
}

# Somebody listens on that port of this machine.
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# When a process started, in ticks since boot: with its number, that names it for good.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# Sets pid to our pg_dog's, if it runs.
dog_runs() {
  local since
  [ -f "$run/pg_dog.pid" ] || return 1
  read -r pid since <"$run/pg_dog.pid" || return 1
  [ -n "$since" ] && [ "$(started_at "$pid")" = "$since" ]
}

# Sets pid to our PostgreSQL's, if it runs: it works in its data folder, which no other process does.
postgres_runs() {
  [ -f "$data/postmaster.pid" ] || return 1
  pid=$(head -n 1 "$data/postmaster.pid")
  [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$data" ]
}

# Waits for a condition: look up to $1 tenths of a second, then give up.
within() {
  local tenths=$1
  shift
  until "$@"; do
    tenths=$((tenths - 1))
    [ "$tenths" -gt 0 ] || return 1
    sleep 0.1
  done
}

stop_dog() {
  dog_runs || return 0
  kill -TERM "$pid"
  if ! within 100 dog_stopped; then
    say "pg_dog still serves clients after 10 s: ending it now"
    dog_runs && kill -KILL "$pid"
    within 50 dog_stopped || die "pg_dog (process $pid) does not end"
  fi
  rm -f "$run/pg_dog.pid"
}

dog_stopped() { ! dog_runs; }
