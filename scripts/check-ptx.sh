#!/usr/bin/env bash
# Assembles the kernels of crates/cuda for GPUs of compute capability 8.0 and 9.0, from the PTX that the build embeds.
# Needs nvcc and ptxas on PATH: `. target/cuda/env.sh` after scripts/setup-cuda.sh.
set -euo pipefail
cd "$(dirname "$0")/../crates/cuda"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
read -ra flags <kernels/nvcc.flags
for source in kernels/*.cu; do
    kernel=$(basename "$source" .cu)
    nvcc -arch=compute_80 "${flags[@]}" -o "$work/$kernel.ptx" "$source"
    for chip in sm_80 sm_90; do
        ptxas -arch="$chip" -warn-spills -Werror -o "$work/$kernel.$chip" "$work/$kernel.ptx"
        echo "$kernel: assembles for $chip"
    done
done
