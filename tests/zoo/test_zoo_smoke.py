"""No bundled model has become worse: a few fixed pictures, against recorded figures."""

import pytest
import zoo_smoke

from medenh.publishing.comparison import allowed_fall, judge

CARDS = zoo_smoke.bundled()


def _lack(name, recorded, weights):
    """Return a sentence where a model has no record to compare with."""
    if recorded is None:
        return f"{name} has no recorded figure: {_again(name)}"
    if recorded["weights"] != weights:
        return f"{name} has other weights than those recorded: {_again(name)}"
    return ""


def _complaints(name, recorded, found):
    """Return a sentence for each figure that does not hold."""
    sentences = []
    for place in {**recorded["tables"], **found["tables"]}:
        known, now = (one["tables"].get(place) for one in (recorded, found))
        if known is None or now is None or now["pictures"] != known["pictures"]:
            sentences.append(
                f"{name}, {place}: not the pictures that are recorded: {_again(name)}"
            )
            continue
        for metric, before in known["figures"].items():
            after = now["figures"].get(metric)
            if after is None or judge(metric, before, after) == "fell":
                bar = allowed_fall(metric)
                sentences.append(
                    f"{name}, {place}: {metric} was {before:g} and is {after}, worse "
                    f"by more than {bar:g}; where that is meant, {_again(name)}"
                )
    return sentences


def _again(name):
    return f"run `make zoo-smoke-record MODELS={name}`"


@pytest.mark.parametrize("name", CARDS)
def test_a_bundled_model_has_a_record(name):
    lack = _lack(name, zoo_smoke.record().get(name), CARDS[name].weights.sha256)
    assert not lack, lack


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.shared
@pytest.mark.skipif(
    not zoo_smoke.DATA.is_dir(), reason="the data packs of ../shared/data are not here"
)
def test_no_figure_of_a_bundled_model_fell(name):
    recorded = zoo_smoke.record().get(name)
    if _lack(name, recorded, CARDS[name].weights.sha256):
        pytest.skip(f"nothing to compare {name} with; the test above says so")
    complaints = _complaints(name, recorded, zoo_smoke.measure(CARDS[name]))
    assert not complaints, "\n".join(complaints)


def _state(psnr=30.0, pictures=("a",)):
    table = {"pictures": list(pictures), "figures": {"psnr": psnr}}
    return {"weights": "1", "tables": {"dpe, ultrasound": table}}


@pytest.mark.parametrize(
    ("now", "complaint"),
    [
        (_state(29.85), "toy, dpe, ultrasound: psnr was 30 and is 29.85, worse by"),
        (_state(pictures=("b",)), "toy, dpe, ultrasound: not the pictures"),
        ({"weights": "1", "tables": {}}, "toy, dpe, ultrasound: not the pictures"),
    ],
)
def test_what_is_complained_of(now, complaint):
    (sentence,) = _complaints("toy", _state(), now)
    assert sentence.startswith(complaint)
    assert sentence.endswith("run `make zoo-smoke-record MODELS=toy`")


def test_small_changes_and_gains_are_fine():
    assert _complaints("toy", _state(), _state(29.95)) == []
    assert _complaints("toy", _state(), _state(33.0)) == []


def test_a_model_without_a_record_is_told_how_to_get_one():
    command = "run `make zoo-smoke-record MODELS=toy`"
    assert _lack("toy", None, "1") == f"toy has no recorded figure: {command}"
    assert "other weights" in _lack("toy", _state(), "2")
    assert _lack("toy", _state(), "1") == ""
