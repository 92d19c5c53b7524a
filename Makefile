# make demo | test | bench | lint | setup — each does its own set-up, on Debian also the system packages.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Outside the checkout, so that a fresh clone compiles nothing twice.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tegata/target
DEMO_DIR ?= $(HOME)/.cache/tegata/demo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# What Debian brings: a C++ compiler and libclang for RocksDB's bindings; a Rust that can build the standard library for
# wasm32, and its linker; a browser and a Japanese font for the browser tests; Python for other people's verifiers.
PACKAGES := build-essential pkg-config libclang-dev rustc-web rust-web-src lld-22 chromium fonts-ipaexfont-gothic python3-venv
PYTHON_FOLDER ?= $(HOME)/.cache/tegata/venv
export TEGATA_PYTHON ?= $(PYTHON_FOLDER)/bin/python
FUZZ_S ?= 60
NPM_FOLDERS := wallet-web tests/browser tests/interop

help: ## shows this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## installs what is missing: Debian packages, npm and Python packages
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs (1.95 or newer)"; exit 1; }
	@command -v npm >/dev/null || { echo "Node.js is missing: install version 20 or newer with npm 11"; exit 1; }
	@missing=""; for p in $(PACKAGES); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	  $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; fi
	@for d in $(NPM_FOLDERS); do [ -f $$d/package.json ] || continue; \
	  if [ ! -d $$d/node_modules ] || [ $$d/package-lock.json -nt $$d/node_modules/.package-lock.json ]; then \
	    echo "npm ci in $$d"; (cd $$d && npm ci --no-fund --no-audit --loglevel=error) || exit 1; fi; done
	@wanted=tests/interop/requirements.txt; if [ -f $$wanted ] && ! cmp -s $$wanted $(PYTHON_FOLDER)/requirements.txt; then \
	  echo "pip install of $$wanted"; python3 -m venv $(PYTHON_FOLDER) && $(TEGATA_PYTHON) -m pip install -q --disable-pip-version-check -r $$wanted \
	  && cp $$wanted $(PYTHON_FOLDER)/requirements.txt || exit 1; fi

wallet: setup ## builds the wallet (wasm and web)
	cargo run -q -p tegata-wasm-bindgen
	cd wallet-web && npm run -s build

build: setup wallet ## builds everything
	cargo build --workspace --bins

demo: build ## brings up the whole system on loopback (Ctrl-C stops it)
	$(CARGO_TARGET_DIR)/debug/tegata demo --dir "$(DEMO_DIR)" --wallet wallet-web/dist $(DEMO)

lint: setup wallet ## rustfmt, clippy with warnings as errors, svelte-check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cd wallet-web && npm run -s check

test: build ## every test
	cd wallet-web && npm test
	cargo test --workspace --no-fail-fast
	cd tests/browser && npm test

test-mutations: build ## breaks each check by a source patch; every patch must make a test fail
	tests/mutations/run

bench: build ## our rates beside a limit or a peer, measured in the same run (BENCH="--only ledger")
	$(CARGO_TARGET_DIR)/debug/tegata-bench --tegata "$(CARGO_TARGET_DIR)/debug/tegata" $(BENCH)

deny: ## licences, advisories and sources of all dependencies
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny check

fuzz: ## every decoder for a minute each (FUZZ_S=seconds; needs a nightly Rust)
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	@python3 tests/fuzz/seeds.py
	@for t in $$(cargo +nightly fuzz list --fuzz-dir tests/fuzz); do echo "== $$t"; \
	  CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/fuzz cargo +nightly fuzz run --fuzz-dir tests/fuzz $$t -- -max_total_time=$(FUZZ_S) -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 || exit 1; done

clean-demo: ## forgets the demo's data
	rm -rf "$(DEMO_DIR)"

.PHONY: help setup wallet build demo lint test test-mutations bench deny fuzz clean-demo
