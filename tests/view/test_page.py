"""The page in a real browser: from the server and from the disk."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from fakes.watching import BITS, make_run, write_attempts
from vla_eval.view.export import export_page
from vla_eval.view.films import FilmStyle
from vla_eval.view.live import LiveRuns
from vla_eval.view.server import Viewer, ViewerServer
from vla_eval.view.studio import Studio

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the extra 'browser'")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.long,  # a browser starts
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
AXE = (Path(__file__).parent / "axe.min.js").read_text()
FIRST = "fake/Point/i0/e0/p0"
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"></script><script>document.title='owned'</script>"
)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    """Return a page that fails the test if it complains, or reaches out of its own place."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request",
        lambda request: (
            complaints.append(request.url)
            if not request.url.startswith(("http://127.0.0.1:", "file:", "data:"))
            else None
        ),
    )
    yield page
    context.close()
    assert complaints == []


def serve(run):
    """Return a server in a thread of its own, and what ends it."""
    studio = Studio(workers=1, style=FilmStyle())
    server = ViewerServer(Viewer(LiveRuns([run], FilmStyle()), studio))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def end():
        server.shutdown()
        thread.join()
        server.server_close()

    return server, end


@pytest.fixture(scope="module")
def url(painted_once):
    server, end = serve(painted_once)
    yield server.url
    end()


def open_episode(page, url, **view):
    words = "&".join(f"{name}={value}" for name, value in {"key": FIRST, **view}.items())
    page.goto(f"{url}#{words}")
    page.wait_for_selector(".plots .row")
    page.wait_for_function(
        "() => [...document.querySelectorAll('video')].every((video) => video.readyState >= 2 && !video.seeking)"
    )


READ = """() => [...document.querySelectorAll('video')].map((video) => {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.drawImage(video, 0, 0);
  let number = 0;
  for (let bit = 0; bit < BITS; bit++)
    if (pen.getImageData(24 * bit + 12, 20, 1, 1).data[0] > 127) number |= 1 << bit;
  return number;
})""".replace("BITS", str(BITS))
SEEK = """(step) => { page.players.seek(step); return new Promise((done) => {
  const look = () => [...document.querySelectorAll('video')].some((video) => video.seeking) ? requestAnimationFrame(look)
    : requestAnimationFrame(() => requestAnimationFrame(done));
  requestAnimationFrame(look); }); }"""


def test_both_videos_show_the_same_step(page, url):
    """The frames' numbers, read from the pixels at 20 steps in any order; the shorter one stays on its last."""
    open_episode(page, url)
    for step in (0, 1, 2, 39, 40, 7, 8, 24, 25, 26, 13, 14, 30, 29, 28, 3, 36, 17, 5, 33):
        page.evaluate(SEEK, step)
        assert page.evaluate(READ) == [step, min(step, 25)]
        assert page.locator(".controls output").inner_text().startswith(f"step {step} / 40")


def test_both_videos_play_together(page, url):
    """After some frames of playing they are at most one frame apart; at the end they stop."""
    open_episode(page, url)
    page.keyboard.press("Space")
    page.wait_for_function("() => page.players.step >= 8")
    one, other = page.evaluate(READ)
    assert one >= 6
    assert abs(one - other) <= 1
    page.select_option(".controls select >> nth=0", "4")
    page.wait_for_function("() => !page.players.playing")
    page.evaluate(SEEK, 40)
    assert page.evaluate(READ) == [40, 25]


def test_the_exported_page_opens_from_the_disk(page, painted_once, tmp_path):
    """List, thumbnails, plots and videos work without a server; videos seek to the middle of a frame."""
    export_page(LiveRuns([painted_once], FilmStyle()), tmp_path / "seen")
    address = (tmp_path / "seen" / "index.html").as_uri()
    page.goto(address)
    page.wait_for_selector(".card img")
    assert page.locator(".card").count() == 8
    assert page.evaluate("() => document.querySelector('.card img').naturalWidth") > 0
    open_episode(page, address, step=12)
    assert page.locator(".differ").inner_text() == "Actions first differ at step 10"
    times = page.evaluate(
        "() => [...document.querySelectorAll('video')].map((video) => video.currentTime)"
    )
    assert times == pytest.approx([1.25, 1.25])


def test_cells_and_filters_choose_the_episodes(page, url):
    """The table counts the pairs; a cell, an outcome, a score and a flag each leave their episodes."""
    page.goto(url)
    cells = {
        cell: page.locator(f"[data-cell='{cell}'] b").inner_text()
        for cell in ("11", "10", "01", "00")
    }
    assert cells == {"11": "5", "10": "0", "01": "2", "00": "1"}
    page.click("[data-cell='01']")
    page.wait_for_selector("[data-cell='01'][aria-pressed=true]")
    assert page.locator(".card").count() == 2
    assert page.locator(".count").inner_text() == "2 of 8 episodes; the filters hide 6"
    page.click("text=show all")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 8")
    for label, value, count in (
        ("arm", "student", 8),
        ("score", "partial", 3),
        ("only where", "clipped", 3),
        ("outcome", "success", 0),
    ):
        page.locator(f".choice:has(span:text-is('{label}')) select").select_option(value)
        page.wait_for_function(f"() => document.querySelectorAll('.card').length === {count}")


def test_the_keyboard_does_everything(page, url):
    """A cell, the first episode, steps, chunks, the next episode, help, and back."""
    page.goto(url)
    page.wait_for_selector(".card")
    page.keyboard.press("3")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 2")
    page.keyboard.press("j")
    page.wait_for_selector(".plots .row")
    for key, step in (
        ("ArrowRight", 1),
        ("Shift+ArrowRight", 8),
        ("Shift+ArrowRight", 16),
        ("ArrowLeft", 15),
        ("End", 40),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert page.evaluate("() => page.players.step") == step
    page.keyboard.press("d")
    assert page.locator("canvas").is_visible()
    page.keyboard.press("c")
    assert "camera=left" in page.url
    page.keyboard.press("j")
    page.wait_for_function("() => view.key.includes('/i6/')")
    page.wait_for_function("() => page?.episode.state === 6")
    page.keyboard.press("?")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_selector(".card")
    assert "cell=01" in page.url


def test_an_address_leads_to_its_step(page, url):
    """A link of a report or a colleague opens the same view; an unknown episode is a sentence."""
    open_episode(page, url, step=17, camera="right")
    assert page.evaluate(READ) == [17, 17]
    assert page.locator("select").last.input_value() == "right"
    page.goto(f"{url}#key=no/such/i0/e0/p0")
    assert "no episode no/such/i0/e0/p0" in page.get_by_role("alert").inner_text()


def test_texts_of_a_run_are_texts(page, protocol, tmp_path):
    """Markup in an instruction, a subgoal, a reason of failure or a traceback is shown, never run."""
    error = {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE}
    told = {
        "steps": 20,
        "instruction": HOSTILE,
        "subgoals": {HOSTILE: True},
        "counts": {HOSTILE: 3},
        "error": error,
    }
    hostile = make_run(tmp_path / "run", protocol, {"a": lambda _: told, "b": lambda _: told})
    server, end = serve(hostile)
    try:
        page.goto(server.url)
        page.wait_for_selector(".card")
        page.goto(f"{server.url}#key={FIRST}")
        page.wait_for_selector(".plots .row")
        assert page.locator("h1").inner_text() == HOSTILE
        assert page.locator("img, main script").count() == 0
        assert "owned" not in page.title()
    finally:
        end()


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, url, width, scheme):
    """Names, roles, contrast and focus, on both pages; and nothing is wider than the screen."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    for go in (lambda: page.goto(url), lambda: open_episode(page, url)):
        go()
        page.wait_for_selector("h1")
        page.evaluate(AXE)
        found = page.evaluate("() => axe.run().then((result) => result.violations)")
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_a_growing_run_is_followed(page, protocol, tmp_path):
    """New results appear by themselves, with how much is done."""
    path = make_run(tmp_path / "run", protocol, {})
    header = json.loads((path / "run.json").read_text())
    header |= {"status": "started", "arms": [{"name": "policy", "spec": "hold"}]}
    (path / "run.json").write_text(json.dumps(header))
    write_attempts(path, protocol, "policy", lambda _: {"steps": 9}, episodes=slice(0, 3))
    server, end = serve(path)
    try:
        page.goto(server.url)
        page.wait_for_selector("text=3 of 8 episodes, 0 errors, remaining time 5 s")
        write_attempts(path, protocol, "policy", lambda _: {"steps": 9}, episodes=slice(3, 8))
        page.wait_for_selector("text=8/8")
        page.wait_for_function("() => document.querySelectorAll('.card').length === 8")
    finally:
        end()
