# Sourced by run: a cluster of processes. Each node, the control plane and the world outside is a "machine": namespaces
# of its own for network, mounts and processes, whose first process takes all others with it, and dies with the suite.
# shellcheck shell=bash disable=SC2034,SC2154

node_cidr=172.30.0 node_cidr6=fd00:30:
pod_cidrs=10.244.0.0/16,fd00:10:244::/56
service_cidrs=10.96.0.0/16,fd00:10:96::/112
NODES=(node-1 node-2)
machine_agnhost=$kube/agnhost
pause=registry.k8s.io/pause:3.10.1

cluster_check() {
  "$here/../../.ci/tools" containerd runc containernetworking-plugins conntrack nftables iptables iproute2 openssl jq busybox-static
  [ "$(id -u)" = 0 ] || { echo "integration-local needs root: it makes network namespaces and starts containerd" >&2; exit 1; }
  modprobe --quiet --all br_netfilter overlay 2>/dev/null || true
  # Control groups of containers outlive a run that was killed. One that is in use cannot be removed; a young one may be
  # about to be.
  find /sys/fs/cgroup -depth -type d -mmin +2 -regextype egrep -regex '.*/k8s\.io/[0-9a-f]{64}' -exec rmdir {} + 2> /dev/null || true
}

# What stands in for a machine's /etc, /var and /run is forgotten with it.
machine_init='
  set -e
  mount --make-rshared /
  mount -t tmpfs node "$1"
  for folder in etc var; do
    mkdir "$1/$folder" "$1/$folder.work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=$1/$folder,workdir=$1/$folder.work" "$folder" "/$folder"
  done
  mount -t tmpfs run /run
  mkdir -p /run/netns /run/lock /etc/cni/net.d /var/lib/kubelet /var/log/pods
  ip link set lo up
  touch "$1/ready"
  trap "exit 0" TERM
  while :; do sleep 1000 & wait $!; done'

machine() { # NAME
  local name=$1 folder=$state/$1
  mkdir "$folder"
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --propagation private --mount-proc \
    bash -c "$machine_init" "$name" "$folder" > "$state/$name.log" 2>&1 &
  local pid=$!
  pids+=("$pid")
  disown
  wait_for "the machine $name" first_process "$name" "$pid"
  wait_for "the machine $name" enter "$name" test -e "$folder/ready"
}

first_process() { # NAME PID
  local child
  child=$(cat "/proc/$2/task/$2/children")
  [ -n "$child" ] && echo "${child% }" > "$state/$1.pid"
}

enter() { # MACHINE COMMAND...
  local machine=$1
  shift
  nsenter --target "$(< "$state/$machine.pid")" --net --mount --pid -- "$@"
}

start() { # NAME MACHINE COMMAND...
  local name=$1
  shift
  enter "$@" > "$state/$name.log" 2>&1 < /dev/null &
  disown $!
}

kubectl() { nsenter --target "$(< "$state/control.pid")" --net -- "$kube/kubectl" --kubeconfig "$state/kubeconfig" "$@"; }

connect_machine() { # NAME NUMBER: its eth0 is on the bridge of the control plane
  ip link add "up$2" netns "$(< "$state/control.pid")" type veth peer name eth0 netns "$(< "$state/$1.pid")"
  enter control ip link set "up$2" master br0 up
  enter "$1" bash -euc "
    ip address add $node_cidr.$2/24 dev eth0
    ip address add $node_cidr6:$2/64 dev eth0 nodad
    ip link set eth0 up
    ip route add default via $node_cidr.1
    ip -6 route add default via $node_cidr6:1"
}

control_plane() {
  machine control
  enter control bash -euc "
    ip link add br0 type bridge
    ip address add $node_cidr.1/24 dev br0
    ip address add $node_cidr6:1/64 dev br0 nodad
    ip link set br0 up"
  cat > "$state/kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://$node_cidr.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: admin-token}}]
contexts: [{name: c, context: {cluster: c, user: admin}}]
current-context: c
YAML
  openssl genrsa -out "$state/key" 2048 2> /dev/null
  openssl rsa -in "$state/key" -pubout -out "$state/key.pub" 2> /dev/null
  echo 'admin-token,admin,admin,system:masters' > "$state/tokens"
  mkdir "$state/certs"
  start etcd control "$kube/etcd" --data-dir "$state/control/etcd" --unsafe-no-fsync
  start kube-apiserver control "$kube/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$state/certs" --secure-port=6443 \
    --advertise-address=$node_cidr.1 --service-account-issuer=https://kubernetes.default.svc \
    --service-account-key-file="$state/key.pub" --service-account-signing-key-file="$state/key" \
    --token-auth-file="$state/tokens" --authorization-mode=RBAC --service-cluster-ip-range=$service_cidrs \
    --allow-privileged=true --kubelet-preferred-address-types=InternalIP
  wait_for "the API server" kubectl get --raw /readyz
  start kube-controller-manager control "$kube/kube-controller-manager" --kubeconfig="$state/kubeconfig" \
    --service-account-private-key-file="$state/key" --root-ca-file="$state/certs/apiserver.crt" --use-service-account-credentials \
    --leader-elect=false --bind-address=127.0.0.1 --allocate-node-cidrs=true --cluster-cidr=$pod_cidrs \
    --node-cidr-mask-size-ipv6=64 --service-cluster-ip-range=$service_cidrs
  start kube-scheduler control "$kube/kube-scheduler" --kubeconfig="$state/kubeconfig" --leader-elect=false --bind-address=127.0.0.1
}

start_node() { # NAME NUMBER
  local name=$1 folder=$state/$1
  machine "$name"
  connect_machine "$name" "$2"
  enter "$name" sysctl --quiet --write net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  [ "$cni" != bridge ] \
    || enter "$name" sysctl --quiet --write net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
  # Where CAP_SYS_RESOURCE is missing no oom_score_adj can be lowered.
  cat > "$state/$name.containerd.toml" <<TOML
version = 2
root = "$folder/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$pause"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
TOML
  cat > "$state/$name.kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
evictionHard: {memory.available: "0%", nodefs.available: "0%", imagefs.available: "0%", nodefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
resolvConf: ""
maxPods: 250
localStorageCapacityIsolation: false
serializeImagePulls: false
kubeAPIQPS: 200
kubeAPIBurst: 400
YAML
  start "$name.containerd" "$name" containerd --config "$state/$name.containerd.toml"
  wait_for "containerd of $name" enter "$name" ctr version
  for image in "$state"/images/*.tar; do enter "$name" ctr --namespace k8s.io images import "$image" > /dev/null; done
  start "$name.kubelet" "$name" "$kube/kubelet" --config="$state/$name.kubelet.yaml" --kubeconfig="$state/kubeconfig" \
    --hostname-override="$name" --node-ip="$node_cidr.$2,$node_cidr6:$2"
  start "$name.kube-proxy" "$name" "$kube/kube-proxy" --kubeconfig="$state/kubeconfig" --hostname-override="$name" \
    --proxy-mode="$proxy" --cluster-cidr=$pod_cidrs --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 \
    --conntrack-tcp-timeout-close-wait=0
}

cluster_up() {
  control_plane
  machine outside
  connect_machine outside 50
  local i
  for i in "${!NODES[@]}"; do start_node "${NODES[$i]}" $((i + 11)); done
  for i in "${!NODES[@]}"; do wait_for "${NODES[$i]} to register" has_pod_cidrs "${NODES[$i]}"; done
  connect_pods
  wait_for "the nodes" nodes_ready
}

load_image() { # TAR, before the cluster is there
  mkdir -p "$state/images"
  cp "$1" "$state/images/"
}

cluster_down() {
  local pid i ids=()
  for i in "$state"/*.pid; do
    [ -e "$i" ] || continue
    mapfile -t -O ${#ids[@]} ids < <(ls "/proc/$(< "$i")/root/run/containerd/io.containerd.runtime.v2.task/k8s.io" 2> /dev/null)
  done
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2> /dev/null || true; done
  for pid in "${pids[@]}"; do while kill -0 "$pid" 2> /dev/null; do sleep 0.1; done; done
  pids=()
  # The containers' control groups outlive them, and are ours as long as the processes take to end.
  for _ in 1 2 3 4 5; do
    for i in "${ids[@]}"; do rmdir /sys/fs/cgroup/k8s.io/"$i" /sys/fs/cgroup/*/k8s.io/"$i" 2> /dev/null || true; done
    compgen -G "/sys/fs/cgroup/*/k8s.io/${ids[0]:-none}" > /dev/null || break
    sleep 0.5
  done
}
