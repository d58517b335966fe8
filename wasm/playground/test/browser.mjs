// Pages of headless Chromium on a gateway's playground. Whatever a page complains about fails its test.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export const WAIT_MS = 20_000;

export async function launch() {
  const executablePath = process.env.CHROMIUM;
  assert.ok(executablePath, "set CHROMIUM to the program of Chromium or Chrome; `cargo xtask test` does so");
  // Chromium refuses its sandbox to root, which is what containers run as.
  const args = ["--disable-dev-shm-usage", ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])];
  return chromium.launch({ executablePath, args });
}

/** Opens the playground at `admin`, hands it to `use`, and fails if it said or asked for anything that it should not. */
export async function withPage(browser, admin, use, { hash = "", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(WAIT_MS);
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(`http://${admin}/`)) complaints.push(`asks for ${request.url()}`);
    });
    await page.goto(`http://${admin}/playground/${hash}`);
    await page.waitForFunction(() => document.querySelector(".verdict-word:not(.waiting)") !== null);
    await use(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

export const word = (page) => page.locator(".verdict-word").innerText();

/** Waits until the verdict's large word is this. */
export async function verdictIs(page, expected) {
  await page.waitForFunction((expected) => document.querySelector(".verdict-word")?.textContent === expected, expected);
}

export async function openFile(page, name) {
  await page.locator(`.tab[data-file="${name}"]`).click();
}

/** Replaces the text of the file that is shown. */
export async function write(page, text) {
  const content = page.locator("#editor .cm-content");
  await content.click();
  await page.keyboard.press("ControlOrMeta+a");
  // As a paste: Chromium types long texts line by line.
  await content.evaluate((element, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

/** Puts the cursor behind the first place of `text`, which one line holds. */
export async function cursorBehind(page, text) {
  const line = page.locator("#editor .cm-line", { hasText: text }).first();
  await line.click();
  await page.keyboard.press("End");
  const behind = (await line.innerText()).split(text).slice(1).join(text).length;
  for (let step = 0; step < behind; step += 1) await page.keyboard.press("ArrowLeft");
}
