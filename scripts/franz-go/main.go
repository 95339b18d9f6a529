// Reads and writes a log with franz-go: transactions that commit and abort in every compression, a cooperative group, and
// consume-transform-produce. Fails if one record is missing, too many, or not as written.
//
//	go run . BOOTSTRAP
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const each = 25

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) != 2 {
		must(fmt.Errorf("usage: go run . BOOTSTRAP"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	seeds := kgo.SeedBrokers(os.Args[1])
	name := fmt.Sprintf("franz-%d", time.Now().UnixNano())
	from, to := name+"-from", name+"-to"

	admin, err := kgo.NewClient(seeds)
	must(err)
	defer admin.Close()
	must(admin.Ping(ctx))
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 30_000
	for _, topic := range []string{from, to} {
		wanted := kmsg.NewCreateTopicsRequestTopic()
		wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = topic, 3, 1
		request.Topics = append(request.Topics, wanted)
	}
	made, err := request.RequestWith(ctx, admin)
	must(err)
	for _, topic := range made.Topics {
		must(kerr.ErrorForCode(topic.ErrorCode))
	}

	// Transactions: one committed and one aborted a compression.
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for number, codec := range codecs {
		producer, err := kgo.NewClient(seeds, kgo.DefaultProduceTopic(from), kgo.TransactionalID(name),
			kgo.ProducerBatchCompression(codec))
		must(err)
		for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			must(producer.BeginTransaction())
			for i := range each {
				value := fmt.Sprintf("%v/%d/%d", end == kgo.TryCommit, number, i)
				key := fmt.Sprintf("key %d", i)
				producer.Produce(ctx, &kgo.Record{Key: []byte(key), Value: []byte(value)}, func(_ *kgo.Record, err error) { must(err) })
			}
			must(producer.Flush(ctx))
			must(producer.EndTransaction(ctx, end))
		}
		producer.Close()
	}

	// A group reads what was committed, and passes it on in transactions with its offsets.
	session, err := kgo.NewGroupTransactSession(seeds, kgo.TransactionalID(name+"-session"), kgo.ConsumerGroup(name),
		kgo.ConsumeTopics(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	wanted := each * len(codecs)
	passed := 0
	for passed < wanted {
		fetches := session.PollFetches(ctx)
		for _, failure := range fetches.Errors() {
			must(failure.Err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		must(session.Begin())
		fetches.EachRecord(func(record *kgo.Record) {
			next := &kgo.Record{Topic: to, Key: record.Key, Value: record.Value}
			session.Produce(ctx, next, func(_ *kgo.Record, err error) { must(err) })
		})
		committed, err := session.End(ctx, kgo.TryCommit)
		must(err)
		if committed {
			passed += fetches.NumRecords()
		}
	}
	session.Close()

	reader, err := kgo.NewClient(seeds, kgo.ConsumeTopics(to), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	defer reader.Close()
	seen := map[string]int{}
	for len(seen) < wanted {
		fetches := reader.PollFetches(ctx)
		for _, failure := range fetches.Errors() {
			must(failure.Err)
		}
		fetches.EachRecord(func(record *kgo.Record) { seen[string(record.Value)]++ })
	}
	for number := range codecs {
		for i := range each {
			value := fmt.Sprintf("true/%d/%d", number, i)
			if seen[value] != 1 {
				must(fmt.Errorf("%q came %d times", value, seen[value]))
			}
		}
	}
	fmt.Printf("franz-go: %d records of committed transactions passed on once, none of the aborted ones\n", len(seen))
}
