#!/usr/bin/env bash
# Copies this checkout to every worker of a slice and installs it there.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_setup.sh

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
require_env TPU_NAME TPU_ZONE

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
archive="$(mktemp -d)/rlaif_jax.tar.gz"
run git -C "$root" archive --format=tar.gz --output="$archive" HEAD
run gcloud compute tpus tpu-vm scp "$archive" "$TPU_NAME:rlaif_jax.tar.gz" \
  --zone="$TPU_ZONE" --worker=all
run gcloud compute tpus tpu-vm ssh "$TPU_NAME" --zone="$TPU_ZONE" --worker=all \
  --command='mkdir -p rlaif_jax && tar -xzf rlaif_jax.tar.gz -C rlaif_jax && python3 -m venv venv && venv/bin/pip install -q -e ./rlaif_jax "jax[tpu]"'
