package conf;

import com.ibm.mq.*;
import com.ibm.mq.constants.CMQC;
import com.ibm.mq.constants.CMQCFC;
import com.ibm.mq.headers.MQDataException;
import com.ibm.mq.headers.pcf.PCFMessage;
import com.ibm.mq.headers.pcf.PCFMessageAgent;
import com.ibm.mq.jms.MQConnectionFactory;
import com.ibm.mq.jms.MQXAConnectionFactory;
import com.ibm.msg.client.wmq.WMQConstants;
import java.io.*;
import java.net.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import javax.jms.*;
import javax.transaction.xa.XAResource;
import javax.transaction.xa.Xid;

/**
 * Acceptance checks of a queue manager, run through IBM's own Java client. Expected behaviour is
 * what IBM documents for a real queue manager.
 *
 * <p>usage: java -jar mq-conformance.jar HOST PORT QMGR CHANNEL QUEUE [--queue2 NAME] [--user U
 * --password P] [--only a,b] [--skip a,b] [--all] [--list] [--messages N] [--restart-cmd 'shell
 * command that restarts the server and returns when it listens'] [--stop-cmd 'the same in good
 * order'] [--small-queue NAME] [--cipher SUITE] [--not-admin: the user may put and get, and may
 * neither administer nor set context] (trust store
 * through the usual javax.net.ssl system properties)
 */
public final class Conformance {
  // ------------------------------------------------------------------ configuration
  static String host, qmgr, channel, queue, queue2, user, password, restartCmd, cipher;
  static int port, bulk = 10_000;
  static boolean all, notAdmin;

  // ------------------------------------------------------------------ harness
  interface Body {
    void run() throws Exception;
  }

  record Check(String name, String group, String what, Body body) {}

  static final class Skip extends RuntimeException {
    Skip(String m) {
      super(m);
    }
  }

  static final List<Check> CHECKS = new ArrayList<>();
  static final ThreadLocal<StringBuilder> NOTE = ThreadLocal.withInitial(StringBuilder::new);

  static void check(String name, String group, String what, Body b) {
    CHECKS.add(new Check(name, group, what, b));
  }

  static void note(String s) {
    NOTE.get().append(NOTE.get().length() > 0 ? "; " : "").append(s);
  }

  static void ensure(boolean ok, String msg) {
    if (!ok) throw new AssertionError(msg);
  }

  static void same(Object want, Object got, String what) {
    if (!Objects.deepEquals(want, got))
      throw new AssertionError(what + ": expected <" + show(want) + "> got <" + show(got) + ">");
  }

  static String show(Object o) {
    return o instanceof byte[] b
        ? HexFormat.of().formatHex(b, 0, Math.min(b.length, 64))
        : String.valueOf(o);
  }

  static void reason(int[] want, String what, Body b) throws Exception {
    try {
      b.run();
    } catch (MQException e) {
      for (int w : want)
        if (e.reasonCode == w) {
          note("reason " + e.reasonCode);
          return;
        }
      throw new AssertionError(
          what
              + ": expected reason "
              + Arrays.toString(want)
              + " got "
              + e.completionCode
              + "/"
              + e.reasonCode);
    }
    throw new AssertionError(
        what + ": expected reason " + Arrays.toString(want) + " but the call succeeded");
  }

  static void reason(int want, String what, Body b) throws Exception {
    reason(new int[] {want}, what, b);
  }

  // ------------------------------------------------------------------ base-class helpers
  static Hashtable<String, Object> props(String h, int p, String chl) {
    Hashtable<String, Object> t = new Hashtable<>();
    t.put(CMQC.HOST_NAME_PROPERTY, h);
    t.put(CMQC.PORT_PROPERTY, p);
    t.put(CMQC.CHANNEL_PROPERTY, chl);
    t.put(CMQC.TRANSPORT_PROPERTY, CMQC.TRANSPORT_MQSERIES_CLIENT);
    t.put(CMQC.APPNAME_PROPERTY, "mq-conformance");
    if (user != null) {
      t.put(CMQC.USER_ID_PROPERTY, user);
      t.put(CMQC.PASSWORD_PROPERTY, password);
      t.put(CMQC.USE_MQCSP_AUTHENTICATION_PROPERTY, true);
    }
    if (cipher != null) t.put(CMQC.SSL_CIPHER_SUITE_PROPERTY, cipher);
    return t;
  }

  static MQQueueManager qm() throws MQException {
    return new MQQueueManager(qmgr, props(host, port, channel));
  }

  static MQQueueManager qm(Proxy x) throws MQException {
    return new MQQueueManager(qmgr, props("127.0.0.1", x.port(), channel));
  }

  static final int IN = CMQC.MQOO_INPUT_SHARED | CMQC.MQOO_FAIL_IF_QUIESCING;
  static final int OUT = CMQC.MQOO_OUTPUT | CMQC.MQOO_FAIL_IF_QUIESCING;
  static final int INOUT = IN | CMQC.MQOO_OUTPUT;

  static MQGetMessageOptions gmo(int options) {
    MQGetMessageOptions g = new MQGetMessageOptions();
    g.options = options | CMQC.MQGMO_FAIL_IF_QUIESCING;
    return g;
  }

  static MQGetMessageOptions wait(int options, int ms) {
    MQGetMessageOptions g = gmo(options | CMQC.MQGMO_WAIT);
    g.waitInterval = ms;
    return g;
  }

  static MQPutMessageOptions pmo(int options) {
    MQPutMessageOptions p = new MQPutMessageOptions();
    p.options = options | CMQC.MQPMO_FAIL_IF_QUIESCING;
    return p;
  }

  static MQMessage text(String s) throws IOException {
    MQMessage m = new MQMessage();
    m.format = CMQC.MQFMT_STRING;
    m.characterSet = 1208;
    m.writeString(s);
    return m;
  }

  static MQMessage bytes(byte[] b) throws IOException {
    MQMessage m = new MQMessage();
    m.format = CMQC.MQFMT_NONE;
    m.write(b);
    return m;
  }

  static byte[] body(MQMessage m) throws IOException {
    byte[] b = new byte[m.getDataLength()];
    m.readFully(b);
    return b;
  }

  static String str(MQMessage m) throws IOException {
    return new String(body(m), StandardCharsets.UTF_8);
  }

  static void put(MQQueue q, String s, int options) throws Exception {
    q.put(text(s), pmo(options));
  }

  static String get(MQQueue q, int options) throws Exception {
    MQMessage m = new MQMessage();
    q.get(m, gmo(options));
    return str(m);
  }

  static final int NOSYNC = CMQC.MQGMO_NO_SYNCPOINT, SYNC = CMQC.MQGMO_SYNCPOINT;
  static final int PNOSYNC = CMQC.MQPMO_NO_SYNCPOINT, PSYNC = CMQC.MQPMO_SYNCPOINT;

  static void drain(String name) throws Exception {
    MQQueueManager m = qm();
    try {
      MQQueue q = m.accessQueue(name, IN);
      long until = System.currentTimeMillis() + 60_000;
      while (System.currentTimeMillis() < until) {
        MQMessage x = new MQMessage();
        MQGetMessageOptions g = gmo(NOSYNC | CMQC.MQGMO_ACCEPT_TRUNCATED_MSG);
        try {
          q.get(x, g, 16);
        } catch (MQException e) {
          if (e.reasonCode == CMQC.MQRC_TRUNCATED_MSG_ACCEPTED) continue;
          if (e.reasonCode == CMQC.MQRC_NO_MSG_AVAILABLE) break;
          throw e;
        }
      }
      q.close();
    } finally {
      quietly(m::disconnect);
    }
  }

  static void quietly(Body b) {
    try {
      b.run();
    } catch (Exception | Error ignored) {
    }
  }

  interface QBody {
    void run(MQQueueManager m, MQQueue q) throws Exception;
  }

  static void with(int openOptions, QBody b) throws Exception {
    MQQueueManager m = qm();
    try {
      MQQueue q = m.accessQueue(queue, openOptions);
      b.run(m, q);
      q.close();
    } finally {
      quietly(
          () -> {
            if (m.isConnected()) m.disconnect();
          });
    }
  }

  // ------------------------------------------------------------------ JMS helpers
  static <T extends MQConnectionFactory> T cf(T f, String h, int p) throws JMSException {
    f.setIntProperty(WMQConstants.WMQ_CONNECTION_MODE, WMQConstants.WMQ_CM_CLIENT);
    f.setStringProperty(WMQConstants.WMQ_HOST_NAME, h);
    f.setIntProperty(WMQConstants.WMQ_PORT, p);
    f.setStringProperty(WMQConstants.WMQ_QUEUE_MANAGER, qmgr);
    f.setStringProperty(WMQConstants.WMQ_CHANNEL, channel);
    f.setStringProperty(WMQConstants.WMQ_APPLICATIONNAME, "mq-conformance");
    if (user != null) {
      f.setStringProperty(WMQConstants.USERID, user);
      f.setStringProperty(WMQConstants.PASSWORD, password);
      f.setBooleanProperty(WMQConstants.USER_AUTHENTICATION_MQCSP, true);
    }
    if (cipher != null) f.setStringProperty(WMQConstants.WMQ_SSL_CIPHER_SUITE, cipher);
    return f;
  }

  static MQConnectionFactory cf() throws JMSException {
    return cf(new MQConnectionFactory(), host, port);
  }

  interface JBody {
    void run(Connection c, Session s, javax.jms.Queue q) throws Exception;
  }

  static void jms(boolean tx, int ack, JBody b) throws Exception {
    Connection c = cf().createConnection();
    try {
      Session s = c.createSession(tx, ack);
      c.start();
      b.run(c, s, s.createQueue("queue:///" + queue));
    } finally {
      quietly(c::close);
    }
  }

  // ------------------------------------------------------------------ a TCP relay that can cut its
  // connections
  static final class Proxy implements AutoCloseable {
    final ServerSocket ss;
    final List<Socket> socks = new CopyOnWriteArrayList<>();
    final AtomicInteger accepted = new AtomicInteger();
    volatile boolean refuse;

    Proxy() throws IOException {
      ss = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
      Thread t =
          new Thread(
              () -> {
                try {
                  while (true) {
                    Socket a = ss.accept();
                    if (refuse) {
                      a.close();
                      continue;
                    }
                    accepted.incrementAndGet();
                    Socket b = new Socket(host, port);
                    a.setTcpNoDelay(true);
                    b.setTcpNoDelay(true);
                    socks.add(a);
                    socks.add(b);
                    pump(a, b);
                    pump(b, a);
                  }
                } catch (IOException e) {
                }
              });
      t.setDaemon(true);
      t.start();
    }

    int port() {
      return ss.getLocalPort();
    }

    void pump(Socket a, Socket b) {
      Thread t =
          new Thread(
              () -> {
                byte[] buf = new byte[65536];
                try {
                  InputStream i = a.getInputStream();
                  OutputStream o = b.getOutputStream();
                  int n;
                  while ((n = i.read(buf)) > 0) {
                    o.write(buf, 0, n);
                    o.flush();
                  }
                } catch (IOException e) {
                }
                quietly(a::close);
                quietly(b::close);
              });
      t.setDaemon(true);
      t.start();
    }

    void cut() {
      for (Socket s : socks)
        quietly(
            () -> {
              s.setSoLinger(true, 0);
              s.close();
            });
      socks.clear();
    }

    public void close() {
      quietly(ss::close);
      cut();
    }
  }

  static void eventually(int ms, String what, Callable<Boolean> c) throws Exception {
    long until = System.currentTimeMillis() + ms;
    while (System.currentTimeMillis() < until) {
      if (c.call()) return;
      Thread.sleep(50);
    }
    throw new AssertionError("not within " + ms + " ms: " + what);
  }

  // ------------------------------------------------------------------ the checks
  static void define() {
    // ---- connecting
    check(
        "connect",
        "core",
        "MQCONN/MQDISC over a client channel",
        () -> {
          MQQueueManager m = qm();
          ensure(m.isConnected(), "not connected");
          m.disconnect();
          ensure(!m.isConnected(), "still connected after disconnect");
        });
    check(
        "connect_bad_channel",
        "core",
        "unknown channel name -> 2540",
        () ->
            reason(
                CMQC.MQRC_UNKNOWN_CHANNEL_NAME,
                "connect",
                () -> new MQQueueManager(qmgr, props(host, port, "NO.SUCH.CHANNEL")).disconnect()));
    check(
        "connect_bad_qmgr",
        "core",
        "wrong queue manager name -> 2058",
        () ->
            reason(
                CMQC.MQRC_Q_MGR_NAME_ERROR,
                "connect",
                () -> new MQQueueManager("NOSUCHQM", props(host, port, channel)).disconnect()));
    check(
        "connect_default_qmgr",
        "core",
        "blank queue manager name connects to the one behind the port",
        () -> {
          MQQueueManager m = new MQQueueManager("", props(host, port, channel));
          m.accessQueue(queue, IN).close();
          m.disconnect();
        });
    check(
        "connect_no_listener",
        "core",
        "nothing listening -> 2538",
        () -> {
          int p;
          try (ServerSocket s = new ServerSocket(0)) {
            p = s.getLocalPort();
          }
          reason(
              new int[] {CMQC.MQRC_HOST_NOT_AVAILABLE, CMQC.MQRC_Q_MGR_NOT_AVAILABLE},
              "connect",
              () -> new MQQueueManager(qmgr, props("127.0.0.1", p, channel)).disconnect());
        });
    check(
        "connect_bad_password",
        "core",
        "wrong password -> 2035 (skipped unless --user is given)",
        () -> {
          if (user == null) throw new Skip("no --user");
          Hashtable<String, Object> t = props(host, port, channel);
          t.put(CMQC.PASSWORD_PROPERTY, password + "x");
          reason(
              CMQC.MQRC_NOT_AUTHORIZED, "connect", () -> new MQQueueManager(qmgr, t).disconnect());
        });
    check(
        "connect_many_times",
        "core",
        "100 connects and disconnects in a row",
        () -> {
          for (int i = 0; i < 100; i++) qm().disconnect();
        });

    // ---- opening
    check(
        "open_bad_queue",
        "core",
        "unknown queue -> 2085",
        () -> {
          MQQueueManager m = qm();
          try {
            reason(
                CMQC.MQRC_UNKNOWN_OBJECT_NAME, "open", () -> m.accessQueue("NO.SUCH.QUEUE.X", IN));
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "open_bad_queue_output",
        "core",
        "unknown queue for output -> 2085",
        () -> {
          MQQueueManager m = qm();
          try {
            reason(
                CMQC.MQRC_UNKNOWN_OBJECT_NAME, "open", () -> m.accessQueue("NO.SUCH.QUEUE.X", OUT));
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "open_invalid_options",
        "core",
        "conflicting open options -> 2045/2046",
        () -> {
          MQQueueManager m = qm();
          try {
            reason(
                new int[] {CMQC.MQRC_OPTIONS_ERROR, CMQC.MQRC_OPTION_NOT_VALID_FOR_TYPE},
                "open",
                () -> m.accessQueue(queue, CMQC.MQOO_INPUT_SHARED | CMQC.MQOO_INPUT_EXCLUSIVE));
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "open_exclusive",
        "core",
        "second exclusive input open -> 2042",
        () ->
            with(
                CMQC.MQOO_INPUT_EXCLUSIVE,
                (m, q) -> {
                  MQQueueManager m2 = qm();
                  try {
                    reason(
                        CMQC.MQRC_OBJECT_IN_USE,
                        "open",
                        () -> m2.accessQueue(queue, CMQC.MQOO_INPUT_EXCLUSIVE));
                    reason(
                        CMQC.MQRC_OBJECT_IN_USE,
                        "open",
                        () -> m2.accessQueue(queue, CMQC.MQOO_INPUT_SHARED));
                  } finally {
                    quietly(m2::disconnect);
                  }
                }));
    check(
        "exclusive_released",
        "core",
        "closing frees an exclusive open",
        () -> {
          with(CMQC.MQOO_INPUT_EXCLUSIVE, (m, q) -> {});
          with(CMQC.MQOO_INPUT_EXCLUSIVE, (m, q) -> {});
        });
    check(
        "get_not_open_for_input",
        "core",
        "MQGET on an output handle -> 2037",
        () ->
            with(OUT, (m, q) -> reason(CMQC.MQRC_NOT_OPEN_FOR_INPUT, "get", () -> get(q, NOSYNC))));
    check(
        "put_not_open_for_output",
        "core",
        "MQPUT on an input handle -> 2039",
        () ->
            with(
                IN,
                (m, q) ->
                    reason(CMQC.MQRC_NOT_OPEN_FOR_OUTPUT, "put", () -> put(q, "x", PNOSYNC))));
    check(
        "browse_not_open",
        "core",
        "browse on an input handle -> 2036",
        () ->
            with(
                IN,
                (m, q) ->
                    reason(
                        CMQC.MQRC_NOT_OPEN_FOR_BROWSE,
                        "get",
                        () -> get(q, CMQC.MQGMO_BROWSE_FIRST))));

    // ---- put and get
    check(
        "put_get",
        "core",
        "a message comes back with its body and descriptor",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  MQMessage p = text("hello €");
                  p.replyToQueueName = "REPLY.HERE";
                  p.messageType = CMQC.MQMT_REQUEST;
                  p.priority = 3;
                  p.applicationIdData = "";
                  q.put(p, pmo(PNOSYNC | CMQC.MQPMO_NEW_MSG_ID));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC));
                  same("hello €", str(g), "body");
                  same(p.messageId, g.messageId, "message id of put and get");
                  same(
                      "AMQ ",
                      new String(g.messageId, 0, 4, StandardCharsets.ISO_8859_1),
                      "message id prefix");
                  same(3, g.priority, "priority");
                  same(CMQC.MQMT_REQUEST, g.messageType, "type");
                  same(CMQC.MQFMT_STRING.trim(), g.format.trim(), "format");
                  same(1208, g.characterSet, "ccsid");
                  same("REPLY.HERE", g.replyToQueueName.trim(), "reply to queue");
                  same(
                      qmgrName(m),
                      g.replyToQueueManagerName.trim(),
                      "reply to queue manager is filled in");
                  ensure(
                      g.putApplicationName.trim().startsWith("mq-conformance"),
                      "put application name is <" + g.putApplicationName + ">");
                  long age = Math.abs(System.currentTimeMillis() - g.putDateTime.getTimeInMillis());
                  ensure(age < 120_000, "put time is off by " + age + " ms");
                  same(0, g.backoutCount, "backout count");
                }));
    check(
        "put_resolved_names",
        "core",
        "MQPMO carries the resolved queue and queue manager",
        () ->
            with(
                OUT,
                (m, q) -> {
                  MQPutMessageOptions o = pmo(PNOSYNC);
                  q.put(text("x"), o);
                  same(queue, o.resolvedQueueName.trim(), "resolved queue");
                  same(qmgrName(m), o.resolvedQueueManagerName.trim(), "resolved queue manager");
                }));
    check(
        "put_own_msgid",
        "core",
        "a caller's message and correlation ids are kept",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  MQMessage p = text("x");
                  p.messageId = id('M', 1);
                  p.correlationId = id('C', 1);
                  q.put(p, pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC));
                  same(id('M', 1), g.messageId, "message id");
                  same(id('C', 1), g.correlationId, "correlation id");
                }));
    check(
        "msgid_unique",
        "core",
        "generated message ids are unique",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  Set<String> s = new HashSet<>();
                  for (int i = 0; i < 500; i++) {
                    MQMessage p = text("x");
                    q.put(p, pmo(PNOSYNC | CMQC.MQPMO_NEW_MSG_ID));
                    s.add(show(p.messageId));
                  }
                  same(500, s.size(), "distinct ids");
                }));
    check(
        "put1",
        "core",
        "MQPUT1",
        () ->
            with(
                IN,
                (m, q) -> {
                  m.put(queue, text("one"), pmo(PNOSYNC));
                  same("one", get(q, NOSYNC), "body");
                }));
    check(
        "put1_bad_queue",
        "core",
        "MQPUT1 to an unknown queue -> 2085",
        () ->
            with(
                IN,
                (m, q) ->
                    reason(
                        CMQC.MQRC_UNKNOWN_OBJECT_NAME,
                        "put1",
                        () -> m.put("NO.SUCH.QUEUE.X", text("one"), pmo(PNOSYNC)))));
    check(
        "empty_message",
        "core",
        "a zero-length message",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  q.put(bytes(new byte[0]), pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC));
                  same(0, g.getDataLength(), "length");
                }));
    check(
        "binary_body",
        "core",
        "every byte value survives",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  byte[] b = new byte[1024];
                  for (int i = 0; i < b.length; i++) b[i] = (byte) i;
                  q.put(bytes(b), pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC));
                  same(b, body(g), "body");
                }));
    check(
        "sizes",
        "core",
        "bodies around the 32 KiB segment limit",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int n :
                      new int[] {
                        1, 2, 3, 100, 4095, 4096, 4097, 31000, 32000, 32200, 32300, 32400, 32500,
                        32600, 32700, 32766, 32767, 32768, 33000, 65535, 65536, 65537, 100_000,
                        262_144
                      }) {
                    byte[] b = new byte[n];
                    new Random(n).nextBytes(b);
                    q.put(bytes(b), pmo(PNOSYNC));
                    MQMessage g = new MQMessage();
                    q.get(g, gmo(NOSYNC));
                    same(b, body(g), "body of " + n);
                  }
                }));
    check(
        "big_message",
        "core",
        "a 4 MiB message, put and got",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  byte[] b = new byte[4 << 20];
                  new Random(7).nextBytes(b);
                  q.put(bytes(b), pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC));
                  ensure(Arrays.equals(b, body(g)), "body differs");
                }));
    check(
        "too_big_message",
        "core",
        "longer than the queue's MAXMSGL -> 2030 (or 2031, 2218, 2010)",
        () ->
            with(
                OUT | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  int max = q.getMaximumMessageLength();
                  note("MAXMSGL " + max);
                  if (max > (16 << 20)) throw new Skip("MAXMSGL is " + max);
                  reason(
                      new int[] {
                        CMQC.MQRC_MSG_TOO_BIG_FOR_Q,
                        CMQC.MQRC_MSG_TOO_BIG_FOR_Q_MGR,
                        CMQC.MQRC_MSG_TOO_BIG_FOR_CHANNEL,
                        CMQC.MQRC_DATA_LENGTH_ERROR
                      },
                      "put",
                      () -> q.put(bytes(new byte[max + 1]), pmo(PNOSYNC)));
                  q.put(text("still usable"), pmo(PNOSYNC));
                }));
    check(
        "get_no_message",
        "core",
        "MQGET without wait on an empty queue -> 2033",
        () -> with(IN, (m, q) -> reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC))));
    check(
        "get_wait_timeout",
        "core",
        "MQGET waits its interval, then 2033",
        () ->
            with(
                IN,
                (m, q) -> {
                  long t = System.nanoTime();
                  reason(
                      CMQC.MQRC_NO_MSG_AVAILABLE,
                      "get",
                      () -> q.get(new MQMessage(), wait(NOSYNC, 1500)));
                  long ms = (System.nanoTime() - t) / 1_000_000;
                  note(ms + " ms");
                  ensure(ms >= 1400 && ms < 4000, "waited " + ms + " ms instead of 1500");
                }));
    check(
        "get_wait_arrival",
        "core",
        "a waiting MQGET gets a message that arrives later",
        () ->
            with(
                IN,
                (m, q) -> {
                  ScheduledExecutorService x = Executors.newSingleThreadScheduledExecutor();
                  Future<?> f =
                      x.schedule(
                          () -> {
                            with(OUT, (m2, q2) -> put(q2, "late", PNOSYNC));
                            return 0;
                          },
                          700,
                          TimeUnit.MILLISECONDS);
                  long t = System.nanoTime();
                  MQMessage g = new MQMessage();
                  q.get(g, wait(NOSYNC, 20_000));
                  long ms = (System.nanoTime() - t) / 1_000_000;
                  f.get();
                  x.shutdown();
                  same("late", str(g), "body");
                  note(ms + " ms");
                  ensure(ms > 500 && ms < 3000, "got it after " + ms + " ms");
                }));
    check(
        "get_wait_two_waiters",
        "core",
        "two waiters share two messages",
        () -> {
          ExecutorService x = Executors.newFixedThreadPool(2);
          List<Future<String>> f = new ArrayList<>();
          for (int i = 0; i < 2; i++)
            f.add(
                x.submit(
                    () -> {
                      String[] r = new String[1];
                      with(
                          IN,
                          (m, q) -> {
                            MQMessage g = new MQMessage();
                            q.get(g, wait(NOSYNC, 15_000));
                            r[0] = str(g);
                          });
                      return r[0];
                    }));
          Thread.sleep(500);
          with(
              OUT,
              (m, q) -> {
                put(q, "a", PNOSYNC);
                put(q, "b", PNOSYNC);
              });
          Set<String> got = new TreeSet<>();
          for (Future<String> r : f) got.add(r.get(20, TimeUnit.SECONDS));
          x.shutdown();
          same(Set.of("a", "b"), got, "messages");
        });
    check(
        "get_wait_cut_not_lost",
        "core",
        "a message put after a waiting client died is not lost to it",
        () -> {
          try (Proxy x = new Proxy()) {
            MQQueueManager m = qm(x);
            MQQueue q = m.accessQueue(queue, IN);
            Thread t = new Thread(() -> quietly(() -> q.get(new MQMessage(), wait(SYNC, 20_000))));
            t.setDaemon(true);
            t.start();
            Thread.sleep(500);
            x.cut();
            Thread.sleep(500);
            with(
                INOUT,
                (m2, q2) -> {
                  put(q2, "kept", PNOSYNC);
                  MQMessage g = new MQMessage();
                  q2.get(g, wait(NOSYNC, 5000));
                  same("kept", str(g), "body");
                });
          }
        });
    check(
        "truncated_failed",
        "core",
        "buffer too small -> 2080, message stays",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  put(q, "0123456789", PNOSYNC);
                  reason(
                      CMQC.MQRC_TRUNCATED_MSG_FAILED,
                      "get",
                      () -> q.get(new MQMessage(), gmo(NOSYNC), 4));
                  same("0123456789", get(q, NOSYNC), "body");
                }));
    check(
        "truncated_accepted",
        "core",
        "accept truncation -> warning 2079, message gone",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  put(q, "0123456789", PNOSYNC);
                  MQMessage g = new MQMessage();
                  reason(
                      CMQC.MQRC_TRUNCATED_MSG_ACCEPTED,
                      "get",
                      () -> q.get(g, gmo(NOSYNC | CMQC.MQGMO_ACCEPT_TRUNCATED_MSG), 4));
                  same(10, g.getTotalMessageLength(), "total length");
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    check(
        "expiry",
        "core",
        "an expired message is not returned",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  MQMessage p = text("old");
                  p.expiry = 5;
                  q.put(p, pmo(PNOSYNC));
                  put(q, "new", PNOSYNC);
                  Thread.sleep(1200);
                  same("new", get(q, NOSYNC), "body");
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    check(
        "persistence_kept",
        "core",
        "persistence is reported back",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int per : new int[] {CMQC.MQPER_PERSISTENT, CMQC.MQPER_NOT_PERSISTENT}) {
                    MQMessage p = text("x");
                    p.persistence = per;
                    q.put(p, pmo(PNOSYNC));
                    MQMessage g = new MQMessage();
                    q.get(g, gmo(NOSYNC));
                    same(per, g.persistence, "persistence");
                  }
                }));
    check(
        "fifo",
        "core",
        "one producer's messages come in order",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int i = 0; i < 500; i++) put(q, "m" + i, PNOSYNC);
                  for (int i = 0; i < 500; i++) same("m" + i, get(q, NOSYNC), "message " + i);
                }));
    check(
        "priority_order",
        "core",
        "higher priority first, FIFO inside a priority",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int pr : new int[] {1, 7, 4, 7, 1}) {
                    MQMessage p = text("p" + pr);
                    p.priority = pr;
                    q.put(p, pmo(PNOSYNC));
                  }
                  StringBuilder s = new StringBuilder();
                  for (int i = 0; i < 5; i++) s.append(get(q, NOSYNC));
                  same("p7p7p4p1p1", s.toString(), "order");
                }));
    check(
        "priority_too_big",
        "core",
        "priority above the maximum -> 2050 error or warning 2049",
        () ->
            with(
                OUT,
                (m, q) -> {
                  MQMessage p = text("x");
                  p.priority = 10;
                  reason(
                      new int[] {CMQC.MQRC_PRIORITY_EXCEEDS_MAXIMUM, CMQC.MQRC_PRIORITY_ERROR},
                      "put",
                      () -> q.put(p, pmo(PNOSYNC)));
                }));

    // ---- selection
    check(
        "match_msgid",
        "core",
        "get by message id",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  MQMessage[] p = new MQMessage[3];
                  for (int i = 0; i < 3; i++) {
                    p[i] = text("m" + i);
                    q.put(p[i], pmo(PNOSYNC | CMQC.MQPMO_NEW_MSG_ID));
                  }
                  MQMessage g = new MQMessage();
                  g.messageId = p[1].messageId;
                  MQGetMessageOptions o = gmo(NOSYNC);
                  o.matchOptions = CMQC.MQMO_MATCH_MSG_ID;
                  q.get(g, o);
                  same("m1", str(g), "body");
                  MQMessage h = new MQMessage();
                  h.messageId = p[1].messageId;
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get again", () -> q.get(h, o));
                  same("m0", get(q, NOSYNC), "first left");
                  same("m2", get(q, NOSYNC), "second left");
                }));
    check(
        "match_correlid",
        "core",
        "get by correlation id",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int i = 0; i < 5; i++) {
                    MQMessage p = text("m" + i);
                    p.correlationId = id('C', i % 2);
                    q.put(p, pmo(PNOSYNC));
                  }
                  MQGetMessageOptions o = gmo(NOSYNC);
                  o.matchOptions = CMQC.MQMO_MATCH_CORREL_ID;
                  for (String want : new String[] {"m1", "m3"}) {
                    MQMessage g = new MQMessage();
                    g.correlationId = id('C', 1);
                    q.get(g, o);
                    same(want, str(g), "body");
                  }
                  MQMessage g = new MQMessage();
                  g.correlationId = id('C', 1);
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> q.get(g, o));
                }));
    check(
        "match_wait",
        "core",
        "a waiting get by correlation id ignores others",
        () ->
            with(
                IN,
                (m, q) -> {
                  ScheduledExecutorService x = Executors.newSingleThreadScheduledExecutor();
                  x.schedule(
                      () -> {
                        with(
                            OUT,
                            (m2, q2) -> {
                              put(q2, "other", PNOSYNC);
                              MQMessage p = text("mine");
                              p.correlationId = id('C', 9);
                              q2.put(p, pmo(PNOSYNC));
                            });
                        return 0;
                      },
                      400,
                      TimeUnit.MILLISECONDS);
                  MQGetMessageOptions o = wait(NOSYNC, 10_000);
                  o.matchOptions = CMQC.MQMO_MATCH_CORREL_ID;
                  MQMessage g = new MQMessage();
                  g.correlationId = id('C', 9);
                  q.get(g, o);
                  same("mine", str(g), "body");
                  same("other", get(q, NOSYNC), "left");
                  x.shutdown();
                }));
    check(
        "browse",
        "core",
        "browse first and next leave the messages, then 2033",
        () ->
            with(
                INOUT | CMQC.MQOO_BROWSE,
                (m, q) -> {
                  for (int i = 0; i < 3; i++) put(q, "b" + i, PNOSYNC);
                  for (int round = 0; round < 2; round++) {
                    same("b0", get(q, CMQC.MQGMO_BROWSE_FIRST), "first");
                    same("b1", get(q, CMQC.MQGMO_BROWSE_NEXT), "next");
                    same("b2", get(q, CMQC.MQGMO_BROWSE_NEXT), "next");
                    reason(
                        CMQC.MQRC_NO_MSG_AVAILABLE,
                        "past the end",
                        () -> get(q, CMQC.MQGMO_BROWSE_NEXT));
                  }
                  same("b0", get(q, NOSYNC), "still there");
                }));
    check(
        "browse_under_cursor",
        "core",
        "get the message under the browse cursor",
        () ->
            with(
                INOUT | CMQC.MQOO_BROWSE,
                (m, q) -> {
                  for (int i = 0; i < 3; i++) put(q, "b" + i, PNOSYNC);
                  get(q, CMQC.MQGMO_BROWSE_FIRST);
                  get(q, CMQC.MQGMO_BROWSE_NEXT);
                  same("b1", get(q, CMQC.MQGMO_MSG_UNDER_CURSOR | NOSYNC), "under cursor");
                  same("b0", get(q, NOSYNC), "left");
                  same("b2", get(q, NOSYNC), "left");
                }));
    check(
        "browse_no_message_under_cursor",
        "core",
        "no cursor -> 2034",
        () ->
            with(
                INOUT | CMQC.MQOO_BROWSE,
                (m, q) -> {
                  put(q, "b", PNOSYNC);
                  reason(
                      CMQC.MQRC_NO_MSG_UNDER_CURSOR,
                      "get",
                      () -> get(q, CMQC.MQGMO_MSG_UNDER_CURSOR | NOSYNC));
                }));

    // ---- units of work
    check(
        "sync_put_commit",
        "core",
        "an uncommitted message is invisible, then visible",
        () ->
            with(
                OUT,
                (m, q) ->
                    with(
                        IN,
                        (m2, q2) -> {
                          put(q, "x", PSYNC);
                          reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q2, NOSYNC));
                          m.commit();
                          same("x", get(q2, NOSYNC), "body");
                        })));
    check(
        "sync_put_backout",
        "core",
        "a backed out put never appears",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  put(q, "x", PSYNC);
                  m.backout();
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    check(
        "sync_put_own_visible",
        "core",
        "own uncommitted put is visible in the same unit of work",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  put(q, "x", PSYNC);
                  same("x", get(q, SYNC), "body");
                  m.commit();
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    check(
        "sync_get_hidden",
        "core",
        "a message got under syncpoint is hidden from others",
        () ->
            with(
                INOUT,
                (m, q) ->
                    with(
                        IN,
                        (m2, q2) -> {
                          put(q, "x", PNOSYNC);
                          same("x", get(q, SYNC), "body");
                          reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q2, NOSYNC));
                          m.commit();
                          reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q2, NOSYNC));
                        })));
    check(
        "sync_get_backout",
        "core",
        "backout returns the message and counts up",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  put(q, "x", PNOSYNC);
                  put(q, "y", PNOSYNC);
                  for (int i = 0; i < 3; i++) {
                    MQMessage g = new MQMessage();
                    q.get(g, gmo(SYNC));
                    same("x", str(g), "body");
                    same(i, g.backoutCount, "backout count");
                    m.backout();
                  }
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(SYNC));
                  same(3, g.backoutCount, "backout count");
                  m.commit();
                  same("y", get(q, NOSYNC), "next");
                }));
    check(
        "sync_many",
        "core",
        "500 puts in one unit of work keep their order",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int i = 0; i < 500; i++) put(q, "m" + i, PSYNC);
                  m.commit();
                  for (int i = 0; i < 500; i++) same("m" + i, get(q, SYNC), "message " + i);
                  m.commit();
                }));
    check(
        "disconnect_commits",
        "core",
        "a normal disconnect commits",
        () -> {
          MQQueueManager m = qm();
          MQQueue q = m.accessQueue(queue, OUT);
          put(q, "x", PSYNC);
          m.disconnect();
          with(IN, (m2, q2) -> same("x", get(q2, NOSYNC), "body"));
        });
    check(
        "cut_backs_out",
        "core",
        "a broken connection backs out",
        () -> {
          with(OUT, (m, q) -> put(q, "keep", PNOSYNC));
          try (Proxy x = new Proxy()) {
            MQQueueManager m = qm(x);
            MQQueue q = m.accessQueue(queue, INOUT);
            MQMessage g = new MQMessage();
            q.get(g, gmo(SYNC));
            same("keep", str(g), "body");
            put(q, "lost", PSYNC);
            x.cut();
          }
          with(
              IN,
              (m, q) -> {
                MQMessage g = new MQMessage();
                q.get(g, wait(NOSYNC, 10_000));
                same("keep", str(g), "body");
                same(1, g.backoutCount, "backout count");
                reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
              });
        });
    check(
        "cut_reason",
        "core",
        "a call on a broken connection -> 2009",
        () -> {
          try (Proxy x = new Proxy()) {
            MQQueueManager m = qm(x);
            MQQueue q = m.accessQueue(queue, OUT);
            put(q, "x", PNOSYNC);
            x.refuse = true;
            x.cut();
            Thread.sleep(200);
            reason(
                new int[] {CMQC.MQRC_CONNECTION_BROKEN, CMQC.MQRC_HCONN_ERROR},
                "put",
                () -> put(q, "y", PNOSYNC));
          }
        });

    // ---- inquire and set
    check(
        "inq_depth",
        "core",
        "MQINQ current depth",
        () ->
            with(
                INOUT | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  same(0, q.getCurrentDepth(), "depth");
                  for (int i = 0; i < 7; i++) put(q, "x", PNOSYNC);
                  same(7, q.getCurrentDepth(), "depth");
                  get(q, NOSYNC);
                  same(6, q.getCurrentDepth(), "depth");
                }));
    check(
        "inq_queue",
        "core",
        "MQINQ other queue attributes",
        () ->
            with(
                IN | CMQC.MQOO_OUTPUT | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  ensure(q.getMaximumDepth() > 0, "max depth");
                  ensure(q.getMaximumMessageLength() > 0, "max length");
                  same(CMQC.MQQT_LOCAL, q.getQueueType(), "type");
                  ensure(q.getOpenInputCount() >= 1, "open input count");
                  ensure(q.getOpenOutputCount() >= 1, "open output count");
                  int[] sel = {
                    CMQC.MQCA_Q_NAME,
                    CMQC.MQCA_Q_DESC,
                    CMQC.MQIA_DEF_PERSISTENCE,
                    CMQC.MQIA_BACKOUT_THRESHOLD,
                    CMQC.MQIA_INHIBIT_GET,
                    CMQC.MQIA_INHIBIT_PUT
                  };
                  int[] ints = new int[4];
                  byte[] chars = new byte[48 + 64];
                  q.inquire(sel, ints, chars);
                  same(queue, new String(chars, 0, 48, StandardCharsets.UTF_8).trim(), "name");
                  note("def persistence " + ints[0] + ", backout threshold " + ints[1]);
                }));
    check(
        "inq_qmgr",
        "core",
        "MQINQ of the queue manager",
        () -> {
          MQQueueManager m = qm();
          try {
            same(qmgr.isBlank() ? qmgrName(m) : qmgr, qmgrName(m), "name");
            same(9, m.getMaximumPriority(), "max priority");
            ensure(m.getCommandLevel() >= 700, "command level " + m.getCommandLevel());
            ensure(m.getMaximumMessageLength() >= (4 << 20), "max message length");
            note("ccsid " + m.getCharacterSet() + ", level " + m.getCommandLevel());
            same(CMQC.MQSP_AVAILABLE, m.getSyncpointAvailability(), "syncpoint");
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "inq_not_open",
        "core",
        "MQINQ without inquire -> 2038",
        () ->
            with(OUT, (m, q) -> reason(CMQC.MQRC_NOT_OPEN_FOR_INQUIRE, "inq", q::getCurrentDepth)));
    check(
        "set_inhibit",
        "extended",
        "MQSET inhibit put -> 2051, inhibit get -> 2016",
        () ->
            with(
                INOUT | CMQC.MQOO_SET | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  try {
                    q.setInhibitPut(CMQC.MQQA_PUT_INHIBITED);
                    reason(CMQC.MQRC_PUT_INHIBITED, "put", () -> put(q, "x", PNOSYNC));
                    q.setInhibitPut(CMQC.MQQA_PUT_ALLOWED);
                    put(q, "x", PNOSYNC);
                    q.setInhibitGet(CMQC.MQQA_GET_INHIBITED);
                    reason(CMQC.MQRC_GET_INHIBITED, "get", () -> get(q, NOSYNC));
                    q.setInhibitGet(CMQC.MQQA_GET_ALLOWED);
                    same("x", get(q, NOSYNC), "body");
                  } finally {
                    quietly(() -> q.setInhibitPut(CMQC.MQQA_PUT_ALLOWED));
                    quietly(() -> q.setInhibitGet(CMQC.MQQA_GET_ALLOWED));
                  }
                }));

    // ---- properties, conversion, dynamic queues
    check(
        "properties",
        "core",
        "message properties of every type",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  MQMessage p = text("body");
                  p.setStringProperty("colour", "rød");
                  p.setIntProperty("count", 42);
                  p.setLongProperty("big", 1L << 40);
                  p.setBooleanProperty("ok", true);
                  p.setDoubleProperty("ratio", 2.5);
                  p.setBytesProperty("raw", new byte[] {1, 2, 3});
                  q.put(p, pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC | CMQC.MQGMO_PROPERTIES_IN_HANDLE));
                  same("rød", g.getStringProperty("colour"), "colour");
                  same(42, g.getIntProperty("count"), "count");
                  same(1L << 40, g.getLongProperty("big"), "big");
                  same(true, g.getBooleanProperty("ok"), "ok");
                  same(2.5, g.getDoubleProperty("ratio"), "ratio");
                  same(new byte[] {1, 2, 3}, g.getBytesProperty("raw"), "raw");
                  same("body", str(g), "body");
                }));
    check(
        "rfh2_passthrough",
        "core",
        "an MQRFH2 that the application built is delivered unchanged",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  String folder = "<usr><a>1</a></usr>";
                  while (folder.length() % 4 != 0) folder += " ";
                  byte[] f = folder.getBytes(StandardCharsets.UTF_8);
                  java.io.ByteArrayOutputStream bo = new java.io.ByteArrayOutputStream();
                  DataOutputStream d = new DataOutputStream(bo);
                  d.write("RFH ".getBytes());
                  d.writeInt(2);
                  d.writeInt(36 + 4 + f.length);
                  d.writeInt(273);
                  d.writeInt(1208);
                  d.write("MQSTR   ".getBytes());
                  d.writeInt(0);
                  d.writeInt(1208);
                  d.writeInt(f.length);
                  d.write(f);
                  d.write("data".getBytes());
                  MQMessage p = new MQMessage();
                  p.format = CMQC.MQFMT_RF_HEADER_2;
                  p.encoding = 273;
                  p.characterSet = 1208;
                  p.write(bo.toByteArray());
                  q.put(p, pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC | CMQC.MQGMO_PROPERTIES_FORCE_MQRFH2));
                  same(CMQC.MQFMT_RF_HEADER_2.trim(), g.format.trim(), "format");
                  String s = new String(body(g), StandardCharsets.ISO_8859_1);
                  ensure(s.contains("<a") && s.contains("1</a>"), "folder lost: " + s);
                  ensure(s.endsWith("data"), "data lost");
                }));
    check(
        "convert",
        "extended",
        "MQGMO_CONVERT turns UTF-8 into the asked CCSID",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  put(q, "blåbær", PNOSYNC);
                  MQMessage g = new MQMessage();
                  g.characterSet = 819;
                  q.get(g, gmo(NOSYNC | CMQC.MQGMO_CONVERT));
                  same(819, g.characterSet, "ccsid");
                  same("blåbær", new String(body(g), StandardCharsets.ISO_8859_1), "body");
                }));
    check(
        "dynamic_queue",
        "core",
        "opening a model queue makes a temporary queue",
        () -> {
          MQQueueManager m = qm();
          try {
            MQQueue q =
                m.accessQueue(
                    "SYSTEM.DEFAULT.MODEL.QUEUE",
                    CMQC.MQOO_INPUT_EXCLUSIVE | CMQC.MQOO_OUTPUT,
                    "",
                    "CONF.DYN.*",
                    "");
            String n = q.getName().trim();
            note(n);
            ensure(n.startsWith("CONF.DYN."), "name " + n);
            put(q, "x", PNOSYNC);
            same("x", get(q, NOSYNC), "body");
            q.close();
            reason(CMQC.MQRC_UNKNOWN_OBJECT_NAME, "open after close", () -> m.accessQueue(n, OUT));
          } finally {
            quietly(m::disconnect);
          }
        });

    // ---- connections
    check(
        "two_connections",
        "core",
        "a producer and a consumer on their own connections",
        () -> {
          int n = 1000;
          ExecutorService x = Executors.newFixedThreadPool(2);
          Future<?> p =
              x.submit(
                  () -> {
                    with(
                        OUT,
                        (m, q) -> {
                          for (int i = 0; i < n; i++) put(q, "m" + i, PNOSYNC);
                        });
                    return 0;
                  });
          Future<?> c =
              x.submit(
                  () -> {
                    with(
                        IN,
                        (m, q) -> {
                          for (int i = 0; i < n; i++) {
                            MQMessage g = new MQMessage();
                            q.get(g, wait(NOSYNC, 20_000));
                            same("m" + i, str(g), "message");
                          }
                        });
                    return 0;
                  });
          p.get();
          c.get();
          x.shutdown();
        });
    check(
        "share_conversations",
        "core",
        "conversations share a socket (channel SHARECNV above 1, the default is 10)",
        () -> {
          try (Proxy x = new Proxy()) {
            MQConnectionFactory f = cf(new MQConnectionFactory(), "127.0.0.1", x.port());
            Connection c = f.createConnection();
            c.start();
            List<Session> ss = new ArrayList<>();
            for (int i = 0; i < 8; i++) ss.add(c.createSession(false, Session.AUTO_ACKNOWLEDGE));
            int i = 0;
            for (Session s : ss) {
              MessageProducer p = s.createProducer(s.createQueue("queue:///" + queue));
              p.send(s.createTextMessage("s" + i++));
            }
            for (i = 0; i < 8; i++)
              ensure(
                  ss.get(i).createConsumer(ss.get(i).createQueue("queue:///" + queue)).receive(5000)
                      != null,
                  "session " + i + " got nothing");
            int socks = x.accepted.get();
            c.close();
            note(socks + " sockets for 9 conversations");
            ensure(socks < 9, "9 conversations took " + socks + " sockets");
          }
        });
    check(
        "share_parallel_waits",
        "core",
        "one conversation's wait does not block another's calls on the same socket",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  Session s2 = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                  ExecutorService x = Executors.newSingleThreadExecutor();
                  MessageConsumer cons = s.createConsumer(q);
                  Future<javax.jms.Message> f = x.submit(() -> cons.receive(15_000));
                  Thread.sleep(500);
                  long t = System.nanoTime();
                  s2.createProducer(q).send(s2.createTextMessage("go"));
                  ensure(f.get(10, TimeUnit.SECONDS) != null, "no message");
                  long ms = (System.nanoTime() - t) / 1_000_000;
                  x.shutdown();
                  note(ms + " ms");
                  ensure(ms < 3000, "took " + ms + " ms");
                }));
    check(
        "heartbeat",
        "core",
        "an idle wait outlives many heartbeats (CCDT heartbeat of 1 s)",
        () -> {
          Path ccdt = Files.createTempFile("ccdt", ".json");
          Files.writeString(
              ccdt,
              """
{"channel":[{"name":"%s","type":"clientConnection","clientConnection":{"connection":[{"host":"%s","port":%d}],"queueManager":"%s"},"connectionManagement":{"heartbeatInterval":1,"sharingConversations":10}%s}]}
"""
                  .formatted(channel, host, port, qmgr, ccdtSecurity()));
          Hashtable<String, Object> t = props(host, port, channel);
          t.remove(CMQC.HOST_NAME_PROPERTY);
          t.remove(CMQC.PORT_PROPERTY);
          t.remove(CMQC.CHANNEL_PROPERTY);
          MQQueueManager m = new MQQueueManager(qmgr, t, ccdt.toUri().toURL());
          try {
            MQQueue q = m.accessQueue(queue, INOUT);
            Thread.sleep(4000);
            put(q, "idle", PNOSYNC);
            same("idle", get(q, NOSYNC), "body");
            reason(
                CMQC.MQRC_NO_MSG_AVAILABLE,
                "get",
                () -> q.get(new MQMessage(), wait(NOSYNC, 5000)));
            put(q, "x", PNOSYNC);
          } finally {
            quietly(m::disconnect);
            Files.delete(ccdt);
          }
        });
    check(
        "bulk_persistent",
        "core",
        "many persistent messages, units of work of 100",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  long t0 = System.nanoTime();
                  for (int i = 0; i < bulk; i++) {
                    MQMessage p = text("{\"n\":" + i + ",\"pad\":\"" + "x".repeat(200) + "\"}");
                    p.persistence = CMQC.MQPER_PERSISTENT;
                    q.put(p, pmo(PSYNC));
                    if (i % 100 == 99) m.commit();
                  }
                  m.commit();
                  long t1 = System.nanoTime();
                  for (int i = 0; i < bulk; i++) {
                    MQMessage g = new MQMessage();
                    q.get(g, gmo(SYNC));
                    String s = str(g);
                    ensure(
                        s.startsWith("{\"n\":" + i + ","),
                        "message " + i + " is " + s.substring(0, 20));
                    if (i % 100 == 99) m.commit();
                  }
                  m.commit();
                  long t2 = System.nanoTime();
                  note(
                      String.format(
                          Locale.ROOT,
                          "put %.0f/s get %.0f/s",
                          bulk / ((t1 - t0) / 1e9),
                          bulk / ((t2 - t1) / 1e9)));
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    check(
        "async_put",
        "extended",
        "asynchronous puts and their status",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int i = 0; i < 50; i++) put(q, "a" + i, PNOSYNC | CMQC.MQPMO_ASYNC_RESPONSE);
                  MQAsyncStatus st = m.getAsyncStatus();
                  same(50, st.putSuccessCount, "success count");
                  same(0, st.putFailureCount, "failures");
                  for (int i = 0; i < 50; i++) same("a" + i, get(q, NOSYNC), "body");
                }));
    check(
        "read_ahead",
        "extended",
        "non-persistent read ahead",
        () -> {
          with(
              OUT,
              (m, q) -> {
                for (int i = 0; i < 50; i++) {
                  MQMessage p = text("r" + i);
                  p.persistence = CMQC.MQPER_NOT_PERSISTENT;
                  q.put(p, pmo(PNOSYNC));
                }
              });
          with(
              IN | CMQC.MQOO_READ_AHEAD,
              (m, q) -> {
                for (int i = 0; i < 50; i++) same("r" + i, get(q, NOSYNC), "body");
                reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
              });
        });
    check(
        "restart_durable",
        "core",
        "persistent messages survive a restart, in order (skipped unless --restart-cmd is given)",
        () -> {
          if (restartCmd == null) throw new Skip("no --restart-cmd");
          with(
              OUT,
              (m, q) -> {
                for (int i = 0; i < 100; i++) {
                  MQMessage p = text("d" + i);
                  p.persistence = i == 50 ? CMQC.MQPER_NOT_PERSISTENT : CMQC.MQPER_PERSISTENT;
                  q.put(p, pmo(PSYNC));
                }
                m.commit();
              });
          MQQueueManager open = qm();
          MQQueue oq = open.accessQueue(queue, OUT);
          MQMessage u = text("uncommitted");
          u.persistence = CMQC.MQPER_PERSISTENT;
          oq.put(u, pmo(PSYNC));
          Process pr = new ProcessBuilder("/bin/sh", "-c", restartCmd).inheritIO().start();
          same(0, pr.waitFor(), "restart command's exit");
          quietly(open::disconnect);
          eventually(
              30_000,
              "server is back",
              () -> {
                try {
                  qm().disconnect();
                  return true;
                } catch (MQException e) {
                  return false;
                }
              });
          with(
              IN,
              (m, q) -> {
                for (int i = 0; i < 100; i++) if (i != 50) same("d" + i, get(q, NOSYNC), "message");
                reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
              });
        });

    // ---- JMS
    check(
        "jms_connect",
        "core",
        "JMS connection and metadata",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  ensure(c.getMetaData().getJMSMajorVersion() >= 2, "JMS version");
                  note(c.getMetaData().getProviderVersion());
                }));
    check(
        "jms_bad_queue",
        "core",
        "unknown queue -> InvalidDestinationException with 2085",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  try {
                    s.createConsumer(s.createQueue("queue:///NO.SUCH.QUEUE.X"));
                    throw new AssertionError("opened");
                  } catch (InvalidDestinationException e) {
                    note(e.getErrorCode());
                    ensure(
                        e.getLinkedException() instanceof MQException x && x.reasonCode == 2085,
                        "reason " + e.getLinkedException());
                  }
                }));
    check(
        "jms_text",
        "core",
        "text message with headers and properties",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  TextMessage t = s.createTextMessage("grüße");
                  t.setStringProperty("name", "värde");
                  t.setIntProperty("i", 7);
                  t.setLongProperty("l", 1L << 41);
                  t.setBooleanProperty("b", true);
                  t.setDoubleProperty("d", 0.5);
                  t.setFloatProperty("f", 1.5f);
                  t.setShortProperty("s", (short) 3);
                  t.setByteProperty("y", (byte) 9);
                  t.setJMSCorrelationID("corr-1");
                  t.setJMSType("kind");
                  t.setJMSReplyTo(q);
                  MessageProducer p = s.createProducer(q);
                  p.setDeliveryMode(DeliveryMode.PERSISTENT);
                  p.setPriority(6);
                  p.send(t);
                  MessageConsumer k = s.createConsumer(q);
                  TextMessage r = (TextMessage) k.receive(5000);
                  ensure(r != null, "nothing received");
                  same("grüße", r.getText(), "text");
                  same("värde", r.getStringProperty("name"), "name");
                  same(7, r.getIntProperty("i"), "i");
                  same(1L << 41, r.getLongProperty("l"), "l");
                  same(true, r.getBooleanProperty("b"), "b");
                  same(0.5, r.getDoubleProperty("d"), "d");
                  same(1.5f, r.getFloatProperty("f"), "f");
                  same("corr-1", r.getJMSCorrelationID(), "correlation id");
                  same("kind", r.getJMSType(), "type");
                  same(6, r.getJMSPriority(), "priority");
                  same(DeliveryMode.PERSISTENT, r.getJMSDeliveryMode(), "delivery mode");
                  same(t.getJMSMessageID(), r.getJMSMessageID(), "message id");
                  ensure(r.getJMSReplyTo() != null, "reply to");
                  same(false, r.getJMSRedelivered(), "redelivered");
                  same(1, r.getIntProperty("JMSXDeliveryCount"), "delivery count");
                  ensure(
                      Math.abs(System.currentTimeMillis() - r.getJMSTimestamp()) < 120_000,
                      "timestamp");
                }));
    check(
        "jms_kinds",
        "core",
        "bytes, map, stream and object messages",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  MessageConsumer k = s.createConsumer(q);
                  byte[] b = new byte[70_000];
                  new Random(1).nextBytes(b);
                  BytesMessage bm = s.createBytesMessage();
                  bm.writeBytes(b);
                  p.send(bm);
                  BytesMessage br = (BytesMessage) k.receive(5000);
                  byte[] rb = new byte[(int) br.getBodyLength()];
                  br.readBytes(rb);
                  ensure(Arrays.equals(b, rb), "bytes");
                  MapMessage mm = s.createMapMessage();
                  mm.setString("k", "v");
                  mm.setInt("n", 5);
                  p.send(mm);
                  MapMessage mr = (MapMessage) k.receive(5000);
                  same("v", mr.getString("k"), "map");
                  same(5, mr.getInt("n"), "map");
                  StreamMessage sm = s.createStreamMessage();
                  sm.writeString("a");
                  sm.writeInt(3);
                  p.send(sm);
                  StreamMessage sr = (StreamMessage) k.receive(5000);
                  same("a", sr.readString(), "stream");
                  same(3, sr.readInt(), "stream");
                  p.send(s.createMessage());
                  ensure(k.receive(5000) != null, "empty message");
                }));
    check(
        "jms_receive_nowait",
        "core",
        "receiveNoWait and receive(timeout) on an empty queue",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageConsumer k = s.createConsumer(q);
                  same(null, k.receiveNoWait(), "receiveNoWait");
                  long t = System.nanoTime();
                  same(null, k.receive(1000), "receive");
                  long ms = (System.nanoTime() - t) / 1_000_000;
                  ensure(ms >= 900 && ms < 4000, "waited " + ms);
                }));
    check(
        "jms_transacted",
        "core",
        "transacted session: commit, rollback, redelivery",
        () ->
            jms(
                true,
                Session.SESSION_TRANSACTED,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  MessageConsumer k = s.createConsumer(q);
                  p.send(s.createTextMessage("a"));
                  s.rollback();
                  same(null, k.receive(300), "rolled back send");
                  p.send(s.createTextMessage("b"));
                  s.commit();
                  TextMessage r = (TextMessage) k.receive(5000);
                  same("b", r.getText(), "text");
                  same(false, r.getJMSRedelivered(), "redelivered");
                  s.rollback();
                  r = (TextMessage) k.receive(5000);
                  same("b", r.getText(), "text again");
                  same(true, r.getJMSRedelivered(), "redelivered");
                  same(2, r.getIntProperty("JMSXDeliveryCount"), "delivery count");
                  s.commit();
                  same(null, k.receive(300), "after commit");
                }));
    check(
        "jms_client_ack",
        "core",
        "client acknowledge and recover",
        () ->
            jms(
                false,
                Session.CLIENT_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  for (int i = 0; i < 3; i++) p.send(s.createTextMessage("m" + i));
                  MessageConsumer k = s.createConsumer(q);
                  for (int i = 0; i < 3; i++)
                    same("m" + i, ((TextMessage) k.receive(5000)).getText(), "text");
                  s.recover();
                  javax.jms.Message last = null;
                  for (int i = 0; i < 3; i++) {
                    last = k.receive(5000);
                    same("m" + i, ((TextMessage) last).getText(), "text again");
                  }
                  last.acknowledge();
                  same(null, k.receive(300), "after ack");
                }));
    check(
        "jms_listener",
        "core",
        "asynchronous consumer",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  c.stop();
                  List<String> got = Collections.synchronizedList(new ArrayList<>());
                  MessageConsumer k = s.createConsumer(q);
                  k.setMessageListener(
                      x -> {
                        try {
                          got.add(((TextMessage) x).getText());
                        } catch (JMSException e) {
                          got.add("!" + e);
                        }
                      });
                  c.start();
                  Session s2 = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                  MessageProducer p = s2.createProducer(q);
                  for (int i = 0; i < 100; i++) p.send(s2.createTextMessage("m" + i));
                  eventually(15_000, "100 messages, has " + got.size(), () -> got.size() >= 100);
                  for (int i = 0; i < 100; i++) same("m" + i, got.get(i), "order");
                  c.stop();
                  p.send(s2.createTextMessage("later"));
                  Thread.sleep(500);
                  same(100, got.size(), "while stopped");
                  c.start();
                  eventually(5000, "after start", () -> got.size() == 101);
                }));
    check(
        "jms_listener_transacted",
        "core",
        "transacted asynchronous consumer with a rollback",
        () -> {
          with(
              OUT,
              (m, q) -> {
                for (int i = 0; i < 20; i++) put(q, "m" + i, PNOSYNC);
              });
          jms(
              true,
              Session.SESSION_TRANSACTED,
              (c, s, q) -> {
                c.stop();
                List<String> got = Collections.synchronizedList(new ArrayList<>());
                AtomicBoolean once = new AtomicBoolean();
                MessageConsumer k = s.createConsumer(q);
                k.setMessageListener(
                    x -> {
                      try {
                        if (((TextMessage) x).getText().equals("m5")
                            && once.compareAndSet(false, true)) {
                          s.rollback();
                          return;
                        }
                        got.add(((TextMessage) x).getText());
                        s.commit();
                      } catch (JMSException e) {
                        got.add("!" + e);
                      }
                    });
                c.start();
                eventually(15_000, "20 messages", () -> got.size() >= 20);
                same(20, got.size(), "count");
                for (int i = 0; i < 20; i++) same("m" + i, got.get(i), "order");
              });
        });
    check(
        "jms_selector",
        "core",
        "message selector",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  for (int i = 0; i < 6; i++) {
                    TextMessage t = s.createTextMessage("m" + i);
                    t.setIntProperty("n", i);
                    t.setStringProperty("colour", i % 2 == 0 ? "red" : "blue");
                    p.send(t);
                  }
                  MessageConsumer k = s.createConsumer(q, "colour = 'red' AND n > 0");
                  same("m2", ((TextMessage) k.receive(5000)).getText(), "first");
                  same("m4", ((TextMessage) k.receive(5000)).getText(), "second");
                  same(null, k.receive(300), "third");
                  k.close();
                  same("m0", ((TextMessage) s.createConsumer(q).receive(5000)).getText(), "left");
                }));
    check(
        "jms_selector_id",
        "core",
        "selector on JMSCorrelationID and JMSMessageID",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  TextMessage a = s.createTextMessage("a");
                  a.setJMSCorrelationID("ID:" + "41".repeat(24));
                  p.send(a);
                  TextMessage b = s.createTextMessage("b");
                  p.send(b);
                  MessageConsumer k =
                      s.createConsumer(q, "JMSMessageID='" + b.getJMSMessageID() + "'");
                  same("b", ((TextMessage) k.receive(5000)).getText(), "by message id");
                  k.close();
                  k = s.createConsumer(q, "JMSCorrelationID='ID:" + "41".repeat(24) + "'");
                  same("a", ((TextMessage) k.receive(5000)).getText(), "by correlation id");
                }));
    check(
        "jms_browser",
        "core",
        "queue browser",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  for (int i = 0; i < 5; i++) p.send(s.createTextMessage("m" + i));
                  QueueBrowser b = s.createBrowser(q);
                  for (int round = 0; round < 2; round++) {
                    int n = 0;
                    for (Enumeration<?> e = b.getEnumeration(); e.hasMoreElements(); n++)
                      same("m" + n, ((TextMessage) e.nextElement()).getText(), "browse");
                    same(5, n, "browsed");
                  }
                  b.close();
                  MessageConsumer k = s.createConsumer(q);
                  for (int i = 0; i < 5; i++) ensure(k.receive(5000) != null, "still there");
                }));
    check(
        "jms_temp_queue",
        "core",
        "request and reply over a temporary queue",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  TemporaryQueue t = s.createTemporaryQueue();
                  TextMessage r = s.createTextMessage("ask");
                  r.setJMSReplyTo(t);
                  s.createProducer(q).send(r);
                  Session s2 = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                  TextMessage in = (TextMessage) s2.createConsumer(q).receive(5000);
                  TextMessage out = s2.createTextMessage("answer");
                  out.setJMSCorrelationID(in.getJMSMessageID());
                  s2.createProducer(in.getJMSReplyTo()).send(out);
                  MessageConsumer k = s.createConsumer(t);
                  TextMessage got = (TextMessage) k.receive(5000);
                  same("answer", got.getText(), "reply");
                  same(r.getJMSMessageID(), got.getJMSCorrelationID(), "correlation");
                  k.close();
                  t.delete();
                }));
    check(
        "jms_from_mq",
        "core",
        "a plain MQSTR message arrives as TextMessage, a plain body as BytesMessage",
        () -> {
          with(
              OUT,
              (m, q) -> {
                put(q, "plain", PNOSYNC);
                q.put(bytes(new byte[] {5, 6}), pmo(PNOSYNC));
              });
          jms(
              false,
              Session.AUTO_ACKNOWLEDGE,
              (c, s, q) -> {
                MessageConsumer k = s.createConsumer(q);
                same("plain", ((TextMessage) k.receive(5000)).getText(), "text");
                BytesMessage b = (BytesMessage) k.receive(5000);
                same(2L, b.getBodyLength(), "bytes");
              });
        });
    check(
        "jms_to_mq",
        "core",
        "targetClient=1 sends no RFH2",
        () -> {
          jms(
              false,
              Session.AUTO_ACKNOWLEDGE,
              (c, s, q) ->
                  s.createProducer(s.createQueue("queue:///" + queue + "?targetClient=1"))
                      .send(s.createTextMessage("raw")));
          with(
              IN,
              (m, q) -> {
                MQMessage g = new MQMessage();
                q.get(g, gmo(NOSYNC | CMQC.MQGMO_PROPERTIES_FORCE_MQRFH2));
                same("MQSTR", g.format.trim(), "format");
                same("raw", g.readStringOfByteLength(g.getDataLength()), "body");
              });
        });
    check(
        "jms_context",
        "core",
        "JMS 2.0 simplified API, as the Kafka connector uses it",
        () -> {
          try (JMSContext x = cf().createContext(JMSContext.SESSION_TRANSACTED)) {
            javax.jms.Queue q = x.createQueue("queue:///" + queue);
            x.createProducer().send(q, "one");
            x.commit();
            JMSConsumer k = x.createConsumer(q);
            same("one", k.receiveBody(String.class, 5000), "body");
            x.rollback();
            same("one", ((TextMessage) k.receive(5000)).getText(), "again");
            x.commit();
            same(null, k.receiveNoWait(), "empty");
          }
        });
    check(
        "jms_exactly_once_pattern",
        "core",
        "source queue and state queue in one unit of work, browse of the state queue",
        () -> {
          if (queue2 == null) throw new Skip("no --queue2");
          drain(queue2);
          try (JMSContext x = cf().createContext(JMSContext.SESSION_TRANSACTED)) {
            javax.jms.Queue q = x.createQueue("queue:///" + queue),
                st = x.createQueue("queue:///" + queue2);
            for (int i = 0; i < 5; i++) x.createProducer().send(q, "m" + i);
            x.commit();
            JMSConsumer k = x.createConsumer(q);
            for (int i = 0; i < 5; i++) ensure(k.receive(5000) != null, "message");
            x.createProducer().send(st, "{\"sequenceId\":1}");
            x.commit();
            int n = 0;
            try (QueueBrowser b = x.createBrowser(st)) {
              for (Enumeration<?> e = b.getEnumeration(); e.hasMoreElements(); n++)
                same("{\"sequenceId\":1}", ((TextMessage) e.nextElement()).getText(), "state");
            }
            same(1, n, "state messages");
            JMSConsumer ks = x.createConsumer(st);
            ensure(ks.receiveNoWait() != null, "state message");
            x.rollback();
            ensure(ks.receive(2000) != null, "state message again");
            x.commit();
          }
          drain(queue2);
        });
    check(
        "jms_cut_exception",
        "core",
        "a cut connection is reported to the exception listener",
        () -> {
          try (Proxy x = new Proxy()) {
            Connection c = cf(new MQConnectionFactory(), "127.0.0.1", x.port()).createConnection();
            CountDownLatch l = new CountDownLatch(1);
            c.setExceptionListener(e -> l.countDown());
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            s.createConsumer(s.createQueue("queue:///" + queue)).setMessageListener(mm -> {});
            c.start();
            Thread.sleep(300);
            x.refuse = true;
            x.cut();
            ensure(l.await(20, TimeUnit.SECONDS), "no exception reported");
            quietly(c::close);
          }
        });
    check(
        "jms_reconnect",
        "core",
        "automatic client reconnection after a cut",
        () -> {
          try (Proxy x = new Proxy()) {
            MQConnectionFactory f = cf(new MQConnectionFactory(), "127.0.0.1", x.port());
            f.setIntProperty(
                WMQConstants.WMQ_CLIENT_RECONNECT_OPTIONS, WMQConstants.WMQ_CLIENT_RECONNECT);
            f.setIntProperty(WMQConstants.WMQ_CLIENT_RECONNECT_TIMEOUT, 60);
            Connection c = f.createConnection();
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            javax.jms.Queue q = s.createQueue("queue:///" + queue);
            c.start();
            MessageProducer p = s.createProducer(q);
            p.send(s.createTextMessage("one"));
            x.cut();
            for (int i = 0; ; i++) {
              try {
                p.send(s.createTextMessage("two"));
                break;
              } catch (JMSException e) {
                  /* 2549: the outcome of a put that was cut is unknown, the caller may send again */
                if (i > 3
                    || !(e.getLinkedException() instanceof MQException y
                        && y.reasonCode == CMQC.MQRC_CALL_INTERRUPTED)) throw e;
                note("2549 reported");
              }
            }
            MessageConsumer k = s.createConsumer(q);
            same("one", ((TextMessage) k.receive(10_000)).getText(), "first");
            same("two", ((TextMessage) k.receive(10_000)).getText(), "second");
            note(x.accepted.get() + " sockets");
            c.close();
          }
        });
    check(
        "jms_bulk",
        "core",
        "persistent messages in transacted batches of 250",
        () ->
            jms(
                true,
                Session.SESSION_TRANSACTED,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  int n = bulk / 2;
                  long t0 = System.nanoTime();
                  for (int i = 0; i < n; i++) {
                    p.send(s.createTextMessage("{\"n\":" + i + "}"));
                    if (i % 250 == 249) s.commit();
                  }
                  s.commit();
                  long t1 = System.nanoTime();
                  MessageConsumer k = s.createConsumer(q);
                  for (int i = 0; i < n; i++) {
                    same("{\"n\":" + i + "}", ((TextMessage) k.receive(5000)).getText(), "message");
                    if (i % 250 == 249) s.commit();
                  }
                  s.commit();
                  long t2 = System.nanoTime();
                  note(
                      String.format(
                          Locale.ROOT,
                          "send %.0f/s receive %.0f/s",
                          n / ((t1 - t0) / 1e9),
                          n / ((t2 - t1) / 1e9)));
                }));
    check(
        "jms_many_consumers",
        "core",
        "four consumers share a queue, every message exactly once",
        () -> {
          int n = 400;
          with(
              OUT,
              (m, q) -> {
                for (int i = 0; i < n; i++) put(q, "m" + i, PNOSYNC);
              });
          Set<String> got = ConcurrentHashMap.newKeySet();
          AtomicInteger total = new AtomicInteger();
          ExecutorService x = Executors.newFixedThreadPool(4);
          List<Future<?>> fs = new ArrayList<>();
          for (int i = 0; i < 4; i++)
            fs.add(
                x.submit(
                    () -> {
                      jms(
                          true,
                          Session.SESSION_TRANSACTED,
                          (c, s, q) -> {
                            MessageConsumer k = s.createConsumer(q);
                            javax.jms.Message r;
                            while ((r = k.receive(1500)) != null) {
                              got.add(((TextMessage) r).getText());
                              total.incrementAndGet();
                              s.commit();
                            }
                          });
                      return 0;
                    }));
          for (Future<?> f : fs) f.get();
          x.shutdown();
          same(n, total.get(), "deliveries");
          same(n, got.size(), "distinct");
        });

    // ---- XA
    check(
        "xa_commit",
        "extended",
        "XA: prepare and commit",
        () ->
            xa(
                (x, s, r, q) -> {
                  Xid id = xid(1);
                  r.start(id, XAResource.TMNOFLAGS);
                  s.createProducer(q).send(s.createTextMessage("xa"));
                  r.end(id, XAResource.TMSUCCESS);
                  same(XAResource.XA_OK, r.prepare(id), "prepare");
                  with(
                      IN,
                      (m, qq) ->
                          reason(
                              CMQC.MQRC_NO_MSG_AVAILABLE,
                              "get before commit",
                              () -> get(qq, NOSYNC)));
                  r.commit(id, false);
                  jms(
                      false,
                      Session.AUTO_ACKNOWLEDGE,
                      (c, s2, q2) ->
                          ensure(
                              s2.createConsumer(q2).receive(3000) != null,
                              "no message after commit"));
                }));
    check(
        "xa_rollback",
        "extended",
        "XA: rollback",
        () ->
            xa(
                (x, s, r, q) -> {
                  Xid id = xid(2);
                  r.start(id, XAResource.TMNOFLAGS);
                  s.createProducer(q).send(s.createTextMessage("xa"));
                  r.end(id, XAResource.TMSUCCESS);
                  r.prepare(id);
                  r.rollback(id);
                  with(
                      IN,
                      (m, qq) -> reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(qq, NOSYNC)));
                }));
    check(
        "xa_recover",
        "extended",
        "XA: a prepared transaction survives its connection and is recovered",
        () -> {
          Xid id = xid((int) System.nanoTime());
          xa(
              (x, s, r, q) -> {
                r.start(id, XAResource.TMNOFLAGS);
                s.createProducer(q).send(s.createTextMessage("xa"));
                r.end(id, XAResource.TMSUCCESS);
                r.prepare(id);
              });
          xa(
              (x, s, r, q) -> {
                boolean found = false;
                for (Xid y : r.recover(XAResource.TMSTARTRSCAN | XAResource.TMENDRSCAN))
                  if (Arrays.equals(y.getGlobalTransactionId(), id.getGlobalTransactionId())) {
                    found = true;
                    r.commit(y, false);
                  }
                ensure(found, "not in recover list");
              });
          jms(
              false,
              Session.AUTO_ACKNOWLEDGE,
              (c, s2, q2) -> ensure(s2.createConsumer(q2).receive(3000) != null, "no message"));
        });

    // ---- optional
    check(
        "jms_topic",
        "core",
        "publish and subscribe",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  Topic t = s.createTopic("topic://conformance/a");
                  MessageConsumer k = s.createConsumer(t);
                  s.createProducer(t).send(s.createTextMessage("pub"));
                  ensure(k.receive(5000) != null, "nothing");
                }));
    check(
        "jms_delivery_delay",
        "optional",
        "JMS 2.0 delivery delay (only with --all)",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  MessageProducer p = s.createProducer(q);
                  p.setDeliveryDelay(1500);
                  p.send(s.createTextMessage("d"));
                  MessageConsumer k = s.createConsumer(q);
                  same(null, k.receive(500), "too early");
                  ensure(k.receive(10_000) != null, "never");
                }));

    // ---- administration
    check(
        "pcf_ping",
        "admin",
        "MQCMD_PING_Q_MGR and MQCMD_INQUIRE_Q_MGR through PCFMessageAgent",
        () ->
            pcf(
                (agent, m) -> {
                  same(qmgr, agent.getQManagerName().trim(), "queue manager of the agent");
                  same(1, ask(agent, CMQCFC.MQCMD_PING_Q_MGR).length, "responses");
                  PCFMessage[] r = ask(agent, CMQCFC.MQCMD_INQUIRE_Q_MGR);
                  same(1, r.length, "responses");
                  same(qmgr, text(r[0], CMQC.MQCA_Q_MGR_NAME), "name");
                  ensure(r[0].getIntParameterValue(CMQC.MQIA_COMMAND_LEVEL) >= 800, "level");
                  same(
                      "SYSTEM.ADMIN.COMMAND.QUEUE",
                      text(r[0], CMQC.MQCA_COMMAND_INPUT_Q_NAME),
                      "command queue");
                }));
    check(
        "pcf_inquire_q",
        "admin",
        "MQCMD_INQUIRE_Q: by name, generic, by type, and some attributes only",
        () ->
            pcf(
                (agent, m) -> {
                  PCFMessage[] r =
                      ask(
                          agent,
                          CMQCFC.MQCMD_INQUIRE_Q,
                          CMQC.MQCA_Q_NAME,
                          queue,
                          CMQC.MQIA_Q_TYPE,
                          CMQC.MQQT_LOCAL,
                          CMQCFC.MQIACF_Q_ATTRS,
                          new int[] {CMQCFC.MQIACF_ALL});
                  same(1, r.length, "responses");
                  same(queue, text(r[0], CMQC.MQCA_Q_NAME), "name");
                  same(CMQC.MQQT_LOCAL, r[0].getIntParameterValue(CMQC.MQIA_Q_TYPE), "type");
                  MQQueue q = m.accessQueue(queue, CMQC.MQOO_INQUIRE);
                  int depth = q.getMaximumDepth(), length = q.getMaximumMessageLength();
                  q.close();
                  same(depth, r[0].getIntParameterValue(CMQC.MQIA_MAX_Q_DEPTH), "MAXDEPTH");
                  same(length, r[0].getIntParameterValue(CMQC.MQIA_MAX_MSG_LENGTH), "MAXMSGL");
                  r = ask(agent, CMQCFC.MQCMD_INQUIRE_Q, CMQC.MQCA_Q_NAME, "*");
                  ensure(r.length >= 4, r.length + " queues");
                  Set<String> names = new TreeSet<>();
                  for (PCFMessage x : r) names.add(text(x, CMQC.MQCA_Q_NAME));
                  same(r.length, names.size(), "different names");
                  ensure(names.contains(queue) && names.contains(queue2), names + "");
                  note(r.length + " queues");
                  r =
                      ask(
                          agent,
                          CMQCFC.MQCMD_INQUIRE_Q,
                          CMQC.MQCA_Q_NAME,
                          "SYSTEM.*",
                          CMQC.MQIA_Q_TYPE,
                          CMQC.MQQT_MODEL,
                          CMQCFC.MQIACF_Q_ATTRS,
                          new int[] {CMQC.MQCA_Q_NAME, CMQC.MQIA_DEFINITION_TYPE});
                  for (PCFMessage x : r) {
                    same(CMQC.MQQT_MODEL, x.getIntParameterValue(CMQC.MQIA_Q_TYPE), "type");
                    same(null, x.getParameter(CMQC.MQIA_MAX_Q_DEPTH), "not asked for");
                  }
                }));
    check(
        "pcf_inquire_q_names",
        "admin",
        "MQCMD_INQUIRE_Q_NAMES: generic names; none that fit are an empty list",
        () ->
            pcf(
                (agent, m) -> {
                  PCFMessage[] r =
                      ask(
                          agent,
                          CMQCFC.MQCMD_INQUIRE_Q_NAMES,
                          CMQC.MQCA_Q_NAME,
                          "*",
                          CMQC.MQIA_Q_TYPE,
                          CMQC.MQQT_ALL);
                  same(1, r.length, "responses");
                  List<String> names = new ArrayList<>();
                  for (String n : r[0].getStringListParameterValue(CMQCFC.MQCACF_Q_NAMES))
                    names.add(n.trim());
                  ensure(names.contains(queue) && names.contains(queue2), names + "");
                  ensure(names.contains("SYSTEM.ADMIN.COMMAND.QUEUE"), names + "");
                  ensure(
                      names.contains(agent.getReplyQueueName().trim()), "the agent's own: " + names);
                  note(names.size() + " names");
                  r =
                      ask(
                          agent,
                          CMQCFC.MQCMD_INQUIRE_Q_NAMES,
                          CMQC.MQCA_Q_NAME,
                          "NO.SUCH.*",
                          CMQC.MQIA_Q_TYPE,
                          CMQC.MQQT_LOCAL);
                  same(
                      0,
                      r[0].getStringListParameterValue(CMQCFC.MQCACF_Q_NAMES).length,
                      "names that fit none");
                }));
    check(
        "pcf_status",
        "admin",
        "MQCMD_INQUIRE_Q_STATUS, MQCMD_RESET_Q_STATS and MQCMD_INQUIRE_CHANNEL_STATUS",
        () ->
            pcf(
                (agent, m) -> {
                  Object[] reset = {CMQC.MQCA_Q_NAME, queue};
                  ask(agent, CMQCFC.MQCMD_RESET_Q_STATS, reset);
                  MQQueue q = m.accessQueue(queue, INOUT);
                  put(q, "committed", PNOSYNC);
                  put(q, "second", PNOSYNC);
                  same("committed", get(q, NOSYNC), "got");
                  put(q, "uncommitted", PSYNC);
                  PCFMessage[] r =
                      ask(agent, CMQCFC.MQCMD_INQUIRE_Q_STATUS, CMQC.MQCA_Q_NAME, queue);
                  same(1, r.length, "responses");
                  same(1, r[0].getIntParameterValue(CMQC.MQIA_OPEN_INPUT_COUNT), "IPPROCS");
                  same(1, r[0].getIntParameterValue(CMQC.MQIA_OPEN_OUTPUT_COUNT), "OPPROCS");
                  same(1, r[0].getIntParameterValue(CMQCFC.MQIACF_UNCOMMITTED_MSGS), "UNCOM");
                  int age = r[0].getIntParameterValue(CMQCFC.MQIACF_OLDEST_MSG_AGE);
                  ensure(age >= 0 && age < 60, "MSGAGE " + age);
                  String date = text(r[0], CMQCFC.MQCACF_LAST_PUT_DATE);
                  ensure(date.matches("\\d{4}-\\d\\d-\\d\\d"), "LPUTDATE " + date);
                  String time = text(r[0], CMQCFC.MQCACF_LAST_GET_TIME);
                  ensure(time.matches("\\d\\d\\.\\d\\d\\.\\d\\d"), "LGETTIME " + time);
                  m.backout();
                  r = ask(agent, CMQCFC.MQCMD_INQUIRE_Q_STATUS, CMQC.MQCA_Q_NAME, queue);
                  same(1, r[0].getIntParameterValue(CMQC.MQIA_CURRENT_Q_DEPTH), "CURDEPTH");
                  same(0, r[0].getIntParameterValue(CMQCFC.MQIACF_UNCOMMITTED_MSGS), "UNCOM");
                  q.close();
                  r = ask(agent, CMQCFC.MQCMD_RESET_Q_STATS, reset);
                  same(2, r[0].getIntParameterValue(CMQC.MQIA_MSG_ENQ_COUNT), "puts");
                  same(1, r[0].getIntParameterValue(CMQC.MQIA_MSG_DEQ_COUNT), "gets");
                  same(2, r[0].getIntParameterValue(CMQC.MQIA_HIGH_Q_DEPTH), "high depth");
                  r =
                      ask(
                          agent,
                          CMQCFC.MQCMD_INQUIRE_CHANNEL_STATUS,
                          CMQCFC.MQCACH_CHANNEL_NAME,
                          channel);
                  ensure(r.length >= 1, "no connection");
                  PCFMessage own = null;
                  for (PCFMessage x : r)
                    if (text(x, CMQCFC.MQCACH_REMOTE_APPL_TAG).equals("mq-conformance")) own = x;
                  ensure(own != null, "this program is not told of");
                  same(channel, text(own, CMQCFC.MQCACH_CHANNEL_NAME), "channel");
                  same("127.0.0.1", text(own, CMQCFC.MQCACH_CONNECTION_NAME), "address");
                  ensure(
                      own.getIntParameterValue(CMQCFC.MQIACH_CURRENT_SHARING_CONVS) >= 1,
                      "conversations");
                  if (user != null)
                    same(user, text(own, CMQCFC.MQCACH_MCA_USER_ID), "user of the channel");
                }));
    check(
        "pcf_create_change_delete",
        "admin",
        "MQCMD_CREATE_Q, MQCMD_CHANGE_Q, MQCMD_DELETE_Q; what was changed survives a restart",
        () -> {
          String name = "CONF.PCF.QUEUE";
          Object[] q = {CMQC.MQCA_Q_NAME, name, CMQC.MQIA_Q_TYPE, CMQC.MQQT_LOCAL};
          pcf(
              (agent, m) -> {
                quietly(
                    () ->
                        ask(
                            agent,
                            CMQCFC.MQCMD_DELETE_Q,
                            CMQC.MQCA_Q_NAME,
                            name,
                            CMQCFC.MQIACF_PURGE,
                            CMQCFC.MQPO_YES));
                PCFMessage create = command(CMQCFC.MQCMD_CREATE_Q, q);
                create.addParameter(CMQC.MQCA_Q_DESC, "made by a check");
                create.addParameter(CMQC.MQIA_MAX_Q_DEPTH, 2);
                create.addParameter(CMQC.MQIA_DEF_PERSISTENCE, CMQC.MQPER_PERSISTENT);
                create.addParameter(CMQC.MQIA_BACKOUT_THRESHOLD, 3);
                create.addParameter(CMQC.MQCA_BACKOUT_REQ_Q_NAME, queue2);
                agent.send(create);
                refused(agent, CMQCFC.MQRCCF_OBJECT_ALREADY_EXISTS, CMQCFC.MQCMD_CREATE_Q, q);
                MQQueue made = m.accessQueue(name, INOUT | CMQC.MQOO_INQUIRE);
                same(2, made.getMaximumDepth(), "MAXDEPTH");
                put(made, "one", PNOSYNC);
                put(made, "two", PNOSYNC);
                reason(CMQC.MQRC_Q_FULL, "third put", () -> put(made, "three", PNOSYNC));
                PCFMessage change = command(CMQCFC.MQCMD_CHANGE_Q, q);
                change.addParameter(CMQC.MQIA_MAX_Q_DEPTH, 3);
                change.addParameter(CMQC.MQIA_INHIBIT_GET, CMQC.MQQA_GET_INHIBITED);
                agent.send(change);
                put(made, "three", PNOSYNC);
                reason(CMQC.MQRC_GET_INHIBITED, "get", () -> get(made, NOSYNC));
                refused(
                    agent,
                    CMQCFC.MQRCCF_OBJECT_OPEN,
                    CMQCFC.MQCMD_DELETE_Q,
                    CMQC.MQCA_Q_NAME,
                    name);
                made.close();
                refused(
                    agent, CMQC.MQRC_Q_NOT_EMPTY, CMQCFC.MQCMD_DELETE_Q, CMQC.MQCA_Q_NAME, name);
              });
          if (restartCmd != null)
            same(
                0,
                new ProcessBuilder("sh", "-c", restartCmd).inheritIO().start().waitFor(),
                "restart");
          pcf(
              (agent, m) -> {
                PCFMessage r = ask(agent, CMQCFC.MQCMD_INQUIRE_Q, CMQC.MQCA_Q_NAME, name)[0];
                same("made by a check", text(r, CMQC.MQCA_Q_DESC), "DESCR");
                same(3, r.getIntParameterValue(CMQC.MQIA_MAX_Q_DEPTH), "MAXDEPTH");
                same(3, r.getIntParameterValue(CMQC.MQIA_BACKOUT_THRESHOLD), "BOTHRESH");
                same(queue2, text(r, CMQC.MQCA_BACKOUT_REQ_Q_NAME), "BOQNAME");
                same(CMQC.MQQA_GET_INHIBITED, r.getIntParameterValue(CMQC.MQIA_INHIBIT_GET), "GET");
                same(3, r.getIntParameterValue(CMQC.MQIA_CURRENT_Q_DEPTH), "CURDEPTH");
                ask(
                    agent,
                    CMQCFC.MQCMD_DELETE_Q,
                    CMQC.MQCA_Q_NAME,
                    name,
                    CMQCFC.MQIACF_PURGE,
                    CMQCFC.MQPO_YES);
                reason(CMQC.MQRC_UNKNOWN_OBJECT_NAME, "open", () -> m.accessQueue(name, IN));
              });
        });
    check(
        "pcf_clear",
        "admin",
        "MQCMD_CLEAR_Q: 4004 while it is open, 2055 while uncommitted, then it is empty",
        () ->
            pcf(
                (agent, m) -> {
                  Object[] clear = {CMQC.MQCA_Q_NAME, queue};
                  MQQueue q = m.accessQueue(queue, OUT);
                  for (int i = 0; i < 100; i++) put(q, "message " + i, PNOSYNC);
                  refused(agent, CMQCFC.MQRCCF_OBJECT_OPEN, CMQCFC.MQCMD_CLEAR_Q, clear);
                  put(q, "uncommitted", PSYNC);
                  q.close();
                  refused(agent, CMQC.MQRC_Q_NOT_EMPTY, CMQCFC.MQCMD_CLEAR_Q, clear);
                  m.commit();
                  ask(agent, CMQCFC.MQCMD_CLEAR_Q, clear);
                  MQQueue empty = m.accessQueue(queue, IN | CMQC.MQOO_INQUIRE);
                  same(0, empty.getCurrentDepth(), "depth");
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(empty, NOSYNC));
                  empty.close();
                }));
    check(
        "pcf_unknown_command",
        "admin",
        "a command that is not served -> 3007; a parameter that it does not have -> 3014, 3015",
        () ->
            pcf(
                (agent, m) -> {
                  refused(agent, CMQCFC.MQRCCF_CFH_COMMAND_ERROR, 9999);
                  refused(
                      agent,
                      CMQCFC.MQRCCF_CFIN_PARM_ID_ERROR,
                      CMQCFC.MQCMD_PING_Q_MGR,
                      CMQC.MQIA_Q_TYPE,
                      CMQC.MQQT_LOCAL);
                  refused(
                      agent,
                      CMQCFC.MQRCCF_CFST_PARM_ID_ERROR,
                      CMQCFC.MQCMD_CLEAR_Q,
                      CMQC.MQCA_Q_NAME,
                      queue,
                      CMQC.MQCA_Q_DESC,
                      "none");
                  ask(agent, CMQCFC.MQCMD_PING_Q_MGR);
                }));
    check(
        "pcf_not_authorized",
        "admin",
        "without the right -> 2035, also by way of another one's context (only with --not-admin)",
        () -> {
          if (!notAdmin) throw new Skip("no --not-admin");
          with(
              OUT,
              (m, unused) -> {
                try {
                  // It asks for the queue manager at once.
                  new PCFMessageAgent(m);
                  throw new AssertionError("the agent was answered");
                } catch (MQDataException e) {
                  same(CMQC.MQRC_NOT_AUTHORIZED, e.reasonCode, "reason of the agent");
                }
                String commands = "SYSTEM.ADMIN.COMMAND.QUEUE";
                m.accessQueue(commands, OUT).close();
                for (int context :
                    new int[] {
                      CMQC.MQOO_SET_IDENTITY_CONTEXT,
                      CMQC.MQOO_SET_ALL_CONTEXT,
                      CMQC.MQOO_PASS_IDENTITY_CONTEXT,
                      CMQC.MQOO_PASS_ALL_CONTEXT
                    })
                  reason(
                      CMQC.MQRC_NOT_AUTHORIZED,
                      "open with context " + context,
                      () -> m.accessQueue(commands, OUT | context));
                for (int context :
                    new int[] {
                      CMQC.MQPMO_SET_IDENTITY_CONTEXT,
                      CMQC.MQPMO_SET_ALL_CONTEXT,
                      CMQC.MQPMO_PASS_IDENTITY_CONTEXT,
                      CMQC.MQPMO_PASS_ALL_CONTEXT
                    }) {
                  MQPutMessageOptions p = pmo(PNOSYNC | context);
                  p.contextReference = m.accessQueue(queue, IN | CMQC.MQOO_SAVE_ALL_CONTEXT);
                  reason(
                      CMQC.MQRC_NOT_AUTHORIZED,
                      "MQPUT1 with context " + context,
                      () -> m.put(commands, text("x"), p));
                }
              });
        });
    check(
        "pcf_no_such_queue",
        "admin",
        "commands about a queue that is not there -> 2085",
        () ->
            pcf(
                (agent, m) -> {
                  for (int command :
                      new int[] {
                        CMQCFC.MQCMD_INQUIRE_Q,
                        CMQCFC.MQCMD_INQUIRE_Q_STATUS,
                        CMQCFC.MQCMD_RESET_Q_STATS,
                        CMQCFC.MQCMD_CLEAR_Q,
                        CMQCFC.MQCMD_DELETE_Q
                      })
                    refused(
                        agent,
                        CMQC.MQRC_UNKNOWN_OBJECT_NAME,
                        command,
                        CMQC.MQCA_Q_NAME,
                        "NO.SUCH.QUEUE.X");
                }));
  }

  /** A channel table names the cipher as a CipherSpec. */
  static String ccdtSecurity() {
    if (cipher == null) return "";
    String spec = cipher.startsWith("TLS_ECDHE") ? cipher.substring(4).replace("_WITH_", "_") : cipher;
    return ",\"transmissionSecurity\":{\"cipherSpecification\":\"" + spec + "\"}";
  }

  static String qmgrName(MQQueueManager m) throws MQException {
    return m.getAttributeString(CMQC.MQCA_Q_MGR_NAME, 48).trim();
  }

  static byte[] id(char c, int i) {
    byte[] b = new byte[24];
    Arrays.fill(b, (byte) c);
    b[23] = (byte) i;
    return b;
  }

  interface XBody {
    void run(XAConnection c, XASession s, XAResource r, javax.jms.Queue q) throws Exception;
  }

  static void xa(XBody b) throws Exception {
    XAConnection c = cf(new MQXAConnectionFactory(), host, port).createXAConnection();
    try {
      XASession s = c.createXASession();
      c.start();
      b.run(c, s, s.getXAResource(), s.createQueue("queue:///" + queue));
    } finally {
      quietly(c::close);
    }
  }

  static Xid xid(int n) {
    byte[] g = ("conf-" + n + "-" + System.nanoTime()).getBytes();
    return new Xid() {
      public int getFormatId() {
        return 4711;
      }

      public byte[] getGlobalTransactionId() {
        return g;
      }

      public byte[] getBranchQualifier() {
        return new byte[] {1, 2};
      }
    };
  }

  // ------------------------------------------------------------------ PCF helpers
  interface PBody {
    void run(PCFMessageAgent agent, MQQueueManager m) throws Exception;
  }

  static void pcf(PBody b) throws Exception {
    MQQueueManager m = qm();
    PCFMessageAgent agent = null;
    try {
      agent = new PCFMessageAgent(m);
      agent.setWaitInterval(20);
      b.run(agent, m);
    } finally {
      PCFMessageAgent a = agent;
      if (a != null) quietly(a::disconnect);
      quietly(m::disconnect);
    }
  }

  /** A command; parameters are identifiers and values in turn. */
  static PCFMessage command(int command, Object... parameters) {
    PCFMessage p = new PCFMessage(command);
    for (int i = 0; i < parameters.length; i += 2) {
      int id = (Integer) parameters[i];
      if (parameters[i + 1] instanceof Integer n) p.addParameter(id, (int) n);
      else if (parameters[i + 1] instanceof int[] n) p.addParameter(id, n);
      else p.addParameter(id, (String) parameters[i + 1]);
    }
    return p;
  }

  static PCFMessage[] ask(PCFMessageAgent agent, int command, Object... parameters)
      throws Exception {
    PCFMessage[] r = agent.send(command(command, parameters));
    for (int i = 0; i < r.length; i++) {
      same(CMQCFC.MQCFT_RESPONSE, r[i].getType(), "type");
      same(command, r[i].getCommand(), "command");
      same(i + 1, r[i].getMsgSeqNumber(), "sequence");
      boolean last = i + 1 == r.length;
      same(last ? CMQCFC.MQCFC_LAST : CMQCFC.MQCFC_NOT_LAST, r[i].getControl(), "control");
    }
    return r;
  }

  static void refused(PCFMessageAgent agent, int want, int command, Object... parameters)
      throws Exception {
    try {
      agent.send(command(command, parameters));
    } catch (MQDataException e) {
      same(CMQC.MQCC_FAILED, e.completionCode, "completion code");
      same(want, e.reasonCode, "reason of command " + command);
      note("reason " + e.reasonCode);
      return;
    }
    throw new AssertionError("command " + command + ": expected reason " + want + ", it succeeded");
  }

  static String text(PCFMessage r, int id) throws Exception {
    return r.getStringParameterValue(id).trim();
  }

  // ------------------------------------------------------------------ main
  public static void main(String[] a) throws Exception {
    define();
    Topics.define();
    Limits.define();
    List<String> pos = new ArrayList<>();
    Set<String> only = new LinkedHashSet<>(), skip = new HashSet<>();
    int limit = 90;
    boolean list = false;
    for (int i = 0; i < a.length; i++)
      switch (a[i]) {
        case "--queue2" -> queue2 = a[++i];
        case "--user" -> user = a[++i];
        case "--password" -> password = a[++i];
        case "--only" -> only.addAll(List.of(a[++i].split(",")));
        case "--skip" -> skip.addAll(List.of(a[++i].split(",")));
        case "--messages" -> bulk = Integer.parseInt(a[++i]);
        case "--restart-cmd" -> restartCmd = a[++i];
        case "--stop-cmd" -> Limits.stopCmd = a[++i];
        case "--small-queue" -> Limits.smallQueue = a[++i];
        case "--cipher" -> cipher = a[++i];
        case "--limit" -> limit = Integer.parseInt(a[++i]);
        case "--all" -> all = true;
        case "--not-admin" -> notAdmin = true;
        case "--list" -> list = true;
        default -> pos.add(a[i]);
      }
    if (list) {
      for (Check c : CHECKS) System.out.printf("%-32s %-9s %s%n", c.name, c.group, c.what);
      return;
    }
    if (pos.size() != 5) {
      System.err.println(
          "usage: HOST PORT QMGR CHANNEL QUEUE [--queue2 Q] [--user U --password P] [--only a,b]"
              + " [--skip a,b] [--all] [--list] [--messages N] [--restart-cmd C] [--cipher S]"
              + " [--stop-cmd C] [--small-queue Q] [--limit S] [--not-admin]");
      System.exit(2);
    }
    host = pos.get(0);
    port = Integer.parseInt(pos.get(1));
    qmgr = pos.get(2);
    channel = pos.get(3);
    queue = pos.get(4);
    MQException.log = null;
    System.setProperty("com.ibm.msg.client.commonservices.log.status", "OFF");
    if (System.getProperty("com.ibm.msg.client.commonservices.ffst.suppress") == null)
      System.setProperty("com.ibm.msg.client.commonservices.ffst.suppress", "-1");
    int pass = 0, fail = 0, skipped = 0;
    List<String> failed = new ArrayList<>();
    for (Check c : CHECKS) {
      if (!only.isEmpty()
          ? !only.contains(c.name)
          : (skip.contains(c.name) || (c.group.equals("optional") && !all))) continue;
      long t = System.nanoTime();
      String verdict, why = "";
      StringBuilder notes = new StringBuilder();
      Throwable[] err = new Throwable[1];
      Thread th =
          new Thread(
              () -> {
                try {
                  NOTE.get().setLength(0);
                  if (!c.name.startsWith("connect")) drain(queue);
                  c.body.run();
                } catch (Throwable e) {
                  err[0] = e;
                }
                notes.append(NOTE.get());
              },
              c.name);
      th.setDaemon(true);
      th.start();
      th.join(limit * 1000L);
      if (th.isAlive()) {
        StringBuilder st = new StringBuilder();
        for (StackTraceElement e : th.getStackTrace())
          if (e.getClassName().startsWith("conf.")) {
            st.append(" at line ").append(e.getLineNumber());
            break;
          }
        verdict = "FAIL";
        why = "hung for " + limit + " s" + st;
        th.interrupt();
      } else if (err[0] instanceof Skip s) {
        verdict = "SKIP";
        why = s.getMessage();
      } else if (err[0] != null) {
        verdict = "FAIL";
        why = explain(err[0]);
      } else verdict = "PASS";
      switch (verdict) {
        case "PASS" -> pass++;
        case "SKIP" -> skipped++;
        default -> {
          fail++;
          failed.add(c.name);
        }
      }
      System.out.printf(
          Locale.ROOT,
          "%s %-32s %6d ms  %s%s%n",
          verdict,
          c.name,
          (System.nanoTime() - t) / 1_000_000,
          notes,
          why.isEmpty() ? "" : (notes.length() > 0 ? " | " : "") + why);
      System.out.flush();
    }
    if (!failed.isEmpty()) System.out.println("failed: " + String.join(",", failed));
    System.out.println(
        pass + " passed, " + fail + " failed" + (skipped > 0 ? ", " + skipped + " skipped" : ""));
    System.out.flush();
    Runtime.getRuntime().halt(fail == 0 ? 0 : 1);
  }

  static String explain(Throwable e) {
    StringBuilder b = new StringBuilder();
    int depth = 0;
    for (Throwable t = e; t != null && depth < 6; depth++) {
      String m = String.valueOf(t.getMessage());
      b.append(depth > 0 ? " <- " : "")
          .append(t.getClass().getSimpleName())
          .append(": ")
          .append(m.length() > 220 ? m.substring(0, 220) : m.replace('\n', ' '));
      Throwable next = t.getCause();
      if (next == null && t instanceof JMSException j) next = j.getLinkedException();
      t = next == t ? null : next;
    }
    for (StackTraceElement s : e.getStackTrace())
      if (s.getClassName().startsWith("conf.")) {
        b.append(" (line ").append(s.getLineNumber()).append(')');
        break;
      }
    return b.toString();
  }
}
