# Sourced: what exit codes mean to a launcher (docs/launch.md has the table).
# shellcheck shell=bash

# Whether the same command may do better: preempted (75), hung or a peer lost (70), killed
# by a signal (above 128), connection lost (255). Wrong usage (2), corrupt data (65), a
# refusal (78) and errors nobody has named fail the same way every time.
may_restart() {
  (($1 == 75 || $1 == 70 || $1 > 128))
}

# All exit codes after which the same command may do better.
restart_codes() {
  local code
  for ((code = 1; code < 256; code++)); do
    ! may_restart "$code" || printf '%s ' "$code"
  done
}

# Of the exit codes of one run's processes, the one that explains the others: when one
# process ends, its peers follow, and how they end says nothing.
verdict() {
  local code rank best=0 most=0
  for code in "$@"; do
    case "$code" in
      0) rank=0 ;;
      255) rank=1 ;;     # not known: the connection was lost
      75) rank=2 ;;
      129 | 13[0-6] | 143) rank=3 ;; # a peer was lost, or somebody stopped it
      70) rank=4 ;;
      2 | 65 | 78) rank=7 ;;
      *) rank=$((code > 128 ? 5 : 6)) ;;
    esac
    if ((rank > most)); then
      most=$rank
      best=$code
    fi
  done
  printf '%s\n' "$best"
}
