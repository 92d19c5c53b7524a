// What a person does in the wallet, by what stands on its buttons.
import { follow } from './browser.mjs'

export const button = (page, name) => page.getByRole('button', { name })
export const heading = (page, name) => page.getByRole('heading', { level: 1, name })

// After the first page: a key under a passphrase, where the device has no passkey.
export async function choosePassphrase(page, passphrase) {
  await page.getByLabel('合言葉', { exact: true }).fill(passphrase)
  await page.getByLabel('合言葉（もう一度）').fill(passphrase)
  await button(page, 'つぎへ').click()
}

export async function addChild(page, name, born) {
  await heading(page, 'お子さんを 登録する').waitFor()
  await page.getByLabel(/名前/).fill(name)
  await page.getByLabel('生まれた日').fill(born)
}

// Follows a pairing link as far as the question whether to connect with `name`.
export async function meet(page, link, name) {
  await follow(page, link)
  await page.getByText('登録簿で 確認した相手です').waitFor()
  await page.locator('dd', { hasText: name }).waitFor()
}

export async function connect(page) {
  await button(page, 'つながる').click()
  await heading(page, 'つながりました').waitFor()
}

// Asks for the records until so many are there, each of them good: an issuer may be about to publish its status list.
export async function refreshUntilGood(page, count) {
  await heading(page, '記録').waitFor()
  const complete = page.getByText(`${count}件の記録が すべて そろっています`)
  const again = button(page, '新しくする')
  for (const end = Date.now() + 30_000; ; ) {
    await again.click()
    await page.locator('main button[disabled]').waitFor({ state: 'detached' })
    if ((await complete.count()) === 1 && (await page.getByText('要確認').count()) === 0) return
    if (Date.now() > end) throw new Error(`${count} good records were expected: ${await page.locator('main').innerText()}`)
  }
}

// Follows a presentation link as far as the question whether to show.
export async function readPresentation(page, link) {
  await follow(page, link)
  await page.getByText('この おねがいを してよいと みとめられています').waitFor()
  await button(page, '見せる').waitFor()
}

// Agrees with one tap. The grant is final then and the response is made, but it has not left the browser: gives its route.
export async function agree(page) {
  const held = new Promise((resolve) => page.route('**/v1/presentations/*/response', resolve, { times: 1 }))
  await button(page, '見せる').click()
  const alert = page.getByRole('alert')
  const refused = alert.waitFor().then(async () => {
    throw new Error(await alert.innerText())
  })
  return Promise.race([held, refused])
}
