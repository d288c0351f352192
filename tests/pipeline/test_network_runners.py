from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from fakes_pipeline import make_image

from medenh import models
from medenh.device import Device, cpu_has_bf16
from medenh.errors import UsageError
from medenh.pipeline import enhancer as enhancer_module
from medenh.pipeline import openvino_runner as openvino_runner_module
from medenh.pipeline.enhancer import Contract, FrameEnhancer
from medenh.pipeline.frames import FrameTask
from medenh.pipeline.openvino_cache import UnconvertibleError, load_parts, pooled_for
from medenh.pipeline.openvino_runner import OpenVinoRunner
from medenh.pipeline.runners import ClassicalRunner, TorchRunner

pytest.importorskip("openvino")


class Local(torch.nn.Module):
    """Four convolutions over a halved image: a receptive field of 21 pixels."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down = torch.nn.Conv2d(3, 12, 4, stride=2, padding=1)
        self.middle = torch.nn.Conv2d(12, 12, 3, padding=1)
        self.up = torch.nn.ConvTranspose2d(12, 3, 2, stride=2)

    def forward(self, x):
        height, width = x.shape[-2:]
        padded = torch.nn.functional.pad(
            x, (0, width % 2, 0, height % 2), mode="reflect"
        )
        y = self.up(torch.relu(self.middle(torch.relu(self.down(padded)))))
        return (x + y[..., :height, :width]).clamp(0, 1)


class Normed(torch.nn.Module):
    """Instance normalisation: statistics of the whole image."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.norm = torch.nn.InstanceNorm2d(16, affine=True)
        self.last = torch.nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, x):
        return torch.sigmoid(self.last(torch.relu(self.norm(self.first(x)))))


def conditioned():
    torch.manual_seed(1)
    network = models.create("dpe-plus", preset="tiny")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return network.eval()


def fields():
    torch.manual_seed(2)
    network = models.create("fieldnet", preset="tiny")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return network.eval()


def steady():
    """A network of images around which local means hardly change."""
    torch.manual_seed(3)
    network = models.create("nafnet", preset="tiny", mean_tolerance=0.005)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return network.eval()


def normalised():
    """A network that takes one pass for pictures of up to 128 pixels, two above."""
    torch.manual_seed(4)
    network = models.create("hqg", preset="tiny", residual=True, statistics_side=128)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return network.eval()


NETWORKS = {
    "local": Local,
    "normed": Normed,
    "conditioned": conditioned,
    "fields": fields,
    "steady": steady,
    "normalised": normalised,
}
MULTIPLE = {
    "local": 2,
    "normed": 1,
    "conditioned": 16,
    "fields": 8,
    "steady": 4,
    "normalised": 16,
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Converted networks, made once."""
    folder = tmp_path_factory.mktemp("openvino")
    for name, build in NETWORKS.items():
        load_parts(
            folder,
            name,
            lambda build=build: build().eval(),
            multiple_of=MULTIPLE[name],
        )
    return folder


def forbidden():
    raise AssertionError("the cache should have served")


def openvino_runner(kept, name, precision="fp32"):
    return OpenVinoRunner(
        load_parts(kept, name, forbidden),
        precision,
        multiple_of=MULTIPLE[name],
        global_ops=name != "local",
        tiled=name != "fields",
    )


def random_batch(height, width, count=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, 3, height, width), dtype=np.float32)


def expected(name, batch):
    with torch.inference_mode():
        return NETWORKS[name]().eval()(torch.from_numpy(batch)).numpy()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(64, 64), (75, 101), (17, 130)])
def test_both_engines_give_the_networks_answer(kept, name, size):
    batch = random_batch(*size, count=2)
    answer = expected(name, batch)
    plain = TorchRunner(NETWORKS[name](), Device("cpu"))
    for runner in (plain, openvino_runner(kept, name)):
        given = runner.run(batch)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, answer, atol=1e-5)


@pytest.mark.parametrize("kept_too", [True, False])
def test_the_first_run_of_a_network_gives_the_bytes_of_all_others(
    kept, tmp_path, kept_too
):
    folder = tmp_path / "cache" if kept_too else None
    parts = load_parts(folder, "new", conditioned, multiple_of=16)
    first = OpenVinoRunner(parts, "fp32", multiple_of=16, global_ops=True)
    later = openvino_runner(kept, "conditioned")
    for size in ((64, 64), (75, 101)):
        batch = random_batch(*size)
        np.testing.assert_array_equal(first.run(batch), later.run(batch))


@pytest.mark.parametrize("name", ["local", "conditioned"])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_tiles_equal_the_whole(kept, monkeypatch, name, engine):
    if engine == "torch":
        runner = TorchRunner(NETWORKS[name](), Device("cpu"))
    else:
        runner = openvino_runner(kept, name)
    assert runner.has_condition == (name == "conditioned")
    image = make_image(random_batch(200, 180).transpose(0, 2, 3, 1).copy())
    halo = 24 if name == "local" else 128
    contract = Contract(channels=3, multiple_of=MULTIPLE[name], halo=halo)

    def run(tile):
        out = np.zeros_like(image.pixels)
        enhancer = FrameEnhancer(runner, contract, tile=tile)
        enhancer.enhance([FrameTask(image, 0, out)])
        return out

    whole, tiled = run("off"), run(64)
    assert np.abs(whole - image.pixels).max() > 0.01
    np.testing.assert_allclose(tiled, whole, atol=1 / 255 / 10)


def test_a_condition_is_of_the_whole_image_not_of_the_tile(kept):
    runner = openvino_runner(kept, "conditioned")
    batch = random_batch(160, 160)
    batch[..., :80] *= 0.1
    tile = batch[..., :64, :64]
    of_whole = runner.run(tile, runner.condition(batch))
    assert np.abs(of_whole - runner.run(tile)).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_threads_and_company_do_not_change_a_bit(kept, monkeypatch, name):
    batches = [random_batch(75, 101, seed=seed) for seed in range(6)]
    answers = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        runner = openvino_runner(kept, name)
        with ThreadPoolExecutor(int(threads)) as pool:
            answers.append(list(pool.map(runner.run, batches)))
        alone = [runner.run(batch, alone=True) for batch in batches]
        answers.append(alone)
    for other in answers[1:]:
        for first, second in zip(answers[0], other, strict=True):
            assert np.array_equal(first, second)


class CoreThatNotes:
    """OpenVINO's core; `condition` is compiled only once `local` has begun to be."""

    def __init__(self, core, parts):
        self._core, self._parts = core, parts
        self.asked = []
        self._local_begun = threading.Event()

    def compile_model(self, model, *args):
        name = next(n for n, part in self._parts.items() if part is model)
        self.asked.append(name)
        if name == "local":
            self._local_begun.set()
        elif not self._local_begun.wait(30):
            raise AssertionError("one part waits for the other")
        return self._core.compile_model(model, *args)


def test_both_parts_of_a_network_compile_side_by_side_and_once(kept, monkeypatch):
    monkeypatch.setattr(openvino_runner_module, "num_threads", lambda: 2)
    runner = openvino_runner(kept, "conditioned")
    core = openvino_runner_module.import_openvino().Core()
    runner._core = CoreThatNotes(core, runner._parts)
    batch = random_batch(64, 64)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(partial(runner.run, alone=True), [batch] * 4))
    assert sorted(runner._core.asked) == ["condition", "local"]
    for given in answers:
        np.testing.assert_allclose(given, expected("conditioned", batch), atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
@pytest.mark.parametrize("threads", ["1", "2"])
def test_no_thread_is_bound_to_a_core(kept, threads):
    """Those of several processes would be bound to the same ones."""
    code = textwrap.dedent(
        f"""
        import os, threading
        from pathlib import Path
        import numpy as np
        from medenh.pipeline.openvino_cache import load_parts
        from medenh.pipeline.openvino_runner import OpenVinoRunner

        def affinities():
            for thread in os.listdir("/proc/self/task"):
                try:
                    yield tuple(sorted(os.sched_getaffinity(int(thread))))
                except ProcessLookupError:
                    continue  # it has ended

        runner = OpenVinoRunner(load_parts(Path({str(kept)!r}), "steady", None), "fp32")
        batch = np.zeros((1, 3, 256, 256), np.float32)
        runner.run(batch)  # OpenVINO tries each core once to learn of them
        work = threading.Thread(target=lambda: [runner.run(batch) for _ in range(20)])
        allowed, seen = set(affinities()), set()
        work.start()
        while work.is_alive():
            seen.update(affinities())
        assert seen == allowed, (seen, allowed)
        """
    )
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_threads_that_end_leave_their_requests_to_others(kept):
    """One taken apart in a thread of a process that ends aborts the process."""
    runner = openvino_runner(kept, "conditioned")
    batch = random_batch(64, 64)
    given = [runner.run(batch)]
    _, idle = runner._compiled["joined", "fp32", False]
    (first,) = idle
    for _ in range(3):
        with ThreadPoolExecutor(1) as pool:
            given.append(pool.submit(runner.run, batch).result())
    assert idle == [first]
    for other in given[1:]:
        np.testing.assert_array_equal(other, given[0])


@pytest.mark.parametrize("name", ["conditioned", "fields"])
def test_whole_pictures_in_company_are_one_inference(kept, monkeypatch, name):
    monkeypatch.setattr(openvino_runner_module, "num_threads", lambda: 2)
    runner = openvino_runner(kept, name)
    batch = random_batch(64, 80)
    given = runner.run(batch)
    assert [part for part, _, _ in runner._compiled] == ["joined"]
    # the parts themselves stay as they were, for tiles and single pictures
    np.testing.assert_array_equal(runner.run(batch, runner.condition(batch)), given)
    np.testing.assert_array_equal(runner.run(batch), given)


def test_a_picture_that_is_its_own_copy_takes_one_pass(kept, monkeypatch):
    monkeypatch.setattr(openvino_runner_module, "num_threads", lambda: 2)
    runner = openvino_runner(kept, "normalised")
    small, large = random_batch(128, 90), random_batch(90, 129)
    given = runner.run(small)
    assert [part for part, _, _ in runner._compiled] == ["whole"]
    np.testing.assert_array_equal(runner.run(small, alone=True), given)
    assert [part for part, _, _ in runner._compiled] == ["whole"]
    runner.run(large)
    assert [part for part, _, _ in runner._compiled] == ["whole", "joined"]
    # a slice of a volume is told what it shares with others
    shared = runner.run(small, runner.condition(small))
    np.testing.assert_allclose(shared, given, atol=1e-5)
    other = runner.run(small, runner.condition(large))
    assert np.abs(other - given).max() > 1e-3


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16")
@pytest.mark.parametrize("name", ["local", "steady"])
def test_bf16_is_near_and_its_exact_twin_is_fp32(kept, name):
    batch = random_batch(64, 64)
    runner = openvino_runner(kept, name, "bf16")
    answer = expected(name, batch)
    difference = np.abs(runner.run(batch) - answer).max()
    assert 0 < difference < 0.02
    assert runner.exact().precision == "fp32"
    np.testing.assert_allclose(runner.exact().run(batch), answer, atol=1e-5)


def test_bf16_in_torch_is_near_too():
    batch = random_batch(64, 64)
    runner = TorchRunner(Local(), Device("cpu"), "bf16")
    answer = expected("local", batch)
    assert 0 < np.abs(runner.run(batch) - answer).max() < 0.02
    np.testing.assert_allclose(runner.exact().run(batch), answer, atol=1e-5)


def test_bf16_without_the_hardware_is_refused(kept, monkeypatch):
    monkeypatch.setattr("medenh.pipeline.openvino_runner.cpu_has_bf16", lambda: False)
    with pytest.raises(UsageError, match="bf16"):
        openvino_runner(kept, "local", "bf16")


@pytest.mark.parametrize("suffix", [".json", "-whole.xml", "-whole.bin"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damage_in_the_cache_is_noticed(kept, tmp_path, suffix, damage):
    for path in kept.glob("local*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / f"local{suffix}"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        middle = len(content) // 2
        flipped = bytes([content[middle] ^ 0x55])
        path.write_bytes(content[:middle] + flipped + content[middle + 1 :])
    with pytest.raises(AssertionError, match="should have served"):
        load_parts(tmp_path, "local", forbidden)


def test_a_damaged_cache_is_made_anew(kept, tmp_path):
    for path in kept.glob("local*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "local-whole.bin").write_bytes(b"damaged")
    load_parts(tmp_path, "local", lambda: Local().eval(), multiple_of=2)
    runner = openvino_runner(tmp_path, "local")  # the cache serves again
    batch = random_batch(64, 64)
    np.testing.assert_allclose(runner.run(batch), expected("local", batch), atol=1e-5)


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path, monkeypatch):
    monkeypatch.setattr("medenh.pipeline.openvino_cache._MOST_KEPT", 2)
    stranger = tmp_path / "notes.txt"
    stranger.write_text("not ours")
    for age, key in enumerate(("a", "a-other", "b")):
        load_parts(tmp_path, key, lambda: Local().eval(), multiple_of=2)
        index = tmp_path / f"{key}.json"
        if index.exists():
            os.utime(index, (age, age))
        if key == "a-other":
            load_parts(tmp_path, "a", forbidden)  # used again: now the newest
    kept = {path.name.removesuffix(".json") for path in tmp_path.glob("*.json")}
    assert kept == {"a", "b"}
    assert {p.name for p in tmp_path.iterdir()} == {"notes.txt"} | {
        f"{key}{end}" for key in kept for end in (".json", "-whole.xml", "-whole.bin")
    }
    load_parts(tmp_path, "a", forbidden)
    load_parts(tmp_path, "b", forbidden)


@pytest.mark.parametrize(
    "names", ['{"../precious": "0"}', '["../precious"]', '"x"', "null", "[1]"]
)
def test_a_forged_index_deletes_nothing_else(tmp_path, monkeypatch, names):
    monkeypatch.setattr("medenh.pipeline.openvino_cache._MOST_KEPT", 1)
    precious, folder = tmp_path / "precious", tmp_path / "cache"
    precious.write_text("keep")
    folder.mkdir()
    forged = folder / "old.json"
    forged.write_text(f'{{"files": {names}}}')
    os.utime(forged, (1, 1))
    load_parts(folder, "new", lambda: Local().eval(), multiple_of=2)
    assert precious.read_text() == "keep"
    assert not forged.exists()
    load_parts(folder, "new", forbidden)


def test_a_network_that_does_not_survive_conversion_is_found_out():
    class Frozen(torch.nn.Module):
        def forward(self, x):
            # a Python branch on the size: tracing keeps one side only
            return x * 0.5 if x.shape[-1] == 128 else x

    with pytest.raises(UnconvertibleError):
        load_parts(None, "frozen", lambda: Frozen().eval())


class Deaf(torch.nn.Module):
    """A network that finds a condition and does not heed it."""

    def condition(self, x):
        return x.mean((2, 3))

    def local(self, x, condition):
        return x * 0.5

    def forward(self, x):
        return self.local(x, self.condition(x))


def test_a_condition_need_not_be_heeded(tmp_path):
    parts = load_parts(tmp_path, "deaf", lambda: Deaf().eval(), multiple_of=1)
    batch = random_batch(20, 30)
    answer = OpenVinoRunner(parts, "fp32").run(batch)
    np.testing.assert_allclose(answer, batch * 0.5, atol=1e-6)


def test_padding_unlike_ours_is_found_out():
    class Other(Local):
        def forward(self, x):
            return super().forward(torch.nn.functional.pad(x, (0, 1, 0, 1)))[
                ..., : x.shape[-2], : x.shape[-1]
            ]

    with pytest.raises(UnconvertibleError):
        load_parts(None, "other", lambda: Other().eval(), multiple_of=2)


def test_a_cached_network_needs_neither_torch_nor_a_socket(kept):
    code = f"""
        import socket, sys
        def refuse(*args, **kwargs):
            raise SystemExit("a socket was opened")
        socket.socket.connect = socket.create_connection = refuse
        socket.getaddrinfo = refuse
        from pathlib import Path
        import numpy as np
        from medenh.pipeline.openvino_cache import load_parts
        from medenh.pipeline.openvino_runner import OpenVinoRunner
        runner = OpenVinoRunner(load_parts(Path({str(kept)!r}), "local", None), "fp32")
        runner.run(np.zeros((1, 3, 64, 64), np.float32))
        import json
        telemetry = [m for m in sys.modules if "openvino_telemetry" in m]
        print(json.dumps({{"torch": "torch" in sys.modules,
                           "telemetry": [m for m in telemetry if sys.modules[m]]}}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {"torch": False, "telemetry": []}


def test_converting_opens_no_socket_and_loads_no_telemetry(tmp_path):
    code = f"""
        import socket, sys
        def refuse(*args, **kwargs):
            raise SystemExit("a socket was opened")
        socket.socket.connect = socket.create_connection = refuse
        socket.getaddrinfo = refuse
        from pathlib import Path
        import torch
        from medenh.pipeline.openvino_cache import load_parts
        load_parts(Path({str(tmp_path)!r}), "n", lambda: torch.nn.Conv2d(3, 3, 1))
        loaded = [m for m in sys.modules if "openvino_telemetry" in m]
        assert not any(sys.modules[m] for m in loaded), loaded
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_large_image_is_tiled_without_being_asked(monkeypatch):
    monkeypatch.setattr(enhancer_module, "WHOLE_BELOW", 100 * 100)
    monkeypatch.setattr(enhancer_module, "AUTO_CORE", 64)
    runner = TorchRunner(Local(), Device("cpu"))
    image = make_image(
        np.random.default_rng(0).integers(0, 255, (1, 200, 201, 1), np.uint8)
    )
    out = np.zeros_like(image.pixels)
    contract = Contract(channels=3, multiple_of=2, halo=24)
    heard = []
    FrameEnhancer(runner, contract).enhance(
        [FrameTask(image, 0, out)], on_progress=heard.append
    )
    assert len(heard) == 16
    whole = np.zeros_like(out)
    FrameEnhancer(runner, contract, tile="off").enhance([FrameTask(image, 0, whole)])
    assert np.abs(out.astype(int) - whole).max() <= 1
    assert (out == whole).mean() > 0.999


def test_a_classical_method_is_a_runner():
    from medenh.classical import METHODS

    batch = random_batch(40, 50, count=2)
    runner = ClassicalRunner("unsharp", {})
    answer = runner.run(batch)
    for index in range(2):
        pixels = np.ascontiguousarray(batch[index].transpose(1, 2, 0))
        assert np.array_equal(
            answer[index].transpose(1, 2, 0), METHODS["unsharp"](pixels)
        )
    assert runner.exact() is runner


@pytest.mark.parametrize("frames", [5, 2])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
@pytest.mark.parametrize("name", ["conditioned", "fields"])
def test_slices_of_a_volume_share_one_condition(kept, name, engine, frames):
    """The same slice gets the same answer wherever it stands between others."""
    network = NETWORKS[name]()
    if engine == "torch":
        runner = TorchRunner(network, Device("cpu", "cpu"))
    else:
        runner = openvino_runner(kept, name)
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 0.2, 0.5, 0.8, 0.4]).reshape(5, 1, 1, 1)
    volume = (rng.random((5, 48, 64, 1)) * scale).astype(np.float32)[:frames]
    image = make_image(volume)
    out = np.zeros_like(volume)
    halo = 128 if name == "conditioned" else None
    enhancer = FrameEnhancer(runner, Contract(channels=3, multiple_of=16, halo=halo))
    tasks = enhancer.tasks(image, out)
    for task in tasks:
        enhancer.enhance([task])
    planes = torch.from_numpy(image.to_unit()).expand(-1, 3, -1, -1)
    with torch.inference_mode():
        condition = network.condition(planes).quantile(0.5, 0, keepdim=True)
        shared = condition.expand(frames, *condition.shape[1:])
        expected = network.local(planes, shared).mean(1)
    np.testing.assert_allclose(out[..., 0], expected.numpy(), atol=2e-5)
    single = enhancer.tasks(make_image(volume[:1]), out[:1])
    assert single[0].condition is None


def test_tiles_are_not_given_fields_of_the_whole(kept):
    """They would be spread over each tile, as if it were the picture."""
    runner = openvino_runner(kept, "fields")
    volume = random_batch(128, 128, count=3).transpose(0, 2, 3, 1).copy()
    volume[:, :, 64:] *= 0.2
    contract = Contract(channels=3, multiple_of=8)

    def run(count):
        image = make_image(volume[:count])
        out = np.zeros_like(image.pixels)
        enhancer = FrameEnhancer(runner, contract, tile=64)
        enhancer.enhance(enhancer.tasks(image, out))
        return out

    np.testing.assert_array_equal(run(3)[0], run(1)[0])


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("dpe-plus", {}),
        ("fieldnet", {}),
        ("nafnet", {}),
        ("srresnet", {}),
        ("hqg", {}),
        ("hqg", {"unshuffle": True, "residual": True}),
    ],
)
def test_networks_of_the_zoo_can_be_converted(architecture, options, tmp_path):
    """Each operation is known to OpenVINO, and the answer survives another size."""
    torch.manual_seed(0)
    network = models.create(architecture, "tiny", **options).eval()
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, 0, 0.05)
    load_parts(tmp_path, "one", lambda: network, multiple_of=network.multiple_of)


def test_a_pixel_shuffle_stays_one_operation(tmp_path):
    """As three that know no size it takes a tenth of a light network's time."""
    torch.manual_seed(0)
    network = models.create("dpe-plus", "tiny").eval()
    parts = load_parts(tmp_path, "one", lambda: network, multiple_of=16)
    operations = [one.get_type_name() for one in parts["local"].get_ops()]
    assert operations.count("DepthToSpace") == 1
    assert operations.count("SpaceToDepth") == 2
    assert operations.count("Transpose") == 0


@pytest.mark.parametrize("size", [(75, 101), (128, 300), (256, 384), (31, 1000)])
def test_a_thumbnail_is_pooled_as_torch_pools_it(kept, size):
    """The part begins with it, at one size: OpenVINO's own pooling is slow."""
    part = load_parts(kept, "conditioned", forbidden)["condition"]
    operations = [one.get_type_name() for one in part.get_ops()]
    assert "AdaptiveAvgPool" not in operations
    assert list(part.input(0).shape) == [1, 3, 128, 128]
    batch = random_batch(*size, count=2)
    answer = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(batch), 128)
    np.testing.assert_allclose(pooled_for(part, batch), answer.numpy(), atol=1e-6)


def test_conditions_of_a_batch_are_those_of_its_pictures(kept):
    runner = openvino_runner(kept, "conditioned")
    batch = random_batch(75, 101, count=3)
    batch[1] *= 0.5
    conditions = runner.condition(batch)
    assert conditions.shape == (3, 6)
    for one, x in zip(conditions, batch, strict=True):
        np.testing.assert_array_equal(one, runner.condition(x[None])[0])


class Silent:
    """A compiled model and its request: no error, and the last answer in place."""

    def __init__(self, truth):
        self.truth = truth
        self.data = np.full((1, 3, 8, 8), 0.25, np.float32)
        self.size = self.data.size

    def create_infer_request(self):
        return self

    def get_output_tensor(self, index):
        return self

    def infer(self, inputs, share_inputs, share_outputs):
        if self.truth:
            self.data[:] = inputs[0] / 2


def test_an_answer_of_openvino_that_did_not_come_is_no_earlier_one(monkeypatch):
    """Without memory it ends in silence; what it answered before stays in place."""
    from medenh.pipeline.openvino_runner import OpenVinoRunner

    runner = OpenVinoRunner({"whole": None}, "fp32", global_ops=False)
    made = [Silent(truth=True), Silent(truth=False), Silent(truth=True)]
    monkeypatch.setattr(runner, "_core", type("Core", (), {})())
    runner._core.compile_model = lambda *args: made.pop(0)
    x = np.full((1, 3, 8, 8), 0.5, np.float32)
    assert runner.run(x).max() == 0.25
    ((broken, _),) = runner._compiled.values()
    runner._compiled.clear()
    with pytest.raises(MemoryError):
        runner.run(x)
    # the next is made anew
    assert runner.run(x).max() == 0.25
    assert made == []
    broken.truth = False
    runner._compiled["whole", "fp32", False] = (broken, [broken])
    runner._spoilt = [None] * 4
    for _ in range(3):
        with pytest.raises(MemoryError):
            runner.run(x)


class Network:
    """A compiled model with a request for each thread that works at once."""

    def __init__(self):
        self.made = []

    def create_infer_request(self):
        self.made.append(Silent(truth=True))
        return self.made[-1]


def test_what_shares_a_network_with_a_request_that_failed_is_not_used(monkeypatch):
    """Idle or at work then: OpenVINO crashed at the second picture after it."""
    from medenh.pipeline.openvino_runner import OpenVinoRunner

    runner = OpenVinoRunner({"whole": None}, "fp32", global_ops=False)
    networks = [Network(), Network()]
    waiting = list(networks)
    monkeypatch.setattr(runner, "_core", type("Core", (), {})())
    runner._core.compile_model = lambda *args: waiting.pop(0)
    x = np.full((1, 3, 8, 8), 0.5, np.float32)

    runner.run(x)
    (at_work,) = networks[0].made
    answer = at_work.infer

    def fail_meanwhile(*args, **more):
        at_work.infer = answer
        runner._compiled["whole", "fp32", False][1].append(Silent(truth=False))
        with pytest.raises(MemoryError):
            runner.run(x)
        answer(*args, **more)

    at_work.infer = fail_meanwhile
    assert runner.run(x).max() == 0.25
    at_work.truth = False
    for _ in range(2):
        assert runner.run(x).max() == 0.25
    assert waiting == []


def test_no_more_requests_are_kept_than_work_at_once(monkeypatch):
    """Each holds its last answer: 12 MB of a megapixel, of every thread there was."""
    from medenh.pipeline.openvino_runner import OpenVinoRunner

    runner = OpenVinoRunner({"whole": None}, "fp32", global_ops=False)
    runner.workers = 2
    network, all_at_work = Network(), threading.Barrier(5)
    monkeypatch.setattr(runner, "_core", type("Core", (), {})())
    runner._core.compile_model = lambda *args: network
    answer = Silent.infer

    def wait_and_answer(*args, **more):
        all_at_work.wait(30)
        answer(*args, **more)

    monkeypatch.setattr(Silent, "infer", wait_and_answer)
    batch = np.full((1, 3, 8, 8), 0.5, np.float32)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(runner.run, [batch] * 5))
    assert [given.max() for given in answers] == [0.25] * 5
    assert len(network.made) == 5
    assert len(runner._compiled["whole", "fp32", False][1]) == 2


_MANY_SIZES = """
import numpy as np
import medenh


def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 2**20


rng = np.random.default_rng(0)
model = medenh.load_model("dpe-general", "cpu", "fp32", engine="openvino")
for done in range(1, 221):
    size = (*rng.integers(32, 260, 2), 3)
    model.enhance(rng.integers(0, 90, size, np.uint8))
    if done == 60:
        early = resident()
print(resident() - early)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
def test_pictures_of_many_sizes_do_not_fill_the_memory():
    """OpenVINO keeps kernels of sizes it met: of its own 5,000 200 MiB more here."""
    done = subprocess.run(
        [sys.executable, "-c", _MANY_SIZES], capture_output=True, text=True
    )
    assert float(done.stdout) < 100, done.stderr
