// lib/pq and pgx with their defaults through pg_dog: pgx prepares every statement by a name of its own and keeps it, lib/pq uses the unnamed one
// in two steps, and names for what is prepared by hand. Asserts by itself; the login is in the environment.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	"github.com/lib/pq"
)

const many = 12

// What the literal means is settled when the statement is prepared.
const midnight = "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::int8"

var zones = []string{"UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Europe/Berlin", "Pacific/Auckland"}
var shifts = []int64{0, -32400, 18000, -20700, -3600, -46800}
var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(seen, expected any) {
	if !reflect.DeepEqual(seen, expected) {
		panic(fmt.Sprintf("%#v instead of %#v", seen, expected))
	}
}

// The SQLSTATE of an error of either driver.
func state(err error) string {
	var pqError *pq.Error
	var pgError *pgconn.PgError
	if errors.As(err, &pqError) {
		return string(pqError.Code)
	} else if errors.As(err, &pgError) {
		return pgError.Code
	}
	panic(fmt.Sprintf("no error of the server: %v", err))
}

// Runs work(number) for many at once; the first failure fails everything.
func each(work func(number int)) {
	var all sync.WaitGroup
	for number := 0; number < many; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			work(number)
		}(number)
	}
	all.Wait()
}

func withPq() {
	db, err := sql.Open("postgres", "sslmode=disable")
	must(err)
	db.SetMaxOpenConns(many)
	db.SetMaxIdleConns(many)
	each(func(number int) {
		// Prepared on each connection that the pool picks for it.
		own, err := db.Prepare(fmt.Sprintf("SELECT $1::int * 100 + %d", number))
		must(err)
		for round := 0; round < 20; round++ {
			var got int
			must(own.QueryRow(round).Scan(&got))
			same(got, round*100+number)
			var tag, plain string
			must(db.QueryRow("SELECT $1::text, $2::text", fmt.Sprintf("%d-%d", number, round), number).Scan(&tag, &plain))
			same(tag, fmt.Sprintf("%d-%d", number, round))
			must(db.QueryRow(fmt.Sprintf("SELECT 'plain %d'", number)).Scan(&plain))
			same(plain, fmt.Sprintf("plain %d", number))
			_, err = db.Query("SELECT 1 / $1::int", 0)
			same(state(err), "22012")
			_, err = db.Exec("SELEC $1", 0)
			same(state(err), "42601")

			id := number*100 + round
			tx, err := db.Begin()
			must(err)
			insert, err := tx.Prepare("INSERT INTO items (id, name) VALUES ($1, $2)")
			must(err)
			_, err = insert.Exec(id, tag)
			must(err)
			_, err = tx.Exec("SAVEPOINT before")
			must(err)
			_, err = insert.Exec(id, "twice")
			same(state(err), "23505")
			_, err = tx.Exec("ROLLBACK TO before")
			must(err)
			must(tx.QueryRow("SELECT name FROM items WHERE id = $1", id).Scan(&plain))
			same(plain, tag)
			if round%2 == 0 {
				must(tx.Commit())
			} else {
				must(tx.Rollback())
			}
		}
		must(own.Close())
	})
	var count int
	must(db.QueryRow("SELECT count(*) FROM items").Scan(&count))
	same(count, many*10)
	_, err = db.Exec("TRUNCATE items")
	must(err)

	tx, err := db.Begin()
	must(err)
	rows, err := tx.Prepare(pq.CopyIn("items", "id", "name"))
	must(err)
	for i := 0; i < 10000; i++ {
		_, err = rows.Exec(i, fmt.Sprintf("name %d", i))
		must(err)
	}
	_, err = rows.Exec()
	must(err)
	must(rows.Close())
	must(tx.Commit())
	must(db.QueryRow("SELECT count(*) FROM items").Scan(&count))
	same(count, 10000)
	_, err = db.Exec("TRUNCATE items")
	must(err)

	short, end := context.WithTimeout(ctx, 200*time.Millisecond)
	_, err = db.ExecContext(short, "SELECT pg_sleep(600)")
	end()
	if err == nil {
		panic("it should have been cancelled")
	}

	listener := pq.NewListener("sslmode=disable", time.Second, time.Minute, nil)
	must(listener.Listen("news"))
	for i := 0; i < 3; i++ {
		_, err = db.Exec("SELECT pg_notify('news', $1)", fmt.Sprint(i))
		must(err)
	}
	for i := 0; i < 3; i++ {
		select {
		case note := <-listener.Notify:
			same(note.Extra, fmt.Sprint(i))
		case <-time.After(20 * time.Second):
			panic("no notification came")
		}
	}
	must(listener.Unlisten("news"))
	must(listener.Close())

	keepParameters(func() (func(string, ...any) any, func()) {
		conn, err := db.Conn(ctx)
		must(err)
		ask := func(text string, values ...any) any {
			var got any
			err := conn.QueryRowContext(ctx, text, values...).Scan(&got)
			if err != sql.ErrNoRows {
				must(err)
			}
			return got
		}
		return ask, func() { conn.Close() }
	})
	must(db.Close())
}

func withPgx() {
	pool, err := pgxpool.Connect(ctx, fmt.Sprintf("pool_max_conns=%d sslmode=disable", many))
	must(err)
	each(func(number int) {
		for round := 0; round < 20; round++ {
			tag := fmt.Sprintf("%d-%d", number, round)
			var got int
			var said string
			must(pool.QueryRow(ctx, fmt.Sprintf("SELECT %d, $1::text", number), tag).Scan(&got, &said))
			same([]any{got, said}, []any{number, tag})
			must(pool.QueryRow(ctx, "SELECT $1::int + 1", round).Scan(&got))
			same(got, round+1)
			_, err := pool.Exec(ctx, "SELECT 1 / $1::int", 0)
			same(state(err), "22012")
			_, err = pool.Exec(ctx, "SELEC $1", 0)
			same(state(err), "42601")

			tx, err := pool.Begin(ctx)
			must(err)
			id := number*100 + round
			_, err = tx.Exec(ctx, "INSERT INTO items (id, name) VALUES ($1, $2)", id, tag)
			must(err)
			inner, err := tx.Begin(ctx)
			must(err)
			_, err = inner.Exec(ctx, "INSERT INTO items (id, name) VALUES ($1, $2)", id, "twice")
			same(state(err), "23505")
			must(inner.Rollback(ctx))
			must(tx.QueryRow(ctx, "SELECT name FROM items WHERE id = $1", id).Scan(&said))
			same(said, tag)
			if round%2 == 0 {
				must(tx.Commit(ctx))
			} else {
				must(tx.Rollback(ctx))
			}

			// Many in one go.
			batch := &pgx.Batch{}
			for i := 0; i < 20; i++ {
				batch.Queue("SELECT $1::int * $2::int", i, number)
				batch.Queue("SELECT name FROM items WHERE id = $1", number*100)
			}
			answers := pool.SendBatch(ctx, batch)
			for i := 0; i < 20; i++ {
				must(answers.QueryRow().Scan(&got))
				same(got, i*number)
				must(answers.QueryRow().Scan(&said))
				same(said, fmt.Sprintf("%d-0", number))
			}
			must(answers.Close())
		}
		// More statements than it keeps (512) on some connections, and one that is prepared by hand.
		conn, err := pool.Acquire(ctx)
		must(err)
		defer conn.Release()
		for kind := 0; kind < 550 && number < 2; kind++ {
			var got int
			must(conn.QueryRow(ctx, fmt.Sprintf("SELECT %d + $1::int", kind), number).Scan(&got))
			same(got, kind+number)
		}
		_, err = conn.Conn().Prepare(ctx, "mine", fmt.Sprintf("SELECT %d + $1::int", number*1000))
		must(err)
		for round := 0; round < 5; round++ {
			var got int
			must(conn.QueryRow(ctx, "mine", round).Scan(&got))
			same(got, number*1000+round)
		}
		must(conn.Conn().Deallocate(ctx, "mine"))
	})

	rows := make([][]any, 10000)
	for i := range rows {
		rows[i] = []any{i + 100000, fmt.Sprintf("name %d", i), time.Unix(int64(i), 0)}
	}
	done, err := pool.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name", "at"}, pgx.CopyFromRows(rows))
	must(err)
	same(done, int64(10000))
	conn, err := pool.Acquire(ctx)
	must(err)
	var out bytes.Buffer
	_, err = conn.Conn().PgConn().CopyTo(ctx, &out, "COPY (SELECT name FROM items WHERE id >= 100000) TO STDOUT")
	must(err)
	same(strings.Count(out.String(), "\n"), 10000)
	conn.Release()
	_, err = pool.Exec(ctx, "TRUNCATE items")
	must(err)

	short, end := context.WithTimeout(ctx, 200*time.Millisecond)
	_, err = pool.Exec(short, "SELECT pg_sleep(600)")
	end()
	if err == nil {
		panic("it should have been cancelled")
	}

	listener, err := pgx.Connect(ctx, "sslmode=disable")
	must(err)
	_, err = listener.Exec(ctx, "LISTEN news")
	must(err)
	for i := 0; i < 3; i++ {
		_, err = pool.Exec(ctx, "SELECT pg_notify('news', $1)", fmt.Sprint(i))
		must(err)
	}
	for i := 0; i < 3; i++ {
		long, end := context.WithTimeout(ctx, 20*time.Second)
		note, err := listener.WaitForNotification(long)
		end()
		must(err)
		same(note.Payload, fmt.Sprint(i))
	}
	must(listener.Close(ctx))

	keepParameters(func() (func(string, ...any) any, func()) {
		conn, err := pgx.Connect(ctx, "sslmode=disable")
		must(err)
		ask := func(text string, values ...any) any {
			var got any
			err := conn.QueryRow(ctx, text, values...).Scan(&got)
			if err != pgx.ErrNoRows {
				must(err)
			}
			return got
		}
		return ask, func() { conn.Close(ctx) }
	})
	pool.Close()
}

// Sessions with parameters of their own take turns on fewer servers.
func keepParameters(open func() (func(string, ...any) any, func())) {
	make_, end := open()
	for number := 0; number < many; number++ {
		make_(fmt.Sprintf("DROP SCHEMA IF EXISTS mine_%d CASCADE", number))
		make_(fmt.Sprintf("CREATE SCHEMA mine_%d", number))
		make_(fmt.Sprintf("CREATE TABLE mine_%d.whoami AS SELECT 1 AS id, %d::int8 AS who", number, number))
	}
	fresh := make_("SELECT current_setting('search_path') || current_setting('TimeZone')")
	end()
	var all sync.WaitGroup
	all.Add(many)
	each(func(number int) {
		ask, end := open()
		defer end()
		zone := number % len(zones)
		ask(fmt.Sprintf("SET search_path TO mine_%d, public", number))
		ask("SELECT set_config('TimeZone', $1, false)", zones[zone])
		ask(fmt.Sprintf("SET statement_timeout = %d", 50001+number))
		all.Done()
		all.Wait()
		isMine := func() {
			same(ask("SELECT who FROM whoami WHERE id = $1", 1), int64(number))
			same(ask(midnight), 1704067200+shifts[zone])
			same(fmt.Sprintf("%s", ask("SELECT current_setting('statement_timeout')")), fmt.Sprintf("%dms", 50001+number))
		}
		for round := 0; round < 10; round++ {
			isMine()
		}
		ask("BEGIN")
		ask("SET LOCAL statement_timeout = 0")
		ask("SET TimeZone TO 'Antarctica/Troll'")
		ask("ROLLBACK")
		isMine()
		ask("RESET ALL")
		same(ask("SELECT current_setting('search_path') || current_setting('TimeZone')"), fresh)
	})
}

func main() {
	if _, err := fmt.Sscan(os.Args[2], new(int)); err != nil {
		panic(err)
	}
	withPq()
	withPgx()
	fmt.Println("all is well")
}
