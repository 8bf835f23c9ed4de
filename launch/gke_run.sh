#!/usr/bin/env bash
# Runs one verb on TPU slices of a GKE cluster: creates the JobSet that gke_jobset.sh
# prints, shows the first pod's output, waits for the end, and deletes the JobSet.
#
#   JOB_NAME=aif IMAGE=... TPU_TOPOLOGY=v6e:4x4 launch/gke_run.sh dpo CONFIG --out FOLDER
#
# All variables of gke_jobset.sh, and KUBE_CONTEXT. The cluster restarts what is preempted
# or hangs, up to MAX_RESTARTS; KEEP=1 leaves the JobSet. Ends with the exit code that
# explains the others (docs/launch.md); 130 or 143 on Ctrl-C or TERM; 70 also when the
# JobSet could not be deleted, was deleted by somebody else, or when the cluster has not
# answered ANSWER_TRIES (30) times in a row.

here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=launch/common.sh
source "$here/common.sh"
# shellcheck source=launch/exit_codes.sh
source "$here/exit_codes.sh"
POLL_S="${POLL_S:-10}" DELETE_TRIES="${DELETE_TRIES:-8}"
ANSWER_TRIES="${ANSWER_TRIES:-30}"
require_numbers POLL_S
require_counts ANSWER_TRIES DELETE_TRIES
require_env JOB_NAME

state='{.status.terminalState} {.status.restarts}'
kube=(kubectl)
[[ -z "${KUBE_CONTEXT:-}" ]] || kube+=(--context="$KUBE_CONTEXT")
[[ -z "${NAMESPACE:-}" ]] || kube+=(--namespace="$NAMESPACE")
all="jobset.sigs.k8s.io/jobset-name=$JOB_NAME"
first="${all},jobset.sigs.k8s.io/job-index=0,batch.kubernetes.io/job-completion-index=0"

delete() {
  local try
  for ((try = 1; try <= DELETE_TRIES; try++)); do
    ((try == 1)) || pause "$(backoff_s "$((try - 1))")"
    run "${kube[@]}" delete jobset "$JOB_NAME" --ignore-not-found --timeout=300s || true
    if left="$(ask '' "${kube[@]}" get jobset "$JOB_NAME" --ignore-not-found -o name)" &&
      [[ -z "$left" ]]; then
      is_dry || say "$JOB_NAME is gone"
      return
    fi
  done
  say "NOT DELETED after $DELETE_TRIES tries, and it may cost money. By hand:"
  say "  $(quoted "${kube[@]}" delete jobset "$JOB_NAME")"
  return 70
}

viewer='' ours='' folder="$(mktemp -d)"
leave() {
  local code=$?
  trap '' INT TERM HUP
  [[ -z "$viewer" ]] || kill "$viewer" 2>/dev/null || true
  rm -rf "$folder"
  if [[ -n "$ours" && "${KEEP:-0}" == 1 ]]; then
    say "KEEP=1: the JobSet $JOB_NAME stays"
  elif [[ -n "$ours" ]]; then
    delete || code=$?
  fi
  exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Tells why the JobSet failed, and ends with the telling exit code of its pods.
fail() {
  local each='{.status.containerStatuses[0].state.terminated.exitCode}{"\n"}' codes code
  mapfile -t codes < <("${kube[@]}" get pods -l "$all" \
    -o jsonpath="{range .items[*]}$each{end}" | grep -xE '[0-9]+' || true)
  code="$(verdict "${codes[@]}")"
  say "failed after $restarts restarts, exit codes of pods: ${codes[*]:-none}"
  "${kube[@]}" get jobset "$JOB_NAME" \
    -o jsonpath='{.status.conditions[?(@.type=="Failed")].message}{"\n"}' >&2 || true
  exit "$((code == 0 ? 70 : code))"
}

manifest="$folder/$JOB_NAME.yaml"
"$here/gke_jobset.sh" "$@" >"$manifest" || exit
is_dry && { cat "$manifest"; manifest="$JOB_NAME.yaml"; }
ours=1
errors="$(run "${kube[@]}" create -f "$manifest" 2>&1)" || {
  printf '%s\n' "$errors" >&2
  [[ "$errors" != *AlreadyExists* ]] || ours='' # somebody's
  exit 2
}
if is_dry; then
  run "${kube[@]}" logs -f -l "$first" --tail=-1
  run "${kube[@]}" get jobset "$JOB_NAME" -o jsonpath="$state"
  exit 0
fi

restarts=0 silent=0
while true; do
  if ! status="$("${kube[@]}" get jobset "$JOB_NAME" --ignore-not-found \
    -o jsonpath="$state")"; then
    ((++silent < ANSWER_TRIES)) || { say "the cluster does not answer"; exit 70; }
    pause "$POLL_S"
    continue
  fi
  silent=0
  [[ -n "$status" ]] || { say "somebody has deleted the JobSet $JOB_NAME"; exit 70; }
  case "$status" in
    Completed*) exit 0 ;;
    Failed*) fail ;;
  esac
  if [[ "${status#* }" =~ ^[0-9]+$ ]] && ((${status#* } > restarts)); then
    restarts="${status#* }"
    say "restart $restarts"
  fi
  if [[ -z "$viewer" ]] || ! kill -0 "$viewer" 2>/dev/null; then
    "${kube[@]}" logs -f -l "$first" --tail=-1 2>/dev/null 3>&- & # ends with its pod
    viewer=$!
  fi
  pause "$POLL_S"
done
