"""Opens NVML and finds the cards to read, on the sampler's thread: a driver may take its time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from hookloop_monitor.cards import Card, find_cards
from hookloop_monitor.gpu import CardReader, GpuReader
from hookloop_monitor.metrics import METRICS, processes
from hookloop_monitor.notices import Notices
from hookloop_monitor.nvml import NoNvmlError, close_nvml, complaint_about_module, open_nvml
from hookloop_monitor.visible import Choice, Place


def open_gpus(
    choice: Choice,
    place: Place,
    environ: Mapping[str, str],
    notices: Notices,
    *,
    pids: Callable[[], Collection[int]] | None = None,
    found: Callable[[Sequence[Card]], None] = lambda cards: None,
) -> GpuReader | None:
    """Return the reader of the cards, or None when there is none to read, which is said once.

    *pids* gives the processes whose use of the cards is read as well. *found* is called with the cards.
    """
    try:
        nvml = open_nvml()
    except NoNvmlError as error:
        # Without a card to train on, nobody misses the readings.
        level = logging.INFO if place.device_index is None else logging.WARNING
        notices.say(f"no GPU is read: {error}", level=level)
        return None
    try:
        if (complaint := complaint_about_module(nvml)) is not None:
            notices.say(complaint)
        cards = find_cards(nvml, choice, place, environ, notices)
    except Exception:
        close_nvml(nvml)
        raise
    found(cards)
    metrics = METRICS if pids is None else (*METRICS, processes(pids))
    return GpuReader(nvml, [CardReader(nvml, card, metrics, notices) for card in cards])
