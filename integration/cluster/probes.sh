# Sourced by run: who reaches whom. A probe is a line "FROM PROTOCOL ADDRESS:PORT open|closed WHAT", tabs between; FROM
# is pod/NAMESPACE/NAME, node/NUMBER or outside. All probes of one source are one exec, and run at once.
# shellcheck shell=bash disable=SC2154

# Refused is open: the packet arrived, and nothing listens there.
probe_script='
  while read -r number protocol target; do
    (
      if answer=$("$0" connect --timeout=2s --protocol="$protocol" "$target" 2>&1); then
        echo "$number open"
      else
        case $answer in
          *REFUSED*) echo "$number open" ;;
          *TIMEOUT*) echo "$number closed" ;;
          *) echo "$number $answer" ;;
        esac
      fi
    ) &
  done
  wait'

run_in() { # SOURCE: probe_script there
  local rest
  case $1 in
    pod/*)
      rest=${1#pod/}
      kubectl exec --stdin --quiet --namespace "${rest%/*}" "${rest#*/}" --container tcp -- sh -c "$probe_script" /agnhost ;;
    node/*) enter "${NODES[${1#node/node-} - 1]}" sh -c "$probe_script" "$machine_agnhost" ;;
    outside) enter outside sh -c "$probe_script" "$machine_agnhost" ;;
  esac
}

# Judges the probes of a file; what is not as expected goes to standard output. What should be closed and is open is
# wrong at once; what should be open is tried three times, because a busy machine loses packets too.
probe() { # FILE
  local left=$1.left answers=$1.answers attempt
  cp "$1" "$left"
  for attempt in 1 2 3; do
    probe_sources "$left" > "$answers"
    awk -F '\t' -v attempt="$attempt" -v again="$left.again" '
      FILENAME == ARGV[1] { split($0, answer, " "); outcome[answer[1]] = substr($0, length(answer[1]) + 2); next }
      outcome[FNR] == $4 { next }
      $4 == "closed" && outcome[FNR] == "open" || attempt == 3 {
        printf "%s -> %s %s (%s): expected %s, was %s\n", $1, $2, $3, $5, $4, outcome[FNR] == "" ? "not answered" : outcome[FNR]
        next
      }
      { print > again }' "$answers" "$left"
    [ -e "$left.again" ] || break
    mv "$left.again" "$left"
  done
}

# Answers "NUMBER OUTCOME", a number being a line's.
probe_sources() { # FILE
  local source
  while read -r source; do
    awk -F '\t' -v from="$source" '$1 == from { print NR, tolower($2), $3 }' "$1" | run_in "$source" 2>> "$state/probes.log" &
  done < <(cut --fields=1 "$1" | sort --unique)
  wait
}

# The image that pods are made of: agnhost, and a shell to start many connects by one exec.
probe_image_name=podwall-test/agnhost:1
probe_image() {
  local root=$work/probe
  mkdir -p "$root/bin" "$root/tmp"
  cp "$kube/agnhost" "$root/agnhost"
  cp /bin/busybox "$root/bin/busybox"
  local command
  for command in sh sleep date cat; do ln "$root/bin/busybox" "$root/bin/$command"; done
  "$here/image" "$work/probe.tar" "$probe_image_name" '["/agnhost"]' "$root"
  "$here/image" "$work/pause.tar" registry.k8s.io/pause:3.10.1 '["/agnhost", "pause"]' "$root"
  rm -rf "$root"
}
