#!/usr/bin/env bash
# Gives a slice back, whatever state its request is in.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_delete.sh

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
require_env TPU_NAME TPU_ZONE

run gcloud compute tpus queued-resources delete "$TPU_NAME" --zone="$TPU_ZONE" \
  --force --quiet
