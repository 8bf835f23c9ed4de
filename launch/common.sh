# Sourced by the scripts of this folder: fail early, say what is done, and allow a
# dry run (DRY_RUN=1 prints every external command instead of running it).
# shellcheck shell=bash

set -euo pipefail

# Stops unless every named variable is set, before anything has happened.
require_env() {
  local name
  for name in "$@"; do
    if [[ -z "${!name:-}" ]]; then
      echo "${0##*/}: set $name first" >&2
      exit 2
    fi
  done
}

# Runs an external command, or prints it quoted.
run() {
  if [[ "${DRY_RUN:-0}" == 1 ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# The arguments as one string that a shell reads back as the same arguments.
quoted() {
  printf '%q ' "$@"
}
