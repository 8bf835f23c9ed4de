#!/usr/bin/env bash
# The pipeline on real input: instructions, outputs and GPT-4's recorded preferences.
#
#   launch/real_input.sh ../shared/data/alpaca_eval zephyr-7b-beta runs/real
#
# DATA holds MODEL.annotations.json.gz in AlpacaEval's format. A tokenizer is trained on
# that text and a small random Llama is saved by transformers (needs the `test` extra),
# as if they came from the Hub; everything after that is rlaif-jax. The tiny model
# learns little: what this shows is that every joint holds.

# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ $# -ne 3 ]]; then
  echo "usage: ${0##*/} DATA MODEL OUT" >&2
  exit 2
fi
annotations="$1/$2.annotations.json.gz"
out="$3"
here="$(dirname "${BASH_SOURCE[0]}")"
python="${PYTHON:-python}"
rlaif() { run "$python" -m rlaif_jax "$@"; }

tokens=(tokens.max_prompt_tokens=64 tokens.max_completion_tokens=64)
optimizer=(optimizer.name=adamw optimizer.max_grad_norm=1)
prompts="$out/prompts/prompts.jsonl"
splits='{sft: 0.5, aif: 0.5}'

rlaif prompts source.format=alpaca_eval "source.path=$annotations" \
  "fractions=$splits" --out "$out/prompts"

# the same rows as a ShareGPT file, multi-turn chats among them, give the same prompts
run "$python" "$here/real_input.py" sharegpt "$annotations" "$out/sharegpt.json"
rlaif prompts source.format=sharegpt "source.path=$out/sharegpt.json" \
  "fractions=$splits" --out "$out/prompts_sharegpt"

rlaif complete "prompts=$prompts" teacher.api=recorded "teacher.file=$annotations" \
  teacher.output=output_1 --out "$out/davinci"
rlaif complete "prompts=$prompts" teacher.api=recorded "teacher.file=$annotations" \
  teacher.output=output_2 --out "$out/model"

run "$python" "$here/real_input.py" hugging-face "$annotations" "$out/hf"
rlaif import-hf "folder=$out/hf" --out "$out/base"

rlaif sft "model.path=$out/base" "prompts=$prompts" "splits=[sft]" \
  "completions=$out/davinci/completions.jsonl" "${tokens[@]}" "${optimizer[@]}" \
  optimizer.learning_rate=3e-3 batch_size=8 epochs=2 --out "$out/sft"

rlaif label "prompts=$prompts" "splits=[aif]" \
  "first=$out/davinci/completions.jsonl" "second=$out/model/completions.jsonl" \
  critic.api=recorded "critic.file=$annotations" comparisons_per_shard=100 \
  --out "$out/preferences"

rlaif dpo "model.path=$out/sft" "preferences=$out/preferences" "${tokens[@]}" \
  "${optimizer[@]}" optimizer.learning_rate=3e-4 loss.beta=0.1 batch_size=8 epochs=2 \
  --out "$out/dpo"

rlaif export-hf "model=$out/dpo" --out "$out/hf_dpo"
run "$python" "$here/real_input.py" compare "$out/hf_dpo" "$prompts"
