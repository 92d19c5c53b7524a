// What the first page loads: at most 60 KB of JavaScript, compressed with Brotli (design goal of the wallet).
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync } from 'node:zlib'

const DIST = join(dirname(fileURLToPath(import.meta.url)), '../../wallet-web/dist')
const GOAL_BYTES = 60 * 1024

test('the first JavaScript is small', () => {
  const page = readFileSync(join(DIST, 'index.html'), 'utf8')
  const wanted = [...page.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)].map((match) => match[1])
  assert.ok(wanted.length > 0, 'the page loads a script')
  const seen = new Set()
  let bytes = 0
  while (wanted.length > 0) {
    const name = wanted.pop()
    if (seen.has(name)) continue
    seen.add(name)
    const source = readFileSync(join(DIST, name))
    bytes += brotliCompressSync(source).length
    for (const match of source.toString().matchAll(/(?:^|[;}])import(?:[^"'()]*from)?["']\.\/([^"']+)["']/g)) wanted.push(`assets/${match[1]}`)
  }
  console.log(`first JavaScript: ${(bytes / 1024).toFixed(1)} KB in ${seen.size} files, goal ${GOAL_BYTES / 1024} KB`)
  assert.ok(bytes <= GOAL_BYTES, `${bytes} bytes`)
})
