"""Downloads against a server that cuts, lies, stalls and corrupts."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
from safetensors.torch import save
from zoo_site import IMPATIENT, make_card

from medenh import formats, models
from medenh.errors import UsageError, WeightsError
from medenh.zoo import cache as cache_module
from medenh.zoo.cache import cached_name, is_intact, where
from medenh.zoo.download import Network
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import load_manifest


def fetch(card, **options):
    return weights_path(card, network=IMPATIENT, **options)


def stored(cache):
    """Files under final names: what a wrong transfer must never add to."""
    folder = cache / "weights"
    if not folder.exists():
        return []
    return [p for p in folder.iterdir() if not p.name.startswith(".")]


def test_fetches_once_then_uses_the_cache(site, content, cache):
    card = make_card(content, f"{site.url}/a")
    assert where(card) == "remote"
    path = fetch(card)
    assert path.read_bytes() == content
    assert where(card) == "cached"
    assert fetch(card) == path
    assert len(site.requests) == 1
    assert stored(cache) == [path]


def test_reports_progress_to_the_last_byte(site, content):
    seen = []
    fetch(make_card(content, site.url), progress=lambda *now: seen.append(now))
    assert seen[-1] == (len(content), len(content))


def test_resumes_after_a_cut_and_sends_no_byte_twice(site, content):
    site.plan = ["cut:50000"]
    path = fetch(make_card(content, site.url))
    assert path.read_bytes() == content
    assert site.requests == [None, "bytes=50000-"]
    assert site.bytes_sent == len(content)


def test_resumes_what_an_earlier_process_left(site, content, cache):
    card = make_card(content, site.url)
    site.plan = ["cut:70000", "status:404"]
    with pytest.raises(WeightsError):
        fetch(card)
    assert stored(cache) == []
    assert fetch(card).read_bytes() == content
    assert site.requests[-1] == "bytes=70000-"


def test_cut_at_twenty_random_offsets(site, content, cache):
    generator = random.Random(7)
    for _ in range(20):
        offset = generator.randrange(len(content))
        site.plan = [f"cut:{offset}"]
        card = make_card(content, site.url)
        path = fetch(card)
        assert path.read_bytes() == content
        path.unlink()


def test_server_without_ranges_starts_over(site, content):
    site.plan = ["cut:50000", "norange"]
    assert fetch(make_card(content, site.url)).read_bytes() == content


def test_server_that_resumes_elsewhere_starts_over(site, content):
    site.plan = ["cut:50000", "elsewhere", "good"]
    assert fetch(make_card(content, site.url)).read_bytes() == content
    assert site.requests == [None, "bytes=50000-", None]


def test_resumed_file_with_a_wrong_hash_is_fetched_anew_once(site, content):
    site.plan = ["cutcorrupt:50000", "good", "good"]
    assert fetch(make_card(content, site.url)).read_bytes() == content
    assert site.requests == [None, "bytes=50000-", None]


def test_corrupt_bytes_never_reach_the_cache(site, content, cache):
    site.plan = ["corrupt"] * 9
    with pytest.raises(WeightsError, match="not match its hash"):
        fetch(make_card(content, site.url))
    assert stored(cache) == []
    assert len(site.requests) == 1  # asking the same server again would not help
    site.plan = []
    assert fetch(make_card(content, site.url)).read_bytes() == content


@pytest.mark.parametrize(
    "trouble", ["status:404", "status:500", "corrupt", "portal", "longer", "cut:0"]
)
def test_next_address_is_asked(site, content, trouble):
    site.plan = [trouble]
    card = make_card(content, f"{site.url}/first", f"{site.url}/second")
    assert fetch(card).read_bytes() == content
    assert site.paths == ["/first", "/second"]


def test_server_error_is_asked_again(site, content):
    site.plan = ["status:503", "status:500"]
    assert fetch(make_card(content, site.url)).read_bytes() == content


def test_captive_portal_is_named_and_not_kept(site, content, cache):
    site.plan = ["portal"] * 9
    with pytest.raises(WeightsError, match="text/html"):
        fetch(make_card(content, site.url))
    assert stored(cache) == []


def test_endless_answer_is_cut_off(site, content, cache):
    site.plan = ["endless"] * 9
    with pytest.raises(WeightsError, match="more than"):
        fetch(make_card(content, site.url))
    assert site.bytes_sent < 100 * len(content)
    assert stored(cache) == []


@pytest.mark.parametrize("trouble", ["drip", "silence"])
def test_stalled_connection_is_given_up(site, content, trouble):
    site.plan = [trouble]
    start = time.monotonic()
    path = fetch(make_card(content, site.url))
    assert time.monotonic() - start < 3
    assert path.read_bytes() == content


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirect_to_another_scheme_is_refused(site, content, cache, target):
    site.plan = [f"redirect:{target}"] * 9
    with pytest.raises(WeightsError, match="redirect"):
        fetch(make_card(content, site.url))
    assert stored(cache) == []


def test_redirect_to_http_is_followed(site, content):
    site.plan = [f"redirect:{site.url}/moved"]
    assert fetch(make_card(content, f"{site.url}/old")).read_bytes() == content
    assert site.paths == ["/old", "/moved"]


def test_refused_connection_says_how_to_go_on(content):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    network = Network(connect_s=1, stall_s=1, rounds=1)
    card = make_card(content, f"http://127.0.0.1:{closed}/a")
    with pytest.raises(WeightsError, match="models import"):
        weights_path(card, network=network)


def test_mirror_is_asked_first(site, content, monkeypatch):
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", f"{site.url}/mirror/")
    fetch(make_card(content, f"{site.url}/card"))
    assert site.paths == ["/mirror/toy-fundus.safetensors"]


def test_mirror_may_be_a_folder_even_offline(content, tmp_path, monkeypatch):
    (tmp_path / "my mirror").mkdir()
    (tmp_path / "my mirror" / "toy-fundus.safetensors").write_bytes(content)
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", (tmp_path / "my mirror").as_uri())
    assert fetch(make_card(content), offline=True).read_bytes() == content


def test_mirror_that_is_no_address(content, monkeypatch):
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", "ftp://mirror")
    with pytest.raises(UsageError, match="MEDENH_WEIGHTS_URL"):
        fetch(make_card(content))


def test_password_in_the_mirror_is_not_repeated(content, monkeypatch):
    monkeypatch.setenv("MEDENH_WEIGHTS_URL", "http://me:secret@127.0.0.1:1")
    with pytest.raises(WeightsError) as caught:
        fetch(make_card(content))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("by_variable", [True, False])
def test_offline_opens_no_socket(content, monkeypatch, by_variable):
    def forbidden(*args, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    if by_variable:
        monkeypatch.setenv("MEDENH_OFFLINE", "1")
    card = make_card(content, "http://127.0.0.1:9/a")
    with pytest.raises(WeightsError, match="models export toy-fundus"):
        fetch(card, offline=None if by_variable else True)


def test_damaged_file_in_the_cache_is_replaced(site, content):
    card = make_card(content, site.url)
    path = fetch(card)
    path.write_bytes(content[:-1] + b"!")
    assert fetch(card).read_bytes() == content
    assert len(site.requests) == 2


def test_stamp_saves_the_hash_until_the_file_changes(site, content, monkeypatch):
    card = make_card(content, site.url)
    path = fetch(card)
    hashed = []
    real = cache_module.sha256_file
    monkeypatch.setattr(
        cache_module, "sha256_file", lambda p: hashed.append(p) or real(p)
    )
    assert is_intact(path, card.weights)
    assert hashed == []
    assert is_intact(path, card.weights, force=True)
    os.utime(path, ns=(1, 1))
    assert is_intact(path, card.weights)
    assert len(hashed) == 2


def test_what_killed_processes_left_in_the_cache_goes_after_a_day(
    content, cache, tmp_path
):
    part, others = ".0123456789abcdef.tmp", (".notes.tmp", "0123456789abcdef.tmp")
    places = [cache / "weights", cache / "stamps", cache / "models", tmp_path / "mine"]
    for folder in places:
        folder.mkdir(parents=True)
        for name in (part, *others):
            (folder / name).touch()
            os.utime(folder / name, (1, 1))
    living = cache / "models" / ".fedcba9876543210.tmp"
    living.touch()
    hours_ago = time.time() - 20 * 3600
    os.utime(living, (hours_ago, hours_ago))
    (tmp_path / "mine" / "w").write_bytes(content)
    assert is_intact(tmp_path / "mine" / "w", make_card(content).weights)
    left = [folder for folder in places if (folder / part).exists()]
    assert left == [tmp_path / "mine"]
    assert living.exists()
    assert all((folder / name).exists() for folder in places for name in others)


def test_bundled_file_comes_first(content, tmp_path, monkeypatch):
    place = tmp_path / "bundled.safetensors"
    place.write_bytes(content)
    monkeypatch.setattr(cache_module, "bundled_path", lambda weights: place)
    card = make_card(content)
    assert fetch(card, offline=True) == place
    assert where(card) == "bundled"


def test_cache_in_a_file_says_what_to_set(site, content, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(WeightsError, match="set MEDENH_CACHE"):
        fetch(make_card(content, site.url))


@pytest.fixture
def spare_cache(tmp_path, monkeypatch):
    """The cache in the temporary folder, of an account without a usable home."""
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("MEDENH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = cache_module.writable_cache()
    assert folder.parent == tmp_path
    return folder


def test_without_a_usable_home_the_temporary_folder_serves(site, content, spare_cache):
    card = make_card(content, site.url)
    path = fetch(card)
    assert path.parent.parent == spare_cache
    assert path.read_bytes() == content
    assert where(card) == "cached"


@pytest.mark.parametrize("trick", ["link", "open to all"])
def test_planted_temporary_cache_is_not_believed(content, spare_cache, trick):
    """Somebody else's folder could say of wrong weights that they were verified."""
    card = make_card(content)
    path = spare_cache / "weights" / cached_name(card.weights)
    path.parent.mkdir()
    path.write_bytes(content)
    assert where(card) == "cached"
    if trick == "link":
        spare_cache.rename(spare_cache.with_name("real"))
        spare_cache.symlink_to(spare_cache.with_name("real"))
    else:
        spare_cache.chmod(0o777)
    assert where(card) == "remote"
    with pytest.raises(WeightsError, match="cannot be written"):
        cache_module.writable_cache()


def test_a_spare_cache_is_told_of_once(spare_cache, caplog):
    """A service that loads a model at each call had a line of it at each."""
    for _ in range(3):
        assert cache_module.writable_cache() == spare_cache
    told = [*caplog.get_records("setup"), *caplog.get_records("call")]
    assert ["using" in line.getMessage() for line in told] == [True]


def test_without_any_writable_folder_bundled_weights_still_serve(tmp_path, monkeypatch):
    def none():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.delenv("MEDENH_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: "/proc/none")
    monkeypatch.setattr(tempfile, "gettempdir", none)
    manifest = load_manifest()
    bundled = next(one for one in manifest.cards if one.weights is not None)
    assert where(bundled) == "bundled"
    assert weights_path(bundled).is_file()
    with pytest.raises(WeightsError, match="set MEDENH_CACHE to a folder of yours"):
        cache_module.writable_cache()


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
def test_no_room_is_said_as_such(site, content, cache):
    limit = (
        "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (50000, 50000))\n"
        "import sys; sys.dont_write_bytecode = True\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limit + _CHILD],
        input=json.dumps(make_card(content, site.url).to_dict()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WeightsError" in done.stderr
    assert "cannot be stored: File too large" in done.stderr
    assert stored(cache) == []
    assert len(site.requests) == 1


_CHILD = """
import sys
import tempfile
from medenh.zoo.fetch import weights_path
from medenh.zoo.manifest import load_manifest
from medenh.zoo.manifest import read_card
print(weights_path(read_card(sys.stdin.read())))
"""


def test_eight_processes_cause_one_transfer(site, content, cache):
    site.delay_s = 0.3
    card = make_card(content, site.url)
    text = json.dumps(card.to_dict())
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for child in children:
        child.stdin.write(text)
        child.stdin.close()
    answers = {child.stdout.read().strip() for child in children}
    assert [child.wait() for child in children] == [0] * 8
    assert answers == {str(cache / "weights" / cached_name(card.weights))}
    assert len(site.requests) == 1
    assert site.bytes_sent == len(content)


def test_eight_first_uses_at_once_cause_one_transfer_and_write_the_same(
    site, tmp_path, monkeypatch
):
    site.content = save(models.create("dpe-plus", preset="tiny").state_dict())
    site.delay_s = 0.3
    network = {"architecture": "dpe-plus", "preset": "tiny"}
    contract = {"channels": 3, "multiple_of": 16, "min_size": 32}
    card = make_card(site.content, site.url, input=contract, **network)
    manifest = {"schema": "medenh.manifest/1", "models": [card.to_dict()]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("MEDENH_MANIFEST", str(tmp_path / "manifest.json"))
    picture = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 80, 3), np.uint8)
    formats.write(pixels, picture)
    command = [sys.executable, "-m", "medenh", "enhance", str(picture), "-q"]
    command += ["-m", card.id, "-o"]
    outs = [tmp_path / f"out-{number}.png" for number in range(8)]
    runs = [
        subprocess.Popen([*command, str(out)], stderr=subprocess.PIPE) for out in outs
    ]
    said = [run.communicate()[1] for run in runs]
    assert [run.returncode for run in runs] == [0] * 8, said
    assert len(site.requests) == 1
    assert site.bytes_sent == len(site.content)
    assert len({out.read_bytes() for out in outs}) == 1
    assert outs[0].read_bytes() != picture.read_bytes()


def test_weight_free_method_has_nothing_to_fetch():
    from medenh.zoo.manifest import load_manifest

    with pytest.raises(UsageError, match="weight-free"):
        fetch(load_manifest().get("clahe"))


def test_stall_timeout_from_the_environment(monkeypatch):
    monkeypatch.setenv("MEDENH_STALL_TIMEOUT", "2.5")
    assert Network.from_environment().stall_s == 2.5
    monkeypatch.setenv("MEDENH_STALL_TIMEOUT", "soon")
    with pytest.raises(UsageError, match="MEDENH_STALL_TIMEOUT"):
        Network.from_environment()
