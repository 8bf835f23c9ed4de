#!/usr/bin/env bash
# Copies this checkout to every worker of every slice and installs it there.
#
#   TPU_NAME=aif TPU_ZONE=us-east5-b launch/tpu_setup.sh
#
# What is copied is what git does not ignore, with uncommitted changes; `.stamp` has the
# commit and a hash of the files. On the workers the files of an earlier checkout are
# replaced; what else lies there, as a run folder, stays.
# INSTALL is the shell command that installs it, in the worker's home, beside rlaif_jax/.
# Tried SETUP_TRIES (3) times; exit code 255 if the workers cannot be reached, else 70.

# shellcheck source=launch/tpu_slices.sh
source "$(dirname "${BASH_SOURCE[0]}")/tpu_slices.sh"
SETUP_TRIES="${SETUP_TRIES:-3}"
require_counts SETUP_TRIES
install="python3 -m venv venv && venv/bin/pip install -q -e ./rlaif_jax 'jax[tpu]'"
install="${INSTALL:-$install}"

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
archive="$folder/rlaif_jax.tar.gz" stamp=STAMP

# The files of this checkout, without what git ignores; all of them if there is no git.
list() {
  local file
  if git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
    git -C "$root" ls-files -z --cached --others --exclude-standard
  else
    cd "$root" && find . \( -name '.*' -o -name runs -o -name __pycache__ \) -a ! -name . \
      -prune -o \( -type f -print0 \)
  fi | while IFS= read -r -d '' file; do
    [[ ! -e "$root/$file" ]] || printf '%s\0' "$file" # deleted, but not committed
  done
}

if is_dry; then
  archive=rlaif_jax.tar.gz
else
  list | LC_ALL=C sort -z >"$folder/.files"
  tar -C "$folder" --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - .files \
    -C "$root" --null --files-from="$folder/.files" | gzip -1n >"$archive"
  stamp="$(sha256sum <"$archive" | cut -c1-16)"
  stamp="$(git -C "$root" rev-parse HEAD 2>/dev/null || echo no-commit)-$stamp"
fi

# Copies to and installs on one slice.
prepare() {
  run gcloud compute tpus tpu-vm scp "$archive" "$1:rlaif_jax.tar.gz" "${where[@]}" \
    --worker=all --quiet || return
  on_workers "$1" all "set -e; rm -rf new; mkdir -p new rlaif_jax; \
tar -xzf rlaif_jax.tar.gz -C new; echo $stamp >new/.stamp; \
! [ -e rlaif_jax/.files ] || (cd rlaif_jax && xargs -0 rm -f -- <.files); \
cp -a new/. rlaif_jax; rm -rf new; $install"
}

for slice in "${slices[@]}"; do
  for ((try = 1; ; try++)); do
    code=0
    prepare "$slice" || code=$?
    ((code)) || break
    say "setting up $slice ended with exit code $code (try $try of $SETUP_TRIES)"
    ((try < SETUP_TRIES)) || exit $((code == 255 ? 255 : 70))
    pause "$(backoff_s "$try")"
  done
done
