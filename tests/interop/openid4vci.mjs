// A standard wallet: npm @openid4vc/openid4vci takes credentials from the running issuer, npm @sd-jwt/sd-jwt-vc verifies
// them with the key that it finds for itself. Reads one JSON request a line on stdin, answers each with one JSON line.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, verify, X509Certificate } from "node:crypto";
import { createInterface } from "node:readline";
import { clientAuthenticationAnonymous, clientAuthenticationNone, setGlobalConfig } from "@openid4vc/oauth2";
import { Openid4vciClient } from "@openid4vc/openid4vci";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";
import { CompactEncrypt, compactDecrypt, importJWK } from "jose";

setGlobalConfig({ allowInsecureUrls: true }); // loopback

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const unpart = (text) => JSON.parse(Buffer.from(text, "base64url").toString());
const algOf = (jwk) => (jwk.kty === "OKP" ? "EdDSA" : "ES256");

const newKey = (alg) => {
  const pair = alg === "EdDSA" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { alg, private: pair.privateKey, jwk: pair.publicKey.export({ format: "jwk" }) };
};
const signText = (key, text) =>
  key.alg === "EdDSA"
    ? sign(null, Buffer.from(text), key.private).toString("base64url")
    : sign("sha256", Buffer.from(text), { key: key.private, dsaEncoding: "ieee-p1363" }).toString("base64url");
const checkText = (jwk, text, signature) => {
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const bytes = Buffer.from(signature, "base64url");
  return algOf(jwk) === "EdDSA"
    ? verify(null, Buffer.from(text), key, bytes)
    : verify("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }, bytes);
};

// The library leaves JWE to whoever fetches: the request is encrypted to the issuer's key, the answer to a fresh one.
const encryptedFetch = (credentialIssuer, enc, seen) => async (url, init) => {
  if (url !== credentialIssuer.credential_endpoint) return fetch(url, init);
  const offered = credentialIssuer.credential_request_encryption;
  const to = offered.jwks.keys[0];
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const body = JSON.parse(init.body);
  body.credential_response_encryption = {
    jwk: { ...own.publicKey.export({ format: "jwk" }), use: "enc", alg: "ECDH-ES", kid: "wallet-1" },
    enc,
  };
  const jwe = await new CompactEncrypt(Buffer.from(JSON.stringify(body)))
    .setProtectedHeader({ alg: to.alg, enc, kid: to.kid })
    .encrypt(await importJWK(to, to.alg));
  const headers = new Headers(init.headers);
  headers.set("content-type", "application/jwt");
  const answer = await fetch(url, { ...init, headers, body: jwe });
  if (!answer.ok) return answer;
  if (answer.headers.get("content-type") !== "application/jwt") throw new Error("the answer is not encrypted");
  const opened = await compactDecrypt(await answer.text(), own.privateKey);
  seen.push(opened.protectedHeader);
  return new Response(opened.plaintext, { status: answer.status, headers: { "content-type": "application/json" } });
};

const callbacks = (keys, { clientId, fetch: fetcher }) => ({
  fetch: fetcher ?? fetch,
  hash: (data, alg) => createHash(alg.replace("-", "")).update(data).digest(),
  generateRandom: (length) => randomBytes(length),
  signJwt: (signer, { header, payload }) => {
    const key = keys.find((key) => JSON.stringify(key.jwk) === JSON.stringify(signer.publicJwk));
    const input = `${part(header)}.${part(payload)}`;
    return { jwt: `${input}.${signText(key, input)}`, signerJwk: key.jwk };
  },
  verifyJwt: () => ({ verified: false }),
  clientAuthentication: clientId ? clientAuthenticationNone({ clientId }) : clientAuthenticationAnonymous(),
});
const signer = (key) => ({ method: "jwk", alg: key.alg, publicJwk: key.jwk });

// What a person does in a browser: opens the page, types the code, is sent back.
const inBrowser = async (url, code) => {
  const page = await fetch(url);
  const html = await page.text();
  if (page.status !== 200 || !html.includes('lang="ja"')) throw new Error(`the page says ${page.status}`);
  const form = new URLSearchParams({ code, action: "allow" });
  for (const [, name, value] of html.matchAll(/type="hidden" name="([^"]+)" value="([^"]+)"/g)) form.set(name, value);
  const answer = await fetch(new URL("/openid4vci/authorize", url), { method: "POST", body: form, redirect: "manual" });
  if (answer.status !== 303) throw new Error(`the page answers ${answer.status}`);
  return answer.headers.get("location");
};

const operations = {
  // A whole flow from an offer's link to credentials.
  async receive({ offer: link, txCode, clientId: id, redirectUri, pairingCode, copies, holderAlg, enc, dpop }) {
    const clientId = id ?? undefined;
    const keys = Array.from({ length: copies }, () => newKey(holderAlg));
    const dpopKey = dpop ? newKey("ES256") : undefined;
    const all = dpopKey ? [...keys, dpopKey] : keys;
    const bound = dpopKey && { signer: signer(dpopKey) };
    let client = new Openid4vciClient({ callbacks: callbacks(all, { clientId }) });
    const offer = await client.resolveCredentialOffer(link);
    const issuerMetadata = await client.resolveIssuerMetadata(offer.credential_issuer);
    const encryptionHeaders = [];
    if (enc) {
      const fetcher = encryptedFetch(issuerMetadata.credentialIssuer, enc, encryptionHeaders);
      client = new Openid4vciClient({ callbacks: callbacks(all, { clientId, fetch: fetcher }) });
    }
    let token;
    if (pairingCode) {
      const { authorizationRequestUrl, pkce, dpop } = await client.createAuthorizationRequestUrlFromOffer({
        issuerMetadata, credentialOffer: offer, clientId, redirectUri, dpop: bound,
        scope: offer.credential_configuration_ids.join(" "),
      });
      if (!authorizationRequestUrl.includes("request_uri=")) throw new Error("nothing was pushed");
      const url = await inBrowser(authorizationRequestUrl, pairingCode);
      const answer = client.parseAndVerifyAuthorizationResponseRedirectUrl({
        url, authorizationServerMetadata: issuerMetadata.authorizationServers[0],
      });
      token = await client.retrieveAuthorizationCodeAccessTokenFromOffer({
        issuerMetadata, credentialOffer: offer, authorizationCode: answer.code, dpop: dpop ?? bound,
        pkceCodeVerifier: pkce.codeVerifier, redirectUri,
      });
    } else {
      token = await client.retrievePreAuthorizedCodeAccessTokenFromOffer({
        issuerMetadata, credentialOffer: offer, txCode, dpop: bound,
      });
    }
    const accessToken = token.accessTokenResponse.access_token;
    const { c_nonce: nonce } = await client.requestNonce({ issuerMetadata });
    const credentialConfigurationId = offer.credential_configuration_ids[0];
    const proofs = [];
    for (const key of keys) {
      const proof = await client.createCredentialRequestJwtProof({
        issuerMetadata, credentialConfigurationId, nonce, signer: signer(key), clientId,
      });
      proofs.push(proof.jwt);
    }
    const { credentialResponse } = await client.retrieveCredentials({
      accessToken, credentialConfigurationId, issuerMetadata, proofs: { jwt: proofs }, dpop: token.dpop ?? bound,
    });
    const configuration = issuerMetadata.credentialIssuer.credential_configurations_supported[credentialConfigurationId];
    return {
      credentials: credentialResponse.credentials.map(({ credential }) => credential),
      keys: keys.map((key) => key.private.export({ format: "jwk" })),
      tokenType: token.accessTokenResponse.token_type,
      labels: configuration.credential_metadata.display,
      encryptionHeaders,
    };
  },

  // Verifies a credential with a key found for oneself, presents it, and verifies that.
  async verify({ credential, holder, authority, frame }) {
    const header = unpart(credential.split(".")[0]);
    const payload = unpart(credential.split(".")[1]);
    const found = await (await fetch(`${payload.iss}/.well-known/jwt-vc-issuer`)).json();
    if (found.issuer !== payload.iss) throw new Error("the metadata is of another issuer");
    const published = (kid) => {
      const jwk = found.jwks.keys.find((key) => key.kid === kid);
      if (!jwk) throw new Error(`no key ${kid} is published`);
      return jwk;
    };
    const checks = {};
    if (authority) {
      const [leaf] = header.x5c.map((der) => new X509Certificate(Buffer.from(der, "base64")));
      const anchor = new X509Certificate(authority);
      if (!leaf.checkIssued(anchor) || !leaf.verify(anchor.publicKey)) throw new Error("the chain does not hold");
      if (!leaf.subjectAltName.includes(`URI:${payload.iss}`)) throw new Error("the certificate is of another issuer");
      const jwk = leaf.publicKey.export({ format: "jwk" });
      if (jwk.x !== published(header.kid).x) throw new Error("certificate and metadata name two keys");
      checks.x5c = checkText(jwk, credential.split("~")[0].split(".").slice(0, 2).join("."), credential.split("~")[0].split(".")[2]);
    }
    const type = await fetch(`${payload.iss}/.well-known/vct/${payload.vct}`);
    const integrity = `sha256-${createHash("sha256").update(Buffer.from(await type.arrayBuffer())).digest("base64")}`;
    if (integrity !== payload["vct#integrity"]) throw new Error("the type's metadata is another");
    const key = { alg: algOf(holder), private: createPrivateKey({ key: holder, format: "jwk" }) };
    const instance = new SDJwtVcInstance({
      hasher: (data) => createHash("sha256").update(data).digest(),
      hashAlg: "sha-256",
      saltGenerator: () => randomBytes(16).toString("base64url"),
      verifier: (data, signature) => checkText(published(unpart(data.split(".")[0]).kid), data, signature),
      kbSignAlg: key.alg,
      kbSigner: (data) => signText(key, data),
      kbVerifier: (data, signature, payload) => checkText(payload.cnf.jwk, data, signature),
      statusListFetcher: async (uri) => (await fetch(uri)).text(),
      statusValidator: async (status) => {
        if (status !== 0) throw new Error(`status ${status}`);
      },
    });
    const whole = await instance.verify(credential);
    const kb = { payload: { aud: "https://verifier.example", nonce: "n-1", iat: Math.floor(Date.now() / 1000) } };
    const shown = await instance.present(credential, frame, { kb });
    const presented = await instance.verify(shown, { keyBindingNonce: "n-1" });
    return { payload: whole.payload, presented: presented.payload, header, checks };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = await operations[request.op](request);
  } catch (error) {
    answer = { error: String(error.message ?? error), code: error.errorResponse?.error ?? error.response?.credentialErrorResponseResult?.data?.error };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
