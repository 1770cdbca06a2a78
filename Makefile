# Everything goes through `make`; .ci/run calls `make ci`. Needs Go, and for the whole of it Java, Maven, Python and a C compiler.

GO        ?= go
BIN       := bin/causeway
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
ARGS      ?=
PKG       ?= ./...
FUZZTIME  ?= 20000x
ROUNDS    ?= 100
# Two packages at once, for those with a real Kafka mostly wait; but the one that measures
# how whole processes behave under load has the machine to itself.
PARALLEL  ?= 2
ALONE     := cmd/causeway$$
TIMEOUT   ?= 30m

# kgo's mutexes become channels, so that a test bubble sees a wait on one (testing/synctest).
TAGS      := -tags synctests
CC_FOUND  := $(shell command -v "$$($(GO) env CC)" 2>/dev/null)
RACE      := $(if $(CC_FOUND),-race)

.DEFAULT_GOAL := help
.PHONY: help build run test lint fix bench profile microbench fuzz api docs chaos cluster ci FORCE

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: $(BIN) ## Build bin/causeway

$(BIN): FORCE
	@$(GO) build -o $@ ./cmd/causeway

run: $(BIN) ## Build and run `causeway dev`: the whole bridge in one process (ARGS="--forward-to http://localhost:3000")
	@exec ./$(BIN) dev $(ARGS)

test: ## All tests; the race detector where there is a C compiler, a real Kafka where there are Java and Maven
ifndef CC_FOUND
	@echo "make test: no C compiler ($$($(GO) env CC)) found, so without the race detector"
	@test -z "$(CI)" || { echo "make test: CI requires it"; exit 1; }
endif
	@for tool in java mvn; do command -v $$tool >/dev/null || echo "make test: no $$tool found, so without the tests on a real Kafka"; done
	@$(GO) build -pgo=off $(RACE) $(TAGS) $(PKG)
	@packages=$$($(GO) list $(PKG)) && for only in -v -e; do \
		some=$$(echo "$$packages" | grep $$only '$(ALONE)') || continue; \
		$(GO) test -pgo=off $(RACE) $(TAGS) -p $(PARALLEL) -timeout $(TIMEOUT) $$some || failed=1; \
	done; [ -z "$$failed" ]

lint: ## go vet and golangci-lint (pinned, run from its module; about 90 s the first time)
	$(GO) vet $(TAGS) ./...
	$(GO) run $(LINT) run

fix: ## Format, and mend what the linters can mend by themselves
	$(GO) run $(LINT) fmt
	$(GO) run $(LINT) run --fix

bench: $(BIN) ## Measure causeway against the machine's own limits, on a real Kafka: docs/benchmarks.md (ARGS="-rows egress")
	@$(GO) build -o bin/bench ./cmd/bench
	@exec ./bin/bench $(ARGS)

PROFILES := $(or $(TMPDIR),/tmp)/causeway-profiles
profile: $(BIN) ## Take cmd/causeway/default.pgo anew, by which the compiler knows what runs often (go.dev/doc/pgo)
	@$(GO) build -o bin/bench ./cmd/bench
	@rm -rf $(PROFILES)
	./bin/bench -rows ingress,egress -connections 256 -rounds 1 -profile $(PROFILES)
	$(GO) tool pprof -proto $(PROFILES)/*.pprof > cmd/causeway/default.pgo

microbench: ## Go benchmarks (PKG=./pkg/signature for one package)
	$(GO) test -run '^$$' -bench . -benchmem -p 1 -timeout $(TIMEOUT) $(PKG)

fuzz: ## Every fuzz target in the tree for FUZZTIME each (20000x: calls; or 60s), under a memory limit
	@GO="$(GO)" FUZZTIME="$(FUZZTIME)" .ci/fuzz

api: $(BIN) ## Run schemathesis over the admin API's description, against a causeway dev of its own (needs Python)
	@.ci/api ./$(BIN)

docs: $(BIN) ## Check that the commands and links in README.md and docs/ exist
	@.ci/docs ./$(BIN)

chaos: ## The kill -9 test for longer (ROUNDS=100)
	CHAOS_ROUNDS=$(ROUNDS) $(GO) test -count 1 -run 'Kill|Chaos' -v -timeout 120m ./cmd/causeway

cluster: export REQUIRE_KAFKA := 1
cluster: ## The processes on three brokers that die, freeze and come back, and rolling restarts: five times in a row (ROUNDS=5), for longer
	CLUSTER_LONG=1 ADMINS_LONG=1 $(GO) test -tags synctests -count $(if $(filter command line environment,$(origin ROUNDS)),$(ROUNDS),5) -run '^Test(Cluster|Admins|AnApplyThatIsCutOff)$$' -v -timeout 180m ./cmd/causeway

ci: export REQUIRE_KAFKA := 1
ci: ## What CI runs: lint, tests with a real Kafka, a short fuzz round, the API's description, the docs' commands
	$(MAKE) lint
	$(MAKE) test CI=true
	$(MAKE) fuzz FUZZTIME=10000x
	$(MAKE) api
	$(MAKE) docs
