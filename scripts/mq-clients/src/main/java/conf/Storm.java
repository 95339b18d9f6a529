package conf;

import com.ibm.mq.jms.MQConnectionFactory;
import com.ibm.msg.client.wmq.WMQConstants;
import java.io.File;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import javax.jms.TextMessage;

/**
 * Transacted JMS producers and consumers, while somebody else kills the server over and over.
 *
 * <p>A commit that throws has an outcome that nobody knows: those are kept apart. Every message of a
 * transaction whose commit returned must be consumed exactly once; of one that is in doubt all
 * messages or none; of one that was never committed none. A message whose consumer's commit is in
 * doubt may come once more.
 *
 * <p>usage: HOST PORT QMGR CHANNEL QUEUE [--producers 8] [--consumers 8] [--messages N] [--bytes 1024]
 * [--seed N] [--stop-file F: go on at least until it exists]
 */
public final class Storm {
  private static String host, qmgr, channel, queue;
  private static int port, producers = 8, consumers = 8, messages = 500, bytes = 1024;
  private static long seed = System.nanoTime();
  private static File stopFile;

  /** What became of a transaction of a producer. */
  private enum Fate {
    COMMITTED,
    IN_DOUBT,
    ABANDONED
  }

  private static final Map<String, Fate> FATES = new ConcurrentHashMap<>();
  /** Transaction to its number of messages. */
  private static final Map<String, Integer> SIZES = new ConcurrentHashMap<>();
  /** Message to how often its consumption was committed for certain, and in doubt. */
  private static final Map<String, int[]> CONSUMED = new ConcurrentHashMap<>();
  private static final AtomicInteger PRODUCING = new AtomicInteger();
  private static final AtomicInteger RECONNECTS = new AtomicInteger();

  private interface Work {
    /** Returns true when all is done. */
    boolean run(Session session, Queue queue) throws JMSException;
  }

  private static MQConnectionFactory factory() throws JMSException {
    MQConnectionFactory factory = new MQConnectionFactory();
    factory.setIntProperty(WMQConstants.WMQ_CONNECTION_MODE, WMQConstants.WMQ_CM_CLIENT);
    factory.setStringProperty(WMQConstants.WMQ_HOST_NAME, host);
    factory.setIntProperty(WMQConstants.WMQ_PORT, port);
    factory.setStringProperty(WMQConstants.WMQ_QUEUE_MANAGER, qmgr);
    factory.setStringProperty(WMQConstants.WMQ_CHANNEL, channel);
    return factory;
  }

  /** Connects again whenever something fails, for ever. */
  private static void persist(Work work) {
    long pause = 20;
    while (true) {
      Connection connection = null;
      try {
        connection = factory().createConnection();
        connection.start();
        Session session = connection.createSession(true, Session.SESSION_TRANSACTED);
        Queue destination = session.createQueue("queue:///" + queue);
        pause = 20;
        if (work.run(session, destination)) {
          return;
        }
      } catch (JMSException e) {
        RECONNECTS.incrementAndGet();
      } finally {
        try {
          if (connection != null) {
            connection.close();
          }
        } catch (JMSException e) {
          // It is gone already.
        }
      }
      try {
        Thread.sleep(pause);
      } catch (InterruptedException e) {
        return;
      }
      pause = Math.min(pause * 2, 500);
    }
  }

  private static boolean isStormOver() {
    return stopFile == null || stopFile.exists();
  }

  private static void produce(int number) {
    Random random = new Random(seed * 31 + number);
    int[] sent = {0};
    int[] transaction = {0};
    String padding = "x".repeat(Math.max(0, bytes - 40));
    persist(
        (session, destination) -> {
          MessageProducer producer = session.createProducer(destination);
          producer.setDeliveryMode(DeliveryMode.PERSISTENT);
          while (sent[0] < messages || !isStormOver()) {
            String name = number + "." + transaction[0]++;
            int size = 1 + random.nextInt(10);
            SIZES.put(name, size);
            // Unless something else becomes of it.
            FATES.put(name, Fate.ABANDONED);
            for (int i = 0; i < size; i++) {
              producer.send(session.createTextMessage(name + "." + i + " " + padding));
            }
            if (random.nextInt(20) == 0) {
              session.rollback();
              continue;
            }
            FATES.put(name, Fate.IN_DOUBT);
            session.commit();
            FATES.put(name, Fate.COMMITTED);
            sent[0] += size;
          }
          return true;
        });
    PRODUCING.decrementAndGet();
  }

  private static void consume(int number) {
    Random random = new Random(seed * 37 + number);
    persist(
        (session, destination) -> {
          MessageConsumer consumer = session.createConsumer(destination);
          int empty = 0;
          while (true) {
            List<String> got = new ArrayList<>();
            int size = 1 + random.nextInt(10);
            while (got.size() < size) {
              TextMessage message = (TextMessage) consumer.receive(got.isEmpty() ? 1000 : 10);
              if (message == null) {
                break;
              }
              got.add(message.getText().split(" ")[0]);
            }
            if (got.isEmpty()) {
              if (PRODUCING.get() == 0 && ++empty >= 3) {
                return true;
              }
              continue;
            }
            empty = 0;
            if (random.nextInt(20) == 0) {
              session.rollback();
              continue;
            }
            try {
              session.commit();
            } catch (JMSException e) {
              for (String name : got) {
                count(name, 1);
              }
              throw e;
            }
            for (String name : got) {
              count(name, 0);
            }
          }
        });
  }

  private static void count(String name, int which) {
    CONSUMED.compute(
        name,
        (key, counts) -> {
          int[] now = counts == null ? new int[2] : counts;
          now[which]++;
          return now;
        });
  }

  public static void main(String[] args) throws Exception {
    host = args[0];
    port = Integer.parseInt(args[1]);
    qmgr = args[2];
    channel = args[3];
    queue = args[4];
    for (int i = 5; i + 1 < args.length; i += 2) {
      switch (args[i]) {
        case "--producers" -> producers = Integer.parseInt(args[i + 1]);
        case "--consumers" -> consumers = Integer.parseInt(args[i + 1]);
        case "--messages" -> messages = Integer.parseInt(args[i + 1]);
        case "--bytes" -> bytes = Integer.parseInt(args[i + 1]);
        case "--seed" -> seed = Long.parseLong(args[i + 1]);
        case "--stop-file" -> stopFile = new File(args[i + 1]);
        default -> throw new IllegalArgumentException(args[i]);
      }
    }
    System.setProperty("com.ibm.msg.client.commonservices.log.status", "OFF");
    System.setProperty("com.ibm.msg.client.commonservices.ffst.suppress", "-1");
    System.out.println("SEED=" + seed);
    PRODUCING.set(producers);
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < producers; i++) {
      int number = i;
      threads.add(new Thread(() -> produce(number), "producer " + i));
    }
    for (int i = 0; i < consumers; i++) {
      int number = i;
      threads.add(new Thread(() -> consume(number), "consumer " + i));
    }
    threads.forEach(Thread::start);
    for (Thread thread : threads) {
      thread.join();
    }
    Runtime.getRuntime().halt(judge() ? 0 : 1);
  }

  private static boolean judge() {
    int committed = 0, doubtful = 0, consumed = 0, lost = 0, doubled = 0, torn = 0, ghosts = 0;
    Map<String, Integer> arrived = new HashMap<>();
    for (Map.Entry<String, int[]> entry : CONSUMED.entrySet()) {
      String message = entry.getKey();
      String transaction = message.substring(0, message.lastIndexOf('.'));
      int certain = entry.getValue()[0];
      consumed += certain;
      arrived.merge(transaction, 1, Integer::sum);
      if (certain > 1) {
        doubled++;
        System.out.println("doubled: " + message);
      }
      if (FATES.get(transaction) == Fate.ABANDONED) {
        ghosts++;
        System.out.println("never committed, and consumed: " + message);
      }
    }
    for (Map.Entry<String, Fate> entry : FATES.entrySet()) {
      String transaction = entry.getKey();
      int size = SIZES.get(transaction);
      int found = arrived.getOrDefault(transaction, 0);
      switch (entry.getValue()) {
        case COMMITTED -> {
          committed += size;
          if (found < size) {
            lost += size - found;
            System.out.println("lost: " + (size - found) + " of " + transaction);
          }
        }
        case IN_DOUBT -> {
          doubtful += size;
          if (found != 0 && found != size) {
            torn++;
            System.out.println("torn: " + found + " of " + size + " of " + transaction);
          }
        }
        case ABANDONED -> {}
      }
    }
    System.out.printf(
        "storm: %d committed, %d in doubt, %d consumed, %d reconnects, %d lost, %d doubled, %d torn,"
            + " %d ghosts, SEED=%d%n",
        committed, doubtful, consumed, RECONNECTS.get(), lost, doubled, torn, ghosts, seed);
    return committed > 0 && lost + doubled + torn + ghosts == 0;
  }
}
