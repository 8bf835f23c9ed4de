#!/usr/bin/env bash
# Asks for a TPU slice through a queued resource, and waits until it is there.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b TPU_TYPE=v6e-16 TPU_VERSION=v2-alpha-tpuv6e \
#     launch/tpu_create.sh
#
# TPU_PROVISIONING is spot (default), reserved or on-demand; POLL_S is the pause between
# two looks at the request.

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
require_env TPU_NAME TPU_ZONE TPU_TYPE TPU_VERSION

provisioning=()
case "${TPU_PROVISIONING:-spot}" in
  spot) provisioning=(--spot) ;;
  reserved) provisioning=(--reserved) ;;
  on-demand) ;;
  *)
    echo "${0##*/}: TPU_PROVISIONING=$TPU_PROVISIONING is not spot, reserved or on-demand" >&2
    exit 2
    ;;
esac

run gcloud compute tpus queued-resources create "$TPU_NAME" \
  --node-id="$TPU_NAME" --zone="$TPU_ZONE" --accelerator-type="$TPU_TYPE" \
  --runtime-version="$TPU_VERSION" "${provisioning[@]}"
[[ "${DRY_RUN:-0}" == 1 ]] && exit 0

while true; do
  state="$(gcloud compute tpus queued-resources describe "$TPU_NAME" \
    --zone="$TPU_ZONE" --format='value(state.state)')"
  echo "queued resource $TPU_NAME: $state" >&2
  case "$state" in
    ACTIVE) exit 0 ;;
    FAILED | SUSPENDED | SUSPENDING)
      echo "${0##*/}: no slice: delete the request with launch/tpu_delete.sh" >&2
      exit 1
      ;;
  esac
  sleep "${POLL_S:-20}"
done
