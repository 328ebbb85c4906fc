# Sourced by run: a cluster of kind, with Docker or Podman (KIND_EXPERIMENTAL_PROVIDER=podman). A machine is a container.
#   KIND_IMAGE    the image of the nodes; kind's own for its release when it is not set
#   KIND_CONFIG   a file of patches that is added to the cluster's configuration
# shellcheck shell=bash disable=SC2034,SC2154

# Without our name: what uninstalling leaves is looked for by it, and nodes give theirs to static pods.
cluster_name=enforced-$$
NODES=("$cluster_name-worker" "$cluster_name-worker2")
machine_agnhost=/agnhost
engine=${DOCKER:-docker}
kind=$(command -v kind || echo "$kube/kind")
if [ "$engine" = podman ]; then export KIND_EXPERIMENTAL_PROVIDER=podman; fi

cluster_check() {
  "$here/engine" || exit 2
  local missing=()
  [ -x "$kind" ] || missing+=("kind (https://kind.sigs.k8s.io) on the PATH, or built into $kube")
  [ -x "$kube/kubectl" ] || missing+=("kubectl in $kube")
  if [ ${#missing[@]} -gt 0 ]; then
    printf 'make integration needs %s\n' "${missing[@]}" >&2
    exit 2
  fi
  "$here/../../.ci/tools" jq busybox-static
}

enter() { # MACHINE COMMAND...
  local machine=$1
  shift
  case $machine in outside) machine=$cluster_name-outside ;; esac
  "$engine" exec --interactive --privileged "$machine" "$@"
}

start() { # NAME MACHINE COMMAND...
  local name=$1
  shift
  enter "$@" > "$state/$name.log" 2>&1 < /dev/null &
  disown $!
}

kubectl() { "$kube/kubectl" --kubeconfig "$state/kubeconfig" "$@"; }

load_image() { cp "$1" "$state/"; }

# kindnet is kind's own; every other CNI is one of the plugins that its nodes have.
cluster_config() {
  cat <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {disableDefaultCNI: $([ "$cni" = kindnet ] && echo false || echo true), kubeProxyMode: $proxy, ipFamily: ${KIND_FAMILY:-ipv4}}
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
YAML
  [ -z "${KIND_CONFIG:-}" ] || cat "$KIND_CONFIG"
}

cluster_up() {
  local node image
  cluster_config > "$state/cluster.yaml"
  made=yes
  if ! "$kind" create cluster --name "$cluster_name" --config "$state/cluster.yaml" ${KIND_IMAGE:+--image "$KIND_IMAGE"} \
    --kubeconfig "$state/kubeconfig" --wait 0s > "$state/kind.log" 2>&1; then
    tail --lines=20 "$state/kind.log" >&2
    return 1
  fi
  # Outside is one more container on the network of the nodes, made of their image.
  "$engine" run --detach --privileged --name "$cluster_name-outside" --network kind --entrypoint /bin/sleep \
    "$("$engine" inspect --format '{{.Config.Image}}' "${NODES[0]}")" infinity > /dev/null
  for node in "$cluster_name-outside" "${NODES[@]}"; do "$engine" cp "$kube/agnhost" "$node:/agnhost" > /dev/null; done
  connect_pods
  wait_for "the nodes" nodes_ready
  for image in "$state"/*.tar; do
    "$kind" load image-archive --name "$cluster_name" "$image" > "$state/load.log" 2>&1 || { cat "$state/load.log" >&2; return 1; }
  done
}

cluster_down() {
  [ -n "${made:-}" ] || return 0
  "$engine" rm --force "$cluster_name-outside" > /dev/null 2>&1 || true
  "$kind" delete cluster --name "$cluster_name" --kubeconfig "$state/kubeconfig" > /dev/null 2>&1
  made=
}
