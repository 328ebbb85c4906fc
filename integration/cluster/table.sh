# Sourced by run: rows of the table, and how a command is tried whose failure is one.
# shellcheck shell=bash disable=SC2154

# COMMAND up to its first failure. FILE is what it says, and where it failed: empty, if all is well.
attempt() { # FILE COMMAND...
  local file=$1 status
  shift
  set +e
  (
    trap 'echo "failed: $BASH_COMMAND" >&9' ERR
    set -e
    "$@"
  ) > "$file" 2>&1 9>&1
  status=$?
  set -e
  failed=
  [ $status = 0 ] || [ -s "$file" ] || echo "failed: $*" > "$file"
}

one_line() { paste --serial --delimiters=';' "$1" | cut --characters=-300; }

# One row of the table: what, whether it is as expected, and the figures.
report() { # ROW ok|WRONG FIGURES
  local figures=${3//[$'\n\t']/ }
  printf '%s\t%s\t%s\t%s\n' "$column" "$1" "$2" "$figures" >> "$results"
  printf '%5d s  %-16s %-22s %-6s %s\n' $((SECONDS - begun)) "$column" "$1" "$2" "$figures"
}

table() { # and how many rows are not as expected, as the status
  local wrong
  wrong=$(cut --fields=3 "$results" | grep --count WRONG || true)
  echo
  awk -F '\t' '
    !($1 in columns) { columns[$1]; column[++width] = $1 }
    !($2 in rows) { rows[$2]; row[++height] = $2 }
    { cell[$2, $1] = cell[$2, $1] == "" || cell[$2, $1] == "ok" ? $3 : cell[$2, $1] }
    END {
      printf "%-24s", ""; for (i = 1; i <= width; i++) printf "%-17s", column[i]; print ""
      for (j = 1; j <= height; j++) {
        printf "%-24s", row[j]; for (i = 1; i <= width; i++) printf "%-17s", cell[row[j], column[i]]; print ""
      }
    }' "$results"
  echo
  echo "$(($(wc -l < "$results") - wrong)) as expected, $wrong not; $((SECONDS - begun)) s"
  [ "$wrong" != 0 ] || return 0
  [ -n "${KEEP:-}" ] || echo "KEEP=1 keeps the logs"
  return 1
}
