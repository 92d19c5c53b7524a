// An issuer, holder and verifier with npm @digitalbazaar/vc: reads one JSON request a line on stdin, answers each with one
// JSON line. The Rust test specs/w3c/tests/interop.rs talks to it. Contexts come with the request: no network.
import { createInterface } from "node:readline";
import dataIntegrityContext from "@digitalbazaar/data-integrity-context";
import * as credentialsContext from "@digitalbazaar/credentials-context";
import { DataIntegrityProof } from "@digitalbazaar/data-integrity";
import * as Ed25519Multikey from "@digitalbazaar/ed25519-multikey";
import * as jcs from "@digitalbazaar/eddsa-jcs-2022-cryptosuite";
import { cryptosuite as rdfc } from "@digitalbazaar/eddsa-rdfc-2022-cryptosuite";
import multikeyContext from "@digitalbazaar/multikey-context";
import * as vc from "@digitalbazaar/vc";
import { checkStatus, createCredential, createList } from "@digitalbazaar/vc-bitstring-status-list";

const DID_CONTEXT = "https://www.w3.org/ns/did/v1";
const ids = { "@id": "https://w3id.org/security#assertionMethod", "@type": "@id", "@container": "@set" };
const own = new Map([
  [
    DID_CONTEXT,
    {
      "@context": {
        "@protected": true,
        id: "@id",
        type: "@type",
        assertionMethod: ids,
        authentication: { ...ids, "@id": "https://w3id.org/security#authenticationMethod" },
      },
    },
  ],
]);
for (const { contexts } of [dataIntegrityContext, credentialsContext, multikeyContext])
  for (const [url, document] of contexts) own.set(url, document);

// did:key is resolved here; documents of the request (contexts, status lists) come first.
const loader = (documents = {}) => async (url) => {
  let document = documents[url] ?? own.get(url);
  if (!document && url.startsWith("did:key:")) {
    const [did, fragment] = url.split("#");
    const key = {
      "@context": "https://w3id.org/security/multikey/v1",
      id: `${did}#${did.slice(8)}`,
      type: "Multikey",
      controller: did,
      publicKeyMultibase: did.slice(8),
    };
    document = fragment
      ? key
      : {
          "@context": [DID_CONTEXT, "https://w3id.org/security/multikey/v1"],
          id: did,
          assertionMethod: [key],
          authentication: [key],
        };
  }
  if (!document) throw new Error(`not known: ${url}`);
  return { contextUrl: null, documentUrl: url, document };
};

const suites = {
  "eddsa-rdfc-2022": { sign: rdfc, verify: rdfc },
  "eddsa-jcs-2022": { sign: jcs.createSignCryptosuite(), verify: jcs.createVerifyCryptosuite() },
};
const verifying = Object.values(suites).map(({ verify }) => new DataIntegrityProof({ cryptosuite: verify }));
const signing = async (name, key, at) => {
  const pair = await Ed25519Multikey.from(key);
  return new DataIntegrityProof({ signer: pair.signer(), cryptosuite: suites[name].sign, date: at });
};

const answer = (result) => {
  if (result.verified) return { verified: true };
  const errors = [result.error, ...(result.error?.errors ?? [])].filter(Boolean);
  return { verified: false, errors: errors.map((error) => String(error.message ?? error)) };
};

const operations = {
  async issue({ suite, key, credential, documents, at }) {
    const proof = await signing(suite, key, at);
    return { credential: await vc.issue({ credential, suite: proof, documentLoader: loader(documents), now: at }) };
  },
  async present({ suite, key, credentials, challenge, domain, documents, at }) {
    const presentation = vc.createPresentation({ verifiableCredential: credentials, holder: key.controller, now: at });
    const proof = await signing(suite, key, at);
    const options = { presentation, suite: proof, challenge, domain, documentLoader: loader(documents) };
    return { presentation: await vc.signPresentation(options) };
  },
  async verify({ credential, documents, at }) {
    const documentLoader = loader(documents);
    const options = { credential, suite: verifying, documentLoader, checkStatus, now: at };
    const result = await vc.verifyCredential(options);
    const statuses = result.statusResult?.results?.map(({ status }) => status);
    return { ...answer(result), statuses };
  },
  async verifyPresentation({ presentation, challenge, domain, documents, at }) {
    const options = { presentation, challenge, domain, suite: verifying, documentLoader: loader(documents), checkStatus, now: at };
    return answer(await vc.verify(options));
  },
  async statusList({ suite, key, id, purpose, length, set, at, documents }) {
    const list = await createList({ length });
    for (const index of set) list.setStatus(index, true);
    const credential = await createCredential({ id, list, statusPurpose: purpose });
    credential.issuer = key.controller;
    credential.validFrom = at;
    return operations.issue({ suite, key, credential, documents, at });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let result;
  try {
    result = await operations[request.op](request);
  } catch (error) {
    result = { error: String(error.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
