from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medenh.pipeline.tiles import feather, make_grid, make_spans, round_up

axis = st.tuples(
    st.integers(1, 400), st.integers(1, 130), st.integers(0, 70), st.integers(1, 17)
)


@settings(deadline=None)
@given(axis)
def test_cores_cover_an_axis_exactly_once(case):
    length, core, halo, multiple = case
    spans = make_spans(length, core, halo, multiple)
    covered = np.zeros(length, int)
    for span in spans:
        covered[span.core] += 1
        assert 0 <= span.start <= span.core_start < span.core_stop <= span.stop
        assert span.start % multiple == 0
        assert span.core_start - span.start >= min(halo, span.core_start)
        assert span.stop - span.core_stop >= min(halo, length - span.core_stop)
    assert (covered == 1).all()


@settings(deadline=None)
@given(axis)
def test_feathered_weights_add_up_to_one(case):
    length, core, halo, multiple = case
    spans = make_spans(length, core, halo, multiple)
    total = np.zeros(length)
    for span, weights in feather(spans).items():
        assert weights.dtype == np.float32
        assert (weights > 0).all()
        total[span.seen] += weights
    np.testing.assert_allclose(total, 1.0, atol=1e-5)


small_axis = st.tuples(
    st.integers(1, 150), st.integers(12, 60), st.integers(0, 40), st.integers(1, 17)
)


@settings(max_examples=30, deadline=None)
@given(small_axis, small_axis, st.integers(0, 2**32 - 1))
def test_blended_identity_is_the_image(rows, columns, seed):
    height, width = rows[0], columns[0]
    image = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    tiles = make_grid(height, width, core=rows[1], halo=rows[2], multiple=rows[3])
    row_weights = feather([t.rows for t in tiles])
    column_weights = feather([t.columns for t in tiles])
    cropped, blended = np.zeros_like(image), np.zeros_like(image)
    for tile in tiles:
        seen = image[tile.rows.seen, tile.columns.seen]
        assert seen.shape == tile.shape
        cropped[tile.rows.core, tile.columns.core] = seen[
            tile.rows.inner, tile.columns.inner
        ]
        weights = np.outer(row_weights[tile.rows], column_weights[tile.columns])
        blended[tile.rows.seen, tile.columns.seen] += seen * weights
    assert np.array_equal(cropped, image)
    np.testing.assert_allclose(blended, image, atol=1e-5)


def test_a_local_filter_is_the_same_tiled_and_whole():
    from scipy.ndimage import uniform_filter

    image = np.random.default_rng(0).random((211, 187))
    whole = uniform_filter(image, 15, mode="reflect")
    tiled = np.empty_like(image)
    tiles = make_grid(211, 187, core=64, halo=7, multiple=4)
    assert len(tiles) > 4
    for tile in tiles:
        part = uniform_filter(
            image[tile.rows.seen, tile.columns.seen], 15, mode="reflect"
        )
        tiled[tile.rows.core, tile.columns.core] = part[
            tile.rows.inner, tile.columns.inner
        ]
    np.testing.assert_allclose(tiled, whole, atol=1e-12)


def test_ramps_meet_in_the_middle():
    left, right = make_spans(100, 50, 10)
    weights = feather([left, right])
    assert weights[left][:40] == pytest.approx(1.0)
    assert weights[left][49] == pytest.approx(0.5, abs=0.05)
    assert weights[right][-40:] == pytest.approx(1.0)


def test_a_frame_that_fits_is_one_tile():
    (tile,) = make_grid(60, 90, core=128, halo=16, multiple=8)
    assert tile.shape == (60, 90)


@pytest.mark.parametrize(
    ("number", "multiple", "up"), [(0, 8, 0), (1, 8, 8), (16, 8, 16), (17, 1, 17)]
)
def test_round_up(number, multiple, up):
    assert round_up(number, multiple) == up
