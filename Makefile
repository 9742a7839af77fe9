# Leasehold. `make demo` shows it; `make test` proves it. On a bare machine only Go, make and git are needed.
SHELL       := /bin/bash
GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PROTO       := $(shell find proto -name '*.proto')
PACKAGES    ?= ./cmd/leasehold ./cluster ./feed/feedtest ./... # those whose tests take longest first: the others fill up what they leave idle
FUZZTIME    ?= 20s
DEBIAN      := protobuf-compiler tshark iproute2 nftables keepalived bird2 kea-dhcp6-server kea-ctrl-agent kea-admin isc-dhcp-server dnsmasq-base

.PHONY: help build demo test race bench fuzz verify lint proto tidy clean packages

help: ## list what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: bin/leasehold ## bin/leasehold, static, version stamped from git

.PHONY: bin/leasehold
bin/leasehold:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/leasehold ./cmd/leasehold

demo: build ## a three-node cluster on this machine, fed, asked, killed and asked again
	./bin/leasehold demo

test: packages ## every test, with the race detector
	$(GO) test -race -shuffle=on -timeout 20m $(PACKAGES)

bench: build ## the performance ladder, beside its references in the same run
	./bin/leasehold bench --out bench/latest.json

fuzz: ## each fuzz target for FUZZTIME
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | while read -r f; do \
		for t in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' "$$f" | cut -c6-); do \
			echo "== $$(dirname $$f) $$t"; $(GO) test -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$(dirname $$f)"; done; done

verify: packages ## formatting, vet, lint, the shape of the tree, generated code, go.mod
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "not gofmt'd:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(MAKE) lint
	$(GO) test -count=1 .
	@$(MAKE) proto && git diff --exit-code -- proto || { echo "generated code is out of date: make proto"; exit 1; }
	$(GO) mod tidy -diff
	$(GO) mod verify

lint: ## staticcheck, every check of it
	$(GO) tool -modfile=tools/staticcheck/go.mod staticcheck -checks 'all,-ST1003,-ST1005' ./...

proto: ## generate Go from the .proto files
	@mkdir -p .tools
	$(GO) build -modfile=tools/protogen/go.mod -o .tools/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
	PATH="$(CURDIR)/.tools:$$PATH" protoc -I proto --go_out=proto --go_opt=paths=source_relative --go-grpc_out=proto --go-grpc_opt=paths=source_relative $(PROTO:proto/%=%)

# Daemons among them are installed and not started: tests start their own, in namespaces.
packages: ## Debian packages that tests use: installed as root, else named
	@missing=""; for p in $(DEBIAN); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		rule=/usr/sbin/policy-rc.d; [ -e $$rule ] && rule= || { printf '#!/bin/sh\nexit 101\n' >$$rule; chmod 755 $$rule; }; \
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing >/dev/null; \
		code=$$?; [ -z "$$rule" ] || rm -f $$rule; exit $$code; \
	else echo "tests that need$$missing (Debian packages, root) will be skipped"; fi

tidy: ## go.mod and formatting
	$(GO) mod tidy
	gofmt -w $$(git ls-files '*.go')

clean: ## what was built
	rm -rf bin .tools bench
