"""The reference of the API in a real browser: axe finds nothing, in light and dark colours."""

import asyncio
import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import axe_core_python
import pytest

from tests.serve_app.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = Path(axe_core_python.__file__).with_name("axe.min.js")
DARK, NEVER = "@media (prefers-color-scheme: dark)", "@media not all"
# The whole page by all rules of WCAG 2.1 A and AA and by axe's own, except contrast. Contrast costs
# most of the time, so it is tested, in both colours and as for AAA, on a part that has each kind of
# element.
RUN = """
const contrast = {
  runOnly: ["color-contrast", "color-contrast-enhanced"],
  rules: {"color-contrast-enhanced": {enabled: true}},
};
async function run() {
  const whole = await axe.run(document, {rules: {"color-contrast": {enabled: false}}});
  const parts = {include: [["nav"], ["section[aria-labelledby=usage]"]]};
  const part = document.querySelector("nav") ? parts : document;
  const light = await axe.run(part, contrast);
  const style = document.querySelector("style");
  style.textContent = style.textContent.replace("@media not all", "@media all");
  const dark = await axe.run(part, contrast);
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({
    passes: [whole, light, dark].map(one => one.passes.length),
    background: getComputedStyle(document.body).backgroundColor,
    faults: [whole, light, dark].flatMap(one => one.violations).map(
      one => [one.id, one.help, one.nodes.slice(0, 3).map(node => node.html)]),
  });
  document.body.append(told);
}
run();
"""


async def told_by_axe(html: str, folder: Path) -> dict[str, Any]:
    """Open a page with axe in a narrow window, without the policy against scripts."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("THE PAGES ARE NOT TESTED IN A BROWSER: install Debian's chromium")
    file = folder / "page.html"
    file.write_text(f"{html}<script>{AXE.read_text()}</script><script>{RUN}</script>")
    run = await asyncio.create_subprocess_exec(
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={folder / 'profile'}", "--window-size=500,900"),
        *("--virtual-time-budget=60000", "--dump-dom", file.as_uri()),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    dom = (await run.communicate())[0].decode()
    told = re.search(r'<pre id="told">(.*?)</pre>', dom, re.DOTALL)
    assert told is not None, dom[-2000:]
    found: dict[str, Any] = json.loads(unescape(told[1]))
    return found


async def with_style(site: Site, path: str) -> str:
    html = (await site.client.get(path)).text
    (sheet,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', html)
    style = (await site.client.get(sheet)).text
    assert style.count(DARK) == 1
    style = f"<style>{style.replace(DARK, NEVER)}</style>"
    return html.replace(f'<link rel="stylesheet" href="{sheet}">', style)


async def test_axe_finds_nothing_on_the_reference(site: Site, tmp_path: Path) -> None:
    html = await with_style(site, "/docs")
    found = await told_by_axe(html, tmp_path)
    assert found["faults"] == []
    assert found["passes"][0] > 20
    assert found["passes"][1:] == [2, 2]
    assert found["background"] == "rgb(22, 22, 22)", "the second run is in dark colours"


async def test_axe_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = '<html><style>p { color: #aaa; background: #fff }</style><p>pale</p><img src="x.png">'
    found = await told_by_axe(wrong, tmp_path)
    assert {"color-contrast", "html-has-lang", "image-alt"} <= {one[0] for one in found["faults"]}


async def test_the_reference_has_every_operation_and_no_script(site: Site) -> None:
    answer = await site.client.get("/docs")
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "<script" not in answer.text
    ids = re.findall(r'id="([^"]+)"', answer.text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', answer.text)) <= set(ids)
    for path, operations in site.app.openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation["operationId"] in ids
            assert f"<b>{method.upper()}</b> <code>{path}</code>" in answer.text
