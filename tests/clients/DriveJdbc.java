// The JDBC driver with its defaults through pg_dog: the unnamed statement at first, a named one (S_1, S_2, ...) from the fifth use on, and results
// in the binary format from then on. Asserts by itself; the login is in the environment.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.sql.*;
import java.time.OffsetDateTime;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class DriveJdbc {
    static final int MANY = 12;
    static final String[] ZONES = {"UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Europe/Berlin", "Pacific/Auckland"};
    // 2024-01-01 00:00 in each of them: what the literal means is settled when the statement is prepared.
    static final String MIDNIGHT = "SELECT extract(epoch FROM '2024-01-01 00:00'::timestamptz)::int8 + ?";
    static final long[] SHIFTS = {0, -32400, 18000, -20700, -3600, -46800};
    static String directPort;

    interface Work { void run(int number) throws Exception; }
    interface Statements { void run() throws Exception; }

    static Connection connect(String... options) throws SQLException {
        return connectTo(System.getenv("PGPORT"), options);
    }

    static Connection connectTo(String port, String... options) throws SQLException {
        Properties login = new Properties();
        login.setProperty("user", System.getenv("PGUSER"));
        login.setProperty("password", System.getenv("PGPASSWORD"));
        for (int i = 0; i < options.length; i += 2) login.setProperty(options[i], options[i + 1]);
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + port + "/" + System.getenv("PGDATABASE"), login);
    }

    static void check(boolean holds, Object seen) {
        if (!holds) throw new AssertionError(String.valueOf(seen));
    }

    static void same(Object seen, Object expected) {
        check(Objects.deepEquals(seen, expected), seen + " instead of " + expected);
    }

    static void fails(String state, Statements work) throws Exception {
        try {
            work.run();
        } catch (SQLException failure) {
            SQLException first = failure.getNextException() != null && failure instanceof BatchUpdateException ? failure.getNextException() : failure;
            check(state.equals(first.getSQLState()), first);
            return;
        }
        throw new AssertionError("no error " + state);
    }

    static void each(int many, Work work) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(many);
        try {
            List<Future<?>> all = new ArrayList<>();
            for (int i = 0; i < many; i++) {
                int number = i;
                all.add(threads.submit(() -> { work.run(number); return null; }));
            }
            for (Future<?> one : all) one.get(60, TimeUnit.SECONDS);
        } finally {
            threads.shutdownNow();
        }
    }

    static void execute(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) { statement.execute(sql); }
    }

    // The only column of all rows.
    static List<Object> ask(Connection conn, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement(sql)) {
            for (int i = 0; i < values.length; i++) statement.setObject(i + 1, values[i]);
            List<Object> rows = new ArrayList<>();
            try (ResultSet found = statement.executeQuery()) { while (found.next()) rows.add(found.getObject(1)); }
            return rows;
        }
    }

    static Object one(Connection conn, String sql, Object... values) throws SQLException {
        List<Object> rows = ask(conn, sql, values);
        check(rows.size() == 1, rows);
        return rows.get(0);
    }

    static void theSameNamesForOtherStatements() throws Exception {
        each(MANY, number -> {
            try (Connection conn = connect(); PreparedStatement named = conn.prepareStatement("SELECT " + number + " AS own, ?::text, now(), ?::int8")) {
                for (int round = 0; round < 15; round++) {
                    named.setString(1, number + "-" + round);
                    named.setLong(2, round);
                    try (ResultSet found = named.executeQuery()) {
                        check(found.next(), "no row");
                        same(Arrays.asList(found.getInt("own"), found.getString(2), found.getLong(4)), Arrays.asList(number, number + "-" + round, (long) round));
                    }
                    same(one(conn, "SELECT ?::int * " + number, round), round * number);
                    same(one(conn, "SELECT 'plain " + number + "'"), "plain " + number);
                }
                check(named.unwrap(org.postgresql.PGStatement.class).isUseServerPrepare(), "it should prepare by now");
                // More than it keeps (256): it closes the oldest.
                for (int kind = 0; kind < 40 && number < 2; kind++) {
                    for (int round = 0; round < 7; round++) same(one(conn, "SELECT ?::int + " + kind, round), round + kind);
                }
                try (Statement several = conn.createStatement()) {
                    check(several.execute("SELECT 1; SELECT 2"), "a result");
                    check(several.getMoreResults(), "another result");
                    several.getResultSet().next();
                    same(several.getResultSet().getInt(1), 2);
                }
                execute(conn, "DEALLOCATE ALL");
                same(one(conn, "SELECT ?::int * " + number, 3), 3 * number);
                execute(conn, "DISCARD ALL");
                for (int round = 0; round < 7; round++) same(one(conn, "SELECT ?::int * " + number, round), round * number);
            }
        });
    }

    static void transactions(String autosave) throws Exception {
        each(MANY, number -> {
            try (Connection conn = connect("autosave", autosave)) {
                conn.setAutoCommit(false);
                for (int round = 0; round < 8; round++) {
                    int id = 100 * number + round;
                    Object pid = one(conn, "SELECT pg_backend_pid()");
                    try (PreparedStatement insert = conn.prepareStatement("INSERT INTO items (id, name) VALUES (?, ?)")) {
                        insert.setInt(1, id);
                        insert.setString(2, number + "-" + round);
                        same(insert.executeUpdate(), 1);
                        Savepoint before = conn.setSavepoint();
                        fails("23505", insert::executeUpdate);
                        if (!autosave.equals("always")) conn.rollback(before);
                    }
                    fails("42601", () -> execute(conn, "SELEC 1"));
                    if (autosave.equals("always")) same(one(conn, "SELECT name FROM items WHERE id = ?", id), number + "-" + round);
                    else { fails("25P02", () -> ask(conn, "SELECT 1")); conn.rollback(); continue; }
                    same(one(conn, "SELECT pg_backend_pid()"), pid);
                    if (round % 2 == 0) conn.commit(); else conn.rollback();
                }
                conn.setAutoCommit(true);
                conn.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
                conn.setReadOnly(true);
                same(one(conn, "SHOW transaction_isolation"), "serializable");
                conn.setAutoCommit(false);
                fails("25006", () -> execute(conn, "DELETE FROM items"));
                conn.rollback();
                conn.setAutoCommit(true);
                conn.setReadOnly(false);
                conn.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
            }
        });
        try (Connection conn = connect()) {
            same(one(conn, "SELECT count(*) FROM items"), autosave.equals("always") ? MANY * 4L : 0L);
            execute(conn, "TRUNCATE items");
        }
    }

    // A statement prepared for other columns: inside a transaction it is saved by autosave, as without pg_dog.
    static void aTableThatChanges() throws Exception {
        try (Connection conn = connect("autosave", "conservative"); Connection other = connect()) {
            execute(other, "DROP TABLE IF EXISTS shape");
            execute(other, "CREATE TABLE shape AS SELECT 1 AS a");
            for (boolean auto : new boolean[] {true, false}) {
                conn.setAutoCommit(auto);
                for (int change = 0; change < 2; change++) {
                    for (int round = 0; round < 8; round++) {
                        try (PreparedStatement all = conn.prepareStatement("SELECT * FROM shape"); ResultSet found = all.executeQuery()) {
                            check(found.next(), "no row");
                            same(found.getMetaData().getColumnCount(), 1 + change + (auto ? 0 : 2));
                        }
                        if (!auto) conn.commit();
                    }
                    execute(other, "ALTER TABLE shape ADD COLUMN b_" + auto + change + " int");
                }
            }
            conn.setAutoCommit(true);
            execute(conn, "DROP TABLE shape");
        }
    }

    static void portions() throws Exception {
        each(MANY, number -> {
            try (Connection conn = connect()) {
                conn.setAutoCommit(false);
                for (int round = 0; round < 7; round++) {
                    try (PreparedStatement many = conn.prepareStatement("SELECT i, ? FROM generate_series(1, 500) i")) {
                        many.setFetchSize(7);
                        many.setInt(1, number);
                        int seen = 0;
                        try (ResultSet rows = many.executeQuery()) {
                            while (rows.next()) {
                                same(rows.getInt(1), ++seen);
                                same(rows.getInt(2), number);
                                if (seen == 100) same(one(conn, "SELECT ?::int", number), number);
                                if (round % 2 == 1 && seen == 200) break;
                            }
                        }
                        same(seen, round % 2 == 1 ? 200 : 500);
                    }
                    conn.commit();
                }
            }
        });
    }

    static void batches() throws Exception {
        each(MANY, number -> {
            try (Connection conn = connect("reWriteBatchedInserts", String.valueOf(number % 2 == 0))) {
                for (int round = 0; round < 3; round++) {
                    try (PreparedStatement insert = conn.prepareStatement("INSERT INTO items (id, name) VALUES (?, ?)");
                         PreparedStatement update = conn.prepareStatement("UPDATE items SET name = ? WHERE id = ?")) {
                        for (int i = 0; i < 300; i++) {
                            insert.setInt(1, number * 1000 + i);
                            insert.setString(2, "before");
                            insert.addBatch();
                            update.setString(1, "after " + i);
                            update.setInt(2, number * 1000 + i);
                            update.addBatch();
                        }
                        same(insert.executeBatch().length, 300);
                        for (int count : update.executeBatch()) same(count, 1);
                        // One of them fails: so does the batch.
                        insert.setInt(1, number * 1000 + 500);
                        insert.setString(2, "good");
                        insert.addBatch();
                        insert.setInt(1, number * 1000);
                        insert.setString(2, "twice");
                        insert.addBatch();
                        fails("23505", insert::executeBatch);
                    }
                    try (Statement mixed = conn.createStatement()) {
                        mixed.addBatch("UPDATE items SET name = 'mixed' WHERE id = " + number * 1000);
                        mixed.addBatch("DELETE FROM items WHERE id = " + (number * 1000 + 500));
                        mixed.addBatch("DELETE FROM items WHERE id >= " + (number * 1000 + 10) + " AND id < " + (number * 1000 + 300));
                        same(mixed.executeBatch()[2], 290);
                    }
                    same(ask(conn, "SELECT name FROM items WHERE id >= ? AND id < ? ORDER BY id", number * 1000, number * 1000 + 3), List.of("mixed", "after 1", "after 2"));
                    execute(conn, "DELETE FROM items WHERE id >= " + number * 1000 + " AND id < " + (number + 1) * 1000);
                }
                try (PreparedStatement insert = conn.prepareStatement("INSERT INTO items (id, name) VALUES (?, 'key')", Statement.RETURN_GENERATED_KEYS)) {
                    insert.setInt(1, 50_000 + number);
                    insert.executeUpdate();
                    ResultSet made = insert.getGeneratedKeys();
                    made.next();
                    same(made.getInt("id"), 50_000 + number);
                }
                execute(conn, "DELETE FROM items WHERE id = " + (50_000 + number));
            }
        });
    }

    static void largeObjects() throws Exception {
        byte[] data = new byte[300_000];
        for (int i = 0; i < data.length; i++) data[i] = (byte) (i * 7);
        each(6, number -> {
            try (Connection conn = connect()) {
                conn.setAutoCommit(false);
                LargeObjectManager manager = conn.unwrap(PGConnection.class).getLargeObjectAPI();
                long oid = manager.createLO();
                LargeObject object = manager.open(oid, LargeObjectManager.READWRITE);
                object.write(data);
                object.write(("own " + number).getBytes());
                object.close();
                conn.commit();
                object = manager.open(oid, LargeObjectManager.READ);
                same(object.read(data.length), data);
                same(new String(object.read(100)), "own " + number);
                same(object.tell64(), (long) data.length + ("own " + number).length());
                object.close();
                // An error in a function call, and the session goes on.
                fails("42704", () -> manager.open(1L, LargeObjectManager.READ));
                conn.rollback();
                manager.unlink(oid);
                conn.commit();
            }
        });
    }

    static void copies() throws Exception {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 20_000; i++) lines.append(i).append("\tname ").append(i).append("\t\\N\n");
        try (Connection conn = connect()) {
            CopyManager copy = conn.unwrap(PGConnection.class).getCopyAPI();
            same(copy.copyIn("COPY items FROM STDIN", new ByteArrayInputStream(lines.toString().getBytes(StandardCharsets.UTF_8))), 20_000L);
            ByteArrayOutputStream got = new ByteArrayOutputStream();
            same(copy.copyOut("COPY (SELECT * FROM items ORDER BY id) TO STDOUT", got), 20_000L);
            check(got.toString().equals(lines.toString()), "other lines came back");
            fails("23505", () -> copy.copyIn("COPY items FROM STDIN", new ByteArrayInputStream("0\ttwice\t\\N\n".getBytes())));
            same(one(conn, "SELECT count(*) FROM items"), 20_000L);
            execute(conn, "TRUNCATE items");
        }
    }

    // In text at first, in the binary format later; both as without pg_dog.
    static void values() throws Exception {
        String sql = "SELECT ?::numeric, ?::int8, ?::float8, ?::text, ?::bytea, ?::timestamptz, ?::int[], ?::jsonb, ?::uuid, ?::bool, ?::date, ?::text[], ?::interval";
        List<List<String>> seen = new ArrayList<>();
        for (String port : new String[] {System.getenv("PGPORT"), directPort}) {
            try (Connection conn = connectTo(port); PreparedStatement values = conn.prepareStatement(sql)) {
                for (int round = 0; round < 8; round++) {
                    values.setBigDecimal(1, new BigDecimal("-1234567890123456789.000100"));
                    values.setLong(2, Long.MIN_VALUE);
                    values.setDouble(3, 0.1);
                    values.setString(4, "ä€😀 'quoted' \\");
                    values.setBytes(5, new byte[] {0, -1, 92});
                    values.setObject(6, OffsetDateTime.parse("1999-12-31T23:59:59.999999Z"));
                    values.setArray(7, conn.createArrayOf("int4", new Object[] {1, null, 3}));
                    values.setString(8, "{\"a\": [1, null]}");
                    values.setObject(9, new UUID(0, 7));
                    values.setBoolean(10, true);
                    values.setObject(11, java.time.LocalDate.of(1, 1, 1));
                    values.setArray(12, conn.createArrayOf("text", new Object[] {"a\"b", "", null}));
                    values.setNull(13, Types.OTHER);
                    List<String> row = new ArrayList<>();
                    try (ResultSet found = values.executeQuery()) {
                        check(found.next(), "no row");
                        same(found.getBytes(5), new byte[] {0, -1, 92});
                        same(found.getBigDecimal(1), new BigDecimal("-1234567890123456789.000100"));
                        same(found.getObject(6, OffsetDateTime.class).toInstant(), OffsetDateTime.parse("1999-12-31T23:59:59.999999Z").toInstant());
                        for (int i = 1; i <= 13; i++) row.add(found.getMetaData().getColumnTypeName(i) + " " + (i == 5 ? "" : found.getString(i)));
                    }
                    seen.add(row);
                }
            }
        }
        same(seen.subList(0, 8), seen.subList(8, 16));
        try (Connection conn = connect(); ResultSet columns = conn.getMetaData().getColumns(null, "public", "items", "%")) {
            List<String> names = new ArrayList<>();
            while (columns.next()) names.add(columns.getString("COLUMN_NAME"));
            same(names, List.of("id", "name", "at"));
        }
    }

    static void cancels() throws Exception {
        try (Connection conn = connect(); Connection watch = connect()) {
            for (int round = 0; round < 3; round++) {
                try (Statement sleeping = conn.createStatement()) {
                    Future<?> cancel = Executors.newSingleThreadExecutor(work -> { Thread thread = new Thread(work); thread.setDaemon(true); return thread; }).submit(() -> {
                        String active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(600)'";
                        while (!one(watch, active).equals(1L)) { }
                        sleeping.cancel();
                        return null;
                    });
                    fails("57014", () -> sleeping.execute("SELECT pg_sleep(600)"));
                    cancel.get();
                }
                same(one(conn, "SELECT ?::int", round), round);
            }
            try (Statement sleeping = conn.createStatement()) {
                sleeping.setQueryTimeout(1);
                fails("57014", () -> sleeping.execute("SELECT pg_sleep(600)"));
            }
            same(one(conn, "SELECT 'alive'"), "alive");
        }
    }

    static void notificationsCome() throws Exception {
        try (Connection listener = connect(); Connection conn = connect()) {
            execute(listener, "LISTEN news");
            for (int i = 0; i < 5; i++) execute(conn, "NOTIFY news, '" + i + "'");
            List<String> got = new ArrayList<>();
            while (got.size() < 5) {
                var came = listener.unwrap(PGConnection.class).getNotifications(20_000);
                check(came != null && came.length > 0, "no notification came");
                for (var one : came) got.add(one.getParameter());
            }
            same(got, List.of("0", "1", "2", "3", "4"));
            execute(listener, "UNLISTEN *");
        }
    }

    static void sessionsKeepTheirParameters() throws Exception {
        String fresh;
        try (Connection conn = connect()) {
            for (int number = 0; number < MANY; number++) {
                execute(conn, "DROP SCHEMA IF EXISTS mine_" + number + " CASCADE; CREATE SCHEMA mine_" + number);
                execute(conn, "CREATE TABLE mine_" + number + ".whoami AS SELECT 1 AS id, " + number + " AS who");
            }
            fresh = one(conn, "SHOW search_path") + " " + one(conn, "SHOW TimeZone");
        }
        CyclicBarrier barrier = new CyclicBarrier(MANY);
        each(MANY, number -> {
            try (Connection conn = connect()) {
                String zone = ZONES[number % ZONES.length];
                conn.setSchema("mine_" + number);
                one(conn, "SELECT set_config('TimeZone', ?, false)", zone);
                execute(conn, "SET statement_timeout = " + (50_001 + number));
                Statements isMine = () -> {
                    same(one(conn, "SELECT who FROM whoami WHERE id = ?", 1), number);
                    same(one(conn, MIDNIGHT, 1L), 1704067201L + SHIFTS[number % ZONES.length]);
                    same(one(conn, "SHOW statement_timeout"), (50_001 + number) + "ms");
                };
                barrier.await(60, TimeUnit.SECONDS);
                for (int round = 0; round < 10; round++) isMine.run();
                conn.setAutoCommit(false);
                execute(conn, "SET TimeZone TO 'Antarctica/Troll'");
                execute(conn, "SET LOCAL statement_timeout = 0");
                same(one(conn, "SHOW TimeZone"), "Antarctica/Troll");
                conn.rollback();
                conn.setAutoCommit(true);
                isMine.run();
                barrier.await(60, TimeUnit.SECONDS);
                if (number % 2 == 1) execute(conn, "RESET ALL");
                barrier.await(60, TimeUnit.SECONDS);
                for (int round = 0; round < 3; round++) {
                    if (number % 2 == 1) same(one(conn, "SHOW search_path") + " " + one(conn, "SHOW TimeZone"), fresh);
                    else isMine.run();
                }
            }
        });
    }

    public static void main(String[] arguments) throws Exception {
        directPort = arguments[1];
        theSameNamesForOtherStatements();
        transactions("never");
        transactions("always");
        aTableThatChanges();
        portions();
        batches();
        largeObjects();
        copies();
        values();
        cancels();
        notificationsCome();
        sessionsKeepTheirParameters();
        System.out.println("all is well");
        System.exit(0);
    }
}
