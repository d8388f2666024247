"""TensorBoard itself, in a browser, shows what the plugin wrote."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hookloop import hookimpl

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 120
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    pytest.mark.timeout(4 * SECONDS),
]


class Talk:
    @hookimpl
    def on_epoch_end(self, run):
        run.log_text("notes", f"The **end** of epoch {run.epoch}.")


@pytest.fixture
def runs(tiny_run, tmp_path):
    """A directory of runs, with one in it."""
    plugins = [("tensorboard", {"graph": True}), ("parameters", {"every": "1 epoch"}), Talk()]
    optimizer = ("sgd", {"lr": 0.1})
    tiny_run(plugins, epochs=4, steps=5, run_dir=tmp_path / "runs" / "tiny", loss="cross_entropy", optimizer=optimizer)
    return tmp_path / "runs"


@pytest.fixture
def address(runs, tmp_path):
    """The address of a TensorBoard of these runs, which has read them."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", runs, "--port", "0", "--host", "127.0.0.1"]
    log = tmp_path / "tensorboard.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    try:
        yield wait_until(lambda: serving(log, process))
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait_until(answer):
    """Return what *answer* returns as soon as that is something."""
    deadline = time.monotonic() + SECONDS
    while not (found := answer()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def serving(log, process):
    """Return the address that TensorBoard says it has, once it knows a run."""
    assert process.poll() is None, log.read_text()
    found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
    if found is None:
        return None
    try:
        with urllib.request.urlopen(f"{found[0]}data/runs", timeout=10) as answer:
            return found[0] if b"tensorboard" in answer.read() else None
    except urllib.error.URLError:
        return None


def test_the_pages_show_what_was_written(address, tmp_path):
    picture = Path(os.environ.get("HOOKLOOP_SCREENSHOT", tmp_path / "tensorboard.png"))
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.set_default_timeout(1000 * SECONDS)

        page.goto(f"{address}?darkMode=false&tagFilter=loss|lr|progress#timeseries")
        for name in ("train/loss", "val/loss", "lr/sgd", "progress/epoch"):
            page.get_by_text(name, exact=True).first.wait_for()
        lines = page.locator("scalar-card line-chart svg path, scalar-card line-chart canvas")
        lines.nth(1).wait_for(state="attached")
        page.wait_for_timeout(3000)  # lines are drawn with some delay
        page.screenshot(path=picture)

        page.goto(f"{address}#hparams")
        page.reload()
        page.get_by_text("optimizer.lr").first.wait_for()
        page.screenshot(path=picture.with_name(f"{picture.stem}-hparams.png"))
        page.goto(f"{address}#text")
        page.reload()
        page.get_by_text("strict_resume = true").first.wait_for()
        page.goto(f"{address}#graphs")
        page.reload()
        page.locator("g.node").first.wait_for(state="attached")
        page.screenshot(path=picture.with_name(f"{picture.stem}-graph.png"))
        browser.close()
