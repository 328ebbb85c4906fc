# Sourced by run: the agent as deploy/ ships it, from its own image; what it is and may do; and its leaving.
# shellcheck shell=bash disable=SC2154

deploy=$here/../../deploy
image_name=$(sed --quiet 's/^ *image: \(.*podwall.*\)/\1/p' "$deploy/install.yaml" | head --lines=1)

# Twice the same, under two names: the second is what an upgrade goes to.
podwall_images() {
  [ -x "$image_root/podwall" ] || { echo "no image in $image_root: make image-root" >&2; exit 1; }
  "$here/image" "$work/podwall.tar" "$image_name" '["/podwall"]' "$image_root"
  "$here/image" "$work/podwall-next.tar" "$image_name-next" '["/podwall"]' "$image_root"
}

install_agent() {
  local at
  at=$(date +%s%N)
  kubectl apply --filename "$deploy/install.yaml" > /dev/null
  kubectl --namespace kube-system rollout status daemonset/podwall --timeout=120s > /dev/null
  report "installed" ok "ready on all nodes in $((($(date +%s%N) - at) / 1000000)) ms"
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

# As deploy/README.md says; after it, nothing that is ours may be left.
uninstall_agent() {
  inspect_agents
  local left=$state/left
  kubectl delete --filename "$deploy/install.yaml" > /dev/null
  # Alone, that leaves the rules in force.
  local node kept=0
  no_pods_of podwall
  for node in "${NODES[@]}"; do has_table "$node" && kept=$((kept + 1)); done
  kubectl apply --kustomize "$deploy/cleanup" > /dev/null
  kubectl --namespace kube-system rollout status daemonset/podwall-cleanup --timeout=120s > /dev/null
  kubectl delete --kustomize "$deploy/cleanup" > /dev/null
  no_pods_of podwall-cleanup
  {
    for node in "${NODES[@]}"; do
      enter "$node" nft list tables | grep podwall
      enter "$node" ip -o link show | grep podwall
      enter "$node" find /run/podwall /var/run/podwall /etc/cni /var/lib/podwall -mindepth 1 -iname '*podwall*' -o -type s 2> /dev/null
      [ -z "$(enter "$node" ls -A /run/podwall 2> /dev/null)" ] || echo "$node: files in /run/podwall"
      [ -z "$(agent_pids "$node")" ] || echo "$node: a process podwall"
    done
    kubectl get serviceaccounts,pods,daemonsets,configmaps,clusterroles,clusterrolebindings --all-namespaces --output name | grep podwall
  } > "$left" || true
  if [ $kept = ${#NODES[@]} ] && ! [ -s "$left" ]; then
    report "uninstalled" ok "rules outlived the agent on $kept nodes, nothing left after cleanup"
  else
    report "uninstalled" WRONG "rules outlived the agent on $kept of ${#NODES[@]} nodes; left: $(paste --serial --delimiters=';' "$left")"
  fi
}

has_table() { enter "$1" nft list tables | grep --quiet 'inet podwall'; }

no_pods_of() { kubectl --namespace kube-system wait --for=delete pod --selector "app.kubernetes.io/name=$1" --timeout=120s > /dev/null; }
