// Requests that no honest verifier signs: made here by hand with the organisation's own keys, as somebody in the
// organisation could. CBOR and COSE as in specs/consent/encoding.md and grant.md, OpenID4VP as in specs/consent/over-asking.md.
import { X509Certificate, createHash, createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto'

const head = (major, n) => {
  if (n < 24) return Buffer.from([(major << 5) | n])
  for (const [bytes, more] of [[1, 24], [2, 25], [4, 26], [8, 27]]) {
    if (n >= 2 ** (8 * bytes)) continue
    const out = Buffer.alloc(1 + bytes)
    out[0] = (major << 5) | more
    if (bytes === 8) out.writeBigUInt64BE(BigInt(n), 1)
    else out.writeUIntBE(n, 1, bytes)
    return out
  }
  throw new Error('too large')
}
const uint = (n) => head(0, n)
const bytes = (value) => Buffer.concat([head(2, value.length), value])
const text = (value) => Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)])
const array = (...items) => Buffer.concat([head(4, items.length), ...items])
/** Keys in the order in which they are given. */
const map = (...pairs) => Buffer.concat([head(5, pairs.length), ...pairs.flat()])

/** A signed request of `organisation` (hexadecimal) for a category that it may not ask for under this purpose. */
export function overAsking({ chain, organisation, seed, categories, purpose }) {
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(seed, 'hex')]),
    format: 'der',
    type: 'pkcs8',
  })
  const kid = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32)
  const soon = Date.now() + 600_000
  const payload = map(
    [uint(1), bytes(Buffer.from(organisation, 'hex'))],
    [uint(2), array(...categories.map(text))],
    [uint(3), text(purpose)],
    [uint(4), text('consent')],
    [uint(5), uint(30)],
    [uint(6), uint(soon)],
    [uint(8), text(randomBytes(16).toString('hex'))],
    [uint(9), uint(soon)],
    [uint(10), bytes(randomBytes(16))],
  )
  const guarded = map([uint(1), Buffer.from([0x27])], [uint(4), bytes(kid)], [uint(16), text('application/tegata-consent-request+cbor')])
  const signed = array(text('Signature1'), bytes(guarded), bytes(Buffer.from(chain, 'hex')), bytes(payload))
  return Buffer.concat([Buffer.from([0xd2]), array(bytes(guarded), map(), bytes(payload), bytes(sign(null, signed, key)))])
}

const base64url = (value) => Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url')
const random = () => base64url(randomBytes(32))

/**
 * A signed request object of `organisation` for records of a type, and its client identifier. It states only `categories`;
 * `name` and `url` are the organisation's, `more` goes into the query's claim.
 */
export function overAskingPresentation({ chain, organisation, name, url, secret, pem, recordType, categories, purpose, more = {} }) {
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from('3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420', 'hex'), Buffer.from(secret, 'hex')]),
    format: 'der',
    type: 'pkcs8',
  })
  const certificate = new X509Certificate(pem).raw
  const clientId = `x509_hash:${createHash('sha256').update(certificate).digest('base64url')}`
  const now = Math.floor(Date.now() / 1000)
  const algorithms = ['ES256', 'EdDSA']
  const statement = {
    type: 'urn:tegata:presentation:1',
    credential_ids: ['a'],
    transaction_data_hashes_alg: ['sha-256'],
    chain,
    organisation,
    categories,
    purpose,
    legal_basis: 'consent',
    retention_days: 30,
    until_ms: (now + 600) * 1000,
  }
  const payload = {
    response_type: 'vp_token',
    response_mode: 'direct_post',
    client_id: clientId,
    aud: 'https://self-issued.me/v2',
    nonce: random(),
    state: random(),
    iat: now,
    exp: now + 600,
    response_uri: `${url}/v1/presentations/${randomBytes(16).toString('hex')}/response`,
    dcql_query: {
      credentials: [
        { id: 'a', format: 'dc+sd-jwt', meta: { vct_values: [`urn:tegata:record:${recordType}:1`] }, claims: [{ path: ['date'], ...more }] },
      ],
    },
    client_metadata: { client_name: name, vp_formats_supported: { 'dc+sd-jwt': { 'sd-jwt_alg_values': algorithms, 'kb-jwt_alg_values': algorithms } } },
    transaction_data: [base64url(statement)],
  }
  const header = { typ: 'oauth-authz-req+jwt', alg: 'ES256', x5c: [certificate.toString('base64')] }
  const signed = `${base64url(header)}.${base64url(payload)}`
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  return { clientId, request: `${signed}.${base64url(signature)}` }
}
