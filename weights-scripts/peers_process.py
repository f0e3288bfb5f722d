"""Contenders as processes: how each is started, and what it says."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "CANDLE_NUM_THREADS", "RTEN_NUM_THREADS")
# What a measurement must hold.
WANTED = ("load", "first", "times", "rss_peak")


class Failed(Exception):
    """A contender that did not run or that said nothing of use."""


def busy():
    """Seconds of all cores that were not idle since the machine started; None where there is no /proc/stat."""
    try:
        with open("/proc/stat", encoding="ascii") as stat:
            user, nice, system, _idle, _wait, irq, softirq, _steal = map(int, stat.readline().split()[1:9])
    except OSError:
        return None
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def launch(command, threads, timeout):
    """Runs a command with every pool of threads limited.

    Gives what it printed, the monotonic clock at its start, its wall time, its peak of resident memory in MiB and how many
    cores others kept busy meanwhile.
    """
    environment = os.environ | dict.fromkeys(POOLS, str(threads))
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        before, started = busy(), time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise Failed(f"{command[0]} cannot be started: {error}") from error
        late = threading.Event()

        def stop():
            late.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(timeout, stop)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall, after = time.monotonic() - started, busy()
        out.seek(0)
        err.seek(0)
        printed, complaints = out.read(), err.read().strip()
    if late.is_set():
        raise Failed(f"it took more than {timeout} s")
    if process.returncode:
        last = [line for line in complaints.splitlines() if line.strip()][-1:] or ["it said nothing"]
        raise Failed(f"exit code {process.returncode}: {last[0][-300:]}")
    others = None if before is None else max(0.0, after - before - usage.ru_utime - usage.ru_stime) / wall
    return {"printed": printed, "started": started, "wall": wall, "rss": usage.ru_maxrss / 1024, "others": others}


def measurement(printed):
    """The JSON in what a contender printed: all of it, or the last line that is an object."""
    lines = [line for line in printed.splitlines() if line.startswith("{") and line.rstrip().endswith("}")]
    for text in (printed, *lines[-1:]):
        try:
            said = json.loads(text)
        except ValueError:
            continue
        if not isinstance(said, dict):
            continue
        missing = [key for key in WANTED if key not in said]
        if missing:
            raise Failed(f"its JSON lacks {', '.join(missing)}")
        times = said["times"]
        if not isinstance(times, list) or not times or not all(isinstance(time, (int, float)) for time in times):
            raise Failed("its JSON has no list of numbers as times")
        return said
    raise Failed(f"it printed no JSON: {printed.strip()[-200:]!r}")


class Ours:
    """detrace: `bench` measures, `run` gives outputs and says how long a process takes to an answer."""

    def __init__(self, program, timeout):
        self.program, self.timeout = str(program), timeout

    def _run(self, model, folder, threads, *more):
        files = ["--weights", folder / "weights.safetensors", "--input", folder / "image.safetensors"]
        return launch([self.program, "run", model, *files, *more], threads, self.timeout)

    def outputs(self, model, folder, threads, path):
        self._run(model, folder, threads, "--output", path, "--stages")

    def measure(self, model, folder, threads, shape, warmup, iters):
        options = ["--weights", folder / "weights.safetensors", "--threads", threads, "--input", shape]
        options += ["--warmup", warmup, "--iters", iters, "--format", "json"]
        done = launch([self.program, "bench", model, *map(str, options)], threads, self.timeout)
        said = measurement(done["printed"])
        with tempfile.TemporaryDirectory() as answers:
            run = self._run(model, folder, threads, "--output", pathlib.Path(answers) / "answers.safetensors")
        kept = {key: said.get(key) for key in (*WANTED, "rss_load")}
        return kept | {"others": done["others"], "start_to_first": run["wall"], "run_rss": run["rss"]}


class Peer:
    """A contender that takes the arguments of `peers_worker.py` and answers as it does."""

    def __init__(self, command, timeout):
        self.command, self.timeout = [*map(str, command)], timeout

    def outputs(self, _model, folder, threads, path):
        launch([*self.command, str(folder), "--threads", str(threads), "--outputs", str(path)], threads, self.timeout)

    def measure(self, _model, folder, threads, _shape, warmup, iters):
        options = ["--threads", threads, "--warmup", warmup, "--iters", iters]
        done = launch([*self.command, str(folder), *map(str, options)], threads, self.timeout)
        said = measurement(done["printed"])
        start_to_first = said["ready"] - done["started"] if "ready" in said else None
        return said | {"others": done["others"], "start_to_first": start_to_first}
