# Sourced by run: the agent as deploy/ ships it, from its own image; what it is and may do; and its leaving.
# shellcheck shell=bash disable=SC2154

deploy=$here/../../deploy
image_name=$(sed --quiet 's/^ *image: \(.*podwall.*\)/\1/p' "$deploy/install.yaml" | head --lines=1)

# Twice the same files, under two names, one of which is what an upgrade goes to. The name is in the image too, so they
# are two images for the container runtime.
podwall_images() {
  [ -x "$image_root/podwall" ] || { echo "no image in $image_root: make image-root" >&2; exit 1; }
  "$here/image" "$work/podwall.tar" "$image_name" '["/podwall"]' "$image_root"
  "$here/image" "$work/podwall-next.tar" "$image_name-next" '["/podwall"]' "$image_root"
}

install_agent() {
  local at took node wrong=ok
  at=$(date +%s%N)
  kubectl apply --filename "$deploy/install.yaml" > /dev/null
  kubectl --namespace kube-system rollout status daemonset/podwall --timeout=120s > /dev/null
  took=$((($(date +%s%N) - at) / 1000000))
  for node in "${NODES[@]}"; do
    if ! has_table "$node" || [ "$(agent_pids "$node" | wc --lines)" != 1 ]; then wrong=WRONG; fi
  done
  report "installed" $wrong "ready on all nodes in $took ms"
}

agent_pids() { # NODE, as its machine numbers them
  # shellcheck disable=SC2016
  enter "$1" sh -c 'for comm in /proc/[0-9]*/comm; do read -r name < $comm; [ "$name" != podwall ] || echo "${comm%/comm}"; done 2> /dev/null' \
    | sed 's#/proc/##'
}

# What the running agents are, by /proc: bit 12 of the capabilities is CAP_NET_ADMIN.
inspect_agents() {
  local node pid status effective=() resident=() allowed=0000000000001000 wrong=ok
  for node in "${NODES[@]}"; do
    for pid in $(agent_pids "$node"); do
      status=$(enter "$node" cat "/proc/$pid/status")
      effective+=("$(awk '/^Cap(Prm|Eff|Bnd)/ { print $2 }' <<< "$status" | sort --unique | paste --serial --delimiters=,)")
      resident+=("$(awk '/^VmHWM/ { print $2 }' <<< "$status")")
    done
  done
  [ ${#effective[@]} = ${#NODES[@]} ] || wrong=WRONG
  local one
  for one in "${effective[@]}"; do [ "$one" = $allowed ] || wrong=WRONG; done
  report "capabilities" $wrong "${effective[*]} (NET_ADMIN is $allowed)"
  wrong=ok
  for one in "${resident[@]}"; do [ "$one" -lt $((30 * 1024)) ] || wrong=WRONG; done
  report "resident, at most" $wrong "${resident[*]} KiB (limit 30720)"
  local size
  size=$(du --summarize --bytes "$image_root" | cut --fields=1)
  if [ "$size" -lt 20000000 ]; then wrong=ok; else wrong=WRONG; fi
  report "image" $wrong "$size bytes (limit 20000000)"
}

# As deploy/README.md says; after it, nothing that is ours may be left. What looks for it has to find it before.
uninstall_agent() {
  inspect_agents
  local wrong=$state/uninstall.wrong left=$state/left
  : > "$left"
  : > "$state/traces"
  attempt "$wrong" uninstall_steps
  if ! [ -s "$wrong" ] && ! [ -s "$left" ]; then
    report "uninstalled" ok "rules outlived the agent on ${#NODES[@]} nodes; $(wc --lines < "$state/traces") traces before, none after cleanup"
  else
    report "uninstalled" WRONG "$(one_line "$wrong"); left: $(one_line "$left")"
  fi
}

uninstall_steps() { # what is wrong, on standard output
  local node kind
  traces > "$state/traces"
  for kind in table interface file process; do
    for node in "${NODES[@]}"; do
      # Interfaces of ours there are none, ever.
      [ $kind = interface ] || grep --quiet "^$node: $kind " "$state/traces" || echo "no $kind found on $node before"
    done
  done
  grep --quiet '^daemonset.apps/podwall$' "$state/traces" || echo "no DaemonSet found before"
  kubectl delete --filename "$deploy/install.yaml" > /dev/null
  # Alone, that leaves the rules in force.
  no_pods_of podwall
  for node in "${NODES[@]}"; do has_table "$node" || echo "$node: the rules went with the agent"; done
  kubectl apply --kustomize "$deploy/cleanup" > /dev/null
  kubectl --namespace kube-system rollout status daemonset/podwall-cleanup --timeout=120s > /dev/null
  kubectl delete --kustomize "$deploy/cleanup" > /dev/null
  no_pods_of podwall-cleanup
  traces > "$left"
}

# What of ours there is on nodes and in the cluster, a line each. A listing that fails ends the run: it says nothing.
traces() {
  local node listing
  for node in "${NODES[@]}"; do
    listing=$(enter "$node" nft list tables)
    sed --quiet "s/.*podwall/$node: table &/p" <<< "$listing"
    listing=$(enter "$node" ip -o link show)
    sed --quiet "s/.*podwall/$node: interface &/p" <<< "$listing"
    listing=$(enter "$node" sh -c 'for folder in /run/podwall /var/run/podwall /etc/cni /var/lib/podwall; do
      if [ -e "$folder" ]; then find "$folder" -mindepth 1; fi; done')
    sed --quiet "s/.*podwall.*/$node: file &/p" <<< "$listing"
    listing=$(agent_pids "$node")
    sed --quiet "s/./$node: process &/p" <<< "$listing"
  done
  listing=$(kubectl get serviceaccounts,pods,daemonsets,configmaps,clusterroles,clusterrolebindings --all-namespaces --output name)
  grep podwall <<< "$listing" || true
}

has_table() { enter "$1" nft list tables | grep 'inet podwall' > /dev/null; }

no_pods_of() { kubectl --namespace kube-system wait --for=delete pod --selector "app.kubernetes.io/name=$1" --timeout=120s > /dev/null; }
