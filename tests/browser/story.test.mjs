// The story of a guardian in a real browser against the real system: first start, child, connecting, records, consent,
// readings, recovery on a wiped device, and the end of a consent.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test as node_test } from 'node:test'
import { accessible, follow, freshProfile, launch, show } from './browser.mjs'
import { overAsking, overAskingPresentation } from './over-asking.mjs'
import { checkupFiles, immunization, observation, startDemo, stopLedger, systems } from './demo.mjs'
import { addChild, agree, button, choosePassphrase, connect, heading, meet, readPresentation } from './wallet.mjs'

const DAY_MS = 86_400_000
const subject = `B-${Date.now()}`
let demo, dir, stop, browser, first, clinicIssuer, clinicVerifier, centre, insurer, municipality
let grantOfClinic, kitImage
const DRAWER = /\/v1\/vaults\/[0-9a-f]+\/drawers\/[0-9a-f]+$/
/** A drawer's first answer with records in it, by address. */
const earlier = new Map()

before(async () => {
  ;({ demo, dir, stop } = await startDemo())
  browser = await launch()
  first = await freshProfile(browser, { passkey: true })
  clinicIssuer = systems(demo, 'clinic-issuer')
  clinicVerifier = systems(demo, 'clinic-verifier')
  municipality = systems(demo, 'municipality-issuer')
  centre = systems(demo, 'test-centre-issuer')
  insurer = systems(demo, 'insurer-verifier')
})

after(async () => {
  await browser?.close()
  await stop?.()
})

// The story goes on only where it stands: after a broken step the rest is skipped.
let broken = false
function test(name, step) {
  node_test(name, async (context) => {
    if (broken) return context.skip('an earlier step is broken')
    broken = true
    await step()
    broken = false
  })
}

async function request(system, purpose, categories, reference) {
  const asked = await system.post('/v1/requests', {
    categories,
    purpose,
    legal_basis: 'consent',
    retention_days: 365,
    until_ms: Date.now() + 30 * DAY_MS,
    reference,
  })
  return asked.link
}

test('a guardian begins with a passkey', async () => {
  const { page } = first
  await page.goto(demo.wallet)
  await heading(page, 'てがた').waitFor()
  await show(page, '01-welcome')
  await page.getByRole('link', { name: 'はじめて使う' }).click()
  await button(page, /顔・指・暗証番号で/).waitFor()
  await show(page, '02-key')
  await button(page, /顔・指・暗証番号で/).click()
  await heading(page, 'お子さんを 登録する').waitFor()
})

test('a child is added, and nothing is there yet', async () => {
  const { page } = first
  await button(page, '登録する').click()
  await page.getByText('名前を 入れてください。').waitFor()
  await accessible(page, 'the mistakes of a form')
  await addChild(page, 'はるちゃん', '2023-01-12')
  await show(page, '03-child')
  await button(page, '登録する').click()
  await page.getByText('まだ 記録が ありません').waitFor()
  await show(page, '04-home-empty')
})

test('the wallet answers pairing codes of three counters', async () => {
  const { page } = first
  for (const [system, name] of [
    [clinicIssuer, 'みどり小児科クリニック'],
    [municipality, 'わかば市 子ども家庭課'],
    [centre, 'みなと検査センター'],
  ]) {
    const { link } = await system.post('/v1/pairings', { subject })
    await meet(page, link, name)
    if (system === clinicIssuer) await show(page, '05-connect')
    await connect(page)
    if (system === clinicIssuer) {
      await show(page, '06-connected')
      // A code counts once.
      await follow(page, `${demo.wallet}/#/connect`)
      await follow(page, link)
      await button(page, 'つながる').click()
      await page.getByText('もう 使われたか').waitFor()
    }
  }
  await follow(page, `${demo.wallet}/#/connect`)
  await page.getByText('わかば市 子ども家庭課').waitFor()
  await show(page, '07-connections')
})

test('records arrive, are opened in the browser and checked', async () => {
  const { page } = first
  for (const number of [0, 1]) await clinicIssuer.post('/fhir/Immunization', immunization(subject, number))
  await centre.post('/fhir/Observation', observation(subject, true, 0))
  const files = checkupFiles(subject)
  for (const { file, csv } of files) await municipality.post(`/v1/imports?file=${file}`, csv, 'text/csv')
  const deposited = (records, count) => records.length === count && records.every((record) => record.status === 'deposited')
  for (const [system, count] of [
    [clinicIssuer, 2],
    [centre, 1],
    [municipality, files.length],
  ]) {
    await system.until(`/v1/records?subject=${subject}`, (body) => deposited(body.records, count))
  }
  await follow(page, `${demo.wallet}/#/`)
  await heading(page, '記録').waitFor()
  page.on('response', async (answer) => {
    if (DRAWER.test(answer.url()) && answer.request().method() === 'GET' && !earlier.has(answer.url())) earlier.set(answer.url(), answer.body())
  })
  await button(page, '新しくする').click()
  await page.getByText('9件の記録が すべて そろっています').waitFor()
  await page.getByText('陽性').waitFor()
  await show(page, '08-home')
  await page.getByRole('link', { name: /新型コロナウイルス/ }).click()
  await page.getByText('正しい記録です').waitFor()
  assert.equal(await page.getByText('確認できません').count(), 0)
  await show(page, '09-record')
  await follow(page, `${demo.wallet}/#/`)
  await page.getByRole('link', { name: /3歳児健康診査/ }).click()
  await page.getByText('14,000 g').waitFor()
  await page.getByText('むし歯の数').waitFor()
  await show(page, '09-record-checkup')
})

test('a consent request is read, narrowed and allowed', async () => {
  const { page } = first
  await follow(page, await request(clinicVerifier, 'care', ['infant_checkup', 'vaccination'], subject))
  await page.getByText('この おねがいを してよいと みとめられています').waitFor()
  await page.getByText('診察・治療のため').waitFor()
  await show(page, '10-request')
  await button(page, 'へらす・みじかくする').click()
  await page.getByLabel('乳幼児健診').uncheck()
  await page.getByLabel('予防接種').uncheck()
  await page.getByText('見せるものを 1つは えらんでください').waitFor()
  assert.equal(await button(page, 'ゆるす').isDisabled(), true)
  await page.getByLabel('予防接種').check()
  await show(page, '11-narrowed')
  await button(page, 'ゆるす').click()
  await heading(page, 'ゆるしました').waitFor()
  await page.getByText('たしかに 記録されました（証明で確認ずみ）').waitFor()
  await show(page, '12-allowed')
  await page.getByRole('link', { name: 'くわしく 見る' }).click()
  grantOfClinic = new URL(page.url()).hash.split('/').at(-1)
  await page.getByText('まだ だれも 見ていません').waitFor()
})

test('a request can be declined, and then nothing is sent', async () => {
  const { page } = first
  const calls = []
  await follow(page, await request(clinicVerifier, 'care', ['vaccination'], subject))
  await button(page, 'やめる').waitFor()
  page.on('request', (sent) => sent.method() === 'POST' && calls.push(sent.url()))
  await button(page, 'やめる').click()
  await page.getByText('何も 送っていません').waitFor()
  assert.deepEqual(calls, [])
})

test('a request for more than they may ask is refused, and reported with one button', async () => {
  const { page } = first
  const { sign } = JSON.parse(await readFile(join(dir, 'insurer', 'keys.json'), 'utf8'))
  const organisation = demo.services['insurer-verifier'].organisation
  const request = overAsking({ chain: demo.chain, organisation, seed: sign, categories: ['vaccination'], purpose: 'payout' })
  const link = `${demo.wallet}/#/request?from=${organisation}&id=${'0'.repeat(32)}`
  await page.route('**/v1/requests/*', (route) =>
    route.fulfill({ body: request, contentType: 'application/cose', headers: { 'access-control-allow-origin': new URL(demo.wallet).origin } }),
  )
  await follow(page, link)
  await page.getByText('みとめられていません').waitFor()
  assert.equal(await button(page, 'ゆるす').count(), 0, 'it cannot be allowed')
  await show(page, '12-over-asking')
  await button(page, 'この おねがいを 知らせる').click()
  await page.getByText('知らせました').waitFor()
  // Somebody who was asked the same finds it reported already: that is as good.
  await follow(page, `${demo.wallet}/#/sharing`)
  await follow(page, link)
  await button(page, 'この おねがいを 知らせる').click()
  await page.getByText('知らせました').waitFor()
  await page.unroute('**/v1/requests/*')
})

test('the clinic reads what was allowed and the guardian sees it, complete by proof', async () => {
  const { page } = first
  await clinicVerifier.until('/v1/grants', (body) => JSON.stringify(body).includes(grantOfClinic))
  const reading = await clinicVerifier.post(`/v1/grants/${grantOfClinic}/readings`, {})
  assert.equal(reading.records.length, 2)
  for (const record of reading.records) {
    assert.equal(record.record_type, 'vaccination')
    assert.deepEqual(record.checks.filter((check) => !check.holds), [])
  }
  await follow(page, `${demo.wallet}/#/sharing`)
  await show(page, '13-sharing')
  await follow(page, `${demo.wallet}/#/sharing/${grantOfClinic}`)
  await page.getByText('見ました').waitFor()
  await page.getByText('2件の記録').waitFor()
  await page.getByText('この記録は そろっています（証明で確認ずみ）').waitFor()
  await show(page, '14-history')
})

const asking = (post) => ({
  dcql: {
    credentials: [
      {
        id: 'vaccination',
        format: 'dc+sd-jwt',
        meta: { vct_values: ['urn:tegata:record:vaccination:1'] },
        claims: [{ path: ['vaccine_code'] }, { path: ['date'] }],
      },
    ],
  },
  purpose: 'care',
  legal_basis: 'consent',
  retention_days: 30,
  policy: 'ledger',
  reference: subject,
  post,
})

test('a record is shown now, and the clinic checks the consent while the ledger is stopped', async () => {
  const { page } = first
  const asked = await clinicVerifier.post('/v1/presentations', asking(true))
  await readPresentation(page, asked.link)
  await page.getByText('30日だけ').waitFor()
  await page.getByRole('radio').nth(1).check()
  assert.equal(await page.getByText('4A1').count(), 0, 'the lot number was not asked for')
  await show(page, '14-present')
  // The response is on its way; before it arrives, every validator is gone.
  const response = await agree(page)
  const goOn = await stopLedger(demo, dir)
  await response.continue()
  await heading(page, '見せました').waitFor()
  await show(page, '14-presented')
  const found = await clinicVerifier.get(`/v1/presentations/${asked.id}`)
  await goOn()
  assert.equal(found.status, 'answered')
  assert.equal(found.result.ledger_proof, true)
  const [shown] = found.result.credentials
  assert.deepEqual(shown.checks.filter((check) => !check.holds), [])
  assert.match(shown.checks.find(({ check }) => check === 'consent-proof').reason, /stands at height/)
  assert.deepEqual(Object.keys(shown.claims).sort(), ['date', 'vaccine_code'])
  // The permission is among those that were given, and nobody reads under it.
  await follow(page, `${demo.wallet}/#/sharing/${shown.grant}`)
  await page.getByText('あなたが 見せた 1回だけです').waitFor()
  await page.getByText('この記録は そろっています（証明で確認ずみ）').waitFor()
  await show(page, '14-presented-history')
})

test('somebody may say no, and somebody else may not ask in the clinic’s name', async () => {
  const { page } = first
  const asked = await clinicVerifier.post('/v1/presentations', asking(false))
  await follow(page, asked.link)
  await button(page, 'やめる').click()
  await page.getByText('何も 送っていません').waitFor()
  await clinicVerifier.until(`/v1/presentations/${asked.id}`, (body) => body.status === 'declined')
  const other = await clinicVerifier.post('/v1/presentations', asking(false))
  await page.route('**/v1/presentations/*/request', async (route) => {
    const answer = await route.fetch()
    const [head, payload, signature] = (await answer.text()).split('.')
    const changed = JSON.parse(Buffer.from(payload, 'base64url').toString())
    changed.response_uri = 'https://thief.example/response'
    const forged = Buffer.from(JSON.stringify(changed)).toString('base64url')
    await route.fulfill({ response: answer, body: [head, forged, signature].join('.') })
  })
  await follow(page, other.link)
  await page.getByText('この おねがいは 読めません').waitFor()
  await page.unroute('**/v1/presentations/*/request')
  await show(page, '14-forged')
})

test('a record that may not be asked for is not shown, and the request is reported with one button', async () => {
  const { page } = first
  const keys = JSON.parse(await readFile(join(dir, 'insurer', 'keys.json'), 'utf8'))
  const pem = await readFile(join(dir, 'insurer', 'certificates.pem'), 'utf8')
  const { organisation, url } = demo.services['insurer-verifier']
  // It states laboratory results, which the insurer may ask for, and queries vaccinations.
  const made = (more) =>
    overAskingPresentation({
      ...{ chain: demo.chain, organisation, url, name: 'Hidamari Insurance', secret: keys.credential_es256, pem },
      ...{ recordType: 'vaccination', categories: ['laboratory'], purpose: 'payout', more },
    })
  const { clientId, request } = made({})
  const uri = `${url}/v1/presentations/${'0'.repeat(32)}/request`
  const link = `${demo.wallet}/#/present?client_id=${encodeURIComponent(clientId)}&request_uri=${encodeURIComponent(uri)}`
  const serve = (body) => (route) =>
    route.fulfill({ body, contentType: 'application/oauth-authz-req+jwt', headers: { 'access-control-allow-origin': new URL(demo.wallet).origin } })
  await page.route(uri, serve(request))
  await follow(page, link)
  await page.getByText('みとめられていません').waitFor()
  await page.getByText('予防接種').first().waitFor()
  assert.equal(await button(page, '見せる').count(), 0, 'it cannot be shown')
  await show(page, '14-over-asking')
  await button(page, 'この おねがいを 知らせる').click()
  await page.getByText('知らせました').waitFor()
  await page.unroute(uri)
  // With a text of its own the request is no evidence: refused all the same.
  await page.route(uri, serve(made({ values: ['Sakura'] }).request))
  await follow(page, `${demo.wallet}/#/sharing`)
  await follow(page, link)
  await page.getByText('知らせることの できない').waitFor()
  assert.equal(await button(page, '見せる').count() + await button(page, 'この おねがいを 知らせる').count(), 0)
  await page.unroute(uri)
})

test('the insurer pays a positive result under a policy number', async () => {
  const { page } = first
  // The demo's insurer knows these policies.
  const policy = `P-${1000 + (Date.now() % 1000)}`
  await follow(page, await request(insurer, 'payout', ['laboratory'], policy))
  await button(page, 'ゆるす').click()
  await heading(page, 'ゆるしました').waitFor()
  const paid = (body) => (body.decisions ?? body ?? []).find?.((decision) => decision.policy === policy)
  const grant = await page.getByRole('link', { name: 'くわしく 見る' }).getAttribute('href')
  await insurer.until('/v1/grants', (body) => JSON.stringify(body).includes(grant.split('/').at(-1)))
  // The phone may sleep now: the deposit pings the insurer, who reads and decides.
  await centre.post('/fhir/Observation', observation(subject, true, 1))
  const decision = await insurer.until('/v1/decisions', paid)
  assert.ok(decision.amount > 0)
})

test('locked and opened again with the passkey', async () => {
  const { page } = first
  await follow(page, `${demo.wallet}/#/settings`)
  await heading(page, '設定').waitFor()
  await show(page, '15-settings')
  await button(page, '今すぐ カギを かける').click()
  await heading(page, 'おかえりなさい').waitFor()
  await show(page, '16-locked')
  await button(page, '開ける').click()
  await page.getByText('10件の記録が すべて そろっています').waitFor()
})

test('a host that hides a record, or alters a history, is found out', async () => {
  const { page } = first
  await page.route(DRAWER, async (route) => {
    const kept = await earlier.get(route.request().url())
    await (kept ? route.fulfill({ body: kept, headers: { 'access-control-allow-origin': new URL(demo.wallet).origin } }) : route.continue())
  })
  await button(page, '新しくする').click()
  await page.getByText('検査結果：記録が そろっていません').waitFor()
  assert.equal(await page.getByText('記録が すべて そろっています').count(), 0)
  await page.unroute(DRAWER)

  const history = `**/grants/${grantOfClinic}`
  await page.route(history, async (route) => {
    const answer = await route.fetch()
    const body = await answer.body()
    body[Math.floor(body.length / 2)] ^= 1
    await route.fulfill({ response: answer, body })
  })
  await follow(page, `${demo.wallet}/#/sharing/${grantOfClinic}`)
  await page.getByText('見た記録が そろっていません').waitFor()
  assert.equal(await page.getByText('この記録は そろっています').count(), 0)
  await page.unroute(history)
})

test('everything comes as one file', async () => {
  const { page } = first
  await follow(page, `${demo.wallet}/#/settings`)
  const [download] = await Promise.all([page.waitForEvent('download'), button(page, /1つのファイルで/).click()])
  assert.match(download.suggestedFilename(), /^tegata-.*\.cborseq$/)
})

test('the recovery sheet', async () => {
  const { page } = first
  await follow(page, `${demo.wallet}/#/kit`)
  await button(page, '復元シートを 見せる').click()
  const code = page.getByRole('img', { name: '復元用の QRコード' })
  await code.waitFor()
  await accessible(page, 'the recovery sheet')
  kitImage = await code.screenshot()
  await button(page, 'しまいました').click()
  await heading(page, '記録').waitFor()
  assert.deepEqual(first.faults, [])
  await first.context.close()
})

test('a wiped device is restored from the sheet, and ends the consent', async () => {
  const { context, page, faults } = await freshProfile(browser)
  await page.goto(demo.wallet)
  await page.getByRole('link', { name: '前に使っていた（復元する）' }).click()
  await show(page, '17-restore')
  await page.getByLabel('復元コード').fill('0400 J4GV 4GPK CFT8 7')
  await button(page, 'もとに もどす').click()
  await page.getByText('1行目の 文字が ちがうようです').waitFor()
  await page.locator('input[type=file]').setInputFiles({ name: 'kit.png', mimeType: 'image/png', buffer: kitImage })
  await choosePassphrase(page, '青い たこ 2026 あがる')
  await page.getByText('10件の記録が すべて そろっています').waitFor()

  await follow(page, `${demo.wallet}/#/sharing/${grantOfClinic}`)
  await page.getByText('この記録は そろっています（証明で確認ずみ）').waitFor()
  await button(page, '見せるのを 止める').click()
  await page.getByText('すでに 見て 写したものは、むこうに のこります').waitFor()
  await show(page, '18-stop')
  await page.getByRole('button', { name: '止める', exact: true }).click()
  await page.getByText('止めたことは たしかに 記録されました（証明で確認ずみ）').waitFor()

  const refused = await clinicVerifier.send('POST', `/v1/grants/${grantOfClinic}/readings`, {})
  assert.equal(refused.status, 403)
  assert.match(JSON.stringify(refused.body), /revoked/)
  await follow(page, `${demo.wallet}/#/sharing`)
  await follow(page, `${demo.wallet}/#/sharing/${grantOfClinic}`)
  await page.getByText('ことわりました').waitFor()
  await page.getByText('あなたが 止めた あとだったから').waitFor()
  await page.getByText('この記録は そろっています（証明で確認ずみ）').waitFor()
  await show(page, '19-refused')

  await page.reload()
  await page.getByLabel('合言葉').fill('まちがった 合言葉 です')
  await button(page, '開ける').click()
  await page.getByText('開きませんでした').waitFor()
  await page.getByLabel('合言葉').fill('青い たこ 2026 あがる')
  await button(page, '開ける').click()
  await heading(page, 'みどり小児科クリニック').waitFor()
  await follow(page, `${demo.wallet}/#/settings`)
  await button(page, 'English').click()
  await follow(page, `${demo.wallet}/#/`)
  await page.getByText('All 10 records are here').waitFor()
  await show(page, '20-home-english')

  // The clinic finds out that one of its records was another child's: who read it drops its copy, and the guardian sees that.
  const { records } = await clinicIssuer.get(`/v1/records?status=deposited&subject=${subject}`)
  await clinicIssuer.post(`/v1/records/${records[0].id}/recall`, { reason: 'another child’s' })
  await clinicVerifier.until('/v1/recalls', (body) => body[0]?.confirmed_ms)
  await button(page, 'Refresh').click()
  await page.getByText('Recalled').waitFor()
  await show(page, '21-recalled')
  await follow(page, `${demo.wallet}/#/sharing`)
  await follow(page, `${demo.wallet}/#/sharing/${grantOfClinic}`)
  await page.getByText(/deleted the recalled record/).waitFor()
  await show(page, '22-recalled-history')
  assert.deepEqual(faults, [])
  await context.close()
})
