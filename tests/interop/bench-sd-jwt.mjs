// A peer of `make bench`: npm @sd-jwt/sd-jwt-vc alone, one thread. Reads {claims, disclosable, shown, audience, nonce, at} in
// one line, then lines `issue SECONDS` or `verify SECONDS`, and answers each with a rate per second of processor time.
import { createHash, generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import { createInterface } from "node:readline";
import { SDJwtVcInstance } from "@sd-jwt/sd-jwt-vc";

const [issuer, holder] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
const signer = (key) => (data) => sign(null, Buffer.from(data), key).toString("base64url");
const verifier = (key) => (data, signature) =>
  verify(null, Buffer.from(data), key, Buffer.from(signature, "base64url"));
const instance = new SDJwtVcInstance({
  hasher: (data) => createHash("sha256").update(data).digest(),
  hashAlg: "sha-256",
  saltGenerator: () => randomBytes(16).toString("base64url"),
  signAlg: "EdDSA",
  signer: signer(issuer.privateKey),
  verifier: verifier(issuer.publicKey),
  kbSignAlg: "EdDSA",
  kbSigner: signer(holder.privateKey),
  kbVerifier: verifier(holder.publicKey),
});

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = JSON.parse((await lines.next()).value);
const claims = { ...first.claims, cnf: { jwk: holder.publicKey.export({ format: "jwk" }) } };
const issue = () => instance.issue(claims, { _sd: first.disclosable });
const kb = { payload: { iat: first.at, aud: first.audience, nonce: first.nonce } };
const shown = Object.fromEntries(first.shown.map((name) => [name, true]));
const presentation = await instance.present(await issue(), shown, { kb });
const options = { currentDate: first.at, keyBindingNonce: first.nonce };
const cases = { issue, verify: () => instance.verify(presentation, options) };
for (const run of Object.values(cases)) for (let i = 0; i < 200; i++) await run(); // warm

for await (const line of lines) {
  const [what, seconds] = line.split(" ");
  const [began, before] = [performance.now(), process.cpuUsage()];
  let [runs, elapsed] = [0, 0];
  do {
    await cases[what]();
    runs += 1;
    elapsed = (performance.now() - began) / 1000;
  } while (elapsed < Number(seconds));
  const { user, system } = process.cpuUsage(before);
  console.log(runs / ((user + system) / 1e6));
}
