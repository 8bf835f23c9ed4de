#!/usr/bin/env bash
# Runs one verb on N real jax.distributed processes of this machine, as a pod would.
#
#   launch/local_pod.sh 2 sft configs/debug/sft.yaml --out runs/debug/sft_pod
#   launch/local_pod.sh 2        # makes debug data, then trains SFT and DPO on it
#
# DEVICES_PER_PROCESS simulates that many CPU devices in each process (1 by default).
# Process 0 writes to the terminal; the others to LOGS/process-*.log. When one ends
# with an error, the others have GRACE_S seconds (90) to find out and end by themselves.
# The exit code is that of the first that did not end well.

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage="usage: ${0##*/} NUM_PROCESSES [VERB ARGUMENTS ...]"
num_processes="${1:?$usage}"
[[ "$num_processes" =~ ^[1-9][0-9]*$ ]] || { echo "$usage" >&2; exit 2; }
shift

if [[ $# -eq 0 ]]; then
  here="$(dirname "${BASH_SOURCE[0]}")"
  run "$here/debug_data.sh"
  "$here/local_pod.sh" "$num_processes" sft configs/debug/sft.yaml --out runs/debug/sft_pod
  exec "$here/local_pod.sh" "$num_processes" dpo configs/debug/dpo.yaml \
    model.path=runs/debug/sft_pod --out runs/debug/dpo_pod
fi

python="${PYTHON:-python}"
port="${RLAIF_PORT:-$((20000 + RANDOM % 20000))}"
logs="${LOGS:-$(mktemp -d)}"
grace_s="${GRACE_S:-90}" # above pod.heartbeat_s
mkdir -p "$logs"

export JAX_PLATFORMS=cpu
# the last of two flags counts
export XLA_FLAGS="${XLA_FLAGS:-} --xla_force_host_platform_device_count=${DEVICES_PER_PROCESS:-1}"
export NPROC="${NPROC:-16}" # fewer threads than devices can deadlock a collective
export RLAIF_COORDINATOR="127.0.0.1:$port"
export RLAIF_NUM_PROCESSES="$num_processes"

if [[ "${DRY_RUN:-0}" == 1 ]]; then
  for ((id = 0; id < num_processes; id++)); do
    run env "RLAIF_PROCESS_ID=$id" "$python" -m rlaif_jax "$@"
  done
  exit 0
fi

declare -A running=()
for ((id = 0; id < num_processes; id++)); do
  if ((id == 0)); then
    RLAIF_PROCESS_ID=0 "$python" -m rlaif_jax "$@" &
  else
    RLAIF_PROCESS_ID=$id "$python" -m rlaif_jax "$@" >"$logs/process-$id.log" 2>&1 &
  fi
  running[$!]=$id
done
trap 'kill -TERM "${!running[@]}" 2>/dev/null || true' TERM INT

code=0
deadline=
ends=()
while ((${#running[@]})); do
  ended=0
  pid=
  if [[ -n "$deadline" ]]; then
    # `wait` knows no limit: another job that ends by then wakes it
    left=$((deadline - SECONDS))
    if ((left <= 0)); then
      echo "${0##*/}: processes ${running[*]} go on after $grace_s s: killing them" >&2
      kill -KILL "${!running[@]}" 2>/dev/null || true
      deadline=
      continue
    fi
    sleep "$left" &
    alarm=$!
    wait -n -p pid "$alarm" "${!running[@]}" || ended=$?
    kill "$alarm" 2>/dev/null || true
    [[ "${pid:-}" != "$alarm" ]] || continue
  else
    wait -n -p pid "${!running[@]}" || ended=$?
  fi
  [[ -n "${pid:-}" ]] || continue # a signal was passed on: the processes end by themselves
  ends+=("process ${running[$pid]} ended with exit code $ended")
  unset "running[$pid]"
  if ((ended != 0 && code == 0)); then
    code=$ended
    # preempted processes save together, however long it takes; others end by
    # themselves when one is gone, and a last one that does not must not stay
    ((ended == 75)) || deadline=$((SECONDS + grace_s))
  fi
done
if ((code != 0)); then
  printf "${0##*/}: %s\n" "${ends[@]}" >&2
  echo "${0##*/}: logs in $logs" >&2
fi
exit "$code"
