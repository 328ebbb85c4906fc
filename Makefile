# Podwall. `make` alone prints this list.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

CARGO ?= cargo
# What the lab is to run: a file or folder of manifests, or several separated by spaces.
STEP ?= examples/three-tier/app.yaml examples/three-tier
LAB_OPTIONS ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: tools ## build, and run the three-tier example in the lab with its matrix
	$(CARGO) build --package podwall
	target/debug/podwall lab run --nodes 2 \
	  --step examples/three-tier/app.yaml --step examples/three-tier \
	  --outside internet=203.0.113.50 --expect integration/scenarios/three-tier/expect.yaml $(LAB_OPTIONS)

.PHONY: lab
lab: tools ## run your own manifests in the lab: make lab STEP=folder LAB_OPTIONS='--nodes 3'
	$(CARGO) build --package podwall
	target/debug/podwall lab run $(foreach step,$(STEP),--step $(step)) $(LAB_OPTIONS)

.PHONY: test
test: tools ## all tests: units, properties, the kernel as referee, scenarios with packets
	$(CARGO) test --workspace

.PHONY: conformance
conformance: tools ## right beyond doubt: all cases by packets, ten million connections, figures (3 to 15 minutes)
	$(CARGO) test --package podwall-policy --test clauses
	$(CARGO) test --package podwall-conformance --test traps --test events
	$(CARGO) test --package podwall-conformance --test conformance -- --all

SECONDS ?= 60
.PHONY: fuzz
fuzz: tools ## hostile manifests and objects: make fuzz SECONDS=60
	FUZZ_SECONDS=$(SECONDS) $(CARGO) test --package podwall-conformance --test hostile -- --nocapture

.PHONY: cases
cases: tools ## rewrite the golden rulesets; read the difference before committing it
	UPDATE=1 $(CARGO) test --package podwall-compiler --test cases

.PHONY: check
check: tools ## what must hold before review: format, lints, each crate alone, tests, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- --deny warnings
	for crate in crates/*/; do $(CARGO) check --quiet --manifest-path $$crate/Cargo.toml || exit 1; done
	$(MAKE) test
	$(MAKE) licences

.PHONY: licences
licences: ## licences and banned crates (installs cargo-deny when it is missing)
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny check licenses bans sources

# The folder of kube-apiserver, etcd and kube-proxy; built from Go modules when it is not there.
KUBEBUILDER_ASSETS ?= $(CURDIR)/target/kube

.PHONY: kube-proxy
kube-proxy: tools ## the real kube-proxy beside us, both modes, pods routed and bridged (root; builds it: 5 minutes)
	@./.ci/tools curl openssl iptables
	[ -x $(KUBEBUILDER_ASSETS)/kube-proxy ] || integration/kube-proxy/build $(KUBEBUILDER_ASSETS)
	$(CARGO) build --package podwall
	KUBEBUILDER_ASSETS=$(KUBEBUILDER_ASSETS) integration/kube-proxy/run

.PHONY: bench
bench: tools ## how long a change takes, stage by stage, in a fresh network namespace
	$(CARGO) bench --package podwall-benches

# What building and testing need beyond a shell, and how to get it on Debian.
PACKAGES := build-essential pkg-config libnftnl-dev libmnl-dev nftables iproute2

.PHONY: tools
tools: # install what is missing, or say how
	@./.ci/tools $(PACKAGES)
