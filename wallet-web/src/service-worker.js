// Keeps the files of one build, so that the wallet opens without a network. It never keeps an answer of a service.
// `vite build` fills in list and hash; a new build is hence a new worker with a cache of its own.
const FILES = [/* FILES */]
// Names of files hold a hash of their content; the page's own hash stands here.
const CACHE = 'tegata-' + '/* PAGE */'

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()))
})

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches.keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith('tegata-') && name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  )
})

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url)
  const scope = new URL(self.registration.scope)
  if (event.request.method !== 'GET' || url.origin !== scope.origin) return
  const name = url.pathname.slice(scope.pathname.length)
  if (event.request.mode === 'navigate' || FILES.includes(name)) {
    const key = event.request.mode === 'navigate' ? './' : name
    event.respondWith(caches.open(CACHE).then((cache) => cache.match(key)).then((hit) => hit ?? fetch(event.request)))
  }
})
