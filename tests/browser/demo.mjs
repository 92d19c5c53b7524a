// The system under test: a demo that runs already (TEGATA_DEMO names its directory), or one of our own in a new directory.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
const UP_WITHIN_MS = 180_000

export async function startDemo() {
  if (process.env.TEGATA_DEMO) {
    const dir = process.env.TEGATA_DEMO
    return { demo: await readDemo(dir), dir, stop: async () => {} }
  }
  const target = process.env.CARGO_TARGET_DIR ?? join(homedir(), '.cache/tegata/target')
  const dir = await mkdtemp(join(tmpdir(), 'tegata-browser-'))
  const port = process.env.TEGATA_PORT ?? '7440'
  const child = spawn(
    join(target, 'debug/tegata'),
    ['demo', '--dir', dir, '--port', port, '--wallet', join(ROOT, 'wallet-web/dist')],
    { cwd: ROOT, stdio: ['pipe', 'pipe', 'pipe'] },
  )
  let said = ''
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`the demo was not up in time:\n${said}`)), UP_WITHIN_MS)
    const hear = (chunk) => {
      said += chunk
      if (said.includes('Tegata is up')) {
        clearTimeout(late)
        resolve()
      }
    }
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    child.once('error', reject)
    void ended.then(() => reject(new Error(`the demo ended:\n${said}`)))
  })
  const stop = async () => {
    child.kill('SIGINT')
    await ended
    await rm(dir, { recursive: true, force: true })
  }
  return { demo: await readDemo(dir), dir, stop }
}

async function readDemo(dir) {
  return JSON.parse(await readFile(join(dir, 'demo.json'), 'utf8'))
}

// Takes the validators away (killed, and kept away) until the function that this gives is called; then the ledger goes on.
export async function stopLedger(demo, dir) {
  const holds = demo.ledger.map((_, node) => join(dir, 'hold', `node${node}`))
  for (const [node, hold] of holds.entries()) {
    await writeFile(hold, '')
    const pid = Number(await readFile(join(dir, 'run', `node${node}.pid`), 'utf8'))
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it ended by itself
    }
  }
  const silent = (url) => fetch(`${url}/healthz`).then(
    () => false,
    () => true,
  )
  const until = async (what, holdsNow) => {
    for (const end = Date.now() + 60_000; !(await holdsNow()); ) {
      if (Date.now() > end) throw new Error(`waited in vain: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  const height = async ({ url }) => {
    const text = await (await fetch(`${url}/metrics`)).text()
    return Number(/^tegata_ledger_height (\S+)$/m.exec(text)?.[1] ?? 0)
  }
  for (const url of demo.ledger) await until(`${url} is silent`, () => silent(url))
  const services = Object.values(demo.services)
  const before = await Promise.all(services.map(height))
  return async () => {
    await Promise.all(holds.map((hold) => rm(hold)))
    for (const [at, service] of services.entries()) {
      await until(`${service.url} follows the ledger again`, async () => (await height(service)) > before[at])
    }
  }
}

// The record system of an organisation, as it speaks to its own issuer or verifier.
export function systems(demo, name) {
  const service = demo.services[name]
  if (!service) throw new Error(`the demo has no ${name}`)
  const send = async (method, path, body, type = 'application/json') => {
    const answer = await fetch(service.url + path, {
      method,
      headers: { authorization: `Bearer ${service.token}`, ...(body === undefined ? {} : { 'content-type': type }) },
      body: body === undefined ? undefined : type === 'application/json' ? JSON.stringify(body) : body,
    })
    const text = await answer.text()
    let read
    try {
      read = JSON.parse(text)
    } catch {
      read = text
    }
    return { status: answer.status, body: read }
  }
  const succeed = async (...call) => {
    const answer = await send(...call)
    if (answer.status >= 300) throw new Error(`${name} ${call[0]} ${call[1]}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  return {
    send,
    get: (path) => succeed('GET', path),
    post: (path, body, type) => succeed('POST', path, body, type),
    // Asks again until `done` gives something.
    async until(path, done, within_ms = 60_000) {
      const end = Date.now() + within_ms
      for (;;) {
        const answer = await send('GET', path)
        const found = done(answer.body)
        if (found) return found
        if (Date.now() > end) throw new Error(`${name} ${path} did not come so far: ${JSON.stringify(answer.body).slice(0, 600)}`)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    },
  }
}

export function immunization(subject, number) {
  const vaccines = [
    ['hib', 'ヒブ'],
    ['pneumococcus', '小児用肺炎球菌'],
  ]
  const [, name] = vaccines[number % vaccines.length]
  return {
    resourceType: 'Immunization',
    id: `${subject}-imm-${number}`,
    identifier: [{ system: 'https://midori.example/immunization', value: `${subject}-${number}` }],
    status: 'completed',
    vaccineCode: { coding: [{ system: 'http://hl7.org/fhir/sid/cvx', code: number % 2 === 0 ? '48' : '133' }], text: name },
    patient: { identifier: { value: subject } },
    occurrenceDateTime: `2023-0${4 + number}-15`,
    lotNumber: `4A1${number}`,
    performer: [{ actor: { display: 'みどり小児科クリニック' } }],
    protocolApplied: [{ doseNumberPositiveInt: number + 1 }],
  }
}

export function observation(subject, positive, number) {
  return {
    resourceType: 'Observation',
    id: `${subject}-obs-${number}`,
    identifier: [{ system: 'https://minato.example/observation', value: `${subject}-${number}` }],
    status: 'final',
    category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: 'laboratory' }] }],
    code: { coding: [{ system: 'http://loinc.org', code: '94500-6' }], text: '新型コロナウイルス PCR検査' },
    subject: { identifier: { value: subject } },
    effectiveDateTime: `2026-11-0${2 + number}T09:30:00+09:00`,
    valueCodeableConcept: {
      coding: [{ system: 'http://snomed.info/sct', code: positive ? '10828004' : '260385009', display: positive ? 'Positive' : 'Negative' }],
    },
    performer: [{ display: 'みなと検査センター' }],
  }
}

// A city hall's files for one child: eras, full-width digits and all.
export function checkupFiles(subject) {
  const size = '受診日,受診場所,身長(cm),体重(g)'
  const files = {
    hip_dislocation_screening: ['受診日,受診場所', '令和5年4月10日,わかば市保健センター'],
    infant_checkup_3_4_months: [`${size},胸囲(cm),頭囲(cm),カウプ指数`, 'R5.5.20,わかば市保健センター,６２.１,６４００,41.2,41.0,16.6'],
    infant_checkup_9_10_months: [`${size},胸囲(cm),頭囲(cm),カウプ指数`, 'R5.11.2,わかば市保健センター,71.5,8700,44.9,45.1,17.0'],
    infant_checkup_18_months: [`${size},胸囲(cm),頭囲(cm),カウプ指数,歯の数,むし歯の数`, '2024-07-11,わかば市保健センター,80.4,10500,47.0,47.2,16.2,12,0'],
    dental_checkup_2_years: [`${size},カウプ指数,歯の数,むし歯の数`, '令和7年1月15日,わかば市保健センター,86.0,11900,16.1,16,0'],
    infant_checkup_3_years: [`${size},カウプ指数,尿蛋白,尿糖,尿潜血,尿白血球,むし歯の数`, 'R8.2.3,わかば市保健センター,94.2,14000,15.8,-,-,-,-,1'],
  }
  return Object.entries(files).map(([kind, [head, row]]) => ({ file: `${kind}.csv`, csv: `宛名番号,${head}\r\n${subject},${row}\r\n` }))
}
