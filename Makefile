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
test: tools kube ## all tests: units, properties, the kernel as referee, scenarios with packets, the agent's suites
	$(CARGO) test --workspace

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

# The folder of kube-apiserver, etcd and kube-proxy; what is missing there is built from Go modules.
KUBEBUILDER_ASSETS ?= target/kube
override KUBEBUILDER_ASSETS := $(abspath $(KUBEBUILDER_ASSETS))
export KUBEBUILDER_ASSETS

.PHONY: kube
kube: ## etcd and kube-apiserver: what the agent is tested against (building them takes 6 minutes, once)
	@./.ci/tools curl unzip openssl
	@integration/kube/build $(KUBEBUILDER_ASSETS) etcd kube-apiserver

# The agent's suites: real packets against what a real API server has. They need no root.
AGENT_SUITE := $(CARGO) test --workspace --test

.PHONY: agent
agent: tools kube ## the agent against a real API server: scenarios and random changes, in full
	$(CARGO) build --package podwall
	FULL=1 $(AGENT_SUITE) agent_scenarios --test agent_changes

.PHONY: agent-faults
agent-faults: tools kube ## the agent killed, its ruleset flushed, the API server away, 10,000 connections revoked
	$(CARGO) build --package podwall
	FULL=1 $(AGENT_SUITE) agent_faults

MINUTES ?= 30

.PHONY: soak
soak: tools kube ## fifty changes a second with all faults mixed in: make soak MINUTES=30
	$(CARGO) build --package podwall
	MINUTES=$(MINUTES) $(AGENT_SUITE) agent_soak

.PHONY: kube-proxy
kube-proxy: tools ## the real kube-proxy beside us, both modes, pods routed and bridged (root; builds it: 5 minutes)
	@./.ci/tools curl unzip openssl iptables
	integration/kube/build $(KUBEBUILDER_ASSETS) etcd kube-apiserver kube-proxy
	$(CARGO) build --package podwall
	integration/kube-proxy/run

.PHONY: bench
bench: tools ## how long a change takes, stage by stage, in a fresh network namespace
	$(CARGO) bench --package podwall-benches

# What building and testing need beyond a shell, and how to get it on Debian.
PACKAGES := build-essential pkg-config libnftnl-dev libmnl-dev nftables iproute2

.PHONY: tools
tools: # install what is missing, or say how
	@./.ci/tools $(PACKAGES)
