"""Whether outputs outside a card's limits are told."""

from pathlib import Path

import pytest

from medenh import formats, load_model
from medenh.pipeline.fidelity import measure, warnings_of

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "formats"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared sample files")
def test_a_washed_out_doppler_is_warned_about():
    image = formats.read(SHARED / "us_rgb_planar.dcm")
    model = load_model("dpe-general")
    figures = measure(image, model.enhance(image))
    assert any("washed out" in one for one in warnings_of(figures, model.card))
    assert not warnings_of(measure(image, image), model.card)
