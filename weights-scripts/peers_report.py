"""What `bench_peers.py` measured, as figures and as Markdown."""

import datetime

import numpy as np

# Above this relative RMS error of the class logits of all tokens, or of the answers, a contender is inaccurate.
TOKENS, ANSWERS = 1e-3, 1e-2
OURS = "detrace"
BEGIN = "<!-- written by weights-scripts/bench_peers.py --write-doc: -->"
END = "<!-- : written by weights-scripts/bench_peers.py -->"


class Document(Exception):
    """A document that has no place for the table."""


def relative(got, wanted):
    """Root mean square of the difference over that of what is wanted."""
    return float(np.sqrt(np.mean(np.square(got - wanted)) / np.mean(np.square(wanted))))


def agreement(outputs, reference, queries):
    """How far a contender's outputs are from the reference's.

    Queries are put in order by the tokens they come from, as each side's own class logits rank them.
    """
    wanted = {name: reference[name].astype(np.float64) for name in ("class_logits", "logits", "boxes")}
    got = {}
    for name, array in wanted.items():
        if name not in outputs:
            raise ValueError(f"it gave no {name}")
        if outputs[name].shape != array.shape:
            raise ValueError(f"its {name} are {outputs[name].shape} instead of {array.shape}")
        if not np.isfinite(outputs[name]).all():
            raise ValueError(f"its {name} are not all finite")
        got[name] = outputs[name].astype(np.float64)
    ranked = [np.argsort(-side["class_logits"].max(-1), axis=1, kind="stable")[:, :queries] for side in (got, wanted)]
    rows = {"logits": [], "boxes": []}
    same = 0
    for image, (mine, theirs) in enumerate(zip(*ranked, strict=True)):
        place = {int(token): row for row, token in enumerate(mine)}
        common = [(place[int(token)], row) for row, token in enumerate(theirs) if int(token) in place]
        same += len(common)
        for name, pairs in rows.items():
            pairs += [(got[name][image, row], wanted[name][image, other]) for row, other in common]
    answers = {name: [np.array(side) for side in zip(*pairs, strict=True)] for name, pairs in rows.items()}
    return {
        "class_logits": relative(got["class_logits"], wanted["class_logits"]),
        "queries": same / (queries * len(ranked[0])),
        "logits": relative(*answers["logits"]) if same else float("inf"),
        "boxes": float(np.abs(answers["boxes"][0] - answers["boxes"][1]).max()) if same else float("inf"),
    }


def accurate(check):
    return check["class_logits"] <= TOKENS and check["logits"] <= ANSWERS


def cells(runs):
    """Runs by (model, threads) and contender, in the order in which they first ran."""
    out = {}
    for run in runs:
        out.setdefault((run["model"], run["threads"]), {}).setdefault(run["contender"], []).append(run)
    return out


def figures(runs):
    """One contender in one cell over all rounds. Times in ms, memory in MiB."""
    times = np.array([time for run in runs for time in run["times"]]) * 1e3

    def over(field, fold, scale=1.0):
        found = [run[field] for run in runs if run.get(field) is not None]
        return float(fold(found)) * scale if found else None

    return {
        "passes": len(times),
        "median": float(np.median(times)),
        "p10": float(np.quantile(times, 0.1)),
        "p90": float(np.quantile(times, 0.9)),
        "rss": over("rss_peak", max),
        "load": over("load", np.median, 1e3),
        "start": over("start_to_first", np.median, 1e3),
        "others": over("others", max),
    }


def cell_text(value, form):
    return "–" if value is None else format(value, form)


def table(result):
    """One row for each contender in each cell, fastest first; and one line for each cell about the best accurate peer."""
    lines = [
        "| model | threads | contender | median ms | p10 | p90 | to detrace | relative error | same queries | peak RSS MiB | load ms | start to first ms |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for (model, threads), runs in cells(result["runs"]).items():
        rows = {name: figures(some) for name, some in runs.items()}
        ours = rows.get(OURS)
        for name, row in sorted(rows.items(), key=lambda item: item[1]["median"]):
            check = result["checks"][model][name]
            ratio = row["median"] / ours["median"] if ours else None
            shown = f"**{name}**" if name == OURS else name
            if not accurate(check):
                shown += " (inaccurate)"
            lines.append(
                f"| {model} | {threads} | {shown} | {row['median']:.1f} | {row['p10']:.1f} | {row['p90']:.1f} "
                f"| {cell_text(ratio, '.2f')} | {check['class_logits']:.1e} "
                f"| {check['queries']:.1%} | {cell_text(row['rss'], '.0f')} "
                f"| {cell_text(row['load'], '.0f')} | {cell_text(row['start'], '.0f')} |"
            )
        notes += verdict(model, threads, rows, result["checks"][model])
    return lines, notes


def verdict(model, threads, rows, checks):
    """What a cell says about detrace."""
    peers = {name: row["median"] for name, row in rows.items() if name != OURS and accurate(checks[name])}
    if OURS not in rows or not peers:
        return []
    best = min(peers, key=peers.get)
    ratio = peers[best] / rows[OURS]["median"]
    return [f"- {model}, {threads} thread{'s' * (threads != 1)}: the best accurate peer is {best}, at {ratio:.2f} times detrace's median."]


def markdown(result):
    """Everything, as Markdown."""
    lines, notes = table(result)
    out = [*lines, ""]
    out += notes
    if result["failures"]:
        out += ["", "Did not run:", ""]
        out += [f"- {where}: {reason}" for where, reason in result["failures"].items()]
    runs = [run["run_rss"] for run in result["runs"] if run.get("run_rss")]
    if runs:
        out += ["", "`detrace run`, from its start to its end, answers and all; peak RSS in MiB:", ""]
        for (model, threads), some in cells(result["runs"]).items():
            peaks = [run["run_rss"] for run in some.get(OURS, []) if run.get("run_rss")]
            if peaks:
                out.append(f"- {model}, {threads} thread{'s' * (threads != 1)}: {max(peaks):.0f}")
    out += ["", "Largest differences of the answers, queries of the same token beside each other (logits relative RMS, boxes absolute):", ""]
    for model, checks in result["checks"].items():
        each = (f"{name} {check['logits']:.1e}, {check['boxes']:.1e}" for name, check in checks.items())
        out.append(f"- {model}: {'; '.join(each)}")
    figure = [figures(some)["others"] for cell in cells(result["runs"]).values() for some in cell.values()]
    busiest = max((value for value in figure if value is not None), default=None)
    if busiest is not None:
        out += ["", f"Other processes took at most {busiest:.2f} cores while one contender ran."]
    setting = result["setting"]
    versions = ", ".join(f"{name} {version}" for name, version in setting["versions"].items())
    out += [
        "",
        f"{setting['cpu']}, {setting['cores']} cores; {setting['system']}; {setting['date']}.",
        f"{versions}.",
        f"Input {setting['input']}; {setting['passes']}.",
        "",
        "```sh",
        setting["command"],
        "```",
    ]
    return "\n".join(out) + "\n"


def today():
    return datetime.date.today().isoformat()


def into(document, text):
    """Puts a generated table between the marks of a document."""
    before, mark, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise Document(f"it lacks the lines that the table goes between: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
