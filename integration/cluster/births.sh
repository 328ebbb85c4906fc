# Sourced by run: pods of a fresh Deployment under default-deny, with packets from and to them from their first moment.
# Counted where they would arrive: outside what the pods send, on the pods what outside sends.
# shellcheck shell=bash disable=SC2154

births() { # control|enforced
  local row="births" counted sent restarts unhealthy answered
  [ "$1" = enforced ] || row="births, no agent"
  if [ "$1" = control ]; then
    [ "$cni" != kindnet ] || return 0
    local node
    for node in "${NODES[@]}"; do kubectl label node "$node" podwall-test=yes --overwrite > /dev/null; done
  fi
  enter outside nft -f - <<NFT
table inet births
delete table inet births
table inet births {
  chain input { type filter hook input priority 0; udp dport 7777 counter; }
}
NFT
  rm -f "$state/births.stop" "$state/births.answers"
  knock > "$state/births.answers" 2> /dev/null &
  local knocking=$!
  sed 's/OUTSIDE/203.0.113.50/' "$here/births.yaml" | kubectl apply --filename - > /dev/null
  kubectl --namespace births rollout status deployment/born --timeout=120s > /dev/null
  sleep 5
  touch "$state/births.stop"
  wait $knocking || true
  sent=$(kubectl --namespace births logs --selector app=born --container sender --tail=-1 --max-log-requests=20 | grep --count sent || true)
  counted=$(enter outside nft list table inet births | sed --quiet 's/.*counter packets \([0-9]*\).*/\1/p')
  answered=$(awk '{ answered += $1 } END { print answered + 0 }' "$state/births.answers")
  knocked=$(awk '{ knocked += $2 } END { print knocked + 0 }' "$state/births.answers")
  restarts=$(kubectl --namespace births get pods --output jsonpath='{range .items[*].status.containerStatuses[*]}{.restartCount}{"\n"}{end}' \
    | awk '{ restarts += $1 } END { print restarts + 0 }')
  # Refused is a server that is not up yet; a packet of kubelet that was dropped is a timeout.
  unhealthy=$(kubectl --namespace births get events --field-selector reason=Unhealthy --output json \
    | jq '[.items[] | select(.message | test("refused") | not)] | length')
  local figures="$counted of $sent sent arrived, $answered of $knocked knocks answered, $restarts restarts, $unhealthy probes timed out"
  if [ "$1" = control ]; then
    if [ "$counted" -gt 0 ] && [ "$answered" -gt 0 ]; then report "$row" ok "$figures"; else report "$row" WRONG "$figures"; fi
  elif [ "$sent" -gt 0 ] && [ "$knocked" -gt 0 ] && [ "$counted$answered$restarts$unhealthy" = 0000 ]; then
    report "$row" ok "$figures"
  else
    report "$row" WRONG "$figures"
  fi
  kubectl delete namespace births births-strangers > /dev/null
}

# From outside to the pods as soon as the API server knows an address; "ANSWERED KNOCKED" a line.
knock() {
  local address
  while ! [ -e "$state/births.stop" ]; do
    for address in $(kubectl --namespace births get pods --output jsonpath='{.items[*].status.podIP}'); do
      if enter outside "$machine_agnhost" connect --timeout=100ms "$address:8080" > /dev/null 2>&1; then echo 1 1; else echo 0 1; fi &
    done
    wait
    sleep 0.05
  done
}
