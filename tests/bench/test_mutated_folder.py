"""Two thousand damaged files of all formats among good ones, through the program."""

from mutated_folder import measure

# of InputError's family, and what a format cannot hold; "error" would be a stranger
OURS = {"unreadable", "unsupported", "over-budget", "non-finite", "output"}


def test_mutants_cost_only_themselves(tmp_path):
    report = measure(tmp_path, 2000, seed=1, model="identity")
    assert report["good_lost_or_changed"] == []
    assert report["good_failed"] == 0
    assert report["tracebacks"] == 0
    assert set(report["codes"]) <= OURS
    assert report["exit"] == 1
    # each is accounted for, and the damage was seen
    assert report["failed"] > report["mutants"] / 2
    assert report["written"] >= report["good"]
