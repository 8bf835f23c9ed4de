#!/usr/bin/env bash
# Gives slices back, whatever state their request is in, and looks that they are gone.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_delete.sh
#
# May be run again, and when there is nothing. Tries DELETE_TRIES (8) times; exit code 70
# says that something may still be there, and still cost.

# shellcheck source=launch/tpu_slices.sh
source "$(dirname "${BASH_SOURCE[0]}")/tpu_slices.sh"
DELETE_TRIES="${DELETE_TRIES:-8}"
require_counts DELETE_TRIES

for ((try = 1; try <= DELETE_TRIES; try++)); do
  ((try == 1)) || pause "$(backoff_s "$((try - 1))")"
  errors="$(queued_resources delete --force --quiet 2>&1)" || true # what is left counts
  if is_dry; then
    queued_resources describe --format='value(state.state)'
    exit 0
  fi
  state="$(request_state)"
  if [[ "$state" == ABSENT ]]; then
    say "$TPU_NAME is gone"
    exit 0
  fi
  [[ -z "$errors" ]] || printf '%s\n' "$errors" >&2
  say "$TPU_NAME is still there: $state"
done
say "NOT DELETED after $DELETE_TRIES tries, and it may cost money. By hand:"
say "  $(quoted gcloud compute tpus queued-resources delete "$TPU_NAME" "${where[@]}" \
  --force)"
exit 70
