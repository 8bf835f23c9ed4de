#!/usr/bin/env bash
# Sees one run to its end: asks for slices, sets them up, runs, and starts again what a
# preemption, a lost machine or a hang has ended. Then gives the slices back.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b TPU_TOPOLOGY=v6e:4x4 launch/tpu_watch.sh \
#     dpo configs/dpo/mistral_7b.yaml --out /mnt/shared/runs/dpo
#
# All variables of tpu_create.sh, tpu_setup.sh and tpu_run.sh, and
#   MAX_RESTARTS (5)   restarts in a row without a newer checkpoint; then it gives up
#   PROGRESS           a command that prints the newest step; without it, worker 0 looks
#                      into the folder after --out
#   MAX_HOURS          of all this together; then the run saves and stops
#   STOP_FILE          (TPU_NAME.stop) once this file is there, the run saves and stops
#   ANSWER_TRIES (14)  of gcloud, if it does not tell the slices' state after a run's end
#   KEEP=1             leaves the slices, whatever the end
# Exit codes: the run's; 75 when stopped by MAX_HOURS, the file or want of capacity; 130 or
# 143 on Ctrl-C or TERM; 70 when slices could not be deleted.

here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launch/tpu_slices.sh
source "$here/tpu_slices.sh"
# shellcheck source=launch/exit_codes.sh
source "$here/exit_codes.sh"
# shellcheck source=launch/run_folder.sh
source "$here/run_folder.sh"
if [[ $# -lt 1 ]]; then
  usage_error "usage: ${0##*/} VERB [ARGUMENTS ...]"
fi
require_shared_out "$@"
WATCH_S="${WATCH_S:-30}" MAX_RESTARTS="${MAX_RESTARTS:-5}" MAX_HOURS="${MAX_HOURS:-0}"
ANSWER_TRIES="${ANSWER_TRIES:-14}"
STOP_FILE="${STOP_FILE:-$TPU_NAME.stop}"
require_numbers WATCH_S MAX_HOURS
require_counts ANSWER_TRIES MAX_RESTARTS
max_s="$(awk -v hours="$MAX_HOURS" 'BEGIN { printf "%d", hours * 3600 + 0.5 }')"
[[ "$MAX_HOURS" == 0 ]] || ((max_s > 0)) || usage_error "MAX_HOURS=$MAX_HOURS is too little"
[[ ! -e "$STOP_FILE" ]] || usage_error "$STOP_FILE is there: remove it first"

out="$(out_of "$@")"

child='' ended=''
leave_for() { # the first reason counts
  [[ -n "$ended" ]] || ended="$1"
  [[ -z "$child" ]] || kill -TERM -- "$target" 2>/dev/null || true
}
trap 'leave_for 130' INT
trap 'leave_for 143' TERM HUP

# Gives the slices back, on every way out.
leave() {
  local code=$?
  trap '' INT TERM HUP
  if [[ "${KEEP:-0}" == 1 ]]; then
    say "KEEP=1: the slices stay, and cost: launch/tpu_delete.sh gives them back"
  else
    "$here/tpu_delete.sh" || code=70
  fi
  exit "$code"
}
trap leave EXIT

# Notes what says that it is time to end; of a run, whether its slices are still there.
look() {
  if [[ -e "$STOP_FILE" ]]; then
    say "$STOP_FILE is there: stopping"
    leave_for 75
  elif ((max_s > 0 && SECONDS >= max_s)); then
    say "MAX_HOURS=$MAX_HOURS are over: stopping"
    leave_for 75
  elif [[ "$1" == *tpu_run.sh ]] && are_lost "$(request_state)"; then
    say "the slices are gone"
    kill -USR1 "$child" 2>/dev/null || true
  fi
}

# Runs a script in its own process group and looks around meanwhile; ends with its code.
step() {
  local code reaped clock
  if is_dry; then
    "$@"
    return
  fi
  set -m
  "$@" &
  child=$! target=$!
  set +m
  [[ "$1" != *tpu_setup.sh ]] || target="-$child" # nothing to tidy up: all of it may end
  [[ -z "$ended" ]] || kill -TERM -- "$target" # came just now
  while true; do
    sleep "$WATCH_S" >/dev/null 2>&1 3>&- &
    clock=$!
    code=0 reaped=''
    wait -n -p reaped "$child" "$clock" || code=$?
    kill "$clock" 2>/dev/null || true
    [[ "${reaped:-}" != "$child" ]] || break
    [[ -n "$ended" ]] || look "$1"
  done
  child=''
  return "$code"
}

# Asks for the newest checkpoint; one that is newer than ever starts the count again.
newest=-1 restarts=0
note_progress() {
  local found=''
  is_dry && return
  if [[ -n "${PROGRESS:-}" ]]; then
    found="$(bash -c "$PROGRESS" || true)"
  else
    found="$(on_workers "${slices[0]}" 0 \
      "cd rlaif_jax && bash launch/worker.sh step $(quoted "$out")" </dev/null |
      sed -nE 's/^rlaif-worker [0-9]+ step (-?[0-9]+)$/\1/p' || true)"
  fi
  if [[ "$found" =~ ^[0-9]+$ ]] && ((found > newest)); then
    say "newest checkpoint: $found"
    newest=$found
    restarts=0
  fi
}

# Asks for the slices' state until somebody answers: a run goes on without this machine's
# network. An hour and a half, if nothing else is set.
settle() {
  local try
  for ((try = 1; ; try++)); do
    state="$(request_state)"
    [[ "$state" == UNKNOWN ]] || return 0
    ((try < ANSWER_TRIES)) || { say "gcloud does not answer: given up"; exit 70; }
    say "gcloud does not answer: asking again ($try of $ANSWER_TRIES)"
    pause "$(backoff_s "$try")"
    look ''
    [[ -z "$ended" ]] || exit "$ended"
  done
}

# After an exit code other than 0: returns if the run is to start again.
ready='' before=''
consider() {
  local code="$1" state
  [[ -z "$ended" ]] || exit "$ended"
  if ! may_restart "$code"; then
    say "exit code $code: starting again would not help"
    fetch_logs
    exit "$code"
  fi
  settle
  [[ "$state" != ACTIVE ]] || note_progress
  restarts=$((restarts + 1))
  if ((restarts > MAX_RESTARTS)); then
    say "exit code $code: given up after $MAX_RESTARTS restarts without a newer checkpoint"
    [[ "$state" != ACTIVE ]] || fetch_logs
    exit "$code"
  fi
  say "exit code $code, slices $state: restart $restarts of $MAX_RESTARTS"
  [[ "$state" == ACTIVE ]] || ready=''
  if are_lost "$state" || [[ "$code $before" == "255 255" ]]; then
    "$here/tpu_delete.sh" # ends all this if it fails
    ready=''
  fi
  before="$code"
  ((code == 75 && restarts == 1)) || pause "$(backoff_s "$restarts")"
}

fetch_logs() {
  "$here/tpu_logs.sh" >/dev/null || true
}

while true; do
  code=0
  look ''
  [[ -z "$ended" ]] || exit "$ended"
  step "$here/tpu_create.sh" || code=$?
  [[ -z "$ended" ]] || exit "$ended"
  ((code == 0)) || exit "$code" # it has tried often enough
  if [[ -z "$ready" ]]; then
    step "$here/tpu_setup.sh" || code=$?
    ((code)) && { consider "$code"; continue; }
    ready=1
    note_progress
  fi
  step "$here/tpu_run.sh" "$@" || code=$?
  ((code)) || break
  consider "$code"
done
[[ -z "$ended" ]] || exit "$ended"
is_dry || say "done"
