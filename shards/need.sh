# shellcheck shell=bash
# What the scripts of this checkout share: messages, and getting what is missing. Sourced; expects `set -euo pipefail`.

say() { printf '%s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: sudo only when we are not.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif have sudo; then sudo "$@"; else die "root is needed for: $* (and there is no sudo)"; fi
}

# Installs Debian packages. Called only when something is missing.
install_packages() {
  have apt-get || die "please install by hand what these Debian packages hold: $*"
  say "installing: $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || die "apt-get update failed: is there a network?"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    die "apt-get could not install: $*"
}

# Where Debian puts it, where the loader finds it, or where LIBCLANG_PATH says.
have_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] || ldconfig -p 2>/dev/null | grep -q 'libclang[-.0-9]*\.so' || compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null
}

# Rust itself is the one thing that has to be there; its linker and make come along, and libclang, which reads the SQL parser's header.
need_rust() {
  have cargo || PATH="$HOME/.cargo/bin:$PATH"
  have cargo || die "there is no cargo: install a Rust toolchain (1.88 or newer) first, see https://rustup.rs"
  if ! have cc || ! have make; then install_packages build-essential; fi
  have_libclang || install_packages libclang-dev
}

# Sets pg_bin to the programs of the newest installed PostgreSQL; false when there is none.
find_postgres() {
  local newest
  newest=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sort -rn | head -n 1)
  if [ -n "$newest" ] && [ -x "/usr/lib/postgresql/$newest/bin/postgres" ]; then
    pg_bin="/usr/lib/postgresql/$newest/bin"
  elif have postgres; then
    pg_bin=$(dirname "$(command -v postgres)")
  else
    return 1
  fi
  [ -x "$pg_bin/initdb" ] && [ -x "$pg_bin/psql" ] && [ -x "$pg_bin/pgbench" ]
}

# PostgreSQL's programs. Debian's package also makes and starts a server on port 5432, which nobody asked for: that is switched off meanwhile.
need_postgres() {
  find_postgres && return
  local quiet=/etc/postgresql-common/createcluster.d/pg_dog.conf
  install_packages postgresql-common
  as_root mkdir -p "$(dirname "$quiet")"
  echo 'create_main_cluster = false' | as_root tee "$quiet" >/dev/null
  install_packages postgresql
  as_root rm -f "$quiet"
  find_postgres || die "PostgreSQL was installed, but its programs are not below /usr/lib/postgresql"
}

# PostgreSQL refuses to run as root: then an ordinary user runs it. Sets pg_user.
choose_pg_user() {
  pg_user=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    if id postgres >/dev/null 2>&1; then pg_user=postgres; else pg_user=nobody; fi
  fi
}

# Runs a command as pg_user, in a folder that everybody can enter.
as_pg_user() {
  if [ "$(id -un)" = "$pg_user" ]; then (cd / && "$@"); else (cd / && runuser -u "$pg_user" -- "$@"); fi
}

# As many open files as we may have: a pooler has one per connection.
raise_open_files() { ulimit -n "$(ulimit -Hn)" 2>/dev/null || true; }
