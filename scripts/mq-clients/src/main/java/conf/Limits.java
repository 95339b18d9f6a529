package conf;

import static conf.Conformance.*;

import com.ibm.mq.*;
import com.ibm.mq.constants.CMQC;
import java.util.*;
import java.util.concurrent.*;

/** Limits, orders and ends that applications meet seldom, and then in production. */
final class Limits {
  private Limits() {}

  /** A queue whose MAXDEPTH can be reached, and how to stop the server in good order. */
  static String smallQueue, stopCmd;

  static void drainSmall() throws Exception {
    drain(smallQueue);
  }

  /** Gets in a thread of its own connection; its reason code, or -1 when it got something. */
  static Future<Integer> waitingGet(CountDownLatch begun, int ms) {
    FutureTask<Integer> task =
        new FutureTask<>(
            () -> {
              MQQueueManager m = qm();
              try {
                MQQueue q = m.accessQueue(queue, IN);
                begun.countDown();
                q.get(new MQMessage(), Conformance.wait(NOSYNC, ms));
                return -1;
              } catch (MQException e) {
                return e.reasonCode;
              } finally {
                quietly(m::disconnect);
              }
            });
    Thread t = new Thread(task);
    t.setDaemon(true);
    t.start();
    return task;
  }

  static void define() {
    // Fails when any message but that one is given, or when finding one takes 100 ms.
    check(
        "match_msgid_among_many",
        "core",
        "MQGET by MsgId finds its message among thousands, and quickly",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  List<byte[]> ids = new ArrayList<>();
                  for (int i = 0; i < bulk; i++) {
                    MQMessage p = text("n" + i);
                    p.persistence = CMQC.MQPER_NOT_PERSISTENT;
                    q.put(p, pmo(PNOSYNC));
                    ids.add(p.messageId);
                  }
                  long begin = System.nanoTime();
                  for (int k = 0; k < 100; k++) {
                    // From all over, the last ones first.
                    int i = bulk - 1 - k * (bulk / 100);
                    MQMessage g = new MQMessage();
                    g.messageId = ids.get(i);
                    MQGetMessageOptions o = gmo(NOSYNC);
                    o.matchOptions = CMQC.MQMO_MATCH_MSG_ID;
                    q.get(g, o);
                    same("n" + i, str(g), "message");
                  }
                  long ms = (System.nanoTime() - begin) / 1_000_000;
                  note("100 of " + bulk + " in " + ms + " ms");
                  ensure(ms < 10_000, "100 gets took " + ms + " ms");
                  // What was got is not there any more.
                  MQMessage g = new MQMessage();
                  g.messageId = ids.get(bulk - 1);
                  MQGetMessageOptions o = gmo(NOSYNC);
                  o.matchOptions = CMQC.MQMO_MATCH_MSG_ID;
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "again", () -> q.get(g, o));
                }));
    // Fails when the group is ignored: g2 would come second.
    check(
        "match_groupid",
        "core",
        "MQGET by GroupId",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  for (int i = 1; i <= 4; i++) {
                    MQMessage p = text("g" + i);
                    p.groupId = id('G', i % 2);
                    p.messageSequenceNumber = (i + 1) / 2;
                    p.messageFlags = CMQC.MQMF_MSG_IN_GROUP;
                    q.put(p, pmo(PNOSYNC));
                  }
                  for (String want : new String[] {"g1", "g3"}) {
                    MQMessage g = new MQMessage();
                    g.groupId = id('G', 1);
                    MQGetMessageOptions o = gmo(NOSYNC);
                    o.matchOptions = CMQC.MQMO_MATCH_GROUP_ID;
                    q.get(g, o);
                    same(want, str(g), "message");
                    same(id('G', 1), g.groupId, "group");
                  }
                  MQMessage g = new MQMessage();
                  g.groupId = id('G', 1);
                  MQGetMessageOptions o = gmo(NOSYNC);
                  o.matchOptions = CMQC.MQMO_MATCH_GROUP_ID;
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "third", () -> q.get(g, o));
                }));
    // Fails when one put too few or too many fits, or when the limit ends the whole unit of work.
    check(
        "uncommitted_limit",
        "core",
        "a unit of work takes MAXUMSGS messages, one more -> 2024, and can be backed out",
        () ->
            with(
                INOUT,
                (m, q) -> {
                  MQQueueManager about = qm();
                  int max;
                  try {
                    int[] values = new int[1];
                    about.inquire(new int[] {CMQC.MQIA_MAX_UNCOMMITTED_MSGS}, values, new byte[0]);
                    max = values[0];
                  } finally {
                    quietly(about::disconnect);
                  }
                  note("MAXUMSGS " + max);
                  if (max > 20_000) throw new Skip("MAXUMSGS is " + max);
                  for (int i = 0; i < max; i++) put(q, "u", PSYNC);
                  reason(CMQC.MQRC_SYNCPOINT_LIMIT_REACHED, "one more", () -> put(q, "u", PSYNC));
                  // Outside of the unit of work there is room.
                  put(q, "outside", PNOSYNC);
                  m.backout();
                  same("outside", get(q, NOSYNC), "message");
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    // Fails when room is only looked for at the commit: then every put here succeeds.
    check(
        "depth_limit",
        "core",
        "MAXDEPTH: 2053 comes from the put, under syncpoint too, and backout gives the room back",
        () -> {
          if (smallQueue == null) throw new Skip("no --small-queue");
          drainSmall();
          MQQueueManager m = qm(), other = qm();
          try {
            MQQueue q = m.accessQueue(smallQueue, INOUT | CMQC.MQOO_INQUIRE);
            MQQueue q2 = other.accessQueue(smallQueue, INOUT);
            int max = q.getMaximumDepth();
            note("MAXDEPTH " + max);
            if (max > 10_000) throw new Skip("MAXDEPTH is " + max);
            for (int i = 0; i < max - 1; i++) put(q, "d" + i, PSYNC);
            put(q2, "last", PNOSYNC);
            reason(CMQC.MQRC_Q_FULL, "under syncpoint", () -> put(q, "x", PSYNC));
            reason(CMQC.MQRC_Q_FULL, "of another", () -> put(q2, "x", PNOSYNC));
            m.backout();
            put(q2, "room", PNOSYNC);
            same("last", get(q2, NOSYNC), "first");
            same("room", get(q2, NOSYNC), "second");
            for (int i = 0; i < max; i++) put(q, "d" + i, PSYNC);
            m.commit();
            reason(CMQC.MQRC_Q_FULL, "committed", () -> put(q2, "x", PNOSYNC));
          } finally {
            quietly(m::disconnect);
            quietly(other::disconnect);
            drainSmall();
          }
        });
    // Fails when the limit is off by one, or differs between the three ways of putting.
    check(
        "message_limit",
        "core",
        "a message of MAXMSGL is taken; one more byte -> 2030 or 2218, by MQPUT and MQPUT1",
        () ->
            with(
                INOUT | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  int max = q.getMaximumMessageLength();
                  if (max > (16 << 20)) throw new Skip("MAXMSGL is " + max);
                  int[] codes = {CMQC.MQRC_MSG_TOO_BIG_FOR_Q, CMQC.MQRC_MSG_TOO_BIG_FOR_CHANNEL};
                  q.put(bytes(new byte[max]), pmo(PNOSYNC));
                  MQMessage g = new MQMessage();
                  q.get(g, gmo(NOSYNC), max);
                  same(max, g.getDataLength(), "length");
                  MQMessage more = bytes(new byte[max + 1]);
                  reason(codes, "put", () -> q.put(more, pmo(PNOSYNC)));
                  reason(codes, "put under syncpoint", () -> q.put(more, pmo(PSYNC)));
                  reason(codes, "put1", () -> m.put(queue, more, pmo(PNOSYNC)));
                  m.commit();
                  reason(CMQC.MQRC_NO_MSG_AVAILABLE, "get", () -> get(q, NOSYNC));
                }));
    // Fails when browsing goes by arrival, or when a cursor goes back.
    check(
        "browse_priority",
        "core",
        "browse sees priority order; what arrives in front of the cursor is seen after BROWSE_FIRST",
        () ->
            with(
                INOUT | CMQC.MQOO_BROWSE,
                (m, q) -> {
                  for (String s : new String[] {"1a", "5a", "9a", "5b", "1b"}) {
                    MQMessage p = text(s);
                    p.priority = s.charAt(0) - '0';
                    q.put(p, pmo(PNOSYNC));
                  }
                  int browse = CMQC.MQGMO_BROWSE_FIRST;
                  for (String want : new String[] {"9a", "5a"}) {
                    same(want, get(q, browse), "browsed");
                    browse = CMQC.MQGMO_BROWSE_NEXT;
                  }
                  MQMessage p = text("9b");
                  p.priority = 9;
                  q.put(p, pmo(PNOSYNC));
                  for (String want : new String[] {"5b", "1a", "1b"})
                    same(want, get(q, CMQC.MQGMO_BROWSE_NEXT), "browsed");
                  reason(
                      CMQC.MQRC_NO_MSG_AVAILABLE, "end", () -> get(q, CMQC.MQGMO_BROWSE_NEXT));
                  same("9a", get(q, CMQC.MQGMO_BROWSE_FIRST), "first again");
                  same("9b", get(q, CMQC.MQGMO_BROWSE_NEXT), "the late one");
                }));
    // Fails when expiry is judged at the put only: the waiting get would have it.
    check(
        "expiry_while_waiting",
        "core",
        "a message that expires before its commit is not got by one who waits for it",
        () ->
            with(
                OUT | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  MQMessage p = text("late");
                  p.expiry = 3;
                  q.put(p, pmo(PSYNC));
                  CountDownLatch begun = new CountDownLatch(1);
                  Future<Integer> got = waitingGet(begun, 3_000);
                  begun.await();
                  // Longer than the message lives: its expiry counts from the put.
                  Thread.sleep(600);
                  m.commit();
                  same(CMQC.MQRC_NO_MSG_AVAILABLE, got.get(30, TimeUnit.SECONDS), "the waiting get");
                  eventually(10_000, "it is gone", () -> q.getCurrentDepth() == 0);
                }));
    // Fails when counts are kept in memory only: it would be 0.
    check(
        "backout_count_survives",
        "core",
        "backout counts of persistent messages survive a restart (skipped unless --restart-cmd)",
        () -> {
          if (restartCmd == null) throw new Skip("no --restart-cmd");
          with(
              INOUT,
              (m, q) -> {
                MQMessage p = text("x");
                p.persistence = CMQC.MQPER_PERSISTENT;
                q.put(p, pmo(PNOSYNC));
                for (int i = 0; i < 2; i++) {
                  get(q, SYNC);
                  m.backout();
                }
                // What is durable after the counts takes them along.
                p = text("y");
                p.persistence = CMQC.MQPER_PERSISTENT;
                q.put(p, pmo(PNOSYNC));
              });
          restart(restartCmd);
          with(
              IN,
              (m, q) -> {
                MQMessage g = new MQMessage();
                q.get(g, gmo(SYNC));
                same("x", str(g), "body");
                same(2, g.backoutCount, "backout count");
                m.commit();
                same("y", get(q, NOSYNC), "next");
              });
        });
    // Fails when conversations on one socket share a unit of work: `a` would be seen, or backed out.
    check(
        "units_of_work_apart",
        "core",
        "two conversations' units of work do not see or end each other",
        () ->
            with(
                INOUT,
                (m, q) ->
                    with(
                        INOUT,
                        (m2, q2) -> {
                          put(q, "a", PSYNC);
                          put(q2, "b", PSYNC);
                          same("b", get(q2, SYNC), "one's own");
                          reason(CMQC.MQRC_NO_MSG_AVAILABLE, "other's", () -> get(q2, SYNC));
                          put(q2, "c", PSYNC);
                          m.commit();
                          same("a", get(q2, SYNC), "committed by the other");
                          reason(CMQC.MQRC_NO_MSG_AVAILABLE, "got by the other", () -> get(q, SYNC));
                          m.backout();
                          m2.backout();
                          same("a", get(q, NOSYNC), "after both");
                          reason(CMQC.MQRC_NO_MSG_AVAILABLE, "more", () -> get(q, NOSYNC));
                        })));
    // Fails when nobody wakes those who wait: it would end after 20 s without a reason.
    check(
        "get_wait_inhibited",
        "extended",
        "a get that waits ends with 2016 when gets are inhibited",
        () ->
            with(
                CMQC.MQOO_SET | CMQC.MQOO_INQUIRE,
                (m, q) -> {
                  CountDownLatch begun = new CountDownLatch(1);
                  long begin = System.nanoTime();
                  Future<Integer> got = waitingGet(begun, 30_000);
                  begun.await();
                  // Nothing shows that it waits by now; were it late, the check would only be weaker.
                  Thread.sleep(300);
                  try {
                    q.setInhibitGet(CMQC.MQQA_GET_INHIBITED);
                    same(CMQC.MQRC_GET_INHIBITED, got.get(20, TimeUnit.SECONDS), "reason");
                    ensure(System.nanoTime() - begin < 25_000_000_000L, "not before its time");
                  } finally {
                    q.setInhibitGet(CMQC.MQQA_GET_ALLOWED);
                  }
                }));
    // Fails when a stop waits for gets that wait: it did, for the minute that this one waits.
    check(
        "quiescing",
        "extended",
        "a stop of the queue manager ends a waiting get: 2161, 2162, 2202 or 2009 (needs --stop-cmd)",
        () -> {
          if (stopCmd == null) throw new Skip("no --stop-cmd");
          CountDownLatch begun = new CountDownLatch(1);
          Future<Integer> got = waitingGet(begun, 60_000);
          begun.await();
          Thread.sleep(300);
          long begin = System.nanoTime();
          restart(stopCmd);
          int reason = got.get(30, TimeUnit.SECONDS);
          note("reason " + reason);
          // A stop does not wait for those who wait.
          ensure(System.nanoTime() - begin < 30_000_000_000L, "the stop took too long");
          ensure(
              List.of(
                      CMQC.MQRC_Q_MGR_QUIESCING,
                      CMQC.MQRC_Q_MGR_STOPPING,
                      CMQC.MQRC_CONNECTION_QUIESCING,
                      CMQC.MQRC_CONNECTION_BROKEN)
                  .contains(reason),
              "reason " + reason);
        });
  }

  static void restart(String command) throws Exception {
    Process pr = new ProcessBuilder("/bin/sh", "-c", command).inheritIO().start();
    same(0, pr.waitFor(), "exit of " + command);
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
  }
}
