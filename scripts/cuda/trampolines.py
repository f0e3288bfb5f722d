#!/usr/bin/env python3
"""Static stand-ins for the CUDA libraries that cudarc links: usage: trampolines.py CUDARC OUT

Each function of lib<name>.a jumps to the real one, which the first call finds with dlopen and dlsym. Where the library
is missing the call returns that library's error for it, so a program starts anywhere and learns what it lacks.
CUDA_SHIM_PATH adds folders (patterns, with colons between), CUDA_SHIM_DEBUG=1 prints what was not found. x86-64 only."""
import os
import pathlib
import re
import subprocess
import sys

# cudarc's module, the linker's name, file names (the newest first), the status where it is missing.
LIBRARIES = [
    ("driver", "cuda", ["libcuda.so.1"], 100),  # CUDA_ERROR_NO_DEVICE
    ("cublas", "cublas", ["libcublas.so.13", "libcublas.so.12"], 1),  # NOT_INITIALIZED
    ("cublaslt", "cublasLt", ["libcublasLt.so.13", "libcublasLt.so.12"], 1),
    ("curand", "curand", ["libcurand.so.10"], 203),  # INITIALIZATION_FAILED
    ("nvrtc", "nvrtc", ["libnvrtc.so.13", "libnvrtc.so.12"], 11),  # INTERNAL_ERROR
    ("cudnn", "cudnn", ["libcudnn.so.9"], 1001),  # NOT_INITIALIZED
]

RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define HIDDEN __attribute__((visibility("hidden")))
extern HIDDEN void *@L@_slots[];
extern HIDDEN const char *const @L@_names[];
extern HIDDEN const unsigned char @L@_gives_text[];
static const char *const files[] = {@FILES@, 0};
static void *library;
static int tried;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long missing_status(void) { return @STATUS@; }
static const char *missing_text(void) { return "@FILE@ could not be loaded"; }
static long missing_error_text(int status, const char **text) {
    *text = status == 100 ? "no CUDA device (@FILE@ could not be loaded)" : "@FILE@ could not be loaded";
    return 0;
}
static void *open_in(const char *folder) {
    char path[4096];
    for (int i = 0; files[i]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        if (access(path, R_OK)) continue;
        if (!strcmp("@L@", "nvrtc")) { /* it opens its builtins by their bare name */
            char builtins[4200];
            glob_t found;
            snprintf(builtins, sizeof builtins, "%s/libnvrtc-builtins.so.*", folder);
            if (!glob(builtins, 0, 0, &found)) {
                for (size_t j = 0; j < found.gl_pathc; j++) dlopen(found.gl_pathv[j], RTLD_NOW | RTLD_GLOBAL);
                globfree(&found);
            }
        }
        void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (handle) return handle;
    }
    return 0;
}
static void *open_library(void) {
    for (int i = 0; files[i]; i++) {
        void *handle = dlopen(files[i], RTLD_NOW | RTLD_GLOBAL);
        if (handle) return handle;
    }
    const char *more = getenv("CUDA_SHIM_PATH");
    char folders[8192], *rest = 0;
    snprintf(folders, sizeof folders, "%s:/usr/local/nvidia/lib64:/usr/local/cuda/lib64", more ? more : "");
    for (char *folder = strtok_r(folders, ":", &rest); folder; folder = strtok_r(0, ":", &rest)) {
        glob_t found;
        if (glob(folder, 0, 0, &found)) continue;
        void *handle = 0;
        for (size_t i = 0; i < found.gl_pathc && !handle; i++) handle = open_in(found.gl_pathv[i]);
        globfree(&found);
        if (handle) return handle;
    }
    return 0;
}
HIDDEN void *@L@_resolve(long index) {
    pthread_mutex_lock(&lock);
    if (!tried) library = open_library();
    tried = 1;
    const char *name = @L@_names[index];
    void *function = library ? dlsym(library, name) : 0;
    if (!function) {
        if (getenv("CUDA_SHIM_DEBUG"))
            fprintf(stderr, "cuda: %s: %s\n", name, library ? "not in the library" : "@FILE@ was not found");
        function = @L@_gives_text[index] ? (void *)missing_text : (void *)missing_status;
        if (!strcmp(name, "cuGetErrorString") || !strcmp(name, "cuGetErrorName")) function = (void *)missing_error_text;
    }
    @L@_slots[index] = function;
    pthread_mutex_unlock(&lock);
    return function;
}
"""

REGISTERS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "r10"]


def functions(cudarc, module):
    """Name of each function, and whether it returns text instead of a status."""
    text = (cudarc / "src" / module / "sys" / "mod.rs").read_text()
    found = re.findall(r'extern "C" \{\s*fn (\w+)\(.*?\)(?: -> ([^;]+))?;', text, re.S)
    if not found:
        sys.exit(f"error: no functions in cudarc's {module}; it is another version than these scripts know")
    return sorted({name: "c_char" in result for name, result in found}.items())


def assembly(library, names):
    """Every function jumps through its slot; an empty slot saves the arguments and resolves it first."""
    lines = [".text", f"{library}_first:", "  pushq %rbp", "  movq %rsp, %rbp"]
    lines += [f"  pushq %{register}" for register in REGISTERS] + ["  subq $128, %rsp"]
    lines += [f"  movups %xmm{i}, {16 * i}(%rsp)" for i in range(8)]
    lines += ["  movq %r11, %rdi", f"  call {library}_resolve", "  movq %rax, %r11"]
    lines += [f"  movups {16 * i}(%rsp), %xmm{i}" for i in range(8)] + ["  addq $128, %rsp"]
    lines += [f"  popq %{register}" for register in reversed(REGISTERS)] + ["  popq %rbp", "  jmp *%r11"]
    for index, (name, _) in enumerate(names):
        lines += [f".globl {name}", f".hidden {name}", f".type {name},@function", f"{name}:"]
        lines += [f"  movq {library}_slots+{8 * index}(%rip), %r11", "  testq %r11, %r11", "  je 1f", "  jmp *%r11"]
        lines += [f"1: movl ${index}, %r11d", f"  jmp {library}_first"]
    lines += [".section .rodata", f".globl {library}_gives_text", f".hidden {library}_gives_text"]
    lines += [f"{library}_gives_text:"] + [f"  .byte {int(text)}" for _, text in names]
    lines += [f'.Lname{index}: .asciz "{name}"' for index, (name, _) in enumerate(names)]
    lines += ['.section .data.rel.ro,"aw"', ".p2align 3", f".globl {library}_names", f".hidden {library}_names"]
    lines += [f"{library}_names:"] + [f"  .quad .Lname{index}" for index in range(len(names))]
    lines += [".bss", ".p2align 4", f".globl {library}_slots", f".hidden {library}_slots"]
    lines += [f"{library}_slots: .skip {8 * len(names)}", '.section .note.GNU-stack,"",@progbits', ""]
    return "\n".join(lines)


def main():
    cudarc, out = map(pathlib.Path, sys.argv[1:])
    compiler, work = os.environ.get("CC", "cc"), out / "trampolines"
    work.mkdir(exist_ok=True)
    for module, library, files, status in LIBRARIES:
        names = functions(cudarc, module)
        code = RESOLVER.replace("@L@", library).replace("@STATUS@", str(status)).replace("@FILE@", files[0])
        code = code.replace("@FILES@", ", ".join(f'"{file}"' for file in files))
        sources = {f"{library}.c": code, f"{library}_jumps.s": assembly(library, names)}
        objects = []
        for file, text in sources.items():
            (work / file).write_text(text)
            objects.append(work / f"{file}.o")
            subprocess.check_call([compiler, "-c", "-fPIC", "-O2", "-o", objects[-1], work / file])
        archive = out / f"lib{library}.a"
        archive.unlink(missing_ok=True)
        subprocess.check_call(["ar", "crs", archive, *objects])
        print(f"{library}: {len(names)} functions")


if __name__ == "__main__":
    main()
