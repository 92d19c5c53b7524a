// The issuer's own page, on which a person with somebody else's wallet types the counter's pairing code.
import { createHash, randomBytes } from 'node:crypto'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freshProfile, launch, show } from './browser.mjs'
import { immunization, startDemo, systems } from './demo.mjs'

test('a person answers the page of the issuer', { timeout: 300_000 }, async () => {
  const { demo, stop } = await startDemo()
  const browser = await launch()
  try {
    const clinic = systems(demo, 'clinic-issuer')
    const subject = `P-${randomBytes(4).toString('hex')}`
    await clinic.post('/fhir/Immunization', immunization(subject, 0))
    const { code } = await clinic.post('/v1/pairings', { subject })
    const issuer = demo.services['clinic-issuer'].url
    const verifier = randomBytes(32).toString('base64url')
    const back = `${demo.wallet}/openid4vci`
    const pushed = await fetch(`${issuer}/openid4vci/par`, {
      method: 'POST',
      body: new URLSearchParams({
        response_type: 'code', client_id: demo.wallet, redirect_uri: back, scope: 'vaccination', state: 's-1',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
      }),
    })
    const { request_uri } = await pushed.json()

    const { page, faults } = await freshProfile(browser)
    await page.goto(`${issuer}/openid4vci/authorize?${new URLSearchParams({ client_id: demo.wallet, request_uri })}`)
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'ja')
    await show(page, '21-issuer-page')
    // By keyboard alone.
    await page.getByLabel('窓口でお渡しした番号').focus()
    await page.keyboard.type('0000-0000-0000-0000')
    await page.keyboard.press('Enter')
    await page.getByRole('alert').waitFor()
    await show(page, '22-issuer-page-wrong')
    await page.getByLabel('窓口でお渡しした番号').focus()
    await page.keyboard.type(code.toLowerCase())
    await page.keyboard.press('Tab')
    const arrived = page.waitForRequest((request) => request.url().startsWith(`${back}?`)) // at the other wallet
    await page.keyboard.press('Enter')
    const answer = new URL((await arrived).url()).searchParams
    assert.deepEqual([answer.get('state'), answer.get('iss')], ['s-1', issuer])
    const token = await fetch(`${issuer}/openid4vci/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'authorization_code', code: answer.get('code'), client_id: demo.wallet, redirect_uri: back,
        code_verifier: verifier,
      }),
    })
    assert.equal(token.status, 200)
    assert.deepEqual(faults, [])
  } finally {
    await browser.close()
    await stop()
  }
})
