// A standard wallet: npm @openid4vc/openid4vp resolves and answers requests of the running verifier, npm dcql finds what they
// ask for, npm @sd-jwt/sd-jwt-vc shows it, npm jose encrypts. Reads one JSON request a line on stdin, answers each with one
// JSON line.
import { createHash, createPrivateKey, createPublicKey, sign, verify, X509Certificate } from "node:crypto";
import { createInterface } from "node:readline";
import { setGlobalConfig } from "@openid4vc/oauth2";
import { Openid4vpClient } from "@openid4vc/openid4vp";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";
import { DcqlQuery } from "dcql";
import { CompactEncrypt, importJWK } from "jose";

setGlobalConfig({ allowInsecureUrls: true }); // loopback

const algOf = (jwk) => (jwk.kty === "OKP" ? "EdDSA" : "ES256");
const signer = (jwk) => {
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return (text) =>
    algOf(jwk) === "EdDSA"
      ? sign(null, Buffer.from(text), key).toString("base64url")
      : sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
};
const hash = (data, alg) => createHash(alg.replace("-", "")).update(data).digest();

// Who signed the request: the certificate in it, whose hash the library compares, or the key of a DID.
const verifierKey = (jwtSigner, dids) => {
  if (jwtSigner.method === "x5c") return new X509Certificate(Buffer.from(jwtSigner.x5c[0], "base64")).publicKey;
  const [did] = jwtSigner.didUrl.split("#");
  const jwk = did.startsWith("did:jwk:")
    ? JSON.parse(Buffer.from(did.slice("did:jwk:".length), "base64url").toString())
    : dids[jwtSigner.didUrl];
  return createPublicKey({ key: jwk, format: "jwk" });
};

const client = (dids) =>
  new Openid4vpClient({
    callbacks: {
      fetch,
      hash,
      verifyJwt: (jwtSigner, { compact }) => {
        const key = verifierKey(jwtSigner, dids);
        const at = compact.lastIndexOf(".");
        const signature = Buffer.from(compact.slice(at + 1), "base64url");
        const options = { key, dsaEncoding: "ieee-p1363" };
        const verified = verify("sha256", Buffer.from(compact.slice(0, at)), options, signature);
        return verified ? { verified, signerJwk: key.export({ format: "jwk" }) } : { verified };
      },
      getX509CertificateMetadata: (text) => {
        const names = new X509Certificate(Buffer.from(text, "base64")).subjectAltName ?? "";
        const of = (kind) => names.split(", ").filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length));
        return { sanDnsNames: of("DNS:"), sanUriNames: of("URI:") };
      },
      encryptJwe: async (encryptor, data) => {
        const { publicJwk, alg, enc, apu, apv } = encryptor;
        const sealing = new CompactEncrypt(Buffer.from(data)).setProtectedHeader({ alg, enc, kid: publicJwk.kid });
        sealing.setKeyManagementParameters({
          ...(apu && { apu: Buffer.from(apu, "base64url") }),
          ...(apv && { apv: Buffer.from(apv, "base64url") }),
        });
        return { jwe: await sealing.encrypt(await importJWK(publicJwk, alg)), encryptionJwk: publicJwk };
      },
      decryptJwe: () => ({ decrypted: false }),
      signJwt: () => {
        throw new Error("nothing else is signed here");
      },
    },
  });

const sdJwt = (holder) =>
  new SDJwtVcInstance({
    hasher: hash,
    hashAlg: "sha-256",
    kbSignAlg: algOf(holder),
    kbSigner: signer(holder),
  });

// The presentation frame that shows exactly the claims of a query, by their paths.
const frameOf = (claims) => {
  const frame = {};
  for (const { path } of claims) path.reduce((at, name, i) => (at[name] = i + 1 === path.length ? true : (at[name] ?? {})), frame);
  return frame;
};

// `uri`: the verifier's link; `credentials`: what the wallet holds; `post`: with a nonce of its own.
const answer = async ({ uri, credentials, holder, dids = {}, walletNonce, enc, wrongNonce }) => {
  const wallet = client(dids);
  const { params } = wallet.parseOpenid4vpAuthorizationRequest({ authorizationRequest: uri });
  // The library sends its `metadata` as the form: the two parameters of OpenID4VP 1.0 §5.10.
  const metadata = { wallet_metadata: { vp_formats_supported: { "dc+sd-jwt": {} } }, wallet_nonce: walletNonce };
  const resolved = await wallet.resolveOpenId4vpAuthorizationRequest({
    authorizationRequestPayload: params,
    wallet: walletNonce ? { metadata, nonce: walletNonce, expectedNonce: walletNonce } : undefined,
  });
  const request = resolved.authorizationRequestPayload;
  const query = DcqlQuery.parse(resolved.dcql.query);
  DcqlQuery.validate(query);
  const vc = sdJwt(holder);
  const held = await Promise.all(
    credentials.map(async (text) => {
      const claims = await vc.getClaims(text);
      return { credential_format: "dc+sd-jwt", vct: claims.vct, claims, cryptographic_holder_binding: Boolean(claims.cnf) };
    }),
  );
  const found = DcqlQuery.query(query, held);
  if (!found.can_be_satisfied) throw new Error("the wallet holds nothing that answers this");
  const vpToken = {};
  for (const one of query.credentials) {
    const match = found.credential_matches[one.id];
    if (!match.success) continue;
    const text = credentials[match.valid_credentials[0].input_credential_index];
    const hashes = (resolved.transactionData ?? [])
      .filter(({ transactionData }) => transactionData.credential_ids.includes(one.id))
      .map(({ encoded }) => hash(encoded, "sha-256").toString("base64url"));
    const payload = {
      aud: resolved.client.effective,
      nonce: wrongNonce ?? request.nonce,
      iat: Math.floor(Date.now() / 1000),
      ...(hashes.length > 0 && { transaction_data_hashes: hashes, transaction_data_hashes_alg: "sha-256" }),
    };
    vpToken[one.id] = [await vc.present(text, frameOf(one.claims ?? []), { kb: { payload } })];
  }
  const encrypted = request.response_mode === "direct_post.jwt";
  const made = await wallet.createOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: request,
    authorizationResponsePayload: { vp_token: vpToken },
    jarm: encrypted
      ? {
          encryption: { nonce: "wallet" },
          serverMetadata: {
            authorization_signing_alg_values_supported: [],
            authorization_encryption_alg_values_supported: ["ECDH-ES"],
            authorization_encryption_enc_values_supported: [enc ?? "A128GCM"],
          },
        }
      : undefined,
  });
  const { response } = await wallet.submitOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: request,
    authorizationResponsePayload: made.authorizationResponsePayload,
    jarm: made.jarm && { responseJwt: made.jarm.responseJwt },
  });
  return {
    status: response.status,
    body: await response.json(),
    prefix: resolved.client.prefix,
    version: resolved.version,
    encrypted,
    walletNonce: request.wallet_nonce,
    transactionData: resolved.transactionData?.map(({ transactionData }) => transactionData.type),
    verifierInfo: request.verifier_info?.map(({ format, data }) => ({ format, purpose: data.purpose })),
    clientName: request.client_metadata?.client_name,
  };
};

for await (const line of createInterface({ input: process.stdin })) {
  let reply;
  try {
    reply = await answer(JSON.parse(line));
  } catch (error) {
    reply = { error: String(error.message ?? error), stack: error.stack };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
