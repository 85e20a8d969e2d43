# `make demo` and `make test` do everything, from a fresh Debian machine with Rust.
BESPOKE := target/x86_64-unknown-linux-gnu/release/bespoke

.PHONY: demo test build tools lint clean

demo: build
	scripts/demo $(BESPOKE)

build: tools
	cargo build --release --locked -p bespoke

tools:
	scripts/install-tools

lint: build
	cargo fmt --all --check
	$(BESPOKE) fetch
	cargo clippy --locked --workspace --all-targets -- -D warnings

test: lint
	cargo test --locked --workspace

clean:
	cargo clean
