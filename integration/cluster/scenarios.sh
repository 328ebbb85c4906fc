# Sourced by run: A1 to A14, manifests and expectations from ../scenarios, as the lab runs them. All run at once, each
# in namespaces of its own (objects.jq); first without the agent, when everything has to be open.
# shellcheck shell=bash disable=SC2154

# The files of each step, a line a step.
steps_of() { # SCENARIO
  sed 's/#.*//' "$here/../scenarios/$1/scenario.yaml" | tr --delete '\n' | grep --only-matching '\[[^]]*\.yaml[^]]*\]' | tr --delete '[],'
}

# A manifest's objects as JSON, kept.
as_json() { # FILE
  local kept
  kept=$work/$(realpath --relative-to="$here/../scenarios" "$1" | tr / -).json
  [ -e "$kept" ] || kubectl create --dry-run=client --validate=false --output json --filename "$1" \
    | jq --slurp '[.[] | if .kind == "List" then .items[] else . end]' > "$kept"
  cat "$kept"
}

objects_of() { # SCENARIO FILE...
  local scenario=$1 file
  shift
  for file in "$@"; do as_json "$here/../scenarios/$scenario/$file"; done \
    | jq --slurp --arg scenario "$(key_of "$scenario")" --arg image "$probe_image_name" \
      --argjson nodes "$(jq --null-input --compact-output '$ARGS.positional' --args "${NODES[@]}")" \
      "add // [] | $(< "$here/objects.jq")"
}

key_of() { # SCENARIO: a08, and a06-once for the second of A6
  local key=${1%%-*}
  case $1 in *-at-once) key=$key-once ;; esac
  echo "$key"
}

list() { jq '{apiVersion: "v1", kind: "List", items: .}'; }

scenarios_prepare() {
  local scenario step number folder
  mkdir -p "$state/scenarios"
  for scenario in $scenarios; do
    folder=$state/scenarios/$scenario
    mkdir "$folder"
    number=0
    while read -r step; do
      # shellcheck disable=SC2086
      objects_of "$scenario" $step > "$folder/$number.json"
      number=$((number + 1))
    done < <(steps_of "$scenario")
  done
  jq --slurp 'add | group_by([.kind, .metadata.namespace, .metadata.name]) | map(last)' "$state"/scenarios/*/*.json > "$state/all.json"
  jq 'map(select(.kind == "Namespace"))' "$state/all.json" | list | kubectl apply --filename - > /dev/null
  wait_for "service accounts" all_service_accounts "$(jq 'map(select(.kind == "Namespace")) | length' "$state/all.json")"
  # Without an enforcer policies change nothing: they are there, and the control shows it.
  jq --arg cni "$cni" 'map(select(.kind == "NetworkPolicy" and $cni == "kindnet" or .kind == "Namespace" | not))' "$state/all.json" \
    | list | kubectl create --filename - > /dev/null
  local at=$SECONDS
  kubectl wait --for=condition=Ready pod --selector probed-as --all-namespaces --timeout=300s > "$state/ready.log"
  scenarios_addresses > "$state/addresses"
  for scenario in $scenarios; do scenario_probes "$scenario" > "$state/scenarios/$scenario/probes"; done
  local pods ready wrong=ok
  pods=$(jq 'map(select(.kind == "Pod")) | length' "$state/all.json")
  ready=$(kubectl get pods --all-namespaces --selector probed-as --output json \
    | jq '[.items[].status.conditions[] | select(.type == "Ready" and .status == "True")] | length')
  [ "$pods" -gt 0 ] && [ "$ready" = "$pods" ] || wrong=WRONG
  report "pods ready" $wrong "$ready of $pods in $((SECONDS - at)) s"
}

all_service_accounts() { [ "$(kubectl get serviceaccounts --all-namespaces --output name | grep --count /default)" -ge "$1" ]; }

# "KEY ADDRESS", one or two lines a key.
scenarios_addresses() {
  kubectl get pods --all-namespaces --selector probed-as --output json \
    | jq --raw-output '.items[] | "pod/\(.metadata.namespace)/\(.metadata.name) \(.status.podIPs[].ip)"'
  kubectl get services --all-namespaces --selector leads-to --output json | jq --raw-output '.items[]
    | .spec.ports[] as $port
    | "via/\(.metadata.namespace)/\(.metadata.labels["leads-to"])/\($port.protocol)/\($port.port) \(.spec.clusterIPs[])"'
  local i
  for i in "${!NODES[@]}"; do
    kubectl get node "${NODES[$i]}" --output json \
      | jq --raw-output --arg name "node/node-$((i + 1))" '.status.addresses[] | select(.type == "InternalIP") | "\($name) \(.address)"'
  done
}

# The scenario's expectations as probes, the step before each.
scenario_probes() { # SCENARIO
  local yaml=$here/../scenarios/$1
  {
    sed --quiet 's/.*"\([a-z]*\)=\([^,"]*\),\([^"]*\)".*/outside\/\1 \2\noutside\/\1 \3/p' "$yaml/scenario.yaml" | of_families
    cat "$state/addresses"
    echo ---
    sed --quiet 's/^- {\(.*\)}.*/\1/p' "$yaml/expect.yaml"
  } | awk -v key="$(key_of "$1")" -v OFS='\t' '
    function named(who) { return who ~ /^pod\// ? "pod/" key "-" substr(who, 5) : who }
    /^---$/ { expectations = 1; next }
    !expectations { addresses[$1] = addresses[$1] " " $2; next }
    {
      gsub(/,/, ""); delete field
      for (i = 1; i < NF; i += 2) field[$i] = $(i + 1)
      from = named(field["from:"]); to = named(field["to:"])
      if (from ~ /^outside\//) from = "outside"
      target = "via:" in field ? "via/" substr(to, 5) "/" field["protocol:"] "/" field["port:"] : to
      count = split(addresses[target], address, " ")
      if (!count) print field["step:"], from, "none", "no-address-of-" target, "open", to
      for (i = 1; i <= count; i++)
        print field["step:"], from, field["protocol:"], (address[i] ~ /:/ ? "[" address[i] "]" : address[i]) ":" field["port:"],
          field["allowed:"] == "true" ? "open" : "closed", to ("via:" in field ? " by its Service" : "")
    }'
}

# Without the agent every probe of every step has to pass, policies or not.
scenarios_control() {
  local file=$state/without-agent all closed
  # shellcheck disable=SC2086
  (cd "$state/scenarios" && cut --fields=2- $(printf '%s/probes ' $scenarios)) > "$file.both"
  closed=$(awk -F '\t' '$4 == "closed" && !seen[$1, $2, $3]++' "$file.both" | wc --lines)
  awk -F '\t' -v OFS='\t' '{ $4 = "open" } !seen[$1, $2, $3]++' "$file.both" > "$file"
  all=$(wc --lines < "$file")
  probe "$file" > "$file.wrong"
  [ "$closed" -gt 0 ] && [ "$all" -gt "$closed" ] || echo "too few probes to say anything" >> "$file.wrong"
  verdict "without agent" "$file.wrong" "$all pass, $closed to be closed"
  kubectl delete networkpolicies --all --all-namespaces > /dev/null
}

verdict() { # ROW WRONG-FILE FIGURES
  if [ -s "$2" ]; then
    report "$1" WRONG "$3; $(wc --lines < "$2") not as expected"
    sed 's/^/          /' "$2" | head --lines=20
  else
    report "$1" ok "$3"
  fi
}

scenario() { # SCENARIO
  local folder=$state/scenarios/$1 number=0 file
  : > "$folder/wrong"
  : > "$folder/judged"
  echo '[]' > "$folder/before.json"
  while [ -e "$folder/$number.json" ]; do
    scenario_step "$folder" "$number" 2>> "$folder/wrong"
    # A change holds well within a second (make agent-faults measures it); this is a busy machine.
    sleep 2
    file=$folder/$number.probes
    awk -F '\t' -v step="$number" '$1 == step' "$folder/probes" | cut --fields=2- > "$file"
    probe "$file" | sed "s/^/step $number: /" >> "$folder/wrong"
    cat "$file" >> "$folder/judged"
    number=$((number + 1))
  done
}

# Every expectation became a probe or two (one for each family), each was judged, and some are open and some closed.
scenario_counts() { # SCENARIO
  local folder=$state/scenarios/$1 expected all judged closed
  expected=$(grep --count '^- ' "$here/../scenarios/$1/expect.yaml")
  all=$(wc --lines < "$folder/probes")
  judged=$(wc --lines < "$folder/judged")
  closed=$(awk -F '\t' '$5 == "closed"' "$folder/probes" | wc --lines)
  [ "$judged" = "$all" ] || echo "only $judged of $all probes were judged" >> "$folder/wrong"
  [ "$all" -ge "$expected" ] || echo "only $all probes of $expected expectations" >> "$folder/wrong"
  [ "$closed" -gt 0 ] && [ "$closed" -lt "$all" ] || echo "nothing is to be open, or nothing closed" >> "$folder/wrong"
  verdict "$(key_of "$1" | tr a A | sed 's/^A0/A/')" "$folder/wrong" "$all probes, $closed closed"
}

scenario_step() { # FOLDER NUMBER
  jq 'map(select(.kind == "Namespace" or .kind == "NetworkPolicy"))' "$1/$2.json" > "$1/now.json"
  list < "$1/now.json" | kubectl apply --filename - > /dev/null
  jq --null-input --slurpfile before "$1/before.json" --slurpfile now "$1/now.json" '
    [$now[0][] | [.kind, .metadata.namespace, .metadata.name]] as $stays
    | [$before[0][] | select(.kind == "NetworkPolicy" and ([.kind, .metadata.namespace, .metadata.name] | IN($stays[]) | not))]' \
    > "$1/gone.json"
  [ "$(jq length "$1/gone.json")" = 0 ] || list < "$1/gone.json" | kubectl delete --filename - > /dev/null
  mv "$1/now.json" "$1/before.json"
}

scenarios_run() {
  local scenario
  for scenario in $scenarios; do
    while [ "$(jobs -rp | wc --lines)" -ge "${AT_ONCE:-4}" ]; do sleep 0.2; done
    scenario "$scenario" &
  done
  wait
  for scenario in $scenarios; do
    scenario_counts "$scenario"
  done
  jq 'map(select(.kind == "Namespace"))' "$state/all.json" | list | kubectl delete --wait=false --filename - > /dev/null
}
