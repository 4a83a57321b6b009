"""A page in headless Chromium, as a reader opens it; nothing outside the page can be reached."""

import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needed = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

LOOK = """<script>
const box = e => { const b = e.getBoundingClientRect(); return {width: b.width, height: b.height, left: b.left, right: b.right}; };
addEventListener("load", () => {
  const found = {
    figures: [...document.querySelectorAll("svg")].map(s => ({...box(s), marks: [...s.querySelectorAll("path, use")].filter(p => { const b = p.getBoundingClientRect(); return b.width + b.height > 0; }).length})),
    images: [...document.querySelectorAll("img")].map(i => i.naturalWidth),
    captions: [...document.querySelectorAll("figcaption, .caption")].map(c => c.textContent),
    tables: [...document.querySelectorAll("table")].map(t => ({...box(t), room: t.parentElement.clientWidth})),
    requests: performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
    width: document.documentElement.scrollWidth, window: innerWidth, background: getComputedStyle(document.body).backgroundColor,
  };
  const pre = document.createElement("pre"); pre.id = "found"; pre.textContent = JSON.stringify(found); document.body.append(pre);
});
</script>"""


def opened(report, folder, width=1100):
    """What the browser sees of a report, and what it says on its console."""
    page = folder / f"looked-at-{width}.html"
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", f"{LOOK}</body>"), encoding="utf-8")
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},900", "--virtual-time-budget=5000",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S).group(1)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")), console


def check(report, folder, figures, width=1100):
    """Every figure is there and visible, the page is light and as wide as the window, nothing is asked for outside, the console is silent."""
    text = report.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#|data:)|@import|url\((?!["']?(?:#|data:))""", text)
    seen, console = opened(report, folder, width)
    assert console == [] and seen["requests"] == [] and all(seen["images"])
    assert len(seen["figures"]) == figures
    for figure in seen["figures"]:
        assert figure["width"] > 200 and figure["height"] > 120 and figure["marks"] > 20
        assert 0 <= figure["left"] and figure["right"] <= seen["window"]
    numbered = [caption for caption in seen["captions"] if caption.startswith("Figure")]
    assert [caption.split(".")[0] for caption in numbered] == [f"Figure {i + 1}" for i in range(figures)]
    assert seen["width"] <= seen["window"] and seen["background"] == "rgb(255, 255, 255)"
    return seen
