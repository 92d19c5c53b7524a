import { describe, expect, it } from 'vitest'
import { randomBytes } from './bytes'
import { RecoveryError, readKit, writeKit } from './recovery'

const kit = { secret: Uint8Array.from({ length: 32 }, (_, i) => i * 7), hostUrl: 'https://vault.example.jp' }

async function problemOf(text: string) {
  try {
    await readKit(text)
    return undefined
  } catch (error) {
    if (error instanceof RecoveryError) return error.problem
    throw error
  }
}

describe('the recovery kit', () => {
  it('keeps its form', async () => {
    expect(await writeKit(kit)).toMatchInlineSnapshot(`
      [
        "0400 E3GN 3GHJ MC9R 8",
        "7X34 TN2V C9MQ 0XVY 1",
        "GP69 76N1 N2QV DFE4 8",
        "SF9D JT3M EHR7 6EHF F",
        "5XV6 2XBC EGQ6 AY31 1",
        "DNR6 RS9E D9RF XRV2 3",
        "34 M",
      ]
    `)
  })

  it('is read back, however people write it', async () => {
    const lines = await writeKit(kit)
    expect(await readKit(lines.join('\n'))).toEqual(kit)
    expect(await readKit(lines.join('').toLowerCase().replaceAll('0', 'o').replaceAll('1', 'l'))).toEqual(kit)
    const fullWidth = lines.join('　').replace(/[0-9A-Z]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0))
    expect(await readKit(fullWidth)).toEqual(kit)
  })

  it('works for every length of address', async () => {
    for (let length = 1; length < 40; length += 1) {
      const other = { secret: randomBytes(32), hostUrl: `http://${'a'.repeat(length)}.localhost:18080` }
      expect(await readKit((await writeKit(other)).join('\n'))).toEqual(other)
    }
  })

  it('finds every single wrong character, and says in which line', async () => {
    const lines = await writeKit(kit)
    for (const [number, line] of lines.entries()) {
      for (let at = 0; at < line.length; at += 1) {
        if (line[at] === ' ') continue
        const wrong = line.slice(0, at) + (line[at] === 'Z' ? 'Y' : 'Z') + line.slice(at + 1)
        const text = lines.with(number, wrong).join('\n')
        expect(await problemOf(text), `${number}:${at}`).toEqual({ kind: 'line', line: number + 1 })
      }
    }
  })

  it('refuses lines that are missing, swapped or foreign', async () => {
    const lines = await writeKit(kit)
    expect(await problemOf(lines.slice(0, 2).join('\n'))).toBeDefined()
    expect(await problemOf([lines[1], lines[0], ...lines.slice(2)].join('\n'))).toMatchObject({ kind: 'line', line: 1 })
    expect(await problemOf('')).toEqual({ kind: 'length' })
    expect(await problemOf('x'.repeat(5000))).toEqual({ kind: 'length' })
    expect(await problemOf('これは違います')).toBeDefined()
  })

  it('refuses an address that is not one of the web', async () => {
    const lines = await writeKit({ ...kit, hostUrl: 'javascript:alert(1)' })
    expect(await problemOf(lines.join('\n'))).toEqual({ kind: 'checksum' })
  })
})
