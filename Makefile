# `make test` runs every test; `cargo test` runs those that need nothing but Rust and names the others.

# Programs that only the tests and the comparison of https use, each with the Debian package that has it.
TOOLS = certutil:libnss3-tools chromium:chromium curl:curl git:git go:golang-go ip:iproute2 java:default-jdk-headless node:nodejs npm:npm openssl:openssl python3:python3 squid:squid-openssl

.PHONY: build test drills compare check tools

build:
	cargo build --release

# The acceptance numbers are those of the release build.
test: build tools tests/cache-tests/node_modules
	@RINGHOLD_TOOLS=1 RINGHOLD_PROGRAM=$(abspath $(or $(CARGO_TARGET_DIR),target))/release/ringhold \
		cargo test --profile testing --features forced-route --no-fail-fast

# The long drills in full size (minutes in place of seconds, 500 in place of 20), by the code that `make test` runs in small.
drills: build tools
	@RINGHOLD_TOOLS=1 RINGHOLD_DRILLS=full RINGHOLD_PROGRAM=$(abspath $(or $(CARGO_TARGET_DIR),target))/release/ringhold \
		cargo test --profile testing --features forced-route --test drills --test disk -- --test-threads=1 --nocapture

# Next to others: their packages, and the tables of bench/RESULTS.md (two hours; see bench/compare --help).
compare: build
	bench/peers install
	bench/compare

# The HTTP working group's own tests of caches, at the versions that the lock file pins.
tests/cache-tests/node_modules: tests/cache-tests/package-lock.json | tools
	@echo "make test: installing the cache-tests: npm ci --prefix tests/cache-tests"
	@npm ci --prefix tests/cache-tests --no-audit --no-fund --loglevel=error && touch $@ || \
		echo "make test: could not install the cache-tests, so their tests will fail (tests/black_box/cache_tests.rs)."

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

tools:
	@missing=; PATH="$$PATH:/usr/sbin:/sbin"; \
	for tool in $(TOOLS); do \
		command -v $${tool%%:*} >/dev/null 2>&1 || missing="$$missing $${tool##*:}"; \
	done; \
	[ -e /usr/share/java/zookeeper.jar ] || missing="$$missing zookeeper"; \
	python3 -m pip --version >/dev/null 2>&1 || missing="$$missing python3-pip"; \
	[ -n "$$missing" ] || exit 0; \
	as_root=; [ "$$(id -u)" = 0 ] || as_root=sudo; \
	if ! command -v apt-get >/dev/null || { [ -n "$$as_root" ] && ! command -v sudo >/dev/null; }; then \
		echo "make test: not installed:$$missing. The tests that need them are left out."; exit 0; \
	fi; \
	echo "make test: installing what only the tests need:$$missing"; \
	$$as_root bench/peers packages $$missing >/dev/null || echo "make test: could not install$$missing. The tests that need them are left out."
