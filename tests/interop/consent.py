"""A second implementation of what the ledger proves, written from the pages in `specs/` alone. Nothing here asks a network.

    consent.py                                                  every vector of `specs/consent/vectors`
    consent.py --genesis FILE [--request FILE] [--at MS] FILE…  saved receipts, proofs, histories and presentations

It prints a summary as JSON, and exits with 0 only if every verdict is the expected one. A vector or file of a shape that it
does not know is an error. Of saved files, copies with one bit changed must be refused as well. The formats are in `consent_formats.py`,
`over_asking.py` and `certificate.py`."""

import argparse
import json
import re
import sys
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from consent_formats import *
from jwcrypto.jwk import JWK
from over_asking import TYPES, b64, check_evidence, credential_keys, digest, unb64
from sd_jwt_python import Verifier

VECTORS = Path(__file__).resolve().parents[2] / "specs/consent/vectors"
YEAR_10000_MS = 253_402_300_800_000

# ---- the vectors -----------------------------------------------------------------------------------------------------

DATE = TIME = uint
ENVELOPES = {
    "invitation": table(
        {
            1: is_(1),
            2: ID,
            3: ID,
            4: ID,
            5: many(table({1: RANDOM, 2: text, 3: uint, 4: ID, 5: ID})),
            6: ID,
            7: many(text),
            8: TIME,
            9: RANDOM,
        }
    ),
    "deposit": table({1: ID, 2: RANDOM, 3: RANDOM, 4: DATE, 5: ID, 6: uint, 7: ID, 8: ID}),
    "deposit-receipt": table({1: ID, 2: RANDOM, 3: uint, 4: ID, 5: ID, 6: TIME}),
    "consent-request": table(
        {1: ID, 2: many(text), 3: text, 4: text, 5: uint, 6: TIME, 8: text, 9: TIME, 10: RANDOM}, {7: uint}
    ),
    "order": table({1: ID, 2: ID, 3: ID, 4: SCOPE}),
}

# `refused` in entries.json, ledger.json and tree.json is a part of a message in English; these are the codes it stands for.
MESSAGES = {
    "malformed": {"envelope-encoding", "entry-payload", "proof-encoding"},
    "not the deterministic encoding": {"envelope-encoding", "entry-payload"},
    "16385 bytes": {"envelope-encoding"},
    'type "application/tegata-order+cbor"': {"envelope-type"},
    "is not accepted by this version": {"entry-payload"},
    "does not hold": {"envelope-signature", "header-signature"},
    "more than two thirds": {"header-no-quorum"},
    "signed twice": {"header-signed-twice"},
    "is not a validator": {"header-stranger"},
    "another block": {"header-other-block"},
    "belongs to ledger": {"header-chain"},
    "version 2": {"header-version"},
    "another root": {"state-root"},
    "ends at another key": {"state-leaf"},
    "does not show that the key is absent": {"state-not-absent"},
    "longer than 256": {"state-length"},
    "not whole hashes": {"proof-encoding"},
}
CODE = re.compile(r"[a-z]+([-_][a-z]+)*")


def code_names(file, refused):
    if file in {"entries", "ledger", "tree"}:
        return MESSAGES[refused]
    if not CODE.fullmatch(refused):
        raise KeyError(refused)
    return {refused}


def check_entry(vector, file):
    entry = Entry(bytes.fromhex(vector["bytes"]), file.chain)
    return "hash" in vector and entry.id.hex() == vector["hash"]


def check_envelope(vector, file):
    envelope = bytes.fromhex(vector["bytes"])
    typ = vector["name"].split(":")[0].replace(" ", "-")
    body = Envelope(envelope, file.chain, typ).body(ENVELOPES[typ])
    if typ == "consent-request":
        check_consent_request(body)
    return True


def check_consent_request(body):
    categories = body[2]
    sorted_ = all(a < b for a, b in zip(categories, categories[1:]))
    known = set(categories) <= CATEGORIES and body[3] in PURPOSES and body[4] in LEGAL_BASES
    require(categories and sorted_ and known, "request-codes")
    require(body[6] < YEAR_10000_MS and body[9] < YEAR_10000_MS, "request-time")
    require(re.fullmatch(r"[0-9a-f]{32}", body[8]), "request-reference")


def check_header(vector, file):
    header = Header(decode(bytes.fromhex(vector["bytes"]), "proof-encoding"), file.trust)
    return header.hash.hex() == vector["hash"]


def check_receipt(vector, file):
    return Receipt(bytes.fromhex(vector["bytes"]), file.trust).entry.id.hex() == vector["hash"]


def check_tree_vector(vector, _file):
    value = bytes.fromhex(vector["value"]) if "value" in vector else None
    proof = decode(bytes.fromhex(vector["proof"]), "proof-encoding")
    check_tree(proof, bytes.fromhex(vector["key"]), value, bytes.fromhex(vector["root"]))
    return True


def check_history(vector, file):
    history = History([bytes.fromhex(page) for page in vector["pages"]], file.grant, file.trust)
    return len(history.leaves) == vector["readings"]


def check_presentation(vector, file):
    names = ["recipient", "categories", "purpose", "legal_basis", "retention_days", "until_ms"]
    recipient, *rest = [vector[name] for name in names]
    request = Request(vector["request"].encode(), bytes.fromhex(recipient), *rest)
    claim = bytes.fromhex(vector["consent"])
    Consent(claim, file.trust, request, vector["at_ms"], vector["age_max_ms"], "https://clinic.example/v1/status-lists/1")
    return True


def check_status(vector, _file):
    given = bytes.fromhex(vector["bytes"])
    if "hash" in vector:
        tags = {
            "name of a list": "status-list",
            "name of a list in its CWT form": "status-list-cwt",
            "commitment to an erasure": "erasure",
        }
        tag = tags[vector["name"]]
        return tagged(f"tegata/v1/{tag}", given).hex() == vector["hash"]
    read = decode(given, "encoding")
    if not row(either(nothing, STATUS_LIST_STATE), data, uint)(read):
        raise KeyError("shape")
    check_in_force(*read)
    return True


def check_in_force(state, status_list, signed_ms):
    require(state is not None, "status_list_not_on_ledger")
    if state[1] != sha256(status_list):
        require(signed_ms <= state[2], "status_list_not_on_ledger")
        raise Refused("status_list_superseded")


def check_over_asking(vector, file):
    request = vector["request"]
    check_evidence(request, file.chain, file.organisation, file.time_ms)
    return digest(request).hex() == vector["digest"]


class VectorFile:
    """What the head of a vector file says, and how its vectors are checked."""

    # name: (members of the file, members of a vector besides `name` and `refused`, of which the second are not always there)
    SHAPES = {
        "entries": ({"chain"}, {"bytes"}, {"hash"}, check_entry),
        "envelopes": ({"chain"}, {"bytes"}, set(), check_envelope),
        "ledger": ({"chain"}, {"bytes"}, {"hash"}, check_header),
        "signatures": ({"chain"}, {"bytes"}, {"hash"}, check_entry),
        "receipts": ({"chain", "validators"}, {"bytes"}, {"hash"}, check_receipt),
        "tree": (set(), {"key", "proof", "root"}, {"value"}, check_tree_vector),
        "history": ({"genesis", "grant"}, {"pages"}, {"readings"}, check_history),
        "presentation": (
            {"chain", "validators"},
            {"consent", "request", "recipient", "categories", "purpose", "legal_basis", "retention_days", "until_ms"}
            | {"age_max_ms", "at_ms"},
            set(),
            check_presentation,
        ),
        "status": ({"chain"}, {"bytes"}, {"hash"}, check_status),
        "over-asking": ({"chain", "time_ms", "organisation"}, {"request", "digest"}, set(), check_over_asking),
    }

    def __init__(self, path):
        if path.stem not in self.SHAPES:
            raise KeyError(f"{path.name}: what is this?")
        read = json.loads(path.read_text())
        self.name, self.vectors = path.stem, read["vectors"]
        members, self.always, self.sometimes, self.check = self.SHAPES[self.name]
        if set(read) != members | {"page", "vectors"}:
            raise KeyError(f"{path.name}: members {sorted(read)}")
        self.chain = bytes.fromhex(read.get("chain", ""))
        self.grant = bytes.fromhex(read.get("grant", ""))
        self.time_ms = read.get("time_ms")
        if "organisation" in read:
            self.organisation = decode(bytes.fromhex(read["organisation"]), "organisation")
            require(ORGANISATION_STATE(self.organisation), "organisation")
        if "validators" in read:
            self.trust = Trust(self.chain, decode(bytes.fromhex(read["validators"]), "validators"))
        else:  # `ledger.json` is of the ledger whose genesis is in `history.json`
            genesis = read.get("genesis") or json.loads((VECTORS / "history.json").read_text())["genesis"]
            self.trust = Trust.genesis(bytes.fromhex(genesis))

    def summary(self):
        accepted, rejected, wrong = 0, 0, []
        for vector in self.vectors:
            members = set(vector) - {"name", "refused"}
            if not self.always <= members <= self.always | self.sometimes:
                raise KeyError(f"{self.name}: {vector['name']}: members {sorted(members)}")
            expected = code_names(self.name, vector["refused"]) if "refused" in vector else None
            try:
                verdict = None if self.check(vector, self) else "other-result"
            except Refused as refused:
                verdict = str(refused)
            accepted += verdict is None
            rejected += verdict is not None
            if verdict not in (expected or {None}):
                wrong.append({"name": vector["name"], "expected": sorted(expected or []), "verdict": verdict})
        return {"accepted": accepted, "rejected": rejected, "wrong": wrong}


def all_vectors():
    files = {path.stem: VectorFile(path) for path in sorted(VECTORS.glob("*.json"))}
    if set(files) != set(VectorFile.SHAPES):
        raise KeyError(f"no vectors for {set(VectorFile.SHAPES) - set(files)}")
    return {name: file.summary() for name, file in files.items()}



# ---- saved files -----------------------------------------------------------------------------------------------------


def check_saved(read, trust, answer):
    """What kind of thing this is, and of which key a proof of the state, once it holds; anything else is an error."""
    if read.startswith(b"ey"):
        try:
            check_presentation_file(read.decode().strip(), trust, answer)
        except (LookupError, TypeError, ValueError, AttributeError) as error:  # a member is not there, or is something else
            raise Refused("malformed") from error
        return "presentation", None
    value = decode(read, "no-such-format")
    if type(value) is dict:
        History([read], StateProof(value.get(1), trust).key.removeprefix(b"grant/"), trust)
        return "history", None
    require(type(value) is list and len(value) in (2, 4), "no-such-format")
    if len(value) == 2:
        Header(value, trust)
        return "header", None
    if type(value[1]) is int:
        Receipt(read, trust)
        return "receipt", None
    proof = StateProof(read, trust)
    return "absence" if proof.value is None else "presence", proof.key


class Answer(NamedTuple):
    """What a verifier knows of a presentation besides the presentation."""

    request: str
    at_ms: int
    age_max_ms: int
    status_list: str | None


def jws_part(part):
    read = unb64(part)
    require(read is not None, "malformed")
    try:
        return json.loads(read)
    except ValueError:
        raise Refused("malformed") from None


def check_presentation_file(said, trust, answer):
    """An SD-JWT VC with key binding, under policy `ledger`, by what travels along alone. PyPI `sd-jwt` reads the SD-JWT."""
    jwt, *_, binding = said.split("~")
    for part in [*jwt.split("."), *said.split("~")[1:-1], *binding.split(".")]:
        require(unb64(part) is not None, "malformed")
    header, claims = [jws_part(part) for part in jwt.split(".")[:2]]
    bound = jws_part(binding.split(".")[1])
    asked = jws_part(answer.request.split(".")[1])

    hashes = [b64(sha256(encoded.encode())) for encoded in asked.get("transaction_data", [])]
    require(hashes and bound.get("transaction_data_hashes") == hashes, "transaction_data_mismatch")
    require(claims["vct"] in TYPES, "dcql_type_mismatch")
    queries = [one["id"] for one in asked["dcql_query"]["credentials"] if claims["vct"] in one["meta"]["vct_values"]]
    statements = [jws_part(encoded) for encoded in asked["transaction_data"]]
    statement = next((one for one in statements if set(queries) & set(one["credential_ids"])), None)
    require(statement is not None, "dcql_type_mismatch")
    require(statement["chain"] == trust.chain.hex(), "request-of-another-ledger")
    request = Request(
        answer.request.encode(),
        bytes.fromhex(statement["organisation"]),
        [TYPES[claims["vct"]]],
        statement["purpose"],
        statement["legal_basis"],
        statement["retention_days"],
        statement["until_ms"],
    )
    place = claims["status"]["status_list"]
    said_consent = bound.get("tegata_consent")
    claim = unb64(said_consent) if text(said_consent) else None
    require(claim is not None, "consent-encoding")
    consent = Consent(claim, trust, request, answer.at_ms, answer.age_max_ms, place["uri"])
    require(consent.issuer is not None and consent.status_list is not None, "proofs-missing")

    issuer, issued_ms = consent.issuer[2], claims["iat"] * 1000
    addresses = [service[2] for service in issuer[3] if service[1] == 1]
    require(claims["iss"] in [issuer[4], *addresses], "issuer_key_unknown")
    key = next((key for key in credential_keys(issuer, issued_ms) if key.thumbprint == header["kid"]), None)
    require(key is not None, "issuer_key_unknown")
    record_type = claims["vct"].split(":")[3]
    accredited = any(one[1] == record_type and one[2] <= issued_ms < one.get(3, 2**64) for one in issuer[6])
    require(accredited, "issuer-not-accredited")
    try:
        Verifier(said, lambda *_: JWK(**key.jwk), asked["client_id"], asked["nonce"]).get_verified_payload()
    except Exception as error:  # whatever the library finds
        raise Refused("sd-jwt") from error
    if answer.status_list is not None:
        check_status_of(place, consent.status_list, answer.status_list)


def check_status_of(place, state, status_list):
    """The list that the ledger has: its digest stands for the issuer's signature."""
    claims = jws_part(status_list.split(".")[1])
    check_in_force(state, status_list.encode(), claims["iat"] * 1000)
    require(claims["sub"] == place["uri"], "status_list_uri_mismatch")
    bits, packed = claims["status_list"]["bits"], zlib.decompress(unb64(claims["status_list"]["lst"]))
    at = place["idx"] * bits
    require(at // 8 < len(packed), "status_index_out_of_range")
    require(packed[at // 8] >> at % 8 & (1 << bits) - 1 == 0, "revoked")


def altered(read):
    """Copies with one bit changed, at up to 500 places; of a history without its openings: nobody signs the times in them."""
    if read[:1] == b"\xa3":
        read = encode({**decode(read, "history"), 3: []})
    read = read.strip() if read.startswith(b"ey") else read
    for at in range(0, len(read), -(-len(read) // 500)):
        yield read[:at] + bytes([read[at] ^ 1]) + read[at + 1 :]


def all_saved(paths, trust, answer):
    """The same summary, by kind: every file must hold, and of the first of its kind no altered copy."""
    summary = {}
    for path in paths:
        read = path.read_bytes()
        try:
            kind, key = check_saved(read, trust, answer)
        except Refused as refused:
            kind, key, reason = "refused", None, str(refused)
        first = kind not in summary
        counts = summary.setdefault(kind, {"accepted": 0, "rejected": 0, "wrong": []})
        if kind == "refused":
            counts["wrong"].append([path.name, reason])
            continue
        counts["accepted"] += 1
        for at, copy in enumerate(altered(read) if first else []):
            try:
                # What shows that one key is absent may show it of a neighbour.
                if check_saved(copy, trust, answer) in [(kind, key), ("presence", key)]:
                    counts["wrong"].append([path.name, f"altered copy {at} holds"])
            except Refused:
                counts["rejected"] += 1
    return summary


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--genesis", type=Path)
    options.add_argument("--request", type=Path, help="the signed request that a presentation answers")
    options.add_argument("--status", type=Path, help="the status list (JWT) that a presentation's credential names")
    options.add_argument("--at", type=int, default=time.time_ns() // 1_000_000, help="milliseconds since 1970")
    options.add_argument("--age", type=int, default=60_000, help="milliseconds that a proof may be old")
    options.add_argument("files", type=Path, nargs="*")
    given = options.parse_args()
    if given.files and not given.genesis:
        options.error("saved files are checked against a genesis")
    if given.genesis:
        read = lambda path: path.read_text().strip() if path else None
        answer = Answer(read(given.request), given.at, given.age, read(given.status))
        summary = all_saved(given.files, Trust.file(json.loads(given.genesis.read_text())), answer)
    else:
        summary = all_vectors()
    print(json.dumps(summary, ensure_ascii=False))
    holds = summary and all(one["accepted"] and one["rejected"] and not one["wrong"] for one in summary.values())
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
