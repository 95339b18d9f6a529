/** Chromium for the tests, and what must never happen in it. */
import { chromium } from 'playwright-core';

const { CHROMIUM = '/usr/bin/chromium' } = process.env;

export const launch = () =>
  chromium.launch({
    executablePath: CHROMIUM, headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });

/** A page of its own; what it complains of is collected, a refused connection is not a complaint. */
export async function open(browser, { width = 1440, height = 900, scheme = 'light', ...rest } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale: 'en-US', timezoneId: 'Europe/Zagreb', ...rest });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`));
  page.on('console', (message) => {
    const text = message.text();
    if (['error', 'warning'].includes(message.type()) && !/net::ERR_|status of (401|503)/.test(text)) complaints.push(text);
  });
  return { page, context, complaints };
}

/** Waits for a state, never for a time. */
export async function until(what, check, patience = 15_000) {
  const end = Date.now() + patience;
  let last = '';
  for (;;) {
    try {
      if (await check()) return;
    } catch (error) {
      last = `: ${error.message}`;
    }
    if (Date.now() > end) throw new Error(`${what} took longer than ${patience} ms${last}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
