# pg_dog in a container: the program and the libraries it is linked with, no shell, no root.
#
#   docker build -t pg_dog .
#   docker run --rm --read-only -p 6432:6432 -v "$PWD/configs/pooler:/etc/pg_dog:ro" \
#     --security-opt seccomp=configs/seccomp/pg_dog.json --ulimit nofile=1048576 --ulimit memlock=-1 --stop-timeout 75 pg_dog
#
# The seccomp profile is needed because Docker's own forbids io_uring (configs/seccomp says more). `--network host` saves the cost of a bridge and
# of connection tracking per packet. SIGHUP (docker kill -s HUP) reads both files again.
#
# There is no HEALTHCHECK, since the image holds nothing that could ask. Let whoever runs it look: a TCP probe on 6432, or HTTP where
# `healthcheck_port` is set.

ARG RUST=rust:1-bookworm
FROM ${RUST} AS build
WORKDIR /src
# The parser's bindings are generated from its header.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libclang-dev && rm -rf /var/lib/apt/lists/*
COPY Cargo.toml Cargo.lock ./
# Says what the parser is compiled with: without it two cores that parse at once lose the log.
COPY .cargo .cargo
COPY bench bench
COPY configs/docker configs/docker
COPY src src
RUN cargo build --release --locked --bin pg_dog && configs/docker/image target/release/pg_dog /image

FROM scratch
COPY --from=build /image /
USER 65532:65532
EXPOSE 6432
# Drains for `shutdown_timeout`: give `docker stop` longer than that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/pg_dog", "--config", "/etc/pg_dog/pgdog.toml", "--users", "/etc/pg_dog/users.toml"]
