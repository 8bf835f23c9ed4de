# Sourced: what the clouds call a slice that `rlaif-jax plan` calls GENERATION:SHAPE.
#
#   describe_slice v5e:4x8
#
# sets SLICE_CHIPS_PER_HOST, SLICE_HOSTS, SLICE_SHAPE, and the names: SLICE_GCE_TYPE (an
# array, flags of `queued-resources create`), SLICE_GCE_RUNTIME, SLICE_GKE_TYPE (node
# selector gke-tpu-accelerator). Sources: docs.cloud.google.com/tpu/docs/v4, v5e,
# v5p, v6e and runtimes; .../kubernetes-engine/docs/concepts/plan-tpus.
# shellcheck shell=bash

# shellcheck disable=SC2034 # SLICE_* are for who sources this
describe_slice() {
  local generation="${1%%:*}" chips=1 side sides shapes per_host=4
  SLICE_SHAPE="${1#*:}"
  [[ "$1" =~ ^[a-z0-9]+:[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] || usage_error \
    "TPU_TOPOLOGY=$1: write a generation and its chips along each dimension, as v5e:4x8"
  IFS=x read -ra sides <<<"$SLICE_SHAPE"
  for side in "${sides[@]}"; do chips=$((chips * side)); done
  case "$generation" in
    v5p) # --accelerator-type names one shape a size
      shapes='2x2x[124]|2x4x4|4x4x[48]|[48]x8x8|8x8x16|(8|16)x16x16|16x16x24'
      [[ "$SLICE_SHAPE" =~ ^($shapes)$ ]] || usage_error \
        "TPU_TOPOLOGY=$1: v5p has 2x2x1, 2x2x2, 2x2x4, 2x4x4, 4x4x4, 4x4x8, 4x8x8, ..."
      ;;
    v4 | tpu7x)
      ((${#sides[@]} == 3 && chips % 4 == 0)) ||
        usage_error "TPU_TOPOLOGY=$1: $generation has three dimensions, from 2x2x1 on"
      ;;
    v5e | v6e)
      [[ "$SLICE_SHAPE" =~ ^(1x1|2x2|2x4|4x4|4x8|8x8|8x16|16x16)$ ]] || usage_error \
        "TPU_TOPOLOGY=$1: $generation has 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16 and 16x16"
      ((chips > 8)) || per_host=$chips # one machine holds up to 8
      ;;
  esac
  SLICE_GCE_TYPE=(--type="$generation" --topology="$SLICE_SHAPE")
  case "$generation" in
    v4) SLICE_GCE_RUNTIME=tpu-ubuntu2204-base SLICE_GKE_TYPE=tpu-v4-podslice ;;
    v5p)
      SLICE_GCE_TYPE=(--accelerator-type="v5p-$((2 * chips))") # counts cores
      SLICE_GCE_RUNTIME=v2-alpha-tpuv5 SLICE_GKE_TYPE=tpu-v5p-slice
      ;;
    v5e)
      SLICE_GCE_TYPE=(--accelerator-type="v5litepod-$chips")
      SLICE_GCE_RUNTIME=v2-alpha-tpuv5-lite SLICE_GKE_TYPE=tpu-v5-lite-podslice
      ;;
    v6e)
      SLICE_GCE_TYPE=(--accelerator-type="v6e-$chips")
      SLICE_GCE_RUNTIME=v2-alpha-tpuv6e SLICE_GKE_TYPE=tpu-v6e-slice
      ;;
    tpu7x) SLICE_GCE_TYPE=() SLICE_GCE_RUNTIME='' SLICE_GKE_TYPE=tpu7x ;; # GKE only
    *) usage_error "TPU_TOPOLOGY=$1: choose v4, v5e, v5p, v6e or (on GKE) tpu7x" ;;
  esac
  SLICE_CHIPS_PER_HOST="${TPU_CHIPS_PER_HOST:-$per_host}"
  if [[ ! "$SLICE_CHIPS_PER_HOST" =~ ^[148]$ ]] || ((chips % SLICE_CHIPS_PER_HOST)); then
    usage_error "TPU_CHIPS_PER_HOST=$SLICE_CHIPS_PER_HOST does not divide $chips chips"
  fi
  SLICE_HOSTS=$((chips / SLICE_CHIPS_PER_HOST))
}

# The coordinator's port on TPUs: not JAX's present default, which the firewall of some
# slices closes.
: "${JAX_COORDINATOR_PORT:=8476}"
