# Sourced by run: connections that are allowed and connections that are not, without a pause, while agents are killed
# and upgraded, the servers roll, and a node is drained and comes back. None of the first may be lost, none of the
# second answered.
# shellcheck shell=bash disable=SC2154

traffic() { # control|enforced
  local phase phase_begun unknown met phases="kills upgrade churn drain" row=
  if [ "$1" = control ]; then
    # kindnet denies too: without us there is nothing to see.
    [ "$cni" != kindnet ] || return 0
    phases="churn drain" row=", no agent"
  fi
  traffic_begin
  for phase in $phases; do
    phase_begun=$(date +%s)
    : > "$state/traffic.did"
    [ "$1" = control ] || unknown=$(met_unknown_pods)
    attempt "$state/traffic.$phase.wrong" "traffic_$phase"
    sleep 2
    if [ "$1" = enforced ]; then
      met=$(met_unknown_pods)
      # The kernel begins to count anew when the rule is written anew.
      [ "$met" -ge "$unknown" ] || unknown=0
      did "$((met - unknown)) packets met pods unknown as yet"
      did "$(denied_client "$phase_begun") of the client's denied by the agents' own word"
    fi
    traffic_report "$phase$row" "$phase_begun" "$(date +%s)"
  done
  kubectl delete namespace traffic > /dev/null
}

traffic_begin() {
  local targets pod
  # A YAML alias does not reach over documents.
  sed "s/NODE/${NODES[0]}/" "$here/traffic.yaml" | repeat_alias | kubectl apply --filename - > /dev/null
  kubectl --namespace traffic rollout status deployment/web --timeout=120s > /dev/null
  kubectl --namespace traffic wait --for=condition=Ready pod client stranger --timeout=60s > /dev/null
  targets=$(kubectl --namespace traffic get service web --output json \
    | jq --raw-output '[.spec.clusterIPs[] | if test(":") then "[\(.)]:80" else "\(.):80" end] | join(" ")')
  # Nothing counts as lost before kube-proxy has heard of the Service.
  # shellcheck disable=SC2016,SC2086
  kubectl --namespace traffic exec --quiet client -- sh -c 'tries=0
    for target; do
      until /agnhost connect --timeout=1s "$target"; do
        tries=$((tries + 1)); [ $tries -lt 100 ] || exit 1; sleep 0.1
      done
    done' - $targets 2> /dev/null || { echo "the client is not answered by $targets" >&2; return 1; }
  for pod in client stranger; do
    kubectl --namespace traffic exec --stdin "$pod" -- sh -c 'cat > /tmp/going; ln /tmp/going /tmp/go' <<< "$targets"
  done
}

# How many packets the agents dropped because they had not heard of the pod yet, or no more.
met_unknown_pods() {
  local node
  for node in "${NODES[@]}"; do
    enter "$node" bash -c 'exec 3<> /dev/tcp/127.0.0.1/9427
      printf "GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n" >&3
      cat <&3' > "$state/metrics.$node"
    grep '^podwall_ready 1' "$state/metrics.$node" > /dev/null
  done
  cat "$state"/metrics.* | awk '/^podwall_dropped_packets_total\{reason="unknown_pod"\}/ { sum += $2 } END { print sum + 0 }'
}

repeat_alias() {
  awk '/^spec: &connects/ { keep = 1; print "spec:"; next }
    /^---/ { keep = 0 }
    /^spec: \*connects/ { printf "spec:\n%s", kept; next }
    { if (keep) kept = kept $0 "\n"; print }'
}

agents_ready() { kubectl --namespace kube-system rollout status daemonset/podwall --timeout=120s > /dev/null; }

# A phase says on standard output what is wrong, and what it did, for the table, in traffic.did.
did() { echo "$*" >> "$state/traffic.did"; }

# As in `wait_for "another agent" agent_is_another NODE PIDS`.
agent_is_another() {
  local now
  now=$(agent_pids "$1")
  [ -n "$now" ] && [ "$now" != "$2" ] && [ "$(wc --lines <<< "$now")" = 1 ]
}

traffic_kills() {
  local node pids killed=0
  for node in "${NODES[@]}"; do
    pids=$(agent_pids "$node")
    [ -n "$pids" ] || { echo "no agent on $node"; continue; }
    # shellcheck disable=SC2086
    enter "$node" kill -KILL $pids
    wait_for "an agent on $node after the kill" agent_is_another "$node" "$pids"
    killed=$((killed + 1))
    sleep 3
  done
  agents_ready
  did "$killed killed"
}

# "NODE IMAGE" a line, of the agents on the nodes that we look at.
agent_images() {
  kubectl --namespace kube-system get pods --selector app.kubernetes.io/name=podwall --output json | jq --raw-output '
    .items[] | select(.metadata.deletionTimestamp | not) | "\(.spec.nodeName) \(.status.containerStatuses[0].imageID)"' \
    | awk -v nodes=" ${NODES[*]} " 'index(nodes, " " $1 " ")' | sort
}

traffic_upgrade() {
  local node images_before images_after of pids_before=()
  images_before=$(agent_images)
  for node in "${NODES[@]}"; do pids_before+=("$(agent_pids "$node")"); done
  kubectl --namespace kube-system set image daemonset/podwall "agent=$image_name-next" > /dev/null
  agents_ready
  images_after=$(agent_images)
  for of in "before:$images_before" "after:$images_after"; do
    [ "$(wc --lines <<< "${of#*:}")" = ${#NODES[@]} ] || echo "images ${of%%:*} the upgrade: ${of#*:}"
  done
  [ -z "$(comm -12 <(echo "$images_before") <(echo "$images_after"))" ] || echo "the same image as before: $images_after"
  local i
  for i in "${!NODES[@]}"; do
    agent_is_another "${NODES[$i]}" "${pids_before[$i]}" || echo "${NODES[$i]}: pids ${pids_before[$i]} before, $(agent_pids "${NODES[$i]}") after"
  done
  did "${#NODES[@]} other images and pids"
}

# "NODE POD" a line, of the servers that are not going.
servers() {
  kubectl --namespace traffic get pods --selector app=web --output json | jq --raw-output '
    .items[] | select(.metadata.deletionTimestamp | not) | "\(.spec.nodeName) \(.metadata.name)"' | sort
}

traffic_churn() {
  local before after
  before=$(servers)
  kubectl --namespace traffic rollout restart deployment/web > /dev/null
  kubectl --namespace traffic rollout status deployment/web --timeout=180s > /dev/null
  after=$(servers)
  [ -z "$(comm -12 <(echo "$before") <(echo "$after"))" ] || echo "not all servers are new: $before; $after"
  did "$(wc --lines <<< "$after") servers anew"
}

traffic_drain() {
  local drained=${NODES[1]} moved
  moved=$(servers | grep --count "^$drained " || true)
  [ "$moved" -gt 0 ] || echo "no server was on $drained"
  kubectl drain "$drained" --ignore-daemonsets --force --delete-emptydir-data --timeout=120s > "$state/drain.log" 2>&1 \
    || { echo "kubectl drain: $(tail --lines=2 "$state/drain.log")"; return 1; }
  kubectl --namespace traffic rollout status deployment/web --timeout=120s > /dev/null
  if servers | grep "^$drained "; then echo "is still there, though the node is drained"; fi
  kubectl uncordon "$drained" > /dev/null
  # Its pods come back with the next rollout.
  traffic_churn
  servers | grep "^$drained " > /dev/null || echo "no server came back to $drained"
  did "$moved of them moved away"
}

# Lines "SECOND OUTCOME" of a pod as "ANSWERED TIMED-OUT OTHER SILENCE"; silence is the longest time without a line.
traffic_counts() { # POD FROM UNTIL
  kubectl --namespace traffic logs "$1" --tail=-1 | awk -v from="$2" -v until="$3" '
    function heard(second) { if (second - last > silence) silence = second - last; if (second > last) last = second }
    BEGIN { last = from }
    $1 < from || $1 > until { next }
    { heard($1) }
    $2 == "answered" { answered++; next }
    $2 == "TIMEOUT" { denied++ }
    $2 != "TIMEOUT" { other++ }
    { print > "/dev/stderr" }
    END { heard(until); print answered + 0, denied + 0, other + 0, silence + 0 }' 2> "$state/traffic.$phase.$1"
}

# How often the agents say that they denied the client, since a second.
denied_client() { # SECOND
  local pod
  for pod in $(kubectl --namespace kube-system get pods --selector app.kubernetes.io/name=podwall --output name); do
    kubectl --namespace kube-system exec --quiet "$pod" -- /podwall flows --denied --json
  done | jq --slurp --argjson since "$1" \
    'map(select(.from.pod == "traffic/client" and .last_seen_ms >= $since * 1000) | .count) | add // 0'
}

# A connection that is denied times out: one that is refused has met a server, or nothing of ours. Without the agent the
# stranger has to be answered too; what is lost then is lost by the cluster and this machine, and shown.
traffic_report() { # ROW FROM UNTIL, in seconds since 1970
  local client stranger answered late lost silent denied passed strange quiet verdict=ok
  client=$(traffic_counts client "$2" "$3")
  stranger=$(traffic_counts stranger "$2" "$3")
  read -r answered late lost silent <<< "$client"
  read -r passed denied strange quiet <<< "$stranger"
  lost=$((lost + late)) passed=$((passed + strange))
  local wrong=$state/traffic.$phase.wrong figures
  figures="$answered answered, $lost lost; $denied denied, $passed passed; $(one_line "$state/traffic.did")"
  # Both have to go on all the time: the longest wait is a second, on a busy machine some more.
  [ "$silent" -le 5 ] && [ "$quiet" -le 5 ] || echo "silent for $silent and $quiet s" >> "$wrong"
  case $1 in
    *", no agent") [ "$answered" -gt 0 ] && [ "$passed" -gt "$denied" ] || verdict=WRONG ;;
    *) [ "$answered" -gt 0 ] && [ "$denied" -gt 0 ] && [ "$lost$passed" = 00 ] || verdict=WRONG ;;
  esac
  if [ -s "$wrong" ]; then verdict=WRONG figures+="; $(one_line "$wrong")"; fi
  report "$1" $verdict "$figures"
}
