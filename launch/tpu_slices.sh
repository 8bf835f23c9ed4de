# Sourced by tpu_*.sh: the request TPU_NAME in TPU_ZONE, its slices and their workers.
#
# TPU_SLICES is the number of slices (1): one is called TPU_NAME, several TPU_NAME-0, ...
# TPU_PROJECT is gcloud's present project if it is not set.
# shellcheck shell=bash

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
require_env TPU_NAME TPU_ZONE
[[ "$TPU_NAME" =~ ^[a-z]([a-z0-9-]*[a-z0-9])?$ ]] ||
  usage_error "TPU_NAME=$TPU_NAME: small letters, digits and hyphens, a letter first"
[[ "${TPU_SLICES:=1}" =~ ^[1-9][0-9]*$ ]] ||
  usage_error "TPU_SLICES=$TPU_SLICES is not a number of slices"

where=(--zone="$TPU_ZONE")
[[ -z "${TPU_PROJECT:-}" ]] || where+=(--project="$TPU_PROJECT")
slices=("$TPU_NAME")
if ((TPU_SLICES > 1)); then
  slices=()
  for ((slice = 0; slice < TPU_SLICES; slice++)); do slices+=("$TPU_NAME-$slice"); done
fi

# A gcloud command on the request.
queued_resources() {
  run gcloud compute tpus queued-resources "$1" "$TPU_NAME" "${where[@]}" "${@:2}"
}

# The state of the request: ABSENT if there is none, UNKNOWN if nobody answers.
request_state() {
  local state errors
  is_dry && { echo ABSENT; return; }
  errors="$(mktemp)"
  if state="$(queued_resources describe --format='value(state.state)' 2>"$errors")"; then
    printf '%s\n' "${state:-UNKNOWN}"
  elif grep -q NOT_FOUND "$errors"; then
    echo ABSENT
  else
    cat "$errors" >&2
    echo UNKNOWN
  fi
  rm -f "$errors"
}

# Whether slices of this state are lost, and only their name is left. UNKNOWN is not: it
# says that nobody answers, mostly because of the network here.
are_lost() {
  [[ "$1" =~ ^(SUSPENDED|SUSPENDING|FAILED|DELETING|ABSENT)$ ]]
}

# Runs a shell command on workers (all, or a number) of a slice. Dead connections are
# noticed after three minutes. Needs the key in ssh-agent if there are several workers:
# ssh-add ~/.ssh/google_compute_engine
on_workers() {
  run gcloud compute tpus tpu-vm ssh "$1" "${where[@]}" --worker="$2" --quiet \
    --ssh-flag=-oServerAliveInterval=30 --ssh-flag=-oServerAliveCountMax=6 \
    --command="$3"
}

# The addresses of a slice's workers inside the cloud, one a line.
addresses() {
  local found
  found="$(ask 10.0.0.2 gcloud compute tpus tpu-vm describe "$1" "${where[@]}" \
    --format='value(networkEndpoints[].ipAddress)')" || return 255
  tr ';' '\n' <<<"$found"
}
