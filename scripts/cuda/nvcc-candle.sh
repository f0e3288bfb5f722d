#!/usr/bin/env bash
# nvcc as candle's build script calls it. With CANDLE_NO_QUANT=1 the kernels for quantised and mixture-of-experts models,
# most of the build time and nothing that RT-DETR runs, are left out: their functions end the program if called.
# After changing it: cargo clean --release -p candle-kernels.
set -euo pipefail
nvcc=$(dirname "$(readlink -f "$0")")/nvcc
source='' output='' compile=''
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    case ${!i} in
        *.cu) source=${!i} ;;
        -o) output=${!next-} ;;
        -o?*) output=${!i#-o} ;;
        -c) compile=yes ;;
    esac
done
case ${CANDLE_NO_QUANT:+left-out}:$compile:$(basename "$source") in
    left-out:yes:moe_*.cu | left-out:yes:mmvq_gguf.cu | left-out:yes:mmq_*.cu) ;;
    *) exec "$nvcc" "$@" ;;
esac
stub=$(mktemp --suffix=.c)
trap 'rm -f "$stub"' EXIT
if [ "$(basename "$source")" = moe_gguf.cu ]; then
    # One object has every name that candle's bindings declare.
    printf '#include <stdio.h>\n#include <stdlib.h>\n' >"$stub"
    grep -oE 'pub fn [A-Za-z0-9_]+' src/ffi.rs | awk '{print $3}' | sort -u | while read -r name; do
        echo "void $name(void) { fputs(\"$name: built with CANDLE_NO_QUANT=1\\n\", stderr); abort(); }"
    done >>"$stub"
else
    echo 'typedef int nothing;' >"$stub"
fi
"${CC:-cc}" -O1 -fPIC -c -o "$output" "$stub"
