// What npm `jose` 6 and Node's zlib make of our SMART Health Cards, and cards they make themselves.
// A request is one line of JSON on standard input, its answer one line on standard output.
import { createInterface } from "node:readline";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { CompactSign, calculateJwkThumbprint, compactVerify, createLocalJWKSet, importJWK } from "jose";

const digits = (jws) => "shc:/" + [...jws].map((c) => String(c.charCodeAt(0) - 45).padStart(2, "0")).join("");
const fromDigits = (text) => {
  if (!/^shc:\/(\d\d)+$/.test(text)) throw new Error("no QR text of a card");
  return text.slice(5).replace(/\d\d/g, (pair) => String.fromCharCode(Number(pair) + 45));
};

const operations = {
  async read({ qr, jwks }) {
    const { payload, protectedHeader } = await compactVerify(fromDigits(qr), createLocalJWKSet(jwks), { algorithms: ["ES256"] });
    const key = jwks.keys.find((key) => key.kid === protectedHeader.kid);
    if ((await calculateJwkThumbprint(key)) !== protectedHeader.kid) throw new Error("kid is not the key's thumbprint");
    return { header: protectedHeader, claims: JSON.parse(inflateRawSync(payload).toString()) };
  },
  async issue({ jwk, claims }) {
    const payload = deflateRawSync(Buffer.from(JSON.stringify(claims)));
    const kid = await calculateJwkThumbprint(jwk);
    const key = await importJWK(jwk, "ES256");
    const jws = await new CompactSign(payload).setProtectedHeader({ alg: "ES256", zip: "DEF", kid }).sign(key);
    return { qr: digits(jws), kid };
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
