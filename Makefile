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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

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
test: tools kube kubernetes-tools ## all tests: units, properties, the kernel as referee, packets, the agent's suites, manifests
	$(CARGO) test --workspace --no-run
	@echo 'Now side by side, each heard when it ends: the rest of the tests, deploy-check, and $(APART)'
	+@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target rest-of-tests deploy-check $(APART:%=suite-%)

# The agent's suites mostly wait, each for an API server of its own: they run one after the other beside the rest of the
# tests, and what each says comes in one piece when it ends. All at once would take a third less, but then the kernel's
# commits wait for each other's namespaces, and packets are late for their limits.
APART := $(notdir $(basename $(wildcard integration/tests/agent_*)))
.PHONY: rest-of-tests $(APART:%=suite-%)
rest-of-tests: # the harness of the suites leaves them out here
	SUITES_APART=1 $(CARGO) test --workspace --no-fail-fast
$(APART:%=suite-%): suite-%: # one suite, in its short form
	$(AGENT_SUITE) $*

.PHONY: map-browser
map-browser: tools ## podwall map of 500 workloads in a headless Chromium: searched, clicked, and pictures to look at
	@command -v chromium google-chrome > /dev/null || ./.ci/tools chromium
	$(CARGO) build --package podwall
	integration/map-browser/run

.PHONY: conformance
conformance: tools kube ## right beyond doubt: all cases by packets, some through agents, ten million flows (10 to 20 minutes)
	$(CARGO) test --package podwall-policy --test clauses
	$(CARGO) test --package podwall-conformance --test clauses --test traps --test events --test bounds
	PODWALL_PATHS=200 $(CARGO) test --package podwall-conformance --test kernel_path
	$(CARGO) build --package podwall
	$(CARGO) test --package podwall-integration --test agent_cases
	$(CARGO) test --package podwall-conformance --test conformance -- --all

.PHONY: bugs
bugs: tools ## five bugs put in on purpose: which tests notice? (10 minutes)
	@./.ci/tools rsync patch git
	crates/conformance/bugs/run

.PHONY: mutants
mutants: tools ## every small change of policy, ruleset and compiler: which does no test notice? (20 minutes)
	@./.ci/tools git rsync
	command -v cargo-mutants > /dev/null || $(CARGO) install --locked cargo-mutants
	mutants/run

SECONDS ?= 60
.PHONY: fuzz
fuzz: tools ## coverage-guided, each target for so long: make fuzz SECONDS=60
	@./.ci/tools g++
	SECONDS_EACH=$(SECONDS) fuzz/run

.PHONY: cases
cases: tools ## rewrite the golden rulesets; read the difference before committing it
	UPDATE=1 $(CARGO) test --package podwall-compiler --test cases

.PHONY: reference
reference: tools ## write docs/cli.md, the sessions of the tutorial and, into target/man, the man pages; read the difference
	UPDATE=1 $(CARGO) test --quiet --package podwall --test reference --test tutorial
	$(CARGO) run --quiet --package podwall --example man target/man

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
	@./.ci/tools curl ca-certificates unzip openssl
	@integration/kube/build $(KUBEBUILDER_ASSETS) etcd kube-apiserver

# The agent's suites: real packets against what a real API server has. They need no root.
AGENT_SUITE := $(CARGO) test --workspace --test

.PHONY: agent
agent: tools kube ## the agent against a real API server: scenarios, random changes in full, what operators meet
	$(CARGO) build --package podwall
	FULL=1 $(AGENT_SUITE) agent_scenarios --test agent_changes --test agent_operation

.PHONY: agent-faults
agent-faults: tools kube ## the agent killed, its ruleset flushed, the API server away, 10,000 connections revoked
	$(CARGO) build --package podwall
	FULL=1 $(AGENT_SUITE) agent_faults

.PHONY: agent-size
agent-size: tools ## memory and processor time of an agent at rest, at 10,000 and 100,000 pods
	$(CARGO) build --profile ci --package podwall
	$(CARGO) build --profile ci --package podwall-reconciler --example watch_footprint
	integration/agent-size target/ci/podwall target/ci/examples/watch_footprint 10000 100000

MINUTES ?= 30

.PHONY: soak
soak: tools kube ## fifty changes a second with all faults mixed in: make soak MINUTES=30
	$(CARGO) build --package podwall
	MINUTES=$(MINUTES) $(AGENT_SUITE) agent_soak

.PHONY: kube-proxy
kube-proxy: tools ## the real kube-proxy beside us, both modes, pods routed and bridged (root; builds it: 5 minutes)
	@./.ci/tools curl ca-certificates unzip openssl iptables
	integration/kube/build $(KUBEBUILDER_ASSETS) etcd kube-apiserver kube-proxy
	$(CARGO) build --package podwall
	integration/kube-proxy/run

# Suites of Debian whose nft is asked; kube-proxy's tables are those of a run of `make kube-proxy`, whose real ones they are.
NFT_SUITES ?= bullseye bookworm trixie sid
KUBE_PROXY_TABLES := target/kube-proxy-tables
.PHONY: nft-versions
nft-versions: tools ## what we program in nft 0.9.8 to the newest, beside kube-proxy and firewalld (root, the first time)
	@./.ci/tools curl unzip openssl iptables debian-archive-keyring
	$(CARGO) build --package podwall
	[ -s $(KUBE_PROXY_TABLES)/ip6tables ] || { integration/kube/build $(KUBEBUILDER_ASSETS) etcd kube-apiserver kube-proxy && \
	  TABLES=$(abspath $(KUBE_PROXY_TABLES)) integration/kube-proxy/run; }
	$(CARGO) test --package podwall-integration --test referee --no-run
	TABLES=$(KUBE_PROXY_TABLES) integration/nft-versions/run $(NFT_SUITES)

# Suites of Debian whose kernels are booted.
KERNEL_SUITES ?= bullseye bookworm trixie sid
.PHONY: kernels
kernels: tools ## the same tests and scenarios on kernels 5.10 to the newest, in virtual machines (slow: emulated)
	@./.ci/tools qemu-system-x86 busybox-static cpio kmod xz-utils zstd jq debian-archive-keyring
	$(CARGO) build --package podwall
	tests=$$(integration/test-programs --package podwall-netlink --package podwall-lab --package podwall \
	    --package podwall-conformance --package podwall-integration \
	    --test kernel --test spoofing --test lab --test scenarios --test kernel_path --test revocation) && \
	  PODWALL=target/debug/podwall TESTS=$$tests integration/kernels/run $(KERNEL_SUITES)

# Columns of the table: CNI plugin and mode of kube-proxy. PARTS: scenarios births traffic.
LOCAL_CLUSTERS ?= ptp/nftables ptp/iptables bridge/nftables bridge/iptables
KIND_CLUSTERS ?= kindnet/nftables ptp/iptables
export KIND_IMAGE KIND_CONFIG KIND_FAMILY PARTS KEEP DOCKER

.PHONY: integration-local
integration-local: image-root ## A1 to A14, births, restarts, upgrade, drain on real clusters of plain processes (root)
	@./.ci/tools curl ca-certificates unzip
	@integration/kube/build $(KUBEBUILDER_ASSETS) etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl agnhost
	$$([ "$$(id -u)" = 0 ] || echo sudo --preserve-env=KUBEBUILDER_ASSETS,PARTS,KEEP) integration/cluster/run local $(LOCAL_CLUSTERS)

.PHONY: integration
integration: engine image-root ## the same on clusters of kind, with Docker or DOCKER=podman: KIND_CLUSTERS, KIND_IMAGE
	@./.ci/tools curl ca-certificates unzip
	@integration/kube/build $(KUBEBUILDER_ASSETS) kubectl agnhost kind
	integration/cluster/run kind $(KIND_CLUSTERS)

.PHONY: engine
engine: # a container engine that runs, before anything is built for it
	@integration/cluster/engine

.PHONY: install-yaml
install-yaml: kubernetes-tools ## write deploy/install.yaml from deploy/base
	{ echo '# Generated from deploy/base: change it there, then make install-yaml.'; \
	  $(KUBEBUILDER_ASSETS)/kustomize build deploy/base; } > target/install.yaml
	mv target/install.yaml deploy/install.yaml

.PHONY: deploy-check
deploy-check: kube kubernetes-tools ## the manifests and the rendered chart against a real API server: dry runs, rights, admission
	@./.ci/tools curl jq openssl iproute2
	KUBEBUILDER_ASSETS=$(KUBEBUILDER_ASSETS) integration/deploy/check

.PHONY: kubernetes-tools
kubernetes-tools: # helm and kustomize
	@./.ci/tools curl ca-certificates unzip jq
	@mkdir -p target
	integration/deploy/build $(KUBEBUILDER_ASSETS)

.PHONY: image-root
image-root: release-build ## the image's file system, without a container engine, and whether it works
	rm -rf target/image
	deploy/image-root target/release/podwall target/image
	install -D --mode=644 LICENSE target/image/LICENSE
	deploy/image-check target/image

.PHONY: image
image: ## the image, with docker (or DOCKER=podman)
	$(DOCKER) build --file deploy/Dockerfile --tag $(IMAGE):$(VERSION) --build-arg SOURCE_DATE_EPOCH=$(COMMIT_TIME) .

.PHONY: push
push: image ## the image to its registry, with the architecture in its tag
	$(DOCKER) tag $(IMAGE):$(VERSION) $(IMAGE):$(VERSION)-$(ARCHITECTURE)
	$(DOCKER) push $(IMAGE):$(VERSION)-$(ARCHITECTURE)

.PHONY: push-manifest
push-manifest: ## one tag for the images of both architectures, once both are pushed
	$(DOCKER) manifest create $(IMAGE):$(VERSION) $(IMAGE):$(VERSION)-amd64 $(IMAGE):$(VERSION)-arm64
	$(DOCKER) manifest push $(IMAGE):$(VERSION)

.PHONY: release
release: release-build ## target/dist: tarball, chart, manifests, bill of materials, checksums
	@./.ci/tools jq
	deploy/release/pack target/release/podwall target/dist

.PHONY: release-from-image
release-from-image: image ## the same with the image's program, which runs on Debian 12 and whatever is newer
	@./.ci/tools jq
	rm -rf target/from-image && mkdir -p target/from-image
	id=$$($(DOCKER) create $(IMAGE):$(VERSION)) && $(DOCKER) cp $$id:/podwall target/from-image/ && $(DOCKER) rm $$id
	deploy/release/pack target/from-image/podwall target/dist

.PHONY: release-tag
release-tag: ## whether the tag REF is the version's
	@[ '$(REF)' = 'v$(VERSION)' ] || { echo "the tag $(REF) is not v$(VERSION), the version in Cargo.toml" >&2; exit 1; }

.PHONY: runner
runner: ## on a fresh Ubuntu that is thrown away: user namespaces, and the modules that tests use (root)
	sudo sysctl --write kernel.apparmor_restrict_unprivileged_userns=0
	sudo modprobe --all br_netfilter nf_tables nf_conntrack sctp || true

.PHONY: release-build
release-build: tools # without the names of this machine's folders
	deploy/release/build target

.PHONY: reproducible
reproducible: tools ## whether the release built twice in different folders is the same bytes (10 minutes)
	deploy/release/reproducible

.PHONY: publish
publish: ## target/dist as a release of the version's tag, with GitHub's gh
	gh release create v$(VERSION) --verify-tag --generate-notes || gh release view v$(VERSION)
	gh release upload v$(VERSION) --clobber target/dist/*

# The benches: what is optimised as the release is, without the time that linking it takes.
BENCH := $(CARGO) bench --quiet --profile ci --package podwall-benches

.PHONY: bench
bench: tools kube ## what changes, starts and packets cost, as tables and curves: target/bench (FULL=1: every size)
	@./.ci/tools openssl iptables ipset
	$(CARGO) build --profile ci --package podwall --package podwall-benches
	$(BENCH) --bench update
	$(BENCH) --bench start
	$(BENCH) --bench packet
	$(BENCH) --bench end_to_end
	target/ci/podwall-benches report

.PHONY: flow-flood
flow-flood: tools kube ## what the flow log costs under a flood of denied packets (2 minutes)
	$(CARGO) build --profile ci --package podwall
	$(BENCH) --bench flow_flood

.PHONY: bench-check
bench-check: ## has anything become slower? the ratios of the last `make bench` against benches/baseline.json
	$(CARGO) run --quiet --profile ci --package podwall-benches -- check

.PHONY: bench-baseline
bench-baseline: ## the ratios of the last `make bench` are what `make bench-check` compares with from now on
	$(CARGO) run --quiet --profile ci --package podwall-benches -- baseline

# The version is the workspace's, and nobody else's.
VERSION = $(shell sed --quiet 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
COMMIT_TIME = $(shell git log -1 --format=%ct)
ARCHITECTURE = $(shell dpkg --print-architecture)
IMAGE ?= ghcr.io/podwall/podwall
DOCKER ?= docker

# What building and testing need beyond a shell, and how to get it on Debian.
PACKAGES := build-essential pkg-config libnftnl-dev libmnl-dev nftables iproute2

.PHONY: tools
tools: # install what is missing, or say how
	@./.ci/tools $(PACKAGES)
