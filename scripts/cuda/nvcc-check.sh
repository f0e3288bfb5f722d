#!/usr/bin/env bash
# Stands in for nvcc where the feature `cuda` is only type-checked (`cargo check`, nothing is linked): says a version and
# makes empty results. The kernels' own sources are compiled by crates/cuda/tests/emulation.rs.
set -euo pipefail
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    case ${!i} in
        --version | -V) echo 'Cuda compilation tools, release 13.0, V13.0.88' ;;
        -o) : >"${!next}" ;;
        -o?*) : >"${!i#-o}" ;;
    esac
done
