from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import skimage
from fakes_pipeline import FakeRunner, box, make_image

import medenh
from medenh.errors import NonFiniteError, OutOfMemoryError, is_out_of_memory
from medenh.formats.array import from_array
from medenh.pipeline import enhancer as enhancer_module
from medenh.pipeline.budget import Memory
from medenh.pipeline.enhancer import Contract, FrameEnhancer
from medenh.pipeline.frames import FrameTask
from medenh.types import Modality, UnitRange

LOCAL = Contract(halo=8, multiple_of=4)
GLOBAL = Contract(halo=None)


def random_image(frames=1, height=150, width=130, channels=1, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    shape = (frames, height, width, channels)
    if np.dtype(dtype).kind == "f":
        return make_image(rng.random(shape).astype(dtype))
    return make_image(rng.integers(0, np.iinfo(dtype).max, shape, dtype))


def run(image, runner, contract=LOCAL, **options):
    out = np.zeros_like(image.pixels)
    tasks = [FrameTask(image, index, out) for index in range(image.frames)]
    FrameEnhancer(runner, contract, **options).enhance(tasks)
    return out


@pytest.fixture
def small_tiles(monkeypatch):
    """Tile from 64 pixels on, so that tests stay quick."""
    monkeypatch.setattr(enhancer_module, "AUTO_CORE", 64)
    monkeypatch.setattr(enhancer_module, "WHOLE_BELOW", 64 * 64)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("contract", [LOCAL, GLOBAL, Contract(channels=3, halo=8)])
@pytest.mark.parametrize("tile", ["auto", "off", 40])
def test_a_model_that_changes_nothing_gives_the_same_numbers(dtype, contract, tile):
    image = random_image(dtype=dtype, frames=2)
    assert np.array_equal(run(image, FakeRunner(), contract, tile=tile), image.pixels)


@pytest.mark.parametrize("contract", [LOCAL, GLOBAL, Contract(largest_side=75)])
@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_a_hole_is_no_dark_for_its_rim(contract, missing):
    image = random_image(dtype=np.float32, frames=2)
    image.pixels[:] = 0.5
    image.pixels[0, 40:60, 50:70] = image.pixels[0, 90, 20] = missing
    out = run(image, FakeRunner(box), contract)
    hole = ~np.isfinite(image.pixels)
    np.testing.assert_array_equal(out[hole], image.pixels[hole])
    np.testing.assert_allclose(out[~hole], 0.5, atol=1e-6)


def test_a_surround_without_values_is_black():
    image = random_image(dtype=np.float32)
    image.pixels[:] = 0.5
    image.pixels[0, :, :50] = np.nan
    out = run(image, FakeRunner(box))
    assert out[0, 75, 50, 0] < 0.4
    assert np.isnan(out[0, :, :50]).all()


def test_channels_beside_a_hole_in_one_of_them_stay_their_own():
    image = random_image(dtype=np.float32, channels=3)
    image.pixels[0, 40:60, 50:70, 1] = np.nan
    np.testing.assert_array_equal(run(image, FakeRunner()), image.pixels)


def test_holes_are_filled_alike_in_tiles_and_in_the_whole(small_tiles):
    image = random_image(height=301, width=203, dtype=np.float32)
    image.pixels[0, 50:90, 40:100] = image.pixels[0, 100:120, 60] = np.nan
    image.pixels[0, 120:, :30] = np.nan
    whole = run(image, FakeRunner(box), tile="off")
    np.testing.assert_array_equal(run(image, FakeRunner(box)), whole)


def test_tiles_of_a_local_model_equal_the_whole(small_tiles):
    image = random_image(height=301, width=203, channels=3)
    whole = run(image, FakeRunner(box), tile="off")
    runner = FakeRunner(box)
    assert np.array_equal(run(image, runner), whole)
    assert runner.calls > 10
    assert not np.array_equal(whole, image.pixels)


def test_a_global_model_is_never_tiled_by_itself(small_tiles):
    runner = FakeRunner(box)
    run(random_image(height=301, width=203), runner, GLOBAL)
    assert runner.shapes == [(1, 1, 301, 203)]


def test_forced_tiles_of_a_global_model_are_feathered():
    image = random_image(height=301, width=203, dtype=np.float32)
    whole = run(image, FakeRunner(box), GLOBAL)
    cut = FakeRunner(box)
    tiled = run(image, cut, GLOBAL, tile=64)
    assert (1, 1, 301, 203) not in cut.shapes
    # a box filter is local, so that feathering must find the whole answer, nearly
    assert np.abs(tiled - whole).max() < 0.05
    assert np.abs(tiled - whole).mean() < 1e-3


def test_tiles_share_batches_of_equal_shape(small_tiles):
    image = random_image(height=320, width=320)
    single, batched = FakeRunner(box), FakeRunner(box)
    expected = run(image, single)
    assert np.array_equal(run(image, batched, batch=4), expected)
    assert max(shape[0] for shape in batched.shapes) == 4
    assert batched.calls < single.calls


def test_memory_running_out_at_any_call_changes_nothing(small_tiles):
    image = random_image(frames=3, height=150, width=130)
    normal = FakeRunner(box)
    expected = run(image, normal, batch=3)
    for index in range(normal.calls):
        runner = FakeRunner(box, {index: MemoryError()})
        assert np.array_equal(run(image, runner, batch=3), expected), index


def test_memory_running_out_on_whole_frames_splits_the_batch_then_tiles():
    image = random_image(frames=3, height=150, width=130)
    expected = run(image, FakeRunner(box))
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    runner = FakeRunner(box, {0: error, 1: error})
    assert np.array_equal(run(image, runner), expected)
    assert runner.shapes[0][0] == 3
    assert runner.shapes[1][0] == 1
    assert runner.shapes[2][2] < 150


@pytest.mark.parametrize("contract", [LOCAL, GLOBAL])
def test_memory_that_never_suffices_ends_soon(contract):
    image = random_image(height=600, width=500)
    runner = FakeRunner(box, {"always": MemoryError()})
    with pytest.raises(OutOfMemoryError) as caught:
        run(image, runner, contract, batch=2)
    assert runner.calls <= 6
    assert caught.value.hint


@pytest.mark.parametrize(
    ("contract", "tile", "side", "hint"),
    [
        (GLOBAL, "auto", 1200, "--tile 1024"),
        (GLOBAL, "auto", 100, "use a machine with more memory"),
        (LOCAL, "off", 1200, "leave out --tile off"),
    ],
)
def test_what_to_do_about_memory_depends_on_the_picture(contract, tile, side, hint):
    runner = FakeRunner(box, {"always": MemoryError()})
    with pytest.raises(OutOfMemoryError) as caught:
        run(random_image(height=40, width=side), runner, contract, tile=tile)
    assert hint in caught.value.hint
    assert ("--tile 1024" in caught.value.hint) == (hint == "--tile 1024")


def test_forced_tiles_are_as_asked_or_none():
    """Smaller ones of a model that sees the whole would change what it answers."""
    image, runner = random_image(), FakeRunner(box, {"always": MemoryError()})
    with pytest.raises(OutOfMemoryError, match="for tiles of 100 pixels") as told:
        run(image, runner, GLOBAL, tile=100)
    assert "--tile 64" in told.value.hint


def test_a_frame_that_will_not_fit_is_refused_before_it_is_tried():
    """Linux grants the memory all the same, and kills the process once it is used."""
    image, runner = random_image(height=1500, width=1400), FakeRunner(box)
    contract = replace(GLOBAL, bytes_per_pixel=1000)
    with pytest.raises(OutOfMemoryError) as told:
        run(image, runner, contract, memory=Memory(2_000_000_000))
    assert runner.calls == 0
    assert "1400x1500 pixels do not fit" in told.value.what
    assert "(about 2 GiB of 1.9 GiB)" in told.value.what
    assert "--tile 1024" in told.value.hint
    run(image, runner, contract, memory=Memory(2_100_000_000))
    assert runner.calls == 1


def test_frames_that_will_not_fit_are_cut_up_where_tiles_are_exact():
    image = random_image(frames=2, height=150, width=130)
    expected = run(image, FakeRunner(box), LOCAL)
    runner, memory = FakeRunner(box), Memory(1_000_000)
    contract = replace(LOCAL, bytes_per_pixel=100)
    assert np.array_equal(run(image, runner, contract, memory=memory), expected)
    assert all(np.prod(shape) * 100 <= 1_000_000 for shape in runner.shapes)


@pytest.mark.parametrize(("size", "most"), [(2_200_000, 1), (4_400_000, 2)])
def test_as_many_calls_at_once_as_half_the_memory_holds(size, most):
    image = random_image(height=100, width=100)
    lock, inside, seen = threading.Lock(), [0], []

    def slow(batch):
        with lock:
            inside[0] += 1
            seen.append(inside[0])
        time.sleep(0.1)
        with lock:
            inside[0] -= 1
        return batch

    contract = replace(GLOBAL, bytes_per_pixel=100)
    enhancer = FrameEnhancer(FakeRunner(slow), contract, memory=Memory(size))
    tasks = [[FrameTask(image, 0, np.zeros_like(image.pixels))] for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enhancer.enhance, tasks))
    assert max(seen) == most
    assert len(seen) == 4


def test_other_errors_are_not_taken_for_memory():
    runner = FakeRunner(box, {"always": ValueError("shape")})
    with pytest.raises(ValueError, match="shape"):
        run(random_image(), runner)
    assert runner.calls == 1
    assert not is_out_of_memory(OutOfMemoryError("ours"))
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate"))
    assert is_out_of_memory(RuntimeError("std::bad_alloc"))
    assert is_out_of_memory(
        ImportError("a.so: failed to map segment from shared object")
    )
    assert is_out_of_memory(RuntimeError("can't start new thread"))


def test_a_number_that_is_not_finite_once_is_computed_again_in_fp32():
    image = random_image(frames=3)
    twin = FakeRunner(box)
    runner = FakeRunner(box, {0: "nan"}, precision="bf16", twin=twin)
    assert np.array_equal(run(image, runner), run(image, FakeRunner(box)))
    assert twin.shapes == [(1, 1, 150, 130)]  # the bad one of three, alone


def test_numbers_that_are_never_finite_are_an_error():
    runner = FakeRunner(box, {"always": "nan"})
    with pytest.raises(NonFiniteError):
        run(random_image(), runner)


def test_an_answer_outside_the_range_is_clipped():
    image = random_image()
    assert (run(image, FakeRunner(lambda x: x + 2)) == 255).all()
    assert (run(image, FakeRunner(lambda x: x - 2)) == 0).all()


def test_grey_stays_grey_through_a_colour_model():
    image = random_image(channels=1)

    def tint(x):
        assert x.shape[1] == 3
        return x * np.array([0.9, 1.0, 0.8], np.float32).reshape(1, 3, 1, 1)

    out = run(image, FakeRunner(tint), Contract(channels=3))
    assert out.shape == image.pixels.shape
    np.testing.assert_allclose(out, image.pixels * 0.9, atol=0.51)


@pytest.mark.parametrize("hole", [np.s_[:0], np.s_[40:50, 40:50], np.s_[:20]])
@pytest.mark.parametrize("tile", ["off", 64])
def test_grey_stored_as_colour_is_enhanced_as_grey(tile, hole):
    """Else a model of colours tints it; a frame in colour beside it keeps them."""
    tint = np.array([0.3, 0.0, -0.2], np.float32).reshape(1, 3, 1, 1)
    rng = np.random.default_rng(0)
    plane = rng.uniform(0.3, 0.6, (100, 90)).astype(np.float32)
    plane[hole] = np.nan
    colours = rng.uniform(0.3, 0.6, (100, 90, 3)).astype(np.float32)
    pixels = np.stack([plane[..., None].repeat(3, 2), colours])
    enhancer = FrameEnhancer(FakeRunner(lambda x: x + tint), Contract(3), tile=tile)

    def run(pixels):
        image = make_image(pixels)
        out = np.zeros_like(image.pixels)
        enhancer.enhance(enhancer.tasks(image, out))
        return out

    grey, coloured = run(pixels)
    alone = run(plane[None, ..., None])[0]
    np.testing.assert_array_equal(grey, alone.repeat(3, axis=-1))
    np.testing.assert_allclose(
        coloured - colours, tint.ravel() + 0 * colours, atol=1e-5
    )


def test_colour_keeps_its_hue_through_a_grey_model():
    image = random_image(channels=3)
    out = run(image, FakeRunner(lambda x: x * 0.5 + 0.25), Contract(channels=1))
    inner = (out > 0) & (out < 255)
    inner = inner.all(axis=-1)
    before = image.pixels[inner].astype(int)
    after = out[inner].astype(int)
    assert np.abs(np.diff(before, axis=-1) - np.diff(after, axis=-1)).max() <= 1


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_strength_blends(strength):
    image = random_image(dtype=np.float32)
    full = run(image, FakeRunner(box))
    out = run(image, FakeRunner(box), strength=strength)
    expected = image.pixels + strength * (full - image.pixels)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    if strength == 0.0:
        assert np.array_equal(out, image.pixels)


def test_a_frame_below_the_smallest_size_is_padded_and_cropped():
    image = random_image(height=5, width=9)
    runner = FakeRunner()
    out = run(image, runner, Contract(min_size=32))
    assert runner.shapes == [(1, 1, 32, 32)]
    assert np.array_equal(out, image.pixels)


def test_frozen_pixels_keep_their_value(small_tiles):
    from dataclasses import replace

    image = random_image(height=150, width=130)
    frozen = np.zeros(image.pixels.shape[:3], bool)
    frozen[0, 60:90, 50:80] = True
    out = run(replace(image, frozen=frozen), FakeRunner(box))
    assert np.array_equal(out[frozen], image.pixels[frozen])
    assert not np.array_equal(out, image.pixels)


def test_cancelling_ends_between_tiles(small_tiles):
    runner = FakeRunner(box)
    out = np.zeros((1, 300, 300, 1), np.uint8)
    image = make_image(out)
    enhancer = FrameEnhancer(runner, LOCAL, cancelled=lambda: runner.calls >= 3)
    with pytest.raises(KeyboardInterrupt):
        enhancer.enhance([FrameTask(image, 0, out)])
    assert runner.calls == 3


def test_progress_rises_to_one(small_tiles):
    image = random_image(height=200, width=200)
    heard = []
    out = np.zeros_like(image.pixels)
    FrameEnhancer(FakeRunner(), LOCAL).enhance(
        [FrameTask(image, 0, out)], on_progress=heard.append
    )
    assert heard == sorted(heard)
    assert heard[-1] == pytest.approx(1.0)


def test_channels_have_exposures_of_their_own():
    """A clear channel beside a dark one had been blown out with it."""
    picture = skimage.data.cell()[:256, :256].astype(np.float32)
    bright, dark = (picture * scale + 8 for scale in (0.8, 0.08))
    stack = np.stack([bright, dark, bright, dark]).astype(np.uint8)[..., None]
    image = replace(from_array(stack[0]), pixels=stack, channel_of=(0, 1, 0, 1))
    together = medenh.enhance(image, model="dpe-general").pixels
    for channel in (0, 1):
        alone = replace(image, pixels=stack[channel::2], channel_of=None)
        answer = medenh.enhance(alone, model="dpe-general").pixels
        np.testing.assert_array_equal(together[channel::2], answer)
    one = medenh.enhance(replace(image, channel_of=None), model="dpe-general").pixels
    assert abs(one[1].mean() - together[1].mean()) > 10


@pytest.mark.parametrize(
    ("frames", "channel_of", "told"),
    [(1, None, False), (3, None, True), (2, (0, 1), False), (4, (0, 1, 0, 1), True)],
)
def test_frames_that_do_not_compare_any_more_are_told(frames, channel_of, told):
    image = replace(make_image(np.zeros((frames, 8, 8, 1))), channel_of=channel_of)
    relit = FrameEnhancer(FakeRunner(), Contract(each_by_itself=True))
    assert bool(relit.caveats(image)) == told
    assert not FrameEnhancer(FakeRunner(), Contract()).caveats(image)


@pytest.mark.parametrize(
    "known",
    [
        UnitRange(30.0, 1000.0, reason="percentiles 0.5-99.5"),
        UnitRange(-200.0, 1000.0, reason="window"),
        UnitRange(0.0, 1000.0, inverted=True),
    ],
)
def test_no_signal_is_0_to_nlm_rician_whatever_is_black_on_the_screen(known):
    rng = np.random.default_rng(3)
    clean = np.zeros((1, 64, 64, 1))
    clean[:, 16:48, 16:48] = 400.0
    real, imaginary = rng.normal(0, 50, (2, *clean.shape))
    seen = np.hypot(clean + real, imaginary).astype(np.float32)

    def error(unit_range):
        image = replace(from_array(seen, modality=Modality.MRI), unit_range=unit_range)
        found = medenh.enhance(image, model="nlm-rician").pixels
        return float(np.sqrt(np.mean((found - clean) ** 2)))

    plain = error(UnitRange(0.0, 1000.0))
    assert plain < 30
    assert error(known) == pytest.approx(plain, rel=0.02)


def test_no_signal_is_not_looked_for_where_values_are_negative():
    image = make_image(np.float32(np.arange(-8, 8).reshape(1, 4, 4, 1)))
    image = replace(image, unit_range=UnitRange(-8.0, 8.0))
    task = FrameTask(image, 0, np.empty_like(image.pixels))
    assert task.from_zero() is task


class Exposed(FakeRunner):
    """Knows of a frame how bright it is."""

    has_condition = True

    def condition(self, batch):
        return batch.mean()

    def typical(self, conditions):
        return float(np.median(conditions))


@pytest.mark.parametrize("frames", [2, 4, 7, 12, 16, 17, 20, 101, 300])
def test_the_exposure_of_a_stack_is_that_of_its_pages_from_either_end(frames):
    levels = np.where(np.arange(frames) < frames / 2, 0.1, 0.9)
    pixels = np.broadcast_to(levels[:, None, None, None], (frames, 2, 2, 1))
    shuffled = np.random.default_rng(0).permutation(frames)
    orders = [slice(None), slice(None, None, -1), *([shuffled] if frames < 17 else [])]
    found = set()
    for order in orders:
        image = make_image(pixels[order].astype(np.float32))
        shared = FrameEnhancer(Exposed(), Contract()).shared_conditions(image)
        assert len(shared) == frames
        found.update(round(one, 6) for one in shared)
    (told,) = found
    if frames % 2 == 0:  # one alone would blow out the bright half, or bury the dim
        assert told == pytest.approx(0.5)
