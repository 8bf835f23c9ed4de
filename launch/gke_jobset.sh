#!/usr/bin/env bash
# Prints the JobSet of a run on TPU slices of a GKE cluster; launch/gke_run.sh sends it.
#
#   JOB_NAME=aif IMAGE=REGION-docker.pkg.dev/PROJECT/REPO/rlaif:TAG TPU_TOPOLOGY=v6e:4x4 \
#     VOLUME=pvc:runs:/mnt/shared launch/gke_jobset.sh \
#     dpo configs/dpo/mistral_7b.yaml --out /mnt/shared/runs/dpo
#
# TPU_TOPOLOGY is what `rlaif-jax plan topology=` was given; TPU_SLICES their number (1).
#   TPU_PROVISIONING    on-demand (default), spot, flex-start, or reserved with RESERVATION
#   TPU_CHIPS_PER_HOST  4 for slices of 2x4 that are two machines (docs/launch.md)
#   VOLUME              pvc:CLAIM:FOLDER or nfs:SERVER:PATH:FOLDER, mounted in every pod
#   SECRETS             "OPENAI_API_KEY=SECRET:KEY ...", of Kubernetes
#   FORWARD             "LIBTPU_INIT_ARGS ...": variables to pass on
#   NAMESPACE, SERVICE_ACCOUNT, QUEUE (Kueue's local queue)
#   MAX_RESTARTS (20)   of the JobSet; exit codes that would fail again end it at once
#   STOP_S (120)        seconds a pod has to save when it is stopped
#   TTL_S (86400)       seconds after its end until the cluster deletes it by itself

here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launch/common.sh
source "$here/common.sh"
# shellcheck source=launch/tpu_types.sh
source "$here/tpu_types.sh"
# shellcheck source=launch/exit_codes.sh
source "$here/exit_codes.sh"
if [[ $# -lt 1 ]]; then
  usage_error "usage: ${0##*/} VERB [ARGUMENTS ...]"
fi
require_env JOB_NAME IMAGE TPU_TOPOLOGY
require_forwarded
describe_slice "$TPU_TOPOLOGY"
RESTART_CODES="$(restart_codes)"
export RESTART_CODES JAX_COORDINATOR_PORT
export SLICE_SHAPE SLICE_CHIPS_PER_HOST SLICE_HOSTS SLICE_GKE_TYPE
"${PYTHON:-python3}" "$here/jobset.py" "$@"
