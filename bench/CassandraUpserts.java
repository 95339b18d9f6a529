import com.datastax.oss.driver.api.core.ConsistencyLevel;
import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.BatchStatement;
import com.datastax.oss.driver.api.core.cql.BatchType;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.Statement;
import java.math.BigDecimal;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;

/**
 * The upserts of crates/store/examples/cassandra_bench.rs with Apache Cassandra's Java driver: prepared, asynchronous, so many under way at
 * a time; single statements, and unlogged batches by partition.
 *
 * <p>java -cp "JARS/*" CassandraUpserts.java HOST PORT ROWS ROUNDS
 */
class CassandraUpserts {
    static final int BUCKETS = 64;
    /** Rows of one write of a sink that is behind: all must be there before the next ones are sent. */
    static final int WRITE_ROWS = 10_000;
    static final int KEYS = 50_000;
    static final int SINGLES = 2_000;
    static final LocalDate DAY = LocalDate.ofEpochDay(20_780);

    record Row(int bucket, String key, long sequence, String account, BigDecimal total) {
        static Row of(int number, long sequence) {
            String account = String.format("account-%06d", number % KEYS);
            String key = "[\"2026-11-23\",\"" + account + "\",\"EUR\"]";
            int hash = 0x811c9dc5;
            for (byte each : key.getBytes(StandardCharsets.UTF_8)) hash = (hash ^ (each & 0xff)) * 0x01000193;
            long cents = sequence * 17 * 100 + sequence % 100;
            return new Row(Integer.remainderUnsigned(hash, BUCKETS), key, sequence, account, BigDecimal.valueOf(cents, 2));
        }
    }

    final CqlSession session;
    final PreparedStatement insert;
    final PreparedStatement progress;

    CassandraUpserts(String host, int port) {
        session = CqlSession.builder()
            .addContactPoint(new InetSocketAddress(host, port))
            .withLocalDatacenter("datacenter1")
            .withConfigLoader(DriverConfigLoader.programmaticBuilder()
                .withString(DefaultDriverOption.REQUEST_CONSISTENCY, ConsistencyLevel.QUORUM.name())
                .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(30))
                .withInt(DefaultDriverOption.CONNECTION_POOL_LOCAL_SIZE, 2)
                .build())
            .build();
        session.execute("CREATE TABLE IF NOT EXISTS daybook_bench.java (row_day date, row_bucket int, row_key text, row_generation int, "
            + "row_sequence bigint, row_deleted boolean, row_partition int, row_offset bigint, account text, currency text, total decimal, "
            + "transactions bigint, PRIMARY KEY ((row_day, row_bucket), row_key))");
        insert = session.prepare("INSERT INTO daybook_bench.java (row_day, row_bucket, row_key, row_generation, row_sequence, row_deleted, "
            + "row_partition, row_offset, account, currency, total, transactions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            + "USING TIMESTAMP ?");
        progress = session.prepare("INSERT INTO daybook_bench.progress (aggregation, generation, partition, next_offset) "
            + "VALUES ('java', 1, 1, ?) USING TIMESTAMP ?");
    }

    BoundStatement bound(Row row) {
        return insert.bind(DAY, row.bucket, row.key, 1, row.sequence, false, 0, 0L, row.account, "EUR", row.total, row.sequence,
            (1L << 40) + row.sequence);
    }

    /** Sends all, so many at a time, and waits for all. */
    void send(Iterator<? extends Statement<?>> statements, int atOnce) throws Exception {
        Semaphore free = new Semaphore(atOnce);
        AtomicReference<Throwable> failed = new AtomicReference<>();
        while (statements.hasNext()) {
            free.acquire();
            session.executeAsync(statements.next()).whenComplete((answer, error) -> {
                if (error != null) failed.set(error);
                free.release();
            });
        }
        free.acquire(atOnce);
        if (failed.get() != null) throw new Exception(failed.get());
    }

    void singles(List<Row> rows, int atOnce) throws Exception {
        send(rows.stream().map(this::bound).iterator(), atOnce);
    }

    void batches(List<Row> rows, int size, int atOnce) throws Exception {
        List<Row> sorted = new ArrayList<>(rows);
        sorted.sort((a, b) -> Integer.compare(a.bucket, b.bucket));
        List<List<Row>> batches = new ArrayList<>();
        for (int from = 0, to; from < sorted.size(); from = to) {
            to = from;
            while (to < sorted.size() && to - from < size && sorted.get(to).bucket == sorted.get(from).bucket) to++;
            batches.add(sorted.subList(from, to));
        }
        send(batches.stream()
            .map(batch -> BatchStatement.newInstance(BatchType.UNLOGGED, batch.stream().map(this::bound).toArray(BoundStatement[]::new)))
            .iterator(), atOnce);
    }

    /** One row and its progress after the other. */
    void oneByOne(long sequence) {
        long[] nanos = new long[SINGLES];
        for (int number = 0; number < SINGLES; number++) {
            BoundStatement row = bound(Row.of(7, sequence + number));
            long begun = System.nanoTime();
            session.execute(row);
            session.execute(progress.bind(sequence + number, sequence + number + 1));
            nanos[number] = System.nanoTime() - begun;
        }
        Arrays.sort(nanos);
        System.out.printf("  one row and progress: Java p50 %.2f p99 %.2f ms%n", nanos[(SINGLES - 1) / 2] / 1e6,
            nanos[(int) ((SINGLES - 1) * 0.99)] / 1e6);
    }

    interface Way {
        void write(List<Row> rows) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        CassandraUpserts bench = new CassandraUpserts(arguments[0], Integer.parseInt(arguments[1]));
        int count = Integer.parseInt(arguments[2]);
        int rounds = Integer.parseInt(arguments[3]);
        String[] names = {"Java, 1 x 64", "Java, 1 x 512", "Java, 100 x 32", "Java, 20 x 64"};
        List<Way> ways = List.of(rows -> bench.singles(rows, 64), rows -> bench.singles(rows, 512), rows -> bench.batches(rows, 100, 32),
            rows -> bench.batches(rows, 20, 64));
        // Those of an earlier process are less.
        long sequence = System.currentTimeMillis() / 1000;
        // The first round warms up and does not count.
        for (int round = 0; round <= rounds; round++) {
            System.out.println("round " + round);
            for (int way = 0; way < names.length; way++) {
                List<Row> rows = new ArrayList<>();
                for (int number = 0; number < count; number++) rows.add(Row.of(number, sequence + number / KEYS));
                sequence += count / KEYS + 1;
                long begun = System.nanoTime();
                for (int from = 0; from < count; from += WRITE_ROWS)
                    ways.get(way).write(rows.subList(from, Math.min(count, from + WRITE_ROWS)));
                System.out.printf("  %-16s %9.0f upserts/s%n", names[way], count / ((System.nanoTime() - begun) / 1e9));
            }
            bench.oneByOne(sequence);
            sequence += SINGLES;
        }
        bench.session.close();
    }
}
