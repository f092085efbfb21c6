# Start with `make demo`, or with `make test`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

GO ?= go
TOOL := $(GO) tool -modfile=test/tools.mod
NODE := node --experimental-wasm-memory64 --no-warnings
BENCH := .cache/bench

# How long each fuzz target runs, and how often and how long each benchmark.
FUZZTIME ?= 30s
COUNT ?= 3
BENCHTIME ?= 500ms

.PHONY: help
help: ## Print this.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: setup
setup: ## Bring what the rest needs: Go modules, real AO modules, npm packages.
	@test/setup.sh

.PHONY: build
build: ## Build bin/aorta.
	$(GO) build -o bin/aorta ./cmd/aorta

.PHONY: demo
demo: setup build ## Show a real AO process that survives and is bounded.
	@bin/aorta demo "$${AORTA_MODULES:-.cache/modules}/aos2_0_6.wasm"

.PHONY: test
test: setup ## Run all tests, with the race detector.
	$(GO) test -race -count=1 -timeout 20m $$($(GO) list ./... | grep -v /test/lint$$)

.PHONY: lint
lint: ## Hold the tree to its rules.
	$(GO) test -count=1 ./test/lint

.PHONY: bench
bench: setup ## Run the benchmarks and their peers; figures go to .cache/bench.
	@mkdir -p $(BENCH)
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) -benchtime $(BENCHTIME) -timeout 60m $$($(GO) list ./... | grep -v /test/lint$$) | tee $(BENCH)/aorta.txt
	$(NODE) test/bench/v8live.mjs --count=$(COUNT) | tee $(BENCH)/peers.txt
	$(NODE) test/bench/loader.mjs --count=$(COUNT) | tee -a $(BENCH)/peers.txt
	cat $(BENCH)/aorta.txt $(BENCH)/peers.txt | $(GO) run ./test/bench/ratios
	$(TOOL) benchstat $(BENCH)/aorta.txt
	$(TOOL) benchstat $(BENCH)/peers.txt

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME.
	@for pkg in $$($(GO) list ./...); do \
		targets=$$($(GO) test -list '^Fuzz' $$pkg | sed -n '/^Fuzz/p'); \
		for target in $$targets; do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg; \
		done; \
	done

.PHONY: clean
clean: ## Remove what was built and brought.
	rm -rf bin .cache test/oracle/node_modules
