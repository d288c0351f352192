"""Weights on this machine: bundled, else cached, else downloaded and verified.

Nothing gets a final name in the cache before its size and SHA-256 are right; many
processes that ask for the same file cause one transfer.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

from medenh.errors import UsageError, WeightsError
from medenh.zoo.cache import (
    cached_name,
    find_weights,
    is_intact,
    sync,
    writable_cache,
)
from medenh.zoo.card import ModelCard, Weights
from medenh.zoo.download import Downloader, Network, Progress, TransferError

__all__ = ["Network", "is_offline", "weights_path"]

_log = logging.getLogger(__name__)


def is_offline() -> bool:
    """Tell whether ``MEDENH_OFFLINE`` switches the network off."""
    word = os.environ.get("MEDENH_OFFLINE", "").strip().lower()
    return word not in ("", "0", "no", "false", "off")


def weights_path(
    card: ModelCard,
    *,
    offline: bool | None = None,
    network: Network | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return a verified weights file of a model, fetched first if need be.

    Parameters
    ----------
    card : ModelCard
        The model; it must be one that has weights.
    offline : bool, optional
        True opens no socket; taken from ``MEDENH_OFFLINE`` if not given.
    network : Network, optional
        Patience; taken from the environment if not given.
    progress : callable, optional
        Told (bytes so far, bytes in all) during a transfer.

    Returns
    -------
    path
        Its size and SHA-256 are the card's.

    Raises
    ------
    WeightsError
        They are not here and cannot be had; it says how to get them.
    UsageError
        The model has no weights, or an environment variable is not valid.
    """
    weights = card.weights
    if weights is None:
        raise UsageError(
            f"{card.id} is a weight-free method: there is nothing to fetch"
        )
    for path in find_weights(card):
        if is_intact(path, weights):
            return path
        _log.warning("%s does not match its hash and will not be used", path)
    offline = is_offline() if offline is None else offline
    urls = _addresses(weights, offline=offline)
    if not urls:
        raise _unreachable(card, offline=offline)
    network = network or Network.from_environment()
    return _fetch_once(card, weights, urls, network, progress)


def _addresses(weights: Weights, *, offline: bool) -> list[str]:
    """Return where to ask, the user's mirror first; offline only files are left."""
    urls = list(weights.urls)
    mirror = os.environ.get("MEDENH_WEIGHTS_URL", "").strip()
    if mirror:
        if urlsplit(mirror).scheme not in ("http", "https", "file"):
            raise UsageError(
                f"MEDENH_WEIGHTS_URL={mirror!r} is no address",
                hint="it starts with https:, http: or file:",
            )
        urls.insert(0, f"{mirror.rstrip('/')}/{quote(weights.file)}")
    if offline:
        return [url for url in urls if urlsplit(url).scheme == "file"]
    return urls


def _unreachable(card: ModelCard, *, offline: bool) -> WeightsError:
    hint = (
        f"on a machine with network: `medenh models export {card.id} {card.id}.zip`; "
        f"here: `medenh models import {card.id}.zip`"
    )
    if offline:
        why = "are not on this machine, and the network is switched off"
    else:
        why = "are not on this machine, and its card names no address"
    return WeightsError(f"weights of {card.id} {why}", hint=hint)


def _fetch_once(
    card: ModelCard,
    weights: Weights,
    urls: list[str],
    network: Network,
    progress: Progress | None,
) -> Path:
    """Download under a lock, unless another process did while we waited for it."""
    import filelock

    folder = writable_cache() / "weights"
    target = folder / cached_name(weights)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f".{target.name}.lock"):
            if is_intact(target, weights):
                return target
            target.unlink(missing_ok=True)
            _fetch(card, weights, urls, target, network, progress)
    except OSError as error:
        raise WeightsError(
            f"weights of {card.id} cannot be stored: {error.strerror or error}",
            path=folder,
            hint="set MEDENH_CACHE to a folder with room",
        ) from error
    if not is_intact(target, weights):
        raise WeightsError(f"weights of {card.id} changed while stored", path=target)
    return target


def _fetch(
    card: ModelCard,
    weights: Weights,
    urls: list[str],
    target: Path,
    network: Network,
    progress: Progress | None,
) -> None:
    """Go through the addresses until one gives the right file."""
    part = target.with_name(f".{target.name}.part")
    downloader = Downloader(part, weights.size_bytes, network, progress)
    problems: dict[str, str] = {}
    hopeless: set[str] = set()
    for round_index in range(network.rounds):
        if round_index:
            time.sleep(network.pause_s * 2 ** (round_index - 1))
        for url in urls:
            if url in hopeless:
                continue
            try:
                _transfer(url, weights, target, downloader)
            except TransferError as error:
                problems[url] = str(error)
                if error.lasting:
                    hopeless.add(url)
                _log.info("%s: %s", _host(url), error)
            else:
                sync(target.parent)
                return
        if len(hopeless) == len(set(urls)):
            break
    told = "; ".join(f"{_host(url)}: {problems[url]}" for url in urls)
    raise WeightsError(
        f"weights of {card.id} could not be fetched: {told}",
        hint=_unreachable(card, offline=False).hint,
    )


def _host(url: str) -> str:
    """Return who was asked; an address may carry a password, a host name not."""
    return urlsplit(url).hostname or url


def _transfer(url: str, weights: Weights, target: Path, downloader: Downloader) -> None:
    """Fetch from one address; a resumed file that turns out wrong is fetched anew."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    while True:
        resumed = downloader.held() > 0
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{weights.sha256}",
                fname=target.name,
                path=target.parent,
                downloader=downloader,
            )
        except ValueError as error:
            if resumed:
                continue
            raise TransferError(
                "what arrived does not match its hash", lasting=True
            ) from error
        return
