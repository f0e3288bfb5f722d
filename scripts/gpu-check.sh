#!/usr/bin/env bash
# Checks and times detrace on a GPU with the carried program alone: kernels and every model of the zoo beside the CPU
# (`detrace doctor`), then latency and peak memory (`detrace bench`); and PyTorch beside it where torch and transformers are.
#
#   scripts/gpu-check.sh [--detrace PROGRAM] [--device cuda|cuda:N|cpu] [--out DIR] [--quick]
#
# --quick: one small model and image, to try the script itself; with --device cpu it needs no GPU.
# Writes DIR/gpu-check.json and DIR/gpu-check.md [default: gpu-check]. Exit code: 0, 1 if a check failed, 2 if it could not run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=detrace device=cuda out=gpu-check quick=''
while [ $# -gt 0 ]; do
    case $1 in
        --quick) quick=yes; shift; continue ;;
        --detrace | --device | --out) [ $# -ge 2 ] || { echo "error: $1 needs a value" >&2; exit 2; } ;;
        *) echo "error: there is no option $1; see the head of $0" >&2; exit 2 ;;
    esac
    case $1 in
        --detrace) program=$2 ;;
        --device) device=$2 ;;
        --out) out=$2 ;;
    esac
    shift 2
done
command -v "$program" >/dev/null || { echo "error: cannot run $program; give --detrace PROGRAM" >&2; exit 2; }
mkdir -p "$out/parts"
rm -f "$out"/parts/* "$out/gpu-check.json" "$out/gpu-check.md"

models=(rtdetr_r18vd rtdetr_r50vd rtdetr_hgnetv2_l) batches=(1 8 32) passes=(--warmup 5 --iters 30) size=640 zoo=all images=4
if [ -n "$quick" ]; then
    models=(rtdetr_r18vd) batches=(1 2) passes=(--warmup 0 --iters 1) size=320 zoo=rtdetr_r18vd images=1
fi

# 1 is a wrong result, which the report shows; anything else is no result.
run() {
    local code=0
    "$@" || code=$?
    [ "$code" -le 1 ] || { echo "error: $* ended with $code" >&2; exit 2; }
    return "$code"
}
failed=0
run "$program" doctor --device "$device" --models "$zoo" --input "${images}x3x${size}x$size" --format json \
    >"$out/parts/doctor.json" || failed=1
for model in "${models[@]}"; do
    for dtype in f32 f16; do
        for batch in "${batches[@]}"; do
            name=$out/parts/bench.$model.$dtype.$(printf %02d "$batch")
            echo "$model $dtype batch $batch" >&2
            run "$program" bench "$model" --device "$device" --dtype "$dtype" --input "${batch}x3x${size}x$size" \
                "${passes[@]}" --format json --output "$name.json" --row "$name.md"
        done
    done
done
peers='null'
if python3 -c 'import torch, transformers' 2>/dev/null; then
    python3 "$here/gpu_peers.py" --device "$device" --size "$size" --batches "${batches[@]}" --models "${models[@]}" \
        ${quick:+--quick} --json "$out/parts/peers.json" --rows "$out/parts/peers.md" || failed=1
    [ ! -s "$out/parts/peers.json" ] || peers=$(cat "$out/parts/peers.json")
else
    echo "SKIPPED: PyTorch beside it; python3 here has no torch and transformers" >&2
fi

{
    printf '{"schema": 1, "passed": %s, "doctor": ' "$([ "$failed" = 0 ] && echo true || echo false)"
    cat "$out/parts/doctor.json"
    printf ', "bench": ['
    comma=''
    for part in "$out"/parts/bench.*.json; do
        printf '%s' "$comma"
        cat "$part"
        comma=', '
    done
    printf '], "peers": %s}\n' "$peers"
} >"$out/gpu-check.json.new"
{
    head -n 2 "$out/parts/bench.${models[0]}.f32.01.md"
    for part in "$out"/parts/bench.*.md; do tail -n 1 "$part"; done
    [ ! -s "$out/parts/peers.md" ] || cat "$out/parts/peers.md"
} >"$out/gpu-check.md"
mv "$out/gpu-check.json.new" "$out/gpu-check.json"
cat "$out/gpu-check.md"
[ "$failed" = 0 ] || { echo "error: a check failed; $out/gpu-check.json says which" >&2; exit 1; }
