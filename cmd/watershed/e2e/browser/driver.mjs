// Drives Chromium for package browser: a JSON command a line on stdin, a JSON answer a line on stdout. Ends when stdin ends.
//
// usage: node driver.mjs FOLDER CHROMIUM SCRIPT [FLAG]...   FOLDER has playwright-core in its node_modules; SCRIPT runs first in every document
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

const [folder, executablePath, path, ...flags] = process.argv.slice(2)
const { chromium } = createRequire(join(folder, 'package.json'))('playwright-core')
const browser = await chromium.launch({
  executablePath,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required',
    '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', ...flags,
  ],
})

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n')
const pages = new Map()

const commands = {
  // Every page is a visitor of its own: empty cache, no cookies.
  async open({ id, options }) {
    const context = await browser.newContext(options ?? {})
    await context.addInitScript({ path })
    const page = await context.newPage()
    page.on('console', (m) => say({ page: id, console: `${m.type()}: ${m.text()}` }))
    page.on('pageerror', (e) => say({ page: id, console: `uncaught: ${e}` }))
    pages.set(id, page)
    return id
  },
  async close({ page }) {
    const context = pages.get(page).context()
    pages.delete(page)
    await context.close()
  },
  // The expression may be a promise, and the page may begin anew meanwhile. Playwright's own waitForFunction calls eval in the page, which the pages'
  // Content-Security-Policy forbids.
  async wait({ page, js, timeout }) {
    const holds = () => pages.get(page).evaluate(`(async () => Boolean(await (${js})))()`).catch((e) => {
      if (!/context was destroyed|navigation/.test(e.message)) throw e
    })
    for (const end = Date.now() + timeout; !(await holds()); await new Promise((f) => setTimeout(f, 20))) {
      if (Date.now() > end) throw new Error(`not within ${timeout / 1000} s`)
    }
  },
  // What comes down to a page is slowed to so many bits a second, its answers by so many ms; 0 ends it.
  async throttle({ page, bits, delay }) {
    const at = pages.get(page)
    at.cdp ??= await at.context().newCDPSession(at)
    await at.cdp.send('Network.emulateNetworkConditions', { offline: false, latency: delay, downloadThroughput: bits ? bits / 8 : -1, uploadThroughput: -1 })
  },
  call: ({ page, method, args }) => Promise.resolve(pages.get(page)[method](...args)).then((v) => (isPlain(v) ? v : null)),
}

const isPlain = (v) => v === null || ['string', 'number', 'boolean'].includes(typeof v) ||
  (typeof v === 'object' && [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(v)))

async function run(line) {
  const command = JSON.parse(line)
  try {
    say({ id: command.id, result: (await commands[command.op](command)) ?? null })
  } catch (e) {
    say({ id: command.id, error: String(e.message ?? e) })
  }
}

say({ ready: browser.version() })
createInterface({ input: process.stdin })
  .on('line', run)
  .on('close', async () => {
    setTimeout(() => process.exit(1), 5000) // a Chromium that hangs is killed by that
    await browser.close()
    process.exit(0)
  })
