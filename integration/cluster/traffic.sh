# Sourced by run: connections that are allowed and connections that are not, without a pause, while agents are killed
# and upgraded, the servers roll, and a node is drained and comes back. None of the first may be lost, none of the
# second answered.
# shellcheck shell=bash disable=SC2154

traffic() {
  local targets pod phase
  # A YAML alias does not reach over documents.
  sed "s/NODE/${NODES[0]}/" "$here/traffic.yaml" | repeat_alias | kubectl apply --filename - > /dev/null
  kubectl --namespace traffic rollout status deployment/web --timeout=120s > /dev/null
  kubectl --namespace traffic wait --for=condition=Ready pod client stranger --timeout=60s > /dev/null
  targets=$(kubectl --namespace traffic get service web --output json \
    | jq --raw-output '[.spec.clusterIPs[] | if test(":") then "[\(.)]:80" else "\(.):80" end] | join(" ")')
  for pod in client stranger; do
    kubectl --namespace traffic exec --stdin "$pod" -- sh -c 'cat > /tmp/going; ln /tmp/going /tmp/go' <<< "$targets"
  done
  for phase in kills upgrade churn drain; do
    phase_begun=$(date +%s)
    "traffic_$phase"
    sleep 2
    traffic_report "$phase" "$phase_begun" "$(date +%s)"
  done
  kubectl delete namespace traffic > /dev/null
}

repeat_alias() {
  awk '/^spec: &connects/ { keep = 1; print "spec:"; next }
    /^---/ { keep = 0 }
    /^spec: \*connects/ { printf "spec:\n%s", kept; next }
    { if (keep) kept = kept $0 "\n"; print }'
}

agents_ready() { kubectl --namespace kube-system rollout status daemonset/podwall --timeout=120s > /dev/null; }

traffic_kills() {
  local node pid
  for node in "${NODES[@]}"; do
    for pid in $(agent_pids "$node"); do enter "$node" kill -KILL "$pid"; done
    sleep 3
  done
  agents_ready
}

traffic_upgrade() {
  kubectl --namespace kube-system set image daemonset/podwall "agent=$image_name-next" > /dev/null
  agents_ready
}

traffic_churn() {
  kubectl --namespace traffic rollout restart deployment/web > /dev/null
  kubectl --namespace traffic rollout status deployment/web --timeout=180s > /dev/null
}

traffic_drain() {
  kubectl drain "${NODES[1]}" --ignore-daemonsets --force --delete-emptydir-data --timeout=120s > /dev/null 2>&1
  kubectl --namespace traffic rollout status deployment/web --timeout=120s > /dev/null
  kubectl uncordon "${NODES[1]}" > /dev/null
  # Its pods come back with the next rollout.
  traffic_churn
  [ -n "$(kubectl --namespace traffic get pods --selector app=web --field-selector "spec.nodeName=${NODES[1]}" --output name)" ]
}

traffic_report() { # PHASE FROM UNTIL, in seconds since 1970
  local pod counts figures lost leaked answered denied
  for pod in client stranger; do
    counts=$(kubectl --namespace traffic logs "$pod" --tail=-1 | awk -v from="$2" -v until="$3" '
      $1 < from || $1 > until { next }
      $2 == "answered" { answered++; next }
      { other++; print > "/dev/stderr" }
      END { print answered + 0, other + 0 }' 2> "$state/traffic.$1.$pod")
    case $pod in
      client) answered=${counts% *} lost=${counts#* } ;;
      stranger) leaked=${counts% *} denied=${counts#* } ;;
    esac
  done
  figures="$answered answered, $lost lost; $denied denied, $leaked passed"
  if [ "$answered" -gt 0 ] && [ "$denied" -gt 0 ] && [ "$lost$leaked" = 00 ]; then report "$1" ok "$figures"; else report "$1" WRONG "$figures"; fi
}
