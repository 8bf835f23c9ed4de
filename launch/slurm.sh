#!/usr/bin/env bash
# Prints a Slurm batch script for one verb on GPU nodes.
#
#   NODES=2 GPUS_PER_NODE=8 launch/slurm.sh sft configs/sft/mistral_7b.yaml \
#     --out /shared/runs/sft | sbatch
#
# One process a node, with all its GPUs; PROCESSES=gpu makes it one a GPU, which leaves
# mesh.tensor, mesh.sequence and mesh.expert at 1. The coordinator's port is derived from
# the job's number unless JAX_COORDINATOR_PORT is set. The job is asked to save SAVE_S (90)
# seconds before its time is over, and puts itself back into the queue when its exit code
# may do better (docs/launch.md), MAX_RESTARTS (5) times without a newer checkpoint, unless
# it was cancelled.
#   JOB_NAME (rlaif)  TIME_LIMIT (1-00:00:00)  PARTITION  ACCOUNT
#   SBATCH_FLAGS      more of them, as words: "--exclusive --mem=0"
#   PYTHON (python)   on the nodes; the folder in which sbatch is called is on all of them

here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launch/common.sh
source "$here/common.sh"
# shellcheck source=launch/exit_codes.sh
source "$here/exit_codes.sh"
# shellcheck source=launch/run_folder.sh
source "$here/run_folder.sh"
if [[ $# -lt 1 ]]; then
  usage_error "usage: ${0##*/} VERB [ARGUMENTS ...]"
fi
require_env NODES GPUS_PER_NODE
MAX_RESTARTS="${MAX_RESTARTS:-5}" SAVE_S="${SAVE_S:-90}"
require_counts NODES GPUS_PER_NODE MAX_RESTARTS SAVE_S
case "${PROCESSES:-node}" in
  gpu) tasks=$GPUS_PER_NODE devices='' ;;
  node) tasks=1 devices="$(seq -s, 0 "$((GPUS_PER_NODE - 1))")" ;;
  *) usage_error "PROCESSES=$PROCESSES is not gpu or node" ;;
esac

name="${JOB_NAME:-rlaif}"
flags=(--job-name="$name" --nodes="$NODES" --ntasks="$((NODES * tasks))"
  --ntasks-per-node="$tasks" --gpus-per-node="$GPUS_PER_NODE"
  --time="${TIME_LIMIT:-1-00:00:00}" --signal="TERM@$SAVE_S" --requeue
  --open-mode=append --output="$name-%j.log")
[[ -z "${PARTITION:-}" ]] || flags+=(--partition="$PARTITION")
[[ -z "${ACCOUNT:-}" ]] || flags+=(--account="$ACCOUNT")
read -ra more <<<"${SBATCH_FLAGS:-}"

echo '#!/usr/bin/env bash'
printf '#SBATCH %s\n' "${flags[@]}" ${more[@]+"${more[@]}"}
echo 'set -euo pipefail'
declare -f may_restart verdict newest_step
printf '%s\n' "out=$(quoted "$(out_of "$@")")" "max_restarts=$MAX_RESTARTS" \
  "num_processes=$((NODES * tasks))" \
  "command=($(quoted "${PYTHON:-python}" -m rlaif_jax "$@"))" \
  'export RLAIF_DISTRIBUTED=auto'
[[ -z "$devices" ]] || echo "export JAX_LOCAL_DEVICE_IDS=$devices"
[[ -z "${JAX_COORDINATOR_PORT:-}" ]] ||
  echo "export JAX_COORDINATOR_PORT=$(quoted "$JAX_COORDINATOR_PORT")"
cat <<'SCRIPT'

trap : TERM # the processes save; this waits for them
folder="$SLURM_SUBMIT_DIR/rlaif-$SLURM_JOB_ID"
export CODES="$folder/codes-${SLURM_RESTART_COUNT:-0}"
mkdir -p "$CODES"
# each process leaves its own exit code; srun would tell the highest, not the telling one
srun --kill-on-bad-exit=0 --wait=180 bash -c '
  trap : TERM
  code=0
  "$@" || code=$?
  echo "$code" >"$CODES/$SLURM_PROCID"
  exit "$code"' - "${command[@]}" &
step=$!
until wait "$step"; do kill -0 "$step" 2>/dev/null || break; done

codes=()
for ((task = 0; task < num_processes; task++)); do
  codes+=("$(cat "$CODES/$task" 2>/dev/null || echo 137)")
done
code="$(verdict "${codes[@]}")"
echo "exit codes: ${codes[*]}: $code"
((code)) || exit 0
may_restart "$code" || exit "$code"

newest=-1 restarts=0
[[ ! -s "$folder/progress" ]] || read -r newest restarts <"$folder/progress"
found="$(newest_step "$out")"
if ((found > newest)); then newest=$found restarts=0; fi
restarts=$((restarts + 1))
echo "$newest $restarts" >"$folder/progress"
if ((restarts > max_restarts)); then
  echo "given up after $max_restarts restarts without a newer checkpoint"
  exit "$code"
fi
# after scancel it is CANCELLED, or COMPLETING as squeue prefers to say
state="$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T || true)"
if [[ "${state:-RUNNING}" != RUNNING ]]; then
  echo "the job is $state: not requeued"
  exit "$code"
fi
echo "restart $restarts of $max_restarts"
scontrol requeue "$SLURM_JOB_ID" ||
  echo "Slurm does not requeue the job: submit it again to continue"
exit "$code"
SCRIPT
