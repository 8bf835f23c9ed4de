#!/usr/bin/env bash
# Asks for TPU slices through a queued resource, and waits until they are there.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b TPU_TOPOLOGY=v6e:4x4 launch/tpu_create.sh
#   TPU_NAME=aif TPU_ZONE=us-east5-b TPU_TYPE=v6e-16 TPU_VERSION=v2-alpha-tpuv6e ...
#
# TPU_TOPOLOGY is what `rlaif-jax plan topology=` was given; TPU_SLICES their number (1).
# TPU_PROVISIONING is spot (default), reserved, on-demand or flex-start (for
# MAX_RUN_DURATION, at most 7d). TPU_CREATE_FLAGS are added to the request, as words.
# A request that fails or is suspended is deleted and made again, up to MAX_TRIES (5) times;
# MAX_WAIT_S bounds the whole wait. Ctrl-C deletes the request unless KEEP=1.
# Exit codes: 0 there; 75 no capacity, nothing left behind; 2 refused; 70 gcloud's errors.

here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launch/tpu_slices.sh
source "$here/tpu_slices.sh"
# shellcheck source=launch/tpu_types.sh
source "$here/tpu_types.sh"
POLL_S="${POLL_S:-20}" MAX_TRIES="${MAX_TRIES:-5}" MAX_WAIT_S="${MAX_WAIT_S:-}"
require_numbers POLL_S
require_counts MAX_TRIES
[[ -z "$MAX_WAIT_S" ]] || require_numbers MAX_WAIT_S

if [[ -n "${TPU_TOPOLOGY:-}" ]]; then
  [[ -z "${TPU_TYPE:-}" ]] || usage_error "set TPU_TOPOLOGY or TPU_TYPE, not both"
  describe_slice "$TPU_TOPOLOGY"
  ((${#SLICE_GCE_TYPE[@]})) || usage_error "TPU_TOPOLOGY=$TPU_TOPOLOGY is on GKE only"
  kind=("${SLICE_GCE_TYPE[@]}" --runtime-version="${TPU_VERSION:-$SLICE_GCE_RUNTIME}")
else
  require_env TPU_TYPE TPU_VERSION
  kind=(--accelerator-type="$TPU_TYPE" --runtime-version="$TPU_VERSION")
fi

tool=(gcloud)
case "${TPU_PROVISIONING:=spot}" in
  spot) kind+=(--spot) ;;
  reserved) kind+=(--reserved) ;;
  on-demand) ;;
  flex-start)
    require_env MAX_RUN_DURATION
    tool=(gcloud alpha) # where this flag is
    kind+=(--provisioning-model=flex-start --max-run-duration="$MAX_RUN_DURATION")
    ;;
  *)
    usage_error \
      "TPU_PROVISIONING=$TPU_PROVISIONING is not spot, reserved, on-demand or flex-start"
    ;;
esac
if ((TPU_SLICES > 1)); then
  kind+=(--node-prefix="$TPU_NAME" --node-count="$TPU_SLICES")
else
  kind+=(--node-id="$TPU_NAME")
fi
read -ra extra <<<"${TPU_CREATE_FLAGS:-}"

interrupted() {
  trap '' INT TERM HUP
  if [[ "${KEEP:-0}" != 1 ]]; then
    say "interrupted: deleting the request"
    "$here/tpu_delete.sh" || exit
  fi
  exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM HUP

# Makes the request. A refusal ends the script: asking again would not help.
request() {
  local errors
  errors="$(mktemp)"
  if run "${tool[@]}" compute tpus queued-resources create "$TPU_NAME" "${where[@]}" \
    "${kind[@]}" ${extra[@]+"${extra[@]}"} 2>"$errors"; then
    rm -f "$errors"
    return 0
  fi
  cat "$errors" >&2
  if grep -qE 'PERMISSION_DENIED|INVALID_ARGUMENT|UNAUTHENTICATED' "$errors"; then
    rm -f "$errors"
    usage_error "the request is refused; nothing was asked for"
  fi
  rm -f "$errors"
  return 1
}

# Waits for the slices: 0 they are there, 1 the request is dead, 70 nobody answers.
await() {
  local state unknown=0
  while true; do
    state="$(request_state)"
    say "queued resource $TPU_NAME: $state"
    ! are_lost "$state" || return 1
    case "$state" in
      ACTIVE) return 0 ;;
      UNKNOWN) ((++unknown < 10)) || return 70 ;;
      *) unknown=0 ;;
    esac
    if [[ -n "$MAX_WAIT_S" ]] && ((SECONDS >= ${MAX_WAIT_S%.*})); then
      say "no slice after MAX_WAIT_S=$MAX_WAIT_S seconds: deleting the request"
      "$here/tpu_delete.sh" || exit
      exit 75
    fi
    pause "$POLL_S"
  done
}

if is_dry; then
  request
  queued_resources describe --format='value(state.state)'
  exit 0
fi
for ((try = 1; ; try++)); do
  if [[ "$(request_state)" != ABSENT ]] || request; then
    code=0
    await || code=$?
    ((code == 0)) && exit 0
    ((code == 70)) && { say "gcloud does not answer"; exit 70; }
  fi
  "$here/tpu_delete.sh" || exit # a dead request blocks its name
  if ((try >= MAX_TRIES)); then
    say "no slice after $try requests; nothing is left behind: run this again later"
    exit 75
  fi
  pause "$(backoff_s "$try")"
done
