#!/usr/bin/env bash
# Fetches the newest run's output from every worker of every slice.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_logs.sh FOLDER
#
# FOLDER/SLICE-WORKER.log; TPU_NAME.logs if there is no FOLDER. Exit code 255 if a worker
# did not answer; the others' are there nevertheless.

# shellcheck source=launch/tpu_slices.sh
source "$(dirname "${BASH_SOURCE[0]}")/tpu_slices.sh"
folder="${1:-$TPU_NAME.logs}"
run mkdir -p "$folder"

code=0
for slice in "${slices[@]}"; do
  workers="$(addresses "$slice" | wc -l)" || workers=0
  ((workers)) || { say "$slice does not answer"; code=255; }
  for ((worker = 0; worker < workers; worker++)); do
    target="$folder/$slice-$worker.log"
    fetch=(on_workers "$slice" "$worker" "cd rlaif_jax && bash launch/worker.sh log")
    if is_dry; then
      "${fetch[@]}"
    elif ! "${fetch[@]}" </dev/null >"$target"; then
      say "worker $worker of $slice does not answer"
      code=255
    fi
  done
done
exit "$code"
