package conf;

import com.ibm.mq.MQException;
import com.ibm.mq.MQGetMessageOptions;
import com.ibm.mq.MQMessage;
import com.ibm.mq.MQPutMessageOptions;
import com.ibm.mq.MQQueue;
import com.ibm.mq.MQQueueManager;
import com.ibm.mq.constants.CMQC;
import com.ibm.mq.constants.MQConstants;
import java.util.Arrays;
import java.util.Hashtable;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Put+get pairs of persistent messages a second, through IBM's client: closed loop, each worker with a
 * connection of its own. At the end every message must have been got once.
 *
 * <p>usage: HOST PORT QMGR CHANNEL QUEUE [--workers N] [--seconds N] [--bytes N]
 */
public final class Pairs {
  private static volatile boolean stop;

  public static void main(String[] args) throws Exception {
    int workers = 1, seconds = 5, bytes = 2048;
    for (int i = 5; i + 1 < args.length; i += 2) {
      int value = Integer.parseInt(args[i + 1]);
      switch (args[i]) {
        case "--workers" -> workers = value;
        case "--seconds" -> seconds = value;
        case "--bytes" -> bytes = value;
        default -> throw new IllegalArgumentException(args[i]);
      }
    }
    Hashtable<String, Object> properties = new Hashtable<>();
    properties.put(MQConstants.HOST_NAME_PROPERTY, args[0]);
    properties.put(MQConstants.PORT_PROPERTY, Integer.parseInt(args[1]));
    properties.put(MQConstants.CHANNEL_PROPERTY, args[3]);
    properties.put(MQConstants.TRANSPORT_PROPERTY, MQConstants.TRANSPORT_MQSERIES_CLIENT);
    AtomicLong put = new AtomicLong(), got = new AtomicLong(), mixed = new AtomicLong();
    long[][] times = new long[workers][];
    Thread[] threads = new Thread[workers];
    int size = bytes;
    for (int worker = 0; worker < workers; worker++) {
      int number = worker;
      MQQueueManager manager = new MQQueueManager(args[2], properties);
      MQQueue queue =
          manager.accessQueue(args[4], CMQC.MQOO_INPUT_SHARED | CMQC.MQOO_OUTPUT);
      threads[worker] =
          new Thread(
              () -> {
                try {
                  times[number] = work(queue, number, size, put, got, mixed);
                  queue.close();
                  manager.disconnect();
                } catch (Exception error) {
                  error.printStackTrace();
                  System.exit(1);
                }
              });
    }
    long began = System.nanoTime();
    for (Thread thread : threads) thread.start();
    Thread.sleep(seconds * 1000L);
    stop = true;
    for (Thread thread : threads) thread.join();
    double took = (System.nanoTime() - began) / 1e9;
    long[] all = Arrays.stream(times).flatMapToLong(Arrays::stream).sorted().toArray();
    boolean same = put.get() == got.get() && mixed.get() == 0;
    System.out.printf(
        "IBM's client workers=%d bytes=%d: %d pairs/s; a pair takes p50 %.2f ms p99 %.2f ms max %.2f ms; put %d got %d, %s%n",
        workers,
        bytes,
        Math.round(got.get() / took),
        all[all.length / 2] / 1e6,
        all[(int) (all.length * 0.99)] / 1e6,
        all[all.length - 1] / 1e6,
        put.get(),
        got.get(),
        same ? "each once" : "NOT EACH ONCE");
    System.exit(same ? 0 : 1);
  }

  private static long[] work(
      MQQueue queue, int worker, int bytes, AtomicLong put, AtomicLong got, AtomicLong mixed)
      throws MQException, java.io.IOException {
    long[] times = new long[1 << 20];
    int count = 0;
    byte[] padding = new byte[bytes - 8];
    long next = (long) worker << 40;
    MQPutMessageOptions putOptions = new MQPutMessageOptions();
    putOptions.options = CMQC.MQPMO_NO_SYNCPOINT;
    while (!stop && count < times.length) {
      long began = System.nanoTime();
      MQMessage message = new MQMessage();
      message.persistence = CMQC.MQPER_PERSISTENT;
      message.writeLong(++next);
      message.write(padding);
      put.incrementAndGet();
      mixed.addAndGet(mix(next));
      queue.put(message, putOptions);
      MQMessage found = new MQMessage();
      MQGetMessageOptions getOptions = new MQGetMessageOptions();
      getOptions.options = CMQC.MQGMO_WAIT | CMQC.MQGMO_NO_SYNCPOINT;
      getOptions.waitInterval = 10_000;
      queue.get(found, getOptions);
      got.incrementAndGet();
      mixed.addAndGet(-mix(found.readLong()));
      times[count++] = System.nanoTime() - began;
    }
    return Arrays.copyOf(times, count);
  }

  /** splitmix64: so that a lost and a doubled number do not cancel out in the sum. */
  private static long mix(long number) {
    long mixed = number + 0x9e3779b97f4a7c15L;
    mixed = (mixed ^ (mixed >>> 30)) * 0xbf58476d1ce4e5b9L;
    mixed = (mixed ^ (mixed >>> 27)) * 0x94d049bb133111ebL;
    return mixed ^ (mixed >>> 31);
  }
}
