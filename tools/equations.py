"""Looks whether the Book's displayed equations fit beside their numbers, in a window of 1280 pixels.

    python tools/equations.py _build/html

Each page is opened in Chromium, if there is one, and those equations are named that are wider than their place: a reader would
have to scroll them, and would not see that they go on. Without Chromium nothing is measured.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WINDOW = "1280,2000"
# Left in the page once MathJax is done: how many equations there are, and the text of those that are cut.
SCRIPT = """
<script>
window.addEventListener("load", () => MathJax.startup.promise.then(() => {
  const all = [...document.querySelectorAll("div.math mjx-container")];
  const cut = all.filter((x) => x.scrollWidth > x.clientWidth + 1).map((x) => x.textContent.slice(0, 60));
  const found = document.createElement("script");
  found.type = "application/json";
  found.id = "equations";
  found.textContent = JSON.stringify({number: all.length, cut: cut});
  document.body.append(found);
}));
</script>
"""


def measured(browser: str, page: Path) -> tuple[int, list[str]]:
    """The number of displayed equations of a page, and the beginnings of those that are cut."""
    copy = page.with_name(f"{page.stem}-measured.html")
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", SCRIPT + "</head>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={WINDOW}", "--virtual-time-budget=30000"]
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *options, f"--user-data-dir={profile}", "--dump-dom", copy.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    copy.unlink()
    found = re.search(r'id="equations">(.*?)</script>', done.stdout)
    if found is None:
        raise RuntimeError(f"{page}: the equations were not set within half a minute")
    return int(json.loads(found[1])["number"]), list(json.loads(found[1])["cut"])


def main(arguments: list[str]) -> int:
    """Command line; returns the exit status."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("not measured: there is no Chromium")
        return 0
    pages = [
        page
        for page in sorted(Path(arguments[0]).resolve().rglob("*.html"))
        if 'class="math' in page.read_text(encoding="utf-8")
    ]
    total, cut = 0, 0
    for page in pages:
        number, wide = measured(browser, page)
        total, cut = total + number, cut + len(wide)
        for text in wide:
            print(f"{page.stem}: wider than the text: {text}")
    print(f"{total} equations on {len(pages)} pages, {cut} of them cut")
    return int(cut > 0 or total == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
