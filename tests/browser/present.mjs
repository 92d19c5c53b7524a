// The guardian in the demo's story `present`: a fresh Chromium profile with the built wallet in it. Reads what she does as one
// JSON line a time on stdin, and answers each with one JSON line once she sees that it is done. With `--watch`, on the screen.
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { follow, freshProfile, launch, picture } from './browser.mjs'
import { addChild, agree, button, choosePassphrase, connect, heading, meet, readPresentation, refreshUntilGood } from './wallet.mjs'

let browser, page, faults, response

const does = {
  async begin({ wallet, child, born }) {
    browser = await launch({ watch: process.argv.includes('--watch') })
    ;({ page, faults } = await freshProfile(browser))
    await page.goto(wallet)
    await page.getByRole('link', { name: 'はじめて使う' }).click()
    await choosePassphrase(page, randomBytes(15).toString('base64url'))
    await addChild(page, child, born)
    await button(page, '登録する').click()
    await page.getByText('まだ 記録が ありません').waitFor()
  },
  async connect({ link, name }) {
    await meet(page, link, name)
    await connect(page)
  },
  async records({ wallet, count }) {
    await follow(page, `${wallet}/#/`)
    await refreshUntilGood(page, count)
    await picture(page, '1-records')
  },
  async read({ link }) {
    await readPresentation(page, link)
    await picture(page, '2-asked')
  },
  async agree() {
    response = await agree(page)
    return { to: response.request().url(), form: response.request().postData() }
  },
  async send() {
    await response.continue()
    await heading(page, '見せました').waitFor()
    await picture(page, '3-shown')
  },
  async history({ wallet, grant }) {
    await follow(page, `${wallet}/#/sharing/${grant}`)
    await page.getByText('この記録は そろっています（証明で確認ずみ）').waitFor()
    await page.getByText('あなたが 見せた 1回だけです').waitFor()
    await picture(page, '4-history')
  },
  async end() {
    await browser.close()
    return { faults }
  },
}

const lines = createInterface({ input: process.stdin })
// Whoever started this is done, or gone: no browser outlives the demo.
lines.once('close', async () => {
  await browser?.close()
  process.exit()
})
for await (const line of lines) {
  const { step, ...what } = JSON.parse(line)
  let answer
  try {
    answer = (await does[step](what)) ?? {}
  } catch (error) {
    if (page) await picture(page, 'broken').catch(() => undefined)
    answer = { error: String(error.message ?? error) }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
