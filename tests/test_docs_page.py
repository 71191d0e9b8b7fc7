"""The documentation page in a real browser: a developer authorises, publishes a lot, reads it."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from tests.conftest import Service, make_key
from tests.world import System, done, fresh

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"
)
# The page is a large one, and the machine may have other work.
expect.set_options(timeout=30_000)
_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PHONE = {"width": 375, "height": 740}


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser for this file's tests."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=_OPTIONS)
        yield browser
        await browser.close()


@dataclass
class Visit:
    """A page that is open, and what went on behind it."""

    page: Page
    origin: str
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda said: (
                self.complaints.append(said.text) if said.type in ("error", "warning") else None
            ),
        )
        await self.page.goto(self.origin + path)

    def hold(self) -> None:
        """Nothing left the service's own origin, and nothing was complained about."""
        elsewhere = [
            url
            for url in self.requested
            if urlsplit(url).scheme not in ("data", "blob") and not url.startswith(self.origin)
        ]
        assert elsewhere == []
        assert len(self.requested) > 3
        assert self.complaints == []


@pytest_asyncio.fixture
async def visit(browser: Browser, service: Service) -> AsyncIterator[Visit]:
    """A visitor with an empty browser, who must find nothing amiss."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    visit = Visit(await context.new_page(), service.url)
    yield visit
    await context.close()
    visit.hold()


async def _authorise(page: Page, key: str) -> None:
    await page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    await dialog.locator("input").fill(key)
    await dialog.get_by_role("button", name="Apply credentials").click()
    await dialog.get_by_role("button", name="Close").click()


async def _unfolded(page: Page, operation: str) -> Locator:
    block = page.locator(f"[id$='-{operation}'].opblock")
    await block.locator(".opblock-summary-control").click()
    await expect(block.locator(".execute")).to_be_visible()
    return block


async def _executed(block: Locator) -> tuple[int, dict[str, object]]:
    async with block.page.expect_response(lambda r: "/v1/" in r.url) as answered:
        await block.locator(".execute").click()
    status = (await answered.value).status
    live = block.locator(".live-responses-table")
    # Until then the page may show the answer before this one.
    shown = live.locator(".response-col_status").last
    await expect(shown).to_have_text(re.compile(rf"^\s*{status}"))
    body = await live.locator(".response .highlight-code code").first.inner_text()
    return status, json.loads(body)


async def test_a_developer_authorises_publishes_a_lot_and_reads_it_back(
    visit: Visit, service: Service, aze: System
) -> None:
    page = visit.page
    await visit.open("/docs")
    await expect(page.get_by_role("heading", name="Kömek")).to_be_visible()
    block = await _unfolded(page, "get_me")
    status, problem = await _executed(block)
    assert (status, problem["code"]) == (401, "unauthenticated")
    visit.complaints.clear()  # the browser itself tells of every 401
    await _authorise(page, await make_key(service, "AZE"))
    status, me = await _executed(block)
    assert (status, me["society"]) == (200, "AZE")
    status, _ = await _executed(await _unfolded(page, "publish_site"))
    assert status in (200, 201)
    ref = fresh("from-the-page")
    block = await _unfolded(page, "publish_lot")
    await block.locator("tr[data-param-name='ref'] input").fill(ref)
    status, lot = await _executed(block)
    assert (status, lot["ref"], lot["available"]) == (201, ref, 1800)
    block = await _unfolded(page, "get_own_lot")
    await block.locator("tr[data-param-name='ref'] input").fill(ref)
    status, again = await _executed(block)
    assert (status, again) == (200, lot)
    assert done(await aze.get(f"/v1/my/stock/{ref}")) == lot


async def test_the_page_can_be_read_on_a_phone(visit: Visit) -> None:
    await visit.page.set_viewport_size(_PHONE)  # type: ignore[arg-type]
    await visit.open("/docs")
    await expect(visit.page.locator(".opblock").first).to_be_visible()
    await _unfolded(visit.page, "publish_lot")
    wide = await visit.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= _PHONE["width"], "nothing is cut off or must be scrolled to"


async def test_a_problem_has_a_page_for_people(visit: Visit) -> None:
    await visit.open("/problems/wrong_state")
    await expect(visit.page.get_by_role("heading", level=1)).to_have_text(
        "The present state does not allow this"
    )
    await visit.page.get_by_role("link", name="API").click()
    await expect(visit.page.locator(".opblock").first).to_be_visible()
