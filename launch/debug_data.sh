#!/usr/bin/env bash
# Makes runs/debug: prompts, completions and preferences of the embedded lab, for
# configs/debug/*.yaml. What is there already is kept.
#
#   launch/debug_data.sh

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

python="${PYTHON:-python}"
out=runs/debug
rlaif() { run "$python" -m rlaif_jax "$@"; }

if [[ "${DRY_RUN:-0}" != 1 && -f "$out/labels/label.json" ]]; then
  echo "$out is complete"
  exit 0
fi

[[ -f "$out/world/world.json" ]] || rlaif lab "write=$out/world" --out "$out/lab"
rlaif prompts source.format=jsonl "source.path=$out/world/prompts.jsonl" limit=120 \
  "fractions={sft: 0.5, aif: 0.5}" --out "$out/prompts"

if [[ "${DRY_RUN:-0}" == 1 ]]; then
  url=http://127.0.0.1:0
  rlaif lab port=0 --out "$out/lab"
else
  rm -f "$out/lab/lab.json" # an earlier server's
  "$python" -m rlaif_jax lab port=0 --out "$out/lab" &
  server=$!
  trap 'kill "$server" 2>/dev/null || true' EXIT
  until [[ -f "$out/lab/lab.json" ]]; do
    kill -0 "$server" # ends the script if the server has ended
    sleep 0.1
  done
  url="$("$python" -c \
    'import json, sys; print(json.load(open(sys.argv[1]))["url"])' "$out/lab/lab.json")"
fi

for name in weak strong; do
  rlaif complete "prompts=$out/prompts/prompts.jsonl" "splits=[sft, aif]" \
    teacher.api=openai "teacher.base_url=$url/v1" teacher.identity=lab \
    "teacher.model=lab-teacher-$name" teacher.max_tokens=32 --out "$out/$name"
done
rlaif label "prompts=$out/prompts/prompts.jsonl" "splits=[aif]" \
  "first=$out/weak/completions.jsonl" "second=$out/strong/completions.jsonl" \
  critic.api=openai "critic.base_url=$url/v1" critic.identity=lab \
  critic.model=lab-critic-strong critic.max_tokens=16 comparisons_per_shard=16 \
  --out "$out/labels"
