# `make demo` and `make test` do everything, from a fresh Debian machine with Rust.
BESPOKE := target/x86_64-unknown-linux-gnu/release/bespoke

.PHONY: demo test torture results redis-tests redis-soak forward-soak reference build tools browser lint fuzz clean

# The command is built with the profile `demo`, in less than half the time.
demo:
	scripts/install-tools --images
	cargo build --profile demo --locked -p bespoke
	scripts/demo target/x86_64-unknown-linux-gnu/demo/bespoke

build: tools
	cargo build --release --locked -p bespoke

tools:
	scripts/install-tools

# Tests look at the pages of `bespoke report` in it; it is large, and nothing else needs it.
browser:
	scripts/install-tools chromium:chromium

# Without root, images or the command.
lint:
	scripts/lint

# SECONDS for each target.
SECONDS := 20
fuzz:
	scripts/fuzz $(SECONDS)

test: browser build
	$(BESPOKE) fetch
	scripts/lint
	cargo test --locked --workspace --no-fail-fast
	scripts/fuzz

# 200 SQLite images that complete, fail, fill up, are terminated and are killed: is a database ever damaged? `make test`
# does 10. SEED chooses others.
SEED := 1
torture: tools
	BESPOKE_TORTURE_RUNS=200 BESPOKE_TORTURE_SEED=$(SEED) cargo test --locked -p bespoke --test torture -- --nocapture

# Redis's own test suite against an image, or TARGET=kvm, native, native-without-fork.
TARGET := process
redis-tests: build
	apps/redis/tests/run $(BESPOKE) $(TARGET)

# A mixed load of MINUTES on an image for each of HEAPS: does memory stay bounded?
redis-soak: build
	TARGET=$(TARGET) apps/redis/tests/soak $(BESPOKE) $(HEAPS)

# 10,000 mixed requests, and 1,000 clients at once, through a led-in port, each answer compared with the native server's.
forward-soak: build
	BESPOKE_FORWARD_REQUESTS=10000 cargo test --locked -p bespoke --test forward

# What is written from the code: docs/reference/system-calls.md, and the headers of call groups. `make test` compares.
reference:
	BESPOKE_WRITE_REFERENCE=1 cargo test --locked -p bespoke-libos --lib calls::

# Do tests notice when a line of the code is wrong? AREAS and EVERY (every Nth change): docs/mutation.md. Takes hours.
mutants:
	scripts/mutants $(AREAS)

# docs/results.md and its plots, in the two hours of BUDGET minutes; QUICK=1, FRESH=1, BUILD=1: see `--help` of the program.
results: build
	cargo run --release --locked -p bespoke-evaluation -- measure $(BESPOKE) $(if $(BUDGET),--budget $(BUDGET)) \
		$(if $(QUICK),--quick) $(if $(FRESH),--fresh) $(if $(BUILD),--build-only)

clean:
	cargo clean
