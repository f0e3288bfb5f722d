"""Runs detrace and other engines on the same networks in turns, checks that they agree, and writes one table.

    python bench_peers.py --models rtdetr_r18vd,rtdetr_r50vd,rtdetr_hgnetv2_l --threads 1,2 --rounds 3 --write-doc docs/peers.md

Contenders: detrace, onnxruntime, openvino, torch (eager), torch-compile, mnn-w1 (MNN at Winograd memory level 1), mnn (as it
comes), rten. `pip install -r requirements-bench.txt` has them all but detrace and rten, a Rust engine, which
`cargo build --release --manifest-path weights-scripts/rust-peer/Cargo.toml` makes; it is left out where that was not done.
Every contender is a process of its own; in each round each model with each number of threads is run by each contender.
docs/peers.md says how it is measured.

    --command NAME='CMD'    another contender. CMD is run with the arguments of peers_worker.py behind it,
                            FOLDER --threads N --warmup N --iters N, and prints one line of JSON with load, first, times (seconds)
                            and rss_peak (MiB), if it can with ready too; or with FOLDER --threads N --outputs FILE, and writes
                            logits, boxes and class_logits to FILE as safetensors. peers_worker.py says what each is

Exit codes: 0 done; 1 detrace failed or is inaccurate; 2 bad usage.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib

from safetensors.numpy import load_file

import peers_report as report
from peers_process import Failed, Ours, Peer

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = ["rtdetr_r18vd", "rtdetr_r50vd", "rtdetr_hgnetv2_l"]
PEERS = ["onnxruntime", "openvino", "torch", "torch-compile", "mnn-w1", "mnn"]
RUST = "rten"
RUST_MANIFEST = HERE / "rust-peer" / "Cargo.toml"
PACKAGES = ("onnxruntime", "openvino", "torch", "transformers", "MNN", "onnx")
QUERIES = 300


class Refused(Exception):
    """Bad usage."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def numbers(text):
    found = text.split(",")
    if not all(number.isdigit() and int(number) > 0 for number in found):
        raise argparse.ArgumentTypeError(f"{text!r}: numbers from 1 with commas between are wanted, for instance 1,2")
    return list(dict.fromkeys(map(int, found)))


def number(text):
    (found,) = numbers(text) if "," not in text else [0]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r}: one number is wanted")
    return found


def square(text):
    """The side of an input HxW."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or int(match[1]) % 32 or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: HxW is wanted, multiples of 32, for instance 640x640")
    if match[1] != match[2]:
        raise argparse.ArgumentTypeError(
            f"{text!r}: transformers embeds positions of non-square inputs otherwise than detrace; take a square"
        )
    return int(match[1])


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models", default=",".join(MODELS), metavar="NAME,…", help="models of the zoo [%(default)s]")
    add("--threads", type=numbers, default=[1, 2], metavar="N,…", help="numbers of threads [1,2]")
    add("--batch", type=number, default=1, metavar="N", help="images in the batch [%(default)s]")
    add("--input", type=square, default=640, metavar="HxW", help="size of the images [640x640]")
    add("--rounds", type=number, default=3, metavar="N", help="how often each contender gets its turn [%(default)s]")
    add("--warmup", type=number, default=2, metavar="N", help="passes after the first that are not timed [%(default)s]")
    add("--iters", type=number, default=5, metavar="N", help="timed passes in each turn [%(default)s]")
    add("--contenders", metavar="NAME,…", help=f"[{','.join([report.OURS, *PEERS, RUST])}]")
    add("--command", action="append", default=[], metavar="NAME=CMD", help="another contender; may be given again")
    add("--program", type=pathlib.Path, metavar="PATH", help="detrace [target/release/detrace of this checkout]")
    add("--timeout", type=number, default=900, metavar="S", help="seconds after which a process is ended [%(default)s]")
    add("--cache", type=pathlib.Path, metavar="DIR", help="where built models stay [a temporary folder]")
    add("--output", type=pathlib.Path, metavar="FILE", help="write the table to a file [standard output]")
    add("--write-doc", type=pathlib.Path, metavar="FILE", help="put the table between the marks of a Markdown file")
    add("--json", type=pathlib.Path, metavar="FILE", help="write every time to a file, after each round")
    add("--from", dest="saved", type=pathlib.Path, metavar="FILE", help="make the table of a --json file; nothing runs")
    return parser.parse_args()


def release_program(manifest, name):
    """target/release/NAME of a cargo workspace, wherever cargo has its target folder."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--manifest-path", manifest]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused(f"cargo does not say where its target folder is ({error}); name the program with --program") from error
    return pathlib.Path(json.loads(done.stdout)["target_directory"]) / "release" / name


def contenders(args, program):
    """Name -> contender, in the order in which they take turns."""
    known = [report.OURS, *PEERS, RUST]
    out = {}
    for name in args.contenders.split(",") if args.contenders else known:
        if name not in known:
            raise Refused(f"there is no contender {name}; there are {', '.join(known)}, and --command")
        if name == report.OURS:
            out[name] = Ours(program, args.timeout)
        elif name != RUST:
            out[name] = Peer([sys.executable, HERE / "peers_worker.py", name], args.timeout)
        elif (built := release_program(RUST_MANIFEST, "rust-peer")).is_file():
            out[name] = Peer([built], args.timeout)
        else:
            missing = f"{built} is not there; cargo build --release --manifest-path {RUST_MANIFEST.relative_to(ROOT)} makes it"
            if args.contenders:
                raise Refused(missing)
            say(f"without {RUST}: {missing}")
    for text in args.command:
        name, equals, command = text.partition("=")
        if not (name and equals and command) or name in out:
            raise Refused(f"--command {text!r}: NAME=CMD is wanted, with a name that no contender has")
        try:
            out[name] = Peer(shlex.split(command), args.timeout)
        except ValueError as error:
            raise Refused(f"--command {text!r}: {error}") from error
    return out


def setting(args, program):
    """What the figures depend on."""
    versions = {}
    with contextlib.suppress(OSError):
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split()
        versions["detrace"] = said[1] if len(said) > 1 else "?"
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    locked = tomllib.loads(RUST_MANIFEST.with_name("Cargo.lock").read_text(encoding="utf-8"))["package"]
    versions |= {package["name"]: package["version"] for package in locked if package["name"] == RUST}
    versions["python"] = platform.python_version()
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
        cpu = found[1] if found else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "date": report.today(),
        "versions": versions,
        "input": f"{args.batch}x3x{args.input}x{args.input}",
        "passes": f"{args.rounds} rounds of {args.iters} timed passes, {args.warmup} before them",
        "command": command_line(),
        "environment": {key: value for key, value in os.environ.items() if key.startswith("DETRACE_")},
    }


def command_line():
    """This run, without the paths of this machine."""
    words, skip = [], False
    for word in sys.argv[1:]:
        option = word.split("=")[0]
        if not skip and option not in ("--cache", "--program", "--output", "--json"):
            words.append(word)
        skip = not skip and option in ("--cache", "--program", "--output", "--json") and "=" not in word
    switches = [f"{key}={value}" for key, value in os.environ.items() if key.startswith("DETRACE_")]
    return shlex.join([*switches, "python", "weights-scripts/bench_peers.py", *words])


def build(model, folder, args):
    say(f"building {model} in {folder}")
    options = ["--batch", str(args.batch), "--size", str(args.input)]
    command = [sys.executable, HERE / "peers_build.py", model, folder, *options]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise Refused(f"{model} could not be built (exit code {done.returncode})")


def check(name, contender, model, folder, threads):
    """How far a contender's outputs are from those in f64."""
    path = folder / f"outputs-{name}.safetensors"
    try:
        contender.outputs(model, folder, threads, path)
        outputs = load_file(path)
        return report.agreement(outputs, load_file(folder / "reference.safetensors"), QUERIES)
    except (OSError, ValueError) as error:
        raise Failed(f"no outputs to check: {error}") from error
    finally:
        path.unlink(missing_ok=True)


def check_all(result, everybody, folders, args):
    """Checks every contender; gives those that run each model."""
    able = {}
    for model, folder in folders.items():
        able[model], result["checks"][model] = [], {}
        for name, contender in everybody.items():
            try:
                found = check(name, contender, model, folder, max(args.threads))
            except Failed as error:
                fail(result, f"{model}, {name}", error)
                continue
            able[model].append(name)
            result["checks"][model][name] = found
            said = "{class_logits:.2e} tokens' class logits, {queries:.1%} same queries, {logits:.1e} logits, {boxes:.1e} boxes"
            say(f"check {model} {name}: {said.format(**found)}" + ("" if report.accurate(found) else "  INACCURATE"))
    return able


def fail(result, where, error):
    result["failures"][where] = str(error)
    say(f"FAILED {where}: {error}")


def measure_all(result, everybody, able, folders, args):
    """All rounds. A contender that failed gets no more turns with that model."""
    shape = result["setting"]["input"]
    for round_ in range(args.rounds):
        for model, folder in folders.items():
            for threads in args.threads:
                for name in list(able[model]):
                    try:
                        said = everybody[name].measure(model, folder, threads, shape, args.warmup, args.iters)
                    except Failed as error:
                        able[model].remove(name)
                        fail(result, f"{model}, {name}", error)
                        continue
                    result["runs"].append({"round": round_, "model": model, "threads": threads, "contender": name} | said)
                    times = " ".join(f"{time * 1e3:.0f}" for time in said["times"])
                    say(f"round {round_ + 1}/{args.rounds} {model} {threads} threads {name}: {times} ms")
        if args.json:
            whole(args.json, json.dumps(result, indent=1) + "\n")


def whole(path, text):
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def run(args):
    program = args.program or release_program(ROOT / "Cargo.toml", "detrace")
    everybody = contenders(args, program)
    models = list(dict.fromkeys(args.models.split(",")))
    known = sorted(path.stem for path in (ROOT / "models").glob("*.yaml"))
    for model in models:
        if model not in known:
            raise Refused(f"there is no model {model}; there are {', '.join(known)}")
    if report.OURS in everybody and not program.is_file():
        raise Refused(f"{program} is not there; cargo build --release makes it, or name the program with --program")
    result = {"setting": setting(args, program), "checks": {}, "runs": [], "failures": {}}
    with contextlib.ExitStack() as stack:
        cache = args.cache.resolve() if args.cache else pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = {model: cache / f"{model}-{result['setting']['input']}" for model in models}
        for model, folder in folders.items():
            build(model, folder, args)
        able = check_all(result, everybody, folders, args)
        measure_all(result, everybody, able, folders, args)
    return result


def main():
    args = arguments()
    if args.write_doc:
        try:
            report.into(args.write_doc.read_text(encoding="utf-8"), "")
        except (OSError, report.Document) as error:
            raise Refused(f"--write-doc {args.write_doc}: {error}") from error
    if args.saved:
        try:
            result = json.loads(args.saved.read_text(encoding="utf-8"))
            text = report.markdown(result)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Refused(f"{args.saved}: no measurements of this script: {error!r}") from error
    else:
        result = run(args)
        text = report.markdown(result)
    if args.write_doc:
        whole(args.write_doc, report.into(args.write_doc.read_text(encoding="utf-8"), text))
    if args.output:
        whole(args.output, text)
    else:
        print(text, end="")
    ours = [checks.get(report.OURS) for checks in result["checks"].values()]
    asked = args.saved or not args.contenders or report.OURS in args.contenders.split(",")
    return 1 if asked and not all(map(report.accurate, ours)) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refused as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
