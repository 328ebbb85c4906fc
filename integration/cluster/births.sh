# Sourced by run: pods of a fresh Deployment under default-deny, with packets from and to them from their first moment.
# Counted where they would arrive: outside what the pods send, on the pods what outside sends.
# shellcheck shell=bash disable=SC2154

births() { # control|enforced
  local row="births" node pods senders knocked_on sent counted answered knocked restarts unhealthy
  for node in "${NODES[@]}"; do kubectl label node "$node" podwall-test=yes --overwrite > /dev/null; done
  if [ "$1" = control ]; then
    # kindnet enforces policies too: without us there is nothing to see.
    [ "$cni" != kindnet ] || return 0
    row="births, no agent"
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
  wait $knocking
  pods=$(kubectl --namespace births get pods --selector app=born --output name | wc --lines)
  kubectl --namespace births logs --selector app=born --container sender --prefix --tail=-1 --max-log-requests=20 > "$state/births.sent"
  # After what was sent is known: nothing of that may arrive unseen.
  counted=$(enter outside nft list table inet births | sed --quiet 's/.*counter packets \([0-9]*\).*/\1/p')
  read -r sent senders < <(awk '$2 == "sent" { sent++; if (!seen[$1]++) senders++ } END { print sent + 0, senders + 0 }' "$state/births.sent")
  read -r answered knocked knocked_on \
    < <(awk '{ answered += $1; knocked++; if (!seen[$2]++) on++ } END { print answered + 0, knocked + 0, on + 0 }' "$state/births.answers")
  restarts=$(kubectl --namespace births get pods --output jsonpath='{range .items[*].status.containerStatuses[*]}{.restartCount}{"\n"}{end}' \
    | awk '{ restarts += $1 } END { print restarts + 0 }')
  # Refused is a server that is not up yet; a packet of kubelet that was dropped is a timeout.
  unhealthy=$(kubectl --namespace births get events --field-selector reason=Unhealthy --output json \
    | jq '[.items[] | select(.message | test("refused") | not)] | length')
  local wrong=ok
  local figures="$counted of $sent sent arrived, $answered of $knocked knocks answered, $restarts restarts, $unhealthy probes timed out"
  # Each of the eight pods sent, and was knocked on; otherwise that nothing arrived would say nothing.
  if [ "$pods $senders $knocked_on" != "8 8 8" ]; then
    wrong=WRONG figures+="; of $pods pods $senders sent, $knocked_on were knocked on"
  fi
  if [ "$1" = control ]; then
    [ "$counted" -gt 0 ] && [ "$answered" -gt 0 ] || wrong=WRONG
  else
    [ "$counted $answered $restarts $unhealthy" = "0 0 0 0" ] || wrong=WRONG
  fi
  report "$row" $wrong "$figures"
  kubectl delete namespace births births-strangers > /dev/null
}

# From outside to the pods as soon as the API server knows an address; a line "ANSWERED ADDRESS" each, 0 or 1.
knock() {
  local address
  while ! [ -e "$state/births.stop" ]; do
    for address in $(kubectl --namespace births get pods --output jsonpath='{.items[*].status.podIP}'); do
      if enter outside "$machine_agnhost" connect --timeout=100ms "$address:8080" > /dev/null 2>&1; then echo "1 $address"; else echo "0 $address"; fi &
    done
    wait
    sleep 0.05
  done
}
