# Sourced by the scripts of this folder: fail early, say what is done, and allow a
# dry run (DRY_RUN=1 prints every external command instead of running it).
# shellcheck shell=bash

set -euo pipefail
exec 3>&1 # a dry run prints here, from inside $(...) too

# Stops under a bash older than 5.1, whose `wait` has no -p. macOS has 3.2.
require_bash() {
  (($1 > 5 || ($1 == 5 && $2 >= 1))) ||
    usage_error "bash $1.$2 is too old: 5.1 or later has to be first on PATH"
}

# Stops unless every named variable is set, before anything has happened.
require_env() {
  local name
  for name in "$@"; do
    if [[ -z "${!name:-}" ]]; then
      usage_error "set $name first"
    fi
  done
}

# Stops unless every named variable is a number, of seconds or hours.
require_numbers() {
  local name
  for name in "$@"; do
    [[ "${!name}" =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
      usage_error "$name=${!name} is not a number"
  done
}

# Stops unless every named variable counts something.
require_counts() {
  local name
  for name in "$@"; do
    [[ "${!name}" =~ ^[0-9]+$ ]] || usage_error "$name=${!name} is not a number"
  done
}

# Stops unless the variables that FORWARD names are set, and none looks secret.
require_forwarded() {
  local name names
  read -ra names <<<"${FORWARD:-}"
  for name in ${names[@]+"${names[@]}"}; do
    [[ ! "${name^^}" =~ KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL ]] ||
      usage_error "FORWARD=$name would be visible to others: name it in SECRETS"
    require_env "$name"
  done
}

say() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
}

usage_error() {
  say "$*"
  exit 2
}

require_bash "${BASH_VERSINFO[0]}" "${BASH_VERSINFO[1]}"

is_dry() {
  [[ "${DRY_RUN:-0}" == 1 ]]
}

# The arguments as one string that a shell reads back as the same arguments.
quoted() {
  local line
  printf -v line '%q ' "$@"
  printf '%s' "${line% }"
}

# Runs an external command, or prints it quoted.
run() {
  if is_dry; then
    printf '%s\n' "$(quoted "$@")" >&3
  else
    "$@"
  fi
}

# Runs a command whose output is wanted; a dry run prints it and takes ANSWER for it.
ask() {
  local answer="$1"
  shift
  run "$@"
  if is_dry; then
    printf '%s\n' "$answer"
  fi
}

# Sleeps, but lets a signal's trap act at once.
pause() {
  is_dry && return
  local sleeper
  sleep "$1" >/dev/null 2>&1 3>&- &
  sleeper=$!
  wait "$sleeper" || true
  kill "$sleeper" 2>/dev/null || true
}

# The pause in seconds after failure number N: doubles, with jitter from half to one and
# a half, so that many who failed together do not come back together.
backoff_s() {
  awk -v n="$1" -v first="${BACKOFF_S:-15}" -v most="${BACKOFF_MAX_S:-600}" \
    -v chance="$RANDOM" 'BEGIN {
      s = first * 2 ^ (n - 1)
      printf "%.2f", (s < most ? s : most) * (0.5 + chance / 32768)
    }'
}
