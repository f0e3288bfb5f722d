#!/usr/bin/env bash
# Makes a CUDA 13.0 toolkit from PyPI wheels that is enough to build the feature `cuda` on a machine without a GPU, a
# driver or CUDA: 105 MB to download, 272 MB on disk. Does nothing where it is done already.
#
#   scripts/setup-cuda.sh [DIR]            DIR: where it goes [default: target/cuda]
#   . DIR/env.sh
#   CANDLE_NO_QUANT=1 cargo build --release --features cuda
#
# The binary names no CUDA library: it opens them at the first call, so it starts on any x86-64 Linux.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dir=${1:-$root/target/cuda}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
python=${PYTHON:-python3}
[ "$(uname -sm)" = 'Linux x86_64' ] || { echo "error: this is for Linux on x86-64; install NVIDIA's toolkit" >&2; exit 2; }
for tool in "$python" cargo cc ar; do
    command -v "$tool" >/dev/null || { echo "error: $tool is needed and not on PATH" >&2; exit 2; }
done

# nvcc 13.0 writes PTX 9.0, the newest that driver 580 takes; that of 13.1 would be refused there.
wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85)
toolkit=$dir/toolkit
if [ "$(cat "$toolkit/.made-from" 2>/dev/null || true)" != "${wheels[*]}" ]; then
    rm -rf "$toolkit" "$dir/wheels" "$dir/unpacked"
    "$python" -m pip download -q --no-deps --only-binary=:all: -d "$dir/wheels" "${wheels[@]}"
    for wheel in "$dir"/wheels/*.whl; do
        "$python" -m zipfile -e "$wheel" "$dir/unpacked"
    done
    mv "$dir/unpacked/nvidia/cu13" "$toolkit"
    rm -rf "$dir/wheels" "$dir/unpacked"
    chmod a+rx "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
    ln -s lib "$toolkit/lib64"
    # candle's kernels are linked with -lcudart; the static one finds the driver by itself.
    ln -s libcudart_static.a "$toolkit/lib/libcudart.a"
    echo "${wheels[*]}" >"$toolkit/.made-from"
fi

# The names of the functions are those that cudarc's bindings declare.
cudarc=$(cd "$root" && cargo metadata --format-version 1 --features cuda,cudnn | "$python" -c '
import json, os, sys
paths = [p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"]
print(os.path.dirname(paths[0])) if paths else sys.exit("error: cudarc is not among the dependencies")')
"$python" "$root/scripts/cuda/trampolines.py" "$cudarc" "$toolkit/lib"
install -m 755 "$root/scripts/cuda/nvcc-candle.sh" "$toolkit/bin/nvcc-candle"

cat >"$dir/env.sh" <<EOF
export CUDA_HOME="$toolkit" CUDA_PATH="$toolkit" NVCC="$toolkit/bin/nvcc-candle"
case ":\$PATH:" in *":$toolkit/bin:"*) ;; *) export PATH="$toolkit/bin:\$PATH" ;; esac
# 80 is PTX that the driver compiles for any GPU from 8.0 on; 90 means sm_90a, Hopper only.
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-80}"
EOF
"$toolkit/bin/nvcc" --version | grep release
echo "toolkit: $toolkit
next:    . $dir/env.sh && CANDLE_NO_QUANT=1 cargo build --release --features cuda"
