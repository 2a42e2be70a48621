#!/usr/bin/env bash
# Train the protocol of the default model and its asker on one GPU and measure the protocol, all within ten minutes.
#
#     benchmarks/gpu_train.sh DATA OUT [MINUTES]        DATA: a folder with train/ and dev/; MINUTES of training (7)
#     DRY_RUN=1 benchmarks/gpu_train.sh DATA OUT        two small steps and two passages of everything, on any machine
#
# OUT gets the protocol with its asker, which gets a fifth of the minutes, their checkpoints (a later call goes on from them), and the results of
# capacity and domains as JSON.
# FROM names a protocol to start from, MODEL another base model than the default, SCRIBE the rank of a scribe (none).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
data=$1 out=$2 minutes=${3:-7}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$out"
export HF_HUB_OFFLINE=1

step=(--set chunks_per_step=64 --set "chunks_together=[1,1,2,4,8,16,32]" --set questions_per_step=256 --set read_in_context=32
    --set scribe_texts=32)
asking=(--set texts_per_step=32)
chunks=32 sizes=1,4,16,32 passages=24 documents=6 dev=("$data"/dev/{technical,invented,stories,tables,languages}_dev.jsonl)
if [[ -n "${DRY_RUN:-}" ]]; then
    step=(--set chunks_per_step=4 --set "chunks_together=[1,4]" --set questions_per_step=8 --set read_in_context=2 --set warm_up=1
        --set scribe_texts=1)
    asking=(--set texts_per_step=2 --set warm_up=1)
    minutes=0.05 chunks=2 sizes=1,2 passages=2 documents=1 dev=("$data/dev/technical_dev.jsonl")
fi
train=() asked=() from=() model=()
for file in "$data"/train/*.jsonl.gz; do
    train+=(--data "$file")
    [[ "${file##*/}" == babi* ]] || asked+=(--data "$file")  # its answers need several sentences, a cue names one
done
[[ -n "${FROM:-}" ]] && from=(--from "$FROM" --set step_size=0.004 --set values_decay=0.1)
[[ -n "${MODEL:-}" ]] && model=(--model "$MODEL")
resume=() asker_resume=()
[[ -e "$out/protocol.training" ]] && resume=(--resume)
[[ -e "$out/protocol.asker-training" ]] && asker_resume=(--resume)
asker_minutes=$(awk "BEGIN { print $minutes / 5 }") protocol_minutes=$(awk "BEGIN { print $minutes * 4 / 5 }")

"$python" -m nrem train-protocol "${train[@]}" --held-out "$data/dev/squad_short_tune100.jsonl" -o "$out/protocol" \
    --minutes "$protocol_minutes" --max-passes 4 --set layers=upper-third --set rank=320 \
    --set reader_target=all-linear --set reader_layers=all --set reader_rank=8 --set scribe_rank="${SCRIBE:-0}" \
    "${step[@]}" "${from[@]}" "${model[@]}" "${resume[@]}" --json > "$out/trained.json"
"$python" -m nrem train-asker "$out/protocol" "${asked[@]}" --held-out "$data/dev/squad_short_tune100.jsonl" --minutes "$asker_minutes" \
    "${asking[@]}" "${model[@]}" "${asker_resume[@]}" --json > "$out/asker.json"

settings=(--set "protocol.name=$out/protocol" --skip-tests --json)
[[ -n "${MODEL:-}" ]] && settings+=(--set "model.name=$MODEL")
"$python" -m benchmarks.capacity --data "$data/dev/squad_long_dev12.jsonl" --documents "$documents" --chunks "$chunks" --sizes "$sizes" \
    --passes 1,2,4 --out "$out/capacity.json" "${settings[@]}" > /dev/null
"$python" -m benchmarks.domains --data "${dev[@]}" --passages "$passages" --passes 1,4 --out "$out/domains.json" "${settings[@]}" > /dev/null
echo "protocol, asker, checkpoints and results are in $out"
