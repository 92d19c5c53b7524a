// An issuer, holder and verifier with npm @sd-jwt: reads one JSON request a line on stdin,
// answers each with one JSON line. The Rust test specs/credential/tests/interop.rs talks to it.
import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from "node:crypto";
import { createInterface } from "node:readline";
import { createHeaderAndPayload, getListFromStatusListJWT, StatusList } from "@sd-jwt/jwt-status-list";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

const algOf = (jwk) => (jwk.kty === "OKP" ? "EdDSA" : "ES256");
const signer = (jwk) => {
  const key = createPrivateKey({ key: jwk, format: "jwk" });
  return (data) =>
    algOf(jwk) === "EdDSA"
      ? sign(null, Buffer.from(data), key).toString("base64url")
      : sign("sha256", Buffer.from(data), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
};
const check = (jwk, data, signature) => {
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const bytes = Buffer.from(signature, "base64url");
  return algOf(jwk) === "EdDSA"
    ? verify(null, Buffer.from(data), key, bytes)
    : verify("sha256", Buffer.from(data), { key, dsaEncoding: "ieee-p1363" }, bytes);
};

// The status list that the credential's `status` points to comes with the request: no network.
const instance = ({ issuer, holder, statusList }) =>
  new SDJwtVcInstance({
    hasher: (data) => createHash("sha256").update(data).digest(),
    hashAlg: "sha-256",
    saltGenerator: () => randomBytes(16).toString("base64url"),
    signAlg: issuer && algOf(issuer),
    signer: issuer?.d && signer(issuer),
    verifier: issuer && ((data, signature) => check(issuer, data, signature)),
    kbSignAlg: holder && algOf(holder),
    kbSigner: holder?.d && signer(holder),
    kbVerifier: (data, signature, payload) => check(payload.cnf.jwk, data, signature),
    statusListFetcher: async () => statusList,
    statusValidator: async (status) => {
      if (status !== 0) throw new Error(`status ${status}`);
    },
  });

const operations = {
  async issue({ issuer, claims, frame }) {
    return { sdJwt: await instance({ issuer }).issue(claims, frame) };
  },
  async present({ holder, sdJwt, frame, audience, nonce, at }) {
    const payload = { aud: audience, nonce, iat: at };
    return { sdJwt: await instance({ holder }).present(sdJwt, frame, { kb: { payload } }) };
  },
  async verify({ issuer, sdJwt, nonce, at, statusList }) {
    const options = { currentDate: at, keyBindingNonce: nonce };
    const { payload, kb } = await instance({ issuer, statusList }).verify(sdJwt, options);
    return { payload, kb: kb?.payload };
  },
  async statusList({ issuer, uri, at, statuses, bits }) {
    const list = new StatusList(statuses, bits);
    const { header, payload } = createHeaderAndPayload(
      list,
      { iss: "https://a.example", sub: uri, iat: at },
      { alg: algOf(issuer), typ: "statuslist+jwt" },
    );
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const input = `${part(header)}.${part(payload)}`;
    return { token: `${input}.${signer(issuer)(input)}` };
  },
  async readStatusList({ token, indexes }) {
    const list = getListFromStatusListJWT(token);
    return { statuses: indexes.map((index) => list.getStatus(index)) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    answer = await operations[request.op](request);
  } catch (error) {
    answer = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
