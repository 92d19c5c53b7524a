// A phone and a desk: fresh Chromium profiles, a virtual passkey, accessibility checks and screenshots.
import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
export const SHOTS = process.env.TEGATA_SHOTS ?? join(dirname(fileURLToPath(import.meta.url)), 'screenshots')
const PHONE = { width: 390, height: 844 }

// `watch`: on the screen, and slowly enough for people to follow.
export async function launch({ watch = false } = {}) {
  await mkdir(SHOTS, { recursive: true })
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    ...(watch ? { headless: false, slowMo: 300 } : {}),
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-quic',
    ],
  })
}

// A fresh profile with a page in it. `faults` collects what must never happen: errors, policy violations, foreign hosts.
export async function freshProfile(browser, { passkey, locale = 'ja-JP' } = {}) {
  const context = await browser.newContext({ viewport: PHONE, locale, timezoneId: 'Asia/Tokyo', acceptDownloads: true })
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  const faults = []
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) faults.push(`console: ${message.text()}`)
  })
  page.on('request', (request) => {
    const { protocol, hostname } = new URL(request.url())
    const own = hostname === '127.0.0.1' || hostname === 'localhost' || hostname.endsWith('.localhost')
    if (!own && protocol !== 'data:' && protocol !== 'blob:') faults.push(`request to ${request.url()}`)
  })
  if (passkey) {
    const devtools = await context.newCDPSession(page)
    await devtools.send('WebAuthn.enable')
    await devtools.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        ctap2Version: 'ctap2_1',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
        hasPrf: true,
      },
    })
  }
  return { context, page, faults }
}

// Goes to a page of the wallet by its fragment, as a scanned link does, without loading the wallet anew.
export async function follow(page, link) {
  await page.evaluate((hash) => {
    location.hash = hash
  }, new URL(link).hash)
}

// Checks what stands on the page for people with a screen reader, a keyboard or weak eyes (WCAG 2.2 AA).
export async function accessible(page, name) {
  await page.evaluate(axeSource)
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  )
  const faults = found.violations.map((fault) => `${fault.id}: ${fault.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`)
  assert.deepEqual(faults, [], `accessibility of ${name}`)
  const small = await page.evaluate(() =>
    [...document.querySelectorAll('a, button, input:not(.hidden-visually), select, textarea, summary, label.check')]
      .filter((element) => !element.closest('label.check') || element.matches('label.check'))
      .map((element) => ({ html: element.outerHTML.slice(0, 120), box: element.getBoundingClientRect() }))
      .filter(({ html, box }) => box.height > 0 && box.height < 47.5 && !html.includes('class="skip'))
      .map(({ html, box }) => `${Math.round(box.height)} px: ${html}`),
  )
  assert.deepEqual(small, [], `targets of ${name} are at least 48 px high`)
}

// The whole page at phone and desk width, looked at (`look`) at both before the picture is taken.
export async function picture(page, name, look = async () => {}) {
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: width === 390 ? PHONE.height : 900 })
    const height = await page.evaluate(() => document.documentElement.scrollHeight)
    await page.setViewportSize({ width, height: Math.max(height, width === 390 ? PHONE.height : 900) })
    await look(`${name} at ${width} px`)
    await page.screenshot({ path: join(SHOTS, `${name}-${width}.png`) })
  }
  await page.setViewportSize(PHONE)
}

// The same, with an accessibility check at both widths.
export function show(page, name) {
  return picture(page, name, async (what) => {
    await accessible(page, what)
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth)
    assert.equal(overflow, false, `${what} scrolls sideways`)
  })
}
