import csv
import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import t

from medenh.errors import UsageError
from medenh.training import sources
from medenh.training.config_file import load_config
from medenh.training.data import load_pack
from medenh.training.plots import save_frontier, save_sweep
from medenh.training.sweep import _best_row, load_sweep, named_sweeps, run_sweep


@pytest.fixture
def sweep(tiny_settings, tmp_path):
    more = [*tiny_settings, "network.architecture=nafnet", "condition_batch=0",
            "teacher_share=0", "steps=2", "validate_every=2",
            "data.validation_images=2", "data.packs=['fundus']"]  # fmt: skip
    lines = [
        'name = "two"', 'config = "dpe-general"', "seeds = [0, 1]",
        f"changes = {more!r}", 'figures = ["psnr", "ssim"]',
        'frontier = ["psnr", "ssim"]',
        "[variants]", 'plain = []', '"no gradient" = ["loss.gradient=0"]',
    ]  # fmt: skip
    path = tmp_path / "two.toml"
    path.write_text("\n".join(lines))
    return load_sweep(str(path))


@pytest.mark.parametrize("name", named_sweeps())
def test_built_in_sweeps_are_valid(name):
    assert load_sweep(name).name == name


def test_a_sweep_leaves_tables_and_plots_and_goes_on(sweep, tmp_path):
    folder = tmp_path / "out"
    assert not run_sweep(sweep, folder, max_minutes=0)
    assert run_sweep(sweep, folder)
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [(r["variant"], r["seed"]) for r in rows] == [
        ("plain", "0"), ("plain", "1"), ("no gradient", "0"), ("no gradient", "1"),
    ]  # fmt: skip
    values = [float(r["psnr"]) for r in rows[:2]]
    (found,) = [
        r
        for r in csv.DictReader((folder / "summary.csv").open())
        if (r["variant"], r["figure"]) == ("plain", "psnr")
    ]
    mean, spread = sum(values) / 2, abs(values[0] - values[1]) / math.sqrt(2)
    assert float(found["mean"]) == pytest.approx(mean)
    half = t.ppf(0.975, 1) * spread / math.sqrt(2)
    assert float(found["ci95_high"]) == pytest.approx(mean + half)
    for picture in ("sweep.png", "frontier.png"):
        assert (folder / picture).read_bytes()[:4] == b"\x89PNG"
    before = (folder / "plain" / "seed-0" / "last.pt").stat().st_mtime_ns
    assert run_sweep(sweep, folder)
    assert (folder / "plain" / "seed-0" / "last.pt").stat().st_mtime_ns == before


def test_a_sweep_reads_its_images_once_and_each_call_anew(sweep, tmp_path, monkeypatch):
    read, changes = [], {}

    def load(*asked):
        read.append(asked)
        return [replace(one, **changes) for one in load_pack(*asked)]

    monkeypatch.setattr(sources, "load_pack", load)
    assert run_sweep(sweep, tmp_path / "out")
    assert len(read) == 1
    assert run_sweep(sweep, tmp_path / "out")
    assert len(read) == 2
    changes["digest"] = "of another image"
    with pytest.raises(UsageError, match="images are not those"):
        run_sweep(sweep, tmp_path / "out")


def test_pictures_of_a_sweep_have_all_figures_and_the_spread_of_the_table(
    tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    found = {
        "plain": {"psnr": [20.0, 22.0, 27.0], "ssim": [0.5, 0.6, 0.9]},
        "no gradient": {"psnr": [21.0], "ssim": [0.4]},
    }
    save_sweep(tmp_path / "sweep.png", found)
    save_frontier(tmp_path / "frontier.png", found, "psnr", "ssim")
    sweep, frontier = drawn
    assert [axes.get_xlabel() for axes in sweep.axes] == ["psnr", "ssim"]
    (axes,) = frontier.axes
    assert "standard deviation" in axes.get_title()
    bars = [bar.get_segments()[0] for bar in axes.containers[0].lines[2]]
    lengths = [np.ptp(segment, axis=0).max() / 2 for segment in bars]
    values = found["plain"].values()
    assert lengths == pytest.approx([np.std(one, ddof=1) for one in values])


def test_a_run_that_diverges_is_a_row_of_its_own(sweep, tmp_path):
    folder, started, diverged = tmp_path / "out", [], []
    sweep.variants["no gradient"].append("optimiser.lr=1e30")
    sweep.variants["no gradient"].append("optimiser.warmup_steps=0")

    def run():
        return run_sweep(
            sweep,
            folder,
            on_run=lambda run: started.append((run.variant, run.seed)),
            on_diverged=lambda run, how: diverged.append((run.variant, run.seed, how)),
        )

    assert run()
    assert len(started) == 4
    assert [(variant, seed) for variant, seed, _ in diverged] == [
        ("no gradient", 0),
        ("no gradient", 1),
    ]
    assert all("at step 1 on" in how for _, _, how in diverged)
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [r["step"] for r in rows] == ["2", "2", "diverged", "diverged"]
    summary = list(csv.DictReader((folder / "summary.csv").open()))
    assert {r["variant"] for r in summary} == {"plain"}
    told = len(diverged)
    assert run()
    assert len(diverged) == 2 * told
    assert started.count(("no gradient", 0)) == 1


def test_a_run_that_diverged_is_tried_again_with_other_settings(sweep, tmp_path):
    folder, started = tmp_path / "out", []
    sweep.variants["no gradient"] += ["optimiser.lr=1e30", "optimiser.warmup_steps=0"]
    run_sweep(sweep, folder)
    assert (folder / "no-gradient" / "seed-0" / "diverged.txt").exists()
    sweep.variants["no gradient"][-2] = "optimiser.lr=1e-3"
    assert run_sweep(
        sweep, folder, on_run=lambda run: started.append((run.variant, run.seed))
    )
    assert ("no gradient", 0) in started
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [r["step"] for r in rows] == ["2"] * 4


def test_the_folder_of_a_single_run_is_no_place_for_a_sweep(sweep, tmp_path):
    (tmp_path / "last.pt").write_bytes(b"state")
    with pytest.raises(UsageError, match="folder of a single run"):
        run_sweep(sweep, tmp_path)
    assert not (tmp_path / "runs.csv").exists()


def test_a_run_that_fails_costs_no_other(sweep, tmp_path):
    folder, failed = tmp_path / "out", []
    broken = ["network.architecture='srresnet'", "network.preset='x1'"]
    sweep.variants["no gradient"] += [*broken, "network.options={ channels = 1 }"]

    def note(run, error):
        failed.append((run.variant, run.seed, error))

    assert not run_sweep(sweep, folder, on_failed=note)
    assert [(v, s) for v, s, _ in failed] == [("no gradient", 0), ("no gradient", 1)]
    for _, _, error in failed:
        assert isinstance(error, UsageError)
        assert "network.options: with {'channels': 1}" in error.what
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [r["variant"] for r in rows] == ["plain", "plain"]


def test_runs_that_are_shorter_than_asked_for_are_in_no_mean(sweep, tmp_path):
    folder = tmp_path / "out"
    assert run_sweep(sweep, folder)
    assert not run_sweep(sweep, folder, overrides=["steps=4"], max_minutes=-1)
    assert not run_sweep(
        sweep,
        folder,
        overrides=["steps=4"],
        should_stop=lambda: (folder / "runs.csv").read_text().count("\n") == 2,
    )
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [(r["variant"], r["seed"], r["steps"]) for r in rows] == [
        ("plain", "0", "4")
    ]
    assert run_sweep(sweep, folder, overrides=["steps=4"])
    rows = list(csv.DictReader((folder / "runs.csv").open()))
    assert [r["steps"] for r in rows] == ["4"] * 4


@pytest.mark.parametrize(
    ("last", "best"), [("4", "2"), ("3", None)], ids=["finished", "stopped"]
)
def test_only_finished_runs_are_tabulated_and_no_score_is_no_number(
    tmp_path, last, best
):
    config = load_config("dpe-general", ["steps=4"])
    (tmp_path / "config.json").write_text(config.model_dump_json())
    (tmp_path / "log.csv").write_text(  # columns in any order
        "step,loss,lr,images_per_s,ssim,psnr\n1,1,1,1,1,nan\n2,1,1,1,2,30\n"
        "3,1,1,1,3,\n" + ("4,1,1,1,4,29\n" if last == "4" else "")
    )
    row = _best_row(tmp_path, 4)
    assert (row and row["step"]) == best
    assert (row and row["steps"]) == (best and "4")
    assert _best_row(tmp_path, 5) is None  # more are asked for now


@pytest.mark.parametrize("name", named_sweeps())
def test_the_figures_of_built_in_sweeps_are_measured(name, tmp_path):
    # no time: figures are checked, and nothing is run
    assert not run_sweep(load_sweep(name), tmp_path, max_minutes=-1)


@pytest.mark.parametrize(
    ("figure", "message"),
    [("pnsr", "did you mean psnr"), ("zzz", "one of psnr, psnr_identity, ssim,")],
)
def test_a_figure_that_nothing_measures_is_refused_before_the_first_run(
    sweep, tmp_path, figure, message
):
    wrong = sweep.model_copy(update={"figures": ["psnr", figure]})
    with pytest.raises(UsageError, match=f"'{figure}' is measured by no .*{message}"):
        run_sweep(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("load", [load_config, load_sweep])
def test_a_file_that_is_not_there_is_told_in_the_words_of_the_system(tmp_path, load):
    path = tmp_path / "absent.toml"
    with pytest.raises(UsageError) as caught:
        load(str(path))
    assert caught.value.what.endswith(": No such file or directory")
    assert caught.value.path == path


def test_a_sweep_may_begin_as_windows_begins_a_file(tmp_path):
    path = tmp_path / "own.toml"
    text = "name='a'\nconfig='dpe-general'\nfigures=['psnr']\n[variants]\na=[]\n"
    path.write_text(text, "utf-8-sig")
    assert load_sweep(str(path)).name == "a"


@pytest.mark.parametrize("frontier", ["['psnr']", "['psnr', 'ssim']"])
def test_a_frontier_has_two_of_the_figures(tmp_path, frontier):
    path = tmp_path / "bad.toml"
    path.write_text(
        f"name='a'\nconfig='dpe-general'\nfigures=['psnr']\nfrontier={frontier}\n"
        "[variants]\na=[]\n"
    )
    with pytest.raises(UsageError, match="frontier: "):
        load_sweep(str(path))


@pytest.mark.parametrize("other", ["lr=1 a", "LR-1-A", "LR=1/a"])
def test_no_two_variants_share_a_folder_on_any_system(tmp_path, other):
    path = tmp_path / "bad.toml"
    path.write_text(
        "name='a'\nconfig='dpe-general'\nfigures=['psnr']\n[variants]\n"
        f"'{other}' = []\n'lr-1-a' = []\n"
    )
    with pytest.raises(UsageError, match=f"'{other}' and 'lr-1-a' would share a fo"):
        load_sweep(str(path))


def test_what_is_wrong_with_a_sweep(tmp_path):
    with pytest.raises(UsageError, match="no sweep named"):
        load_sweep("nothing")
    path = tmp_path / "bad.toml"
    path.write_text("name='a'\nconfig='dpe-general'\nfigures=['psnr']\n")
    with pytest.raises(UsageError, match="variants"):
        load_sweep(str(path))
    path.write_text(path.read_text() + "[variants]\na = ['stepz=1']\n")
    with pytest.raises(UsageError, match="stepz"):
        load_sweep(str(path))
