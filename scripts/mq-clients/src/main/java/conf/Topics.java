package conf;

import static conf.Conformance.*;

import com.ibm.mq.*;
import com.ibm.mq.constants.CMQC;
import javax.jms.*;

/** Publish and subscribe. Each check has a topic of its own, so that none sees another's messages. */
final class Topics {
  private Topics() {}

  interface TBody {
    void run(Connection c, Session s, Topic t, MessageProducer p) throws Exception;
  }

  /** A started connection with a client id, and a producer to `conformance/NAME`. */
  static void topic(String name, boolean tx, TBody b) throws Exception {
    jms(
        tx,
        Session.AUTO_ACKNOWLEDGE,
        (c, s, q) -> {
          Topic t = s.createTopic("topic://conformance/" + name);
          b.run(c, s, t, s.createProducer(t));
        });
  }

  static String text(MessageConsumer k, int ms) throws JMSException {
    TextMessage m = (TextMessage) (ms == 0 ? k.receiveNoWait() : k.receive(ms));
    return m == null ? null : m.getText();
  }

  /** The reason of IBM MQ somewhere below an exception. */
  static int reasonOf(Throwable e) {
    for (; e != null; e = e.getCause()) if (e instanceof MQException m) return m.reasonCode;
    return 0;
  }

  static void jmsReason(int want, String what, Body b) throws Exception {
    try {
      b.run();
    } catch (JMSException | JMSRuntimeException e) {
      same(want, reasonOf(e), what);
      note("reason " + want);
      return;
    }
    throw new AssertionError(what + ": expected reason " + want + " but the call succeeded");
  }

  static void define() {
    check(
        "topic_two_subscribers",
        "core",
        "every subscriber gets its own copy, and only what comes after it subscribed",
        () ->
            topic(
                "two",
                false,
                (c, s, t, p) -> {
                  MessageConsumer a = s.createConsumer(t);
                  p.send(s.createTextMessage("1"));
                  MessageConsumer b = s.createConsumer(t);
                  p.send(s.createTextMessage("2"));
                  same("1", text(a, 5000), "first of a");
                  same("2", text(a, 5000), "second of a");
                  same("2", text(b, 5000), "first of b");
                  same(null, text(a, 0), "third of a");
                  same(null, text(b, 0), "second of b");
                  a.close();
                  p.send(s.createTextMessage("3"));
                  same("3", text(b, 5000), "b goes on");
                }));
    check(
        "topic_wildcards",
        "core",
        "# stands for any levels, + for one",
        () ->
            topic(
                "wild",
                false,
                (c, s, t, p) -> {
                  MessageConsumer all = s.createConsumer(s.createTopic("topic://conformance/wild/#"));
                  MessageConsumer one = s.createConsumer(s.createTopic("topic://conformance/wild/+"));
                  MessageConsumer mid =
                      s.createConsumer(s.createTopic("topic://conformance/+/a/b"));
                  for (String end : new String[] {"", "/a", "/a/b", "/b"}) {
                    Topic to = s.createTopic("topic://conformance/wild" + end);
                    s.createProducer(to).send(s.createTextMessage("wild" + end));
                  }
                  s.createProducer(s.createTopic("topic://conformance/wilder"))
                      .send(s.createTextMessage("other"));
                  for (String want : new String[] {"wild", "wild/a", "wild/a/b", "wild/b"})
                    same(want, text(all, 5000), "of #");
                  for (String want : new String[] {"wild/a", "wild/b"})
                    same(want, text(one, 5000), "of +");
                  same("wild/a/b", text(mid, 5000), "of + in the middle");
                  for (MessageConsumer k : new MessageConsumer[] {all, one, mid})
                    same(null, text(k, 0), "more");
                }));
    check(
        "topic_transacted",
        "core",
        "a publication that is rolled back is never seen, one that is committed comes to all",
        () ->
            topic(
                "transacted",
                true,
                (c, s, t, p) -> {
                  Session other = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                  MessageConsumer a = other.createConsumer(t), b = other.createConsumer(t);
                  p.send(s.createTextMessage("rolled back"));
                  same(null, text(a, 200), "not committed yet");
                  s.rollback();
                  p.send(s.createTextMessage("1"));
                  p.send(s.createTextMessage("2"));
                  s.commit();
                  for (MessageConsumer k : new MessageConsumer[] {a, b}) {
                    same("1", text(k, 5000), "first");
                    same("2", text(k, 5000), "second");
                    same(null, text(k, 0), "third");
                  }
                }));
    check(
        "topic_transacted_receive",
        "core",
        "a publication got and rolled back comes again",
        () ->
            topic(
                "again",
                true,
                (c, s, t, p) -> {
                  MessageConsumer k = s.createConsumer(t);
                  p.send(s.createTextMessage("x"));
                  s.commit();
                  same("x", text(k, 5000), "first time");
                  s.rollback();
                  TextMessage m = (TextMessage) k.receive(5000);
                  ensure(m != null && m.getJMSRedelivered(), "redelivered");
                  s.commit();
                  same(null, text(k, 200), "after the commit");
                }));
    check(
        "topic_selector",
        "core",
        "a selector on a subscription",
        () ->
            topic(
                "selector",
                false,
                (c, s, t, p) -> {
                  MessageConsumer k = s.createConsumer(t, "n > 2 AND colour = 'red'");
                  MessageConsumer any = s.createConsumer(t);
                  for (int i = 1; i <= 4; i++) {
                    TextMessage m = s.createTextMessage("m" + i);
                    m.setIntProperty("n", i);
                    m.setStringProperty("colour", i == 4 ? "blue" : "red");
                    p.send(m);
                  }
                  same("m3", text(k, 5000), "selected");
                  same(null, text(k, 0), "more");
                  for (int i = 1; i <= 4; i++) same("m" + i, text(any, 5000), "without");
                }));
    check(
        "topic_no_local",
        "core",
        "noLocal: one's own connection's publications do not come",
        () ->
            topic(
                "local",
                false,
                (c, s, t, p) -> {
                  MessageConsumer k = s.createConsumer(t, null, true), any = s.createConsumer(t);
                  p.send(s.createTextMessage("own"));
                  topic("local", false, (c2, s2, t2, p2) -> p2.send(s2.createTextMessage("other")));
                  same("own", text(any, 5000), "of anybody");
                  same("other", text(any, 5000), "of anybody");
                  same("other", text(k, 5000), "of others");
                  same(null, text(k, 0), "more");
                }));
    check(
        "topic_temporary",
        "core",
        "a reply over a temporary topic",
        () ->
            topic(
                "temporary",
                false,
                (c, s, t, p) -> {
                  TemporaryTopic reply = s.createTemporaryTopic();
                  MessageConsumer replies = s.createConsumer(reply), asked = s.createConsumer(t);
                  TextMessage m = s.createTextMessage("question");
                  m.setJMSReplyTo(reply);
                  p.send(m);
                  Message question = asked.receive(5000);
                  ensure(question != null, "no question");
                  s.createProducer(question.getJMSReplyTo()).send(s.createTextMessage("answer"));
                  same("answer", text(replies, 5000), "reply");
                  replies.close();
                  reply.delete();
                }));
    check(
        "topic_open_after_bytes",
        "core",
        "the names and selectors of what is opened come back whole, whatever was received before",
        () ->
            jms(
                false,
                Session.AUTO_ACKNOWLEDGE,
                (c, s, q) -> {
                  // No text in any encoding: what a client's buffer still holds shows at once.
                  byte[] data = new byte[2000];
                  java.util.Arrays.fill(data, (byte) 0xFF);
                  for (int i = 0; i < 20; i++) {
                    MessageProducer p = s.createProducer(q);
                    BytesMessage m = s.createBytesMessage();
                    m.writeBytes(data);
                    p.send(m);
                    p.close();
                    MessageConsumer k = s.createConsumer(q, "JMSPriority >= 0 AND x" + i + " IS NULL");
                    ensure(k.receive(5000) != null, "no message");
                    k.close();
                    s.createProducer(s.createTopic("topic://conformance/after/" + i)).close();
                  }
                }));
    check(
        "topic_listener",
        "core",
        "an asynchronous subscriber",
        () ->
            topic(
                "listener",
                false,
                (c, s, t, p) -> {
                  Session other = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                  var got = new java.util.concurrent.LinkedBlockingQueue<String>();
                  other
                      .createConsumer(t)
                      .setMessageListener(
                          m -> quietly(() -> got.add(((TextMessage) m).getText())));
                  for (int i = 0; i < 100; i++) p.send(s.createTextMessage("m" + i));
                  for (int i = 0; i < 100; i++)
                    same("m" + i, got.poll(10, java.util.concurrent.TimeUnit.SECONDS), "message");
                }));
    check(
        "topic_context",
        "core",
        "JMS 2.0 simplified API: publish by MQPUT1",
        () -> {
          try (JMSContext x = cf().createContext(Session.SESSION_TRANSACTED)) {
            Topic t = x.createTopic("topic://conformance/context");
            JMSConsumer k = x.createConsumer(t);
            x.createProducer().setProperty("n", 7).setJMSCorrelationID("c-1").send(t, "a");
            x.commit();
            Message m = k.receive(5000);
            ensure(m != null, "nothing");
            same("a", m.getBody(String.class), "body");
            same(7, m.getIntProperty("n"), "property");
            same("c-1", m.getJMSCorrelationID(), "correlation id");
            ensure(m.getJMSDestination().toString().contains("conformance/context"), "destination");
            x.commit();
          }
        });
    check(
        "topic_gone_with_its_connection",
        "core",
        "a subscriber whose connection breaks leaves nothing behind",
        () -> {
          try (Proxy x = new Proxy()) {
            Connection c = cf(new com.ibm.mq.jms.MQConnectionFactory(), "127.0.0.1", x.port())
                .createConnection();
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            s.createConsumer(s.createTopic("topic://conformance/gone"));
            x.cut();
            quietly(c::close);
          }
          // Whether anybody is there can be asked: the put warns when nobody is.
          MQQueueManager m = qm();
          try {
            MQTopic t = publisher(m, "conformance/gone");
            MQPutMessageOptions p = pmo(PNOSYNC | CMQC.MQPMO_WARN_IF_NO_SUBS_MATCHED);
            eventually(
                10_000,
                "nobody subscribes",
                () -> {
                  try {
                    t.put(Conformance.text("x"), p);
                    return false;
                  } catch (MQException e) {
                    return e.reasonCode == CMQC.MQRC_NO_SUBS_MATCHED;
                  }
                });
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "topic_durable_refused",
        "core",
        "a durable subscription is refused with 2436, as a topic with DURSUB(NO) does",
        () -> {
          Connection c = cf().createConnection();
          try {
            c.setClientID("conformance");
            Session s = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Topic t = s.createTopic("topic://conformance/durable");
            jmsReason(
                CMQC.MQRC_DURABILITY_NOT_ALLOWED,
                "durable subscriber",
                () -> s.createDurableSubscriber(t, "sub"));
          } finally {
            quietly(c::close);
          }
        });
    check(
        "topic_base_managed",
        "core",
        "base classes: a managed subscription, its topic and correlation id",
        () -> {
          MQQueueManager m = qm();
          try {
            MQTopic sub = subscriber(m, "conformance/base/+", null);
            MQTopic pub = publisher(m, "conformance/base/x");
            MQMessage sent = Conformance.text("x");
            sent.persistence = CMQC.MQPER_PERSISTENT;
            pub.put(sent, pmo(PNOSYNC));
            MQMessage got = new MQMessage();
            sub.get(got, Conformance.wait(NOSYNC, 5000));
            same("x", str(got), "body");
            ensure(
                !java.util.Arrays.equals(CMQC.MQCI_NONE, got.correlationId),
                "no correlation id of the subscription");
            same(CMQC.MQPER_NOT_PERSISTENT, got.persistence, "on a temporary queue");
            reason(
                CMQC.MQRC_NO_MSG_AVAILABLE,
                "second get",
                () -> sub.get(new MQMessage(), gmo(NOSYNC)));
            sub.close();
            pub.close();
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "topic_base_queue",
        "core",
        "base classes: publications to a queue that the subscriber has open, persistent as published",
        () -> {
          MQQueueManager m = qm();
          try {
            MQQueue q = m.accessQueue(queue, IN);
            MQTopic sub = subscriber(m, "conformance/provided", q);
            MQTopic pub = publisher(m, "conformance/provided");
            MQMessage sent = Conformance.text("x");
            sent.persistence = CMQC.MQPER_PERSISTENT;
            pub.put(sent, pmo(PSYNC));
            reason(CMQC.MQRC_NO_MSG_AVAILABLE, "early", () -> get(q, NOSYNC));
            m.commit();
            MQMessage got = new MQMessage();
            q.get(got, Conformance.wait(NOSYNC, 5000));
            same("x", str(got), "body");
            same(CMQC.MQPER_PERSISTENT, got.persistence, "persistence");
            // The client closes the queue with it.
            sub.close();
            pub.put(Conformance.text("late"), pmo(PNOSYNC));
            MQQueue again = m.accessQueue(queue, IN);
            reason(CMQC.MQRC_NO_MSG_AVAILABLE, "after close", () -> get(again, NOSYNC));
          } finally {
            quietly(m::disconnect);
          }
        });
    check(
        "topic_errors",
        "core",
        "retained publications 2479, wildcards of publishers 2425, unknown topic objects 2085",
        () -> {
          MQQueueManager m = qm();
          try {
            MQTopic pub = publisher(m, "conformance/errors");
            reason(
                CMQC.MQRC_PUT_NOT_RETAINED,
                "retain",
                () -> pub.put(Conformance.text("x"), pmo(PNOSYNC | CMQC.MQPMO_RETAIN)));
            reason(
                CMQC.MQRC_TOPIC_STRING_ERROR, "wildcard", () -> publisher(m, "conformance/#"));
            reason(
                CMQC.MQRC_UNKNOWN_OBJECT_NAME,
                "object",
                () ->
                    m.accessTopic(
                        "x", "NO.SUCH.TOPIC", CMQC.MQTOPIC_OPEN_AS_PUBLICATION, OUT));
          } finally {
            quietly(m::disconnect);
          }
        });
  }

  static MQTopic publisher(MQQueueManager m, String topic) throws MQException {
    return m.accessTopic(topic, null, CMQC.MQTOPIC_OPEN_AS_PUBLICATION, OUT);
  }

  static MQTopic subscriber(MQQueueManager m, String topic, MQQueue to) throws MQException {
    int options = CMQC.MQSO_CREATE | CMQC.MQSO_FAIL_IF_QUIESCING;
    return to == null
        ? m.accessTopic(
            topic, null, CMQC.MQTOPIC_OPEN_AS_SUBSCRIPTION, options | CMQC.MQSO_MANAGED)
        : m.accessTopic(to, topic, null, options);
  }
}
