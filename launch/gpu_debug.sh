#!/usr/bin/env bash
# Runs one verb on the GPUs of this machine in debug mode: NaN checks, deterministic
# operations, memory taken as it is needed.
#
#   launch/gpu_debug.sh sft configs/debug/sft.yaml --out runs/debug/sft_gpu
#
# Needs the CUDA build of JAX: pip install "jax[cuda13]"

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ $# -lt 1 ]]; then
  echo "usage: ${0##*/} VERB [ARGUMENTS ...]" >&2
  exit 2
fi
python="${PYTHON:-python}"
verb="$1"
shift

options=()
case "$verb" in
  sft | dpo | reward) options=(debug=true) ;;
esac

run env JAX_PLATFORMS=cuda XLA_PYTHON_CLIENT_PREALLOCATE=false \
  XLA_FLAGS=--xla_gpu_deterministic_ops=true JAX_TRACEBACK_FILTERING=off \
  "$python" -m rlaif_jax "$verb" "$@" "${options[@]}"
