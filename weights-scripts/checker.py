"""Compares tensors bit for bit and answers within a tolerance, says what it compared, and counts what differs."""

import numpy as np

# Largest differences of a query's logits and of its box.
LOGITS, BOXES = 1e-3, 1e-4
# Discrete sampling reads another pixel where rounding tips over: a handful of queries may differ.
DISCRETE_MAY_DIFFER = 0.02


class Checker:
    """Counts what was compared and what differs."""

    def __init__(self):
        self.done, self.failed = 0, 0

    def say(self, what, fault):
        self.done += 1
        self.failed += bool(fault)
        print(f"  {'FAILED' if fault else 'ok':6} {what}{': ' + fault if fault else ''}", flush=True)

    def tensors(self, what, got, expected):
        """Names, types, shapes and bits."""
        fault = ""
        if got.keys() != expected.keys():
            differ = sorted(got.keys() ^ expected.keys())
            fault = f"{len(differ)} names differ: {', '.join(differ[:4])}"
        for name in sorted(got.keys() & expected.keys()):
            a, b = got[name], expected[name]
            if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                fault = fault or f"{name} differs ({a.dtype} {a.shape}, {b.dtype} {b.shape})"
        self.say(f"{what}, {len(expected)} tensors", fault)

    def answers(self, what, got, expected, discrete):
        """Logits and boxes of the queries. Queries of almost the same score may be ranked the other way round."""
        (logits, boxes), (wanted, places) = ([part[0] for part in parts] for parts in (got, expected))
        order = np.arange(len(logits))
        swapped = [int(i) for i in order if _far(logits[i], wanted[i], boxes[i], places[i])]
        for i in swapped:
            order[i] = next((j for j in swapped if not _far(logits[j], wanted[i], boxes[j], places[i])), i)
        logits, boxes = logits[order], boxes[order]
        differ = sum(_far(*rows) for rows in zip(logits, wanted, boxes, places))
        worst = np.abs(logits - wanted).max(), np.abs(boxes - places).max()
        said = f"{what}: largest differences {worst[0]:.1e} (logits), {worst[1]:.1e} (boxes), {len(swapped)} swapped"
        self.say(said, f"{differ} queries differ" if differ > len(logits) * (DISCRETE_MAY_DIFFER if discrete else 0) else "")


def _far(logits, wanted, boxes, places):
    """Whether one query's answers differ."""
    return bool(np.abs(logits - wanted).max() > LOGITS or np.abs(boxes - places).max() > BOXES)
