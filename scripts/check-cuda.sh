#!/usr/bin/env bash
# Type-checks the feature `cuda` on a machine without CUDA: cargo check with a toolkit that is empty but for an nvcc that
# says its version and makes empty results. Nothing is linked. With the argument `cudnn` that feature instead.
# crates/cuda/tests/emulation.rs compiles the kernels' sources.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/cuda-check"/{bin,include,lib64}
toolkit=$(cd "$target/cuda-check" && pwd)
: >"$toolkit/include/cuda.h"
cat >"$toolkit/bin/nvcc" <<'EOF'
#!/usr/bin/env bash
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    case ${!i} in
        --version | -V) printf 'nvcc\n\n\nCuda compilation tools, release 13.0, V13.0.88\n' ;;
        -o) : >"${!next}" ;;
        -o?*) : >"${!i#-o}" ;;
        --output-directory) folder=${!next} ;;
        *.cu) source=$(basename "${!i}" .cu) ;;
    esac
done
[ -z "${folder-}" ] || : >"$folder/$source.ptx"
EOF
chmod +x "$toolkit/bin/nvcc"
export CUDA_HOME=$toolkit CUDA_PATH=$toolkit NVCC=$toolkit/bin/nvcc CUDA_COMPUTE_CAP=80 PATH=$toolkit/bin:$PATH
cargo check --features "${1:-cuda}"
