# make up     build everything (page included) and run it with made-up traffic
# make build  the program: $(CARGO_TARGET_DIR)/release/daybook
# make test   everything CI runs
# make soak   the long trials in full
# make bench  open-loop benchmarks against a pipeline of their own
# make fuzz   random bytes against what reads clients' bytes, ten minutes a target
# make fmt    format

SHELL := /bin/bash
# Outside the checkout, so that a fresh clone finds what was built before.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/daybook/target
DAYBOOK := $(CARGO_TARGET_DIR)/release/daybook
PAGE_SOURCES := $(shell find page -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: build up page test soak bench fuzz fmt prerequisites

build: prerequisites page
	@[ -d "$(CARGO_TARGET_DIR)/release/deps" ] || echo "A first build compiles some 400 crates: 15 to 25 minutes on two cores. The next ones take a minute or two."
	scripts/cargo.sh build --release --locked -p daybook
	@echo "built $(DAYBOOK)"

up: build
	$(DAYBOOK) up --demo

page: page/dist/index.html

page/dist/index.html: $(PAGE_SOURCES)
	@scripts/prerequisites.sh node
	cd page && npm ci --no-audit --no-fund && npm run build

test:
	scripts/test.sh

soak: build
	KILLS=200 scripts/cargo.sh test --release --locked -p daybook --test kill -- --nocapture
	TRIALS=full scripts/cargo.sh test --release --locked --workspace --test mq_trials -- --nocapture
	TRIALS=full scripts/cargo.sh test --release --locked --workspace --test delivery_model -- --nocapture
	TRIALS=full scripts/cargo.sh test --release --locked --workspace --test delivery -- --nocapture
	TRIALS=full scripts/cargo.sh test --release --locked --workspace --test aggregators -- --nocapture
	DAYBOOK_BIN=$(DAYBOOK) SECONDS=300 RATE=2000 node scripts/converge.mjs
	DAYBOOK_BIN=$(DAYBOOK) SECONDS=300 RATE=500 STORE=cassandra node scripts/converge.mjs
	scripts/kafka-three.sh delivery
	DAYBOOK_BIN=$(DAYBOOK) KILLS=12 scripts/cassandra-three.sh
	DAYBOOK_BIN=$(DAYBOOK) scripts/spark.sh full
	DAYBOOK_BIN=$(DAYBOOK) scripts/cassandra-trouble.sh
	DAYBOOK_BIN=$(DAYBOOK) KILLS=50 scripts/mq-clients.sh storm --messages 2000

bench: build
	bench/translate.sh
	bench/run.sh $(DAYBOOK)
	bench/gateway.sh $(DAYBOOK)
	python3 bench/hostile.py $(DAYBOOK)
	bench/mq.sh $(DAYBOOK)
	bench/kafka.sh $(DAYBOOK)
	bench/cassandra.sh
	bench/web.sh $(DAYBOOK)
	cd page && SPEED=enforced node --test e2e/speed.spec.mjs
	node bench/paint.mjs $(DAYBOOK)
	node bench/heap.mjs
	bench/fanout.sh

fuzz:
	scripts/fuzz.sh

fmt:
	cargo fmt --all

prerequisites:
	@scripts/prerequisites.sh cargo cc make
