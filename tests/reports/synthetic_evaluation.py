"""Evaluations made of numbers, for the page's tests."""

from __future__ import annotations

import numpy as np

from medenh.evaluation.result import Column, Evaluation, Row, SetScore
from medenh.metrics import paired_tests

COLUMNS = (
    Column(name="psnr", title="PSNR", unit="dB", digits=2),
    Column(name="de2000", title="CIEDE2000", better="lower", digits=2),
    Column(name="contrast", title="Contrast", better="none"),
)
GAINS = {"identity": 0.0, "clahe": 1.0, "dpe": 4.0, "oracle": 9.0}


class Gallery:
    """Smooth pictures of any size, and masks that overlap by half."""

    def __init__(self, height=40, width=60, missing=()):
        self.height, self.width, self.missing = height, width, missing

    def get(self, file, row):
        if row in self.missing:
            return None
        ramp = np.linspace(0, 1, self.width, dtype=np.float32)
        level = {"reference": 1.0, "degraded": 0.5, "identity": 0.5}.get(row, 0.8)
        plane = np.broadcast_to(level * ramp, (self.height, self.width))
        return np.repeat(plane[..., np.newaxis], 3, axis=2)

    def overlay(self, file, row, task):
        found = np.zeros((self.height, self.width), bool)
        start = 0 if row == "mask" else self.width // 4
        found[:, start : start + self.width // 2] = True
        return found


def make_evaluation(count=8, *, names=None, **changes):
    """An evaluation of ``count`` files; file i is better by i / count dB."""
    files = tuple(names or (f"file-{i}.png" for i in range(count)))
    generator = np.random.default_rng(0)
    base = 20 + generator.uniform(0, 5, len(files))
    rows = []
    for name, gain in GAINS.items():
        share = np.arange(len(files)) / max(1, len(files))
        psnr = base + gain + (share if name == "dpe" else 0)
        scores = {"psnr": psnr, "de2000": 40 - psnr, "contrast": psnr / 100}
        rows.append(
            Row(
                name=name,
                scores={
                    column: dict(zip(files, map(float, values), strict=True))
                    for column, values in scores.items()
                },
                set_scores=(SetScore(name="t.auc", title="AUC", value=0.9),),
                seconds=1.5,
                note="bound, sees the reference" if name == "oracle" else "",
                is_bound=name == "oracle",
            )
        )
    subject = rows[2]
    tests = {
        row.name: {
            column.name: paired_tests(
                [subject.scores[column.name][file] for file in files],
                [row.scores[column.name][file] for file in files],
            )
            for column in COLUMNS
        }
        for row in rows
        if row is not subject
    }
    return Evaluation(
        **{
            "title": "An evaluation",
            "columns": COLUMNS,
            "rows": tuple(rows),
            "files": files,
            "subject": "dpe",
            "protocol": "dpe",
            "tests": tests if files else {},
            "region": "fov",
            "data_range": "0-255 (8-bit)",
            "unmatched": {"reference": ("lost.png",)},
            "failed": ({"path": "bad.png", "error": "damaged", "code": "unreadable"},),
            "tasks": ("vessels",),
            "settings": {"command": ["medenh", "evaluate", "my data"], "seed": 3},
            "seconds": 2.0,
            "pictures": Gallery(),
        }
        | changes
    )
