#!/usr/bin/env bash
# Runs one verb on every worker of every slice, in step.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_run.sh \
#     dpo configs/dpo/mistral_7b.yaml --out /mnt/shared/runs/dpo
#
# The run folder must be on storage that every worker mounts (NFS, Filestore, ...). Nothing
# starts before all workers answer with the same checkout. Ends with the exit code that
# explains the others (docs/launch.md); 75 says that the same command continues the run.
#
# SECRETS="OPENAI_API_KEY=NAME ..." names secrets of Secret Manager, which each worker reads
# itself; FORWARD="LIBTPU_INIT_ARGS ..." names variables to pass on (none that look secret).
# Ctrl-C asks the workers to save and stop, STOP_S (120) seconds long. When a worker has
# failed, the others are stopped after PEERS_S (180).

# shellcheck source=launch/tpu_slices.sh
source "$(dirname "${BASH_SOURCE[0]}")/tpu_slices.sh"
# shellcheck source=launch/tpu_types.sh
source "$(dirname "${BASH_SOURCE[0]}")/tpu_types.sh"
# shellcheck source=launch/exit_codes.sh
source "$(dirname "${BASH_SOURCE[0]}")/exit_codes.sh"
# shellcheck source=launch/run_folder.sh
source "$(dirname "${BASH_SOURCE[0]}")/run_folder.sh"
if [[ $# -lt 1 ]]; then
  usage_error "usage: ${0##*/} VERB [ARGUMENTS ...]"
fi
require_shared_out "$@"
LOOK_S="${LOOK_S:-2}" STOP_S="${STOP_S:-120}" PEERS_S="${PEERS_S:-180}"
HELLO_TRIES="${HELLO_TRIES:-3}" ATTACH_TRIES="${ATTACH_TRIES:-3}"
require_numbers LOOK_S STOP_S PEERS_S
require_counts HELLO_TRIES ATTACH_TRIES

environment=(RLAIF_DISTRIBUTED=auto JAX_COORDINATOR_PORT="$JAX_COORDINATOR_PORT"
  STOP_S="$STOP_S")
require_forwarded
read -ra forward <<<"${FORWARD:-}"
for name in ${forward[@]+"${forward[@]}"}; do
  environment+=("$name=${!name}")
done
read -ra secrets <<<"${SECRETS:-}"
for secret in ${secrets[@]+"${secrets[@]}"}; do
  [[ ! "$secret" =~ =(sk-|hf_|AIza|xai-) ]] ||
    usage_error "SECRETS: ${secret%%=*} looks like the key itself: give a secret's name"
  [[ "$secret" =~ ^[A-Za-z_][A-Za-z0-9_]*=[A-Za-z0-9_/:-]+$ ]] ||
    usage_error "SECRETS has an entry that is not VARIABLE=SECRET[:VERSION]"
done

logs="$(mktemp -d)"
id="$(date +%Y%m%d-%H%M%S)-$$"
is_dry && id=ID
connections=() # process groups, one a slice
viewer=

# The command for one slice's workers, as a shell reads it.
command_of() {
  local variables=("${environment[@]}" RLAIF_SLICE="$1")
  if ((TPU_SLICES > 1)); then
    variables+=(MEGASCALE_COORDINATOR_ADDRESS="$coordinator"
      MEGASCALE_NUM_SLICES="$TPU_SLICES" MEGASCALE_SLICE_ID="$1")
  fi
  printf 'cd rlaif_jax && %s' "$(quoted env "${variables[@]}" bash launch/worker.sh \
    run "$id" ${secrets[@]+"${secrets[@]}"} -- "${@:2}")"
}

# The lines of a slice's workers that match, without what else they wrote.
reports() {
  grep -aoE "^rlaif-worker [0-9]+ $2" "$logs/$1" | sed -E 's/^rlaif-worker //' || true
}

# Stops unless all workers of a slice answer.
greet() {
  local slice="$1" expected=0 found=0 try
  for ((try = 1; try <= HELLO_TRIES; try++)); do
    ((try == 1)) || pause "$(backoff_s "$((try - 1))")"
    expected="$(addresses "$slice" | wc -l)" || continue
    on_workers "$slice" all "cd rlaif_jax && bash launch/worker.sh hello" \
      >"$logs/hello-$slice" 2>"$logs/errors-$slice" || true
    is_dry && return
    found="$(reports "hello-$slice" 'answers' | sort -u | wc -l)"
    ((expected > 0 && found == expected)) && break
    say "$found of $expected workers of $slice answer"
  done
  if ((found == 0 || found != expected)); then
    cat "$logs/errors-$slice" >&2
    say "nothing was started: not all workers of $slice answer (tpu_setup.sh first)"
    exit 255
  fi
  printf '%s\n' "$expected" >"$logs/workers-$slice"
}

# Stops unless the workers of all slices have answered with one checkout.
compare() {
  local slice stamps
  stamps="$(for slice in "${slices[@]}"; do reports "hello-$slice" 'answers .*'; done |
    cut -d' ' -f3 | sort -u)"
  [[ "$stamps" != *$'\n'* ]] ||
    usage_error "workers of ${slices[*]} have different checkouts: run tpu_setup.sh"
}

# Opens a connection to a slice, in a process group of its own: Ctrl-C is ours.
connect() {
  local slice="${slices[$1]}"
  set -m
  on_workers "$slice" all "$(command_of "$@")" </dev/null >>"$logs/out-$slice" 2>&1 &
  connections[$1]=$!
  set +m
}

# The exit code of each worker of a slice, 255 where nothing is known.
codes() {
  local slice="$1" worker
  for ((worker = 0; worker < $(<"$logs/workers-$slice"); worker++)); do
    reports "out-$slice" "run $id ended [0-9]+" | awk -v worker="$worker" '
      $1 == worker { code = $NF }
      END { print code == "" ? 255 : code }'
  done
}

# Asks every worker to save and stop; kills what has not after STOP_S.
stop_run() {
  local slice askers=()
  for slice in "${slices[@]}"; do
    timeout "$((${STOP_S%.*} + 60))" gcloud compute tpus tpu-vm ssh "$slice" \
      "${where[@]}" --worker=all --quiet --command="cd rlaif_jax && \
env STOP_S=$STOP_S bash launch/worker.sh stop $id" </dev/null >/dev/null 2>&1 &
    askers+=($!)
  done
  wait "${askers[@]}" || true
  hang_up_at=$((SECONDS + 20)) # they end by themselves, unless they are dead
}

hang_up() {
  local group
  for group in ${connections[@]+"${connections[@]}"}; do
    kill -TERM -- "-$group" 2>/dev/null || true
  done
}

stopping='' hang_up_at=0
trap 'stopping=stop' INT TERM HUP
trap 'stopping=gone' USR1 # the watcher knows that the slices are gone
leave() {
  hang_up
  [[ -z "$viewer" ]] || kill "$viewer" 2>/dev/null || true
  rm -rf "$logs"
}
trap leave EXIT

is_open() {
  local group
  for group in "${connections[@]}"; do
    ! kill -0 "$group" 2>/dev/null || return 0
  done
  return 1
}

# Waits until all connections have ended; a failed worker or a signal ends them sooner.
attend() {
  local failed_at='' slice
  while is_open; do
    pause "$LOOK_S"
    if [[ "$stopping" == gone ]] || ((hang_up_at && SECONDS >= hang_up_at)); then
      hang_up
    elif [[ "$stopping" == stop ]]; then
      say "asking all workers to save and stop"
      stop_run
      stopping=stopped
    elif [[ -z "$failed_at" ]]; then
      for slice in "${slices[@]}"; do
        [[ -z "$(codes "$slice" | grep -vxE '0|75|255' || true)" ]] || failed_at=$SECONDS
      done
    elif [[ "$failed_at" != never ]] && ((SECONDS - failed_at >= ${PEERS_S%.*})); then
      say "a worker failed $PEERS_S seconds ago: stopping the others"
      stop_run
      failed_at=never
    fi
  done
}

for slice in "${slices[@]}"; do greet "$slice"; done
compare
coordinator=
((TPU_SLICES == 1)) || coordinator="$(addresses "${slices[0]}" | head -n 1)"
if is_dry; then
  for index in "${!slices[@]}"; do
    on_workers "${slices[index]}" all "$(command_of "$index" "$@")"
  done
  exit 0
fi

[[ -z "$stopping" ]] || exit 143
for slice in "${slices[@]}"; do : >"$logs/out-$slice"; done
tail -n +1 -s 0.2 -F "$logs/out-${slices[0]}" 2>/dev/null 3>&- &
viewer=$!
for ((attach = 1; attach <= ATTACH_TRIES; attach++)); do
  ((attach == 1)) || pause "$(backoff_s "$((attach - 1))")"
  for index in "${!slices[@]}"; do
    [[ $'\n'"$(codes "${slices[index]}")"$'\n' != *$'\n255\n'* ]] || connect "$index" "$@"
  done
  attend
  lost="$(for slice in "${slices[@]}"; do codes "$slice"; done | grep -cx 255 || true)"
  ((lost)) && [[ -z "$stopping" ]] || break
  say "the connection to $lost workers was lost"
done

all=()
for index in "${!slices[@]}"; do
  mapfile -t of_slice < <(codes "${slices[index]}")
  for worker in "${!of_slice[@]}"; do
    ((of_slice[worker] == 0)) ||
      say "worker $worker of ${slices[index]} ended with exit code ${of_slice[worker]}"
  done
  all+=("${of_slice[@]}")
done
sleep 0.3 # the viewer's last lines
code="$(verdict "${all[@]}")"
((code == 0)) || exit "$code"
