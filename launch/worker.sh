#!/usr/bin/env bash
# What tpu_run.sh and tpu_logs.sh run on a worker, in the checkout that tpu_setup.sh left.
#
#   worker.sh hello                        says that this worker answers, with its checkout
#   worker.sh run ID [NAME=SECRET ...] -- VERB [ARGUMENTS ...]
#   worker.sh stop ID                      asks to save and stop, then kills
#   worker.sh log                          the newest run's output
#   worker.sh step OUT                     the newest finished checkpoint of a run folder
#
# `run` starts a run detached, once for an ID, and stays until it ends: gcloud repeats a
# command whose connection was lost, and that must find the run, not start a second one.

set -euo pipefail
runs="$HOME/.rlaif_runs/$(hostname)"
metadata=http://metadata.google.internal/computeMetadata/v1
stop_s="${STOP_S:-120}" stop_s="${stop_s%.*}"

number() {
  printf '%s' "${TPU_WORKER_ID:-$(curl -sf -H 'Metadata-Flavor: Google' \
    "$metadata/instance/attributes/agent-worker-number")}"
}

# One line in one write, which tpu_run.sh finds among everything else.
report() {
  printf '\nrlaif-worker %s %s\n' "$(number)" "$*"
}

# Whether a run's process lives: its number may be another process's by now.
is_alive() {
  [[ -s "$1/pid" ]] || return 1
  local line
  line="$(tr '\0' ' ' 2>/dev/null <"/proc/$(<"$1/pid")/cmdline")" || return 1
  [[ "$line" == *"worker.sh job $1 "* ]]
}

# Ends a run: asks first, so that it saves; what is left of its group is killed.
stop() {
  local run="$1" waited=0
  is_alive "$run" || return 0
  echo "worker.sh: stopping the run ${run##*/}"
  kill -TERM "$(<"$run/pid")" 2>/dev/null || true
  while is_alive "$run" && ((waited++ < stop_s * 5)); do sleep 0.2; done
  kill -KILL -- "-$(<"$run/pid")" 2>/dev/null || true
}

# Ends all runs but one.
stop_others() {
  local run
  for run in "$runs"/*/; do
    [[ "${run%/}" == "$1" ]] || stop "${run%/}"
  done
}

# The processes that hold the TPU or its lock file, other users' too where sudo may ask.
owners() {
  local find=(find)
  ! sudo -n true 2>/dev/null || find=(sudo -n find)
  "${find[@]}" /proc/[0-9]*/fd -maxdepth 1 \( -lname "$lock" -o -lname '/dev/accel*' \
    -o -lname '/dev/vfio/[0-9]*' \) 2>/dev/null | cut -d/ -f3 | sort -u || true
}

# A killed process leaves libtpu's lock file, and the next one would not start.
clear_lock() {
  lock="${LIBTPU_LOCKFILE:-/tmp/libtpu_lockfile}"
  [[ -e "$lock" ]] || return 0
  local holders
  holders="$(owners)"
  if [[ -n "$holders" ]]; then
    echo "worker.sh: the TPU is held by process ${holders//$'\n'/, }: end it" >&2
    return 1
  fi
  echo "worker.sh: nobody holds $lock: removing it"
  rm -f "$lock" 2>/dev/null || sudo -n rm -f "$lock"
}

# Puts a secret of Secret Manager into the environment; its value is nobody's argument.
fetch() {
  local name="${1%%=*}" secret="${1#*=}" version=latest value try flags=()
  case "$secret" in
    projects/*) flags=(versions access "$secret") ;;
    *)
      [[ "$secret" != *:* ]] || { version="${secret##*:}"; secret="${secret%:*}"; }
      flags=(versions access "$version" --secret="$secret")
      ;;
  esac
  for try in 1 2 3; do
    if value="$(gcloud secrets "${flags[@]}")"; then
      export "$name=$value"
      return 0
    fi
    sleep "$((try * ${SECRET_PAUSE_S:-2}))"
  done
  echo "worker.sh: cannot read the secret $secret for $name" >&2
  return 1
}

# The detached run itself; its exit code is written whatever happens to it but SIGKILL.
job() {
  run="$1" code=70 child='' # not local: the trap reads them last
  shift
  trap 'echo "$code" >"$run/code.part" && mv "$run/code.part" "$run/code"' EXIT
  trap '[[ -z "$child" ]] && code=75 && exit; kill -TERM "$child" 2>/dev/null || true' TERM
  echo "$$" >"$run/pid.part" && mv "$run/pid.part" "$run/pid"
  stop_others "$run"
  clear_lock || exit
  while [[ "$1" != -- ]]; do
    fetch "$1" || { code=2; exit; }
    shift
  done
  shift
  ulimit -n 100000 2>/dev/null || ulimit -n "$(ulimit -Hn)" # shards and peers are many
  "${PYTHON:-../venv/bin/python}" -m rlaif_jax "$@" &
  child=$!
  while true; do # wait ends early when a signal is passed on
    code=0
    wait "$child" || code=$?
    kill -0 "$child" 2>/dev/null || break
  done
}

# Follows a run to its end, says its exit code, and ends with it.
follow() {
  local run="$1" code=137 lines=+1 waited=0
  while [[ ! -s "$run/pid" && ! -s "$run/code" ]] && ((waited++ < 150)); do sleep 0.2; done
  ! [[ -e "$run/seen" ]] || lines=20 # connected again
  : >"$run/seen"
  if [[ "$(number)" == 0 && "${RLAIF_SLICE:-0}" == 0 ]]; then
    tail -n "$lines" -s 0.2 --pid="$(cat "$run/pid")" -F "$run/log" 2>/dev/null || true
  else
    tail -s 0.2 --pid="$(cat "$run/pid")" -f /dev/null || true
  fi
  ! [[ -s "$run/code" ]] || code="$(<"$run/code")"
  report "run ${run##*/} ended $code"
  exit "$code"
}

action="$1"
shift
mkdir -p "$runs"
case "$action" in
  hello) report "answers $(cat .stamp)" ;;
  run)
    run="$runs/$1"
    shift
    if mkdir "$run" 2>/dev/null; then
      setsid bash "$0" job "$run" "$@" </dev/null >"$run/log" 2>&1 &
    fi
    follow "$run"
    ;;
  job) job "$@" ;;
  stop) stop "$runs/$1" ;;
  log)
    # shellcheck disable=SC2012 # by time; the names are ours
    cat "$(ls -td "$runs"/*/ | head -n 1)log"
    ;;
  step)
    # shellcheck source=launch/run_folder.sh
    source "$(dirname "$0")/run_folder.sh"
    report "step $(newest_step "$1")"
    ;;
  *)
    echo "worker.sh: unknown action $action" >&2
    exit 2
    ;;
esac
