# Sourced, on workers too: what a launcher knows of a verb's run folder.
# shellcheck shell=bash

# The folder after --out, the last one as the command line takes it; nothing without it.
out_of() {
  local word found='' is_next=''
  for word in "$@"; do
    if [[ -n "$is_next" ]]; then
      found="$word" is_next=''
    elif [[ "$word" == --out ]]; then
      is_next=1
    elif [[ "$word" == --out=* ]]; then
      found="${word#--out=}"
    fi
  done
  printf '%s\n' "$found"
}

# The newest finished checkpoint of a run folder; -1 if there is none.
newest_step() {
  local seal found newest=-1
  for seal in "$1"/checkpoints/*/integrity.json; do
    found="$(basename "$(dirname "$seal")")"
    [[ ! -e "$seal" || ! "$found" =~ ^[0-9]+$ ]] || ((found <= newest)) || newest=$found
  done
  printf '%s\n' "$newest"
}

# Stops unless a verb's arguments name a run folder outside the workers' checkouts: one
# inside is another on every worker, and goes with its slice.
require_shared_out() {
  local out
  out="$(out_of "$@")"
  [[ "$out" == /* ]] || usage_error "${out:+--out $out is relative: }give --out an \
absolute folder on storage that every worker mounts, as /mnt/shared/runs/$1"
}
