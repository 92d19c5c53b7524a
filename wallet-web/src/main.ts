import { mount } from 'svelte'
import App from './App.svelte'
import './style.css'

const target = document.getElementById('app')
if (target) mount(App, { target })

if (import.meta.env.PROD && 'serviceWorker' in navigator) {
  // Trusted Types: the only script address that this app ever makes.
  const policy = (globalThis as { trustedTypes?: TrustedTypesFactory }).trustedTypes?.createPolicy('tegata-wallet', {
    createScriptURL: () => new URL('sw.js', document.baseURI).href,
  })
  const address = policy ? policy.createScriptURL('') : new URL('sw.js', document.baseURI).href
  void navigator.serviceWorker.register(address as string)
}

interface TrustedTypesFactory {
  createPolicy(name: string, rules: { createScriptURL: () => string }): { createScriptURL(input: string): unknown }
}
