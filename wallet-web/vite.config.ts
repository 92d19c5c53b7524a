import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

/** Writes `sw.js` with the list of files of this build, so that the service worker keeps exactly them. */
function serviceWorker(): Plugin {
  return {
    name: 'tegata-service-worker',
    apply: 'build',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const files = Object.keys(bundle).filter((name) => name !== 'index.html' && !name.endsWith('.map'))
      const source = readFileSync(new URL('./src/service-worker.js', import.meta.url), 'utf8')
      const list = ['./', 'manifest.webmanifest', 'icon.svg', ...files.sort()]
      const page = bundle['index.html']
      const pageHash = createHash('sha256').update(page?.type === 'asset' ? page.source : '').digest('hex').slice(0, 16)
      this.emitFile({
        type: 'asset',
        fileName: 'sw.js',
        source: source
          .replace('/* FILES */', list.map((name) => JSON.stringify(name)).join(', '))
          .replace('/* PAGE */', pageHash),
      })
    },
  }
}

/** Vite's development server puts styles into the page; the build does not. */
function styleForDevelopment(): Plugin {
  return {
    name: 'tegata-style-for-development',
    apply: 'serve',
    transformIndexHtml: (html) => html.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'"),
  }
}

export default defineConfig({
  base: './',
  plugins: [svelte(), serviceWorker(), styleForDevelopment()],
  build: {
    target: 'es2023',
    // WebAssembly and icons stay files of their own: the content security policy allows no data: scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { port: 5173, host: '127.0.0.1' },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
})
