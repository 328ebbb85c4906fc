# Sourced by run: what connects pods across nodes where the CNI does not, and the world outside of the cluster.
# shellcheck shell=bash disable=SC2154

# What the API server says of nodes, a line each.
node_addresses() { kubectl get node "$1" --output jsonpath='{range .status.addresses[?(@.type=="InternalIP")]}{.address}{"\n"}{end}'; }
node_pod_cidrs() { kubectl get node "$1" --output jsonpath='{range .spec.podCIDRs[*]}{@}{"\n"}{end}'; }
all_nodes() { kubectl get nodes --output jsonpath='{range .items[*]}{.metadata.name}{"\n"}{end}'; }
has_pod_cidrs() { [ -n "$(node_pod_cidrs "$1")" ]; }

of_one_family() { case $1 in *:*) sed '/:/!d' ;; *) sed '/:/d' ;; esac; } # as the address $1; of none, nothing

# What lines are of a family that the cluster has.
of_families() { if [ "$(node_pod_cidrs "${NODES[0]}" | wc --lines)" = 2 ]; then cat; else sed '/:/d'; fi; }

ip_route() { # MACHINE RANGE VIA...
  case $2 in
    *:*) enter "$1" ip -6 route replace "$2" via "${@:3}" < /dev/null ;;
    *) enter "$1" ip route replace "$2" via "${@:3}" < /dev/null ;;
  esac
}

# An IPv6 address is tentative until the kernel gets to it, on loopback too, and until then nobody may use it.
outside_address() { # ADDRESS
  case $1 in
    *:*) enter outside ip address replace "$1" dev lo nodad < /dev/null ;;
    *) enter outside ip address replace "$1" dev lo < /dev/null ;;
  esac
}

# With kindnet only outside needs routes: it has its own for the nodes.
connect_pods() {
  local node machine range via source
  for node in $(all_nodes); do
    wait_for "addresses for the pods of $node" has_pod_cidrs "$node"
    [ "$cni" = kindnet ] || configure_cni "$node"
    for range in $(node_pod_cidrs "$node"); do
      via=$(node_addresses "$node" | of_one_family "$range")
      case $range in *:*) source=2001:db8::50 ;; *) source=203.0.113.50 ;; esac
      outside_address "$source"
      ip_route outside "$range" "$via" src "$source"
      [ "$cni" != kindnet ] || continue
      for machine in $(all_nodes); do
        [ "$machine" = "$node" ] || ip_route "$machine" "$range" "$via"
      done
    done
  done
}

configure_cni() { # NODE
  local ranges
  ranges=$(node_pod_cidrs "$1" | jq --raw-input --slurp --compact-output 'rtrimstr("\n") | split("\n") | map([{subnet: .}])')
  jq --null-input --compact-output --arg type "$cni" --argjson ranges "$ranges" '
    {cniVersion: "0.4.0", name: "pods", plugins: [
      {type: $type, ipMasq: false, ipam: {type: "host-local", ranges: $ranges,
        routes: [{dst: "0.0.0.0/0"}, (select($ranges | length == 2) | {dst: "::/0"})]}}
      + if $type == "bridge" then {bridge: "cbr0", isGateway: true, hairpinMode: true} else {} end]}' > "$state/$1.conflist"
  enter "$1" tee /etc/cni/net.d/10-pods.conflist < "$state/$1.conflist" > /dev/null
}

# containerd 1.6 looks again when the CNI's file is written to, not when it comes to be, and not on a busy day.
nodes_ready() {
  local node
  if [ "$cni" != kindnet ]; then
    for node in $(all_nodes); do echo | enter "$node" tee --append /etc/cni/net.d/10-pods.conflist; done
  fi
  kubectl wait --for=condition=Ready node --all --timeout=3s
}

# What is outside: every address that scenarios name, listening on the ports that they use.
outside_up() {
  local addresses address node via
  addresses=$(sed --quiet 's/.*"[a-z]*=\([^"]*\)".*/\1/p' "$here"/../scenarios/a*/scenario.yaml | tr ',' '\n' | sort --unique | of_families)
  for address in $addresses; do
    outside_address "$address"
    via=$(enter outside ip -json address show dev eth0 scope global | jq --raw-output '.[].addr_info[].local | select(.)' | of_one_family "$address")
    for node in $(all_nodes); do ip_route "$node" "$address" "$via"; done
  done
  start outside.tcp outside env SERVE_PORT_80=here SERVE_PORT_443=here "$machine_agnhost" porter
  start outside.udp outside "$machine_agnhost" netexec --http-port=20053 --udp-port=53 \
    --udp-listen-addresses="$(paste --serial --delimiters=, <<< "$addresses")" # an answer has to come from where the question went
}
