#!/usr/bin/env bash
# Runs one verb on every worker of a slice, in step.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_run.sh \
#     dpo configs/dpo/mistral_7b.yaml --out /mnt/shared/runs/dpo
#
# The run folder must be on storage that every worker mounts (NFS, Filestore, ...).
# A preempted run ends with exit code 75: the same command continues it.

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
require_env TPU_NAME TPU_ZONE
if [[ $# -lt 1 ]]; then
  echo "usage: ${0##*/} VERB [ARGUMENTS ...]" >&2
  exit 2
fi

# The slice's firewall is known to open port 8476, not JAX's present default.
command="cd rlaif_jax && RLAIF_DISTRIBUTED=auto JAX_COORDINATOR_PORT=8476 \
../venv/bin/python -m rlaif_jax $(quoted "$@")"
run gcloud compute tpus tpu-vm ssh "$TPU_NAME" --zone="$TPU_ZONE" --worker=all \
  --command="$command"
