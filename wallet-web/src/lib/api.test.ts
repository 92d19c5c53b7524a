import { afterEach, expect, test, vi } from 'vitest'
import { standingProof } from './api'

afterEach(() => vi.unstubAllGlobals())

/** Nodes that answer with these bytes, one after the other, and with the last for ever. */
function nodes(answers: Record<string, number[]>): void {
  vi.stubGlobal('fetch', async (url: string | URL) => {
    const own = answers[new URL(url).origin]!
    const byte = own.length > 1 ? own.shift()! : own[0]!
    return byte < 0 ? new Response('{}', { status: 503 }) : new Response(Uint8Array.of(byte))
  })
}

const stands = (proof: Uint8Array) => {
  if (proof[0] === 9) throw new Error('forged')
  return proof[0] === 1
}

test('a node that is a block behind, forges or fails is left for the next', async () => {
  for (const first of [0, 9, -1]) {
    nodes({ 'http://a.example': [first], 'http://b.example': [1] })
    expect([...(await standingProof(['http://a.example', 'http://b.example'], 'grants/x', stands))]).toEqual([1])
  }
})

test('nodes that are all behind are asked again', async () => {
  nodes({ 'http://a.example': [0, 0, 1], 'http://b.example': [0] })
  expect([...(await standingProof(['http://a.example', 'http://b.example'], 'grants/x', stands))]).toEqual([1])
})
