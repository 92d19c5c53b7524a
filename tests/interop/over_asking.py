"""Signed requests for presentations as evidence of over-asking: `specs/consent/over-asking.md`, from the page alone."""

import base64
import hashlib
import json
import re
from pathlib import Path

from certificate import Certificate, parts
from consent_formats import CATEGORIES, LEGAL_BASES, PURPOSES
from consent_formats import either, many, nothing, refuse_if, require, signed_by, table, tagged, text, uint
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TYPE = "urn:tegata:presentation:1"
CATALOGUE = Path(__file__).resolve().parents[2] / "specs/records/types"
CATALOGUE = [json.loads(path.read_text()) for path in CATALOGUE.glob("*.metadata.json")]
TYPES = {one["vct"]: one["category"] for one in CATALOGUE}
CLAIMS = {name for one in CATALOGUE for claim in one["claims"] for name in claim["path"] if name is not None}


def unb64(part):
    """Base64url without padding and spare bits; None where it is anything else."""
    try:
        read = base64.b64decode(part + "=" * (-len(part) % 4), altchars="-_", validate=True)
    except ValueError:
        return None
    return read if b64(read) == part else None


def b64(read):
    return base64.urlsafe_b64encode(read).decode().rstrip("=")


def parse(read):
    """JSON of the dialect of section 2: what Python writes without whitespace is the only form of its values."""

    def members(pairs):
        refuse_if(len(dict(pairs)) < len(pairs), "evidence-json")
        return dict(pairs)

    def whole(digits):
        require(digits.isdigit() and len(digits) <= 15, "evidence-json")
        return int(digits)

    def other(_):
        require(False, "evidence-json")

    def bounded(value, depth):
        if isinstance(value, (dict, list)):
            require(depth <= 8 and len(value) <= 128, "evidence-json")
            for inner in value.values() if isinstance(value, dict) else value:
                bounded(inner, depth + 1)

    try:
        said = read.decode()
        refuse_if(re.search("[\x00-\x1f\x7f-\x9f]", said), "evidence-json")
        value = json.loads(said, object_pairs_hook=members, parse_int=whole, parse_float=other, parse_constant=other)
    except (ValueError, RecursionError):
        return other(None)
    bounded(value, 1)
    require(json.dumps(value, ensure_ascii=False, separators=(",", ":")) == said, "evidence-json")
    return value


# ---- the one form ----------------------------------------------------------------------------------------------------


def word(pattern):
    return lambda value: text(value) and re.fullmatch(pattern, value) is not None


def one_of(*words):
    return lambda value: text(value) and value in words


def boolean(value):
    return type(value) is bool


HEX, CLAIM = word("[0-9a-fA-F]{64}"), one_of(*CLAIMS)
LABEL = either(CLAIM, word("[a-z][0-9]{0,2}"), one_of(*[vct.split(":")[-2] for vct in TYPES]))
RANDOM = either(word("[0-9a-f]{32}"), lambda value: text(value) and len(value) == 43 and unb64(value) is not None)
ALGS = many(one_of("ES256", "EdDSA"), 1)


def der(value):
    """The bytes of base64 with padding and without spare bits; None where it is anything else."""
    try:
        read = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    return read if base64.b64encode(read).decode() == value else None


HOST = re.compile("^(?:https?://|did:web:)([^/:%]+)")


def certificate(value):
    return text(value) and der(value) is not None and bool(Certificate(der(value)))


HEADER = {"typ": one_of("oauth-authz-req+jwt"), "alg": text}
HEADER = either(table({**HEADER, "kid": text}), table({**HEADER, "x5c": many(certificate, 1, 1)}))
STATEMENT = {"chain": HEX, "organisation": HEX, "categories": many(one_of(*CATEGORIES), 1)}
STATEMENT |= {"purpose": one_of(*PURPOSES), "legal_basis": one_of(*LEGAL_BASES)}
STATEMENT |= {"retention_days": lambda value: uint(value) and value < 2**32, "until_ms": uint}
SIGNED_STATEMENT = table(
    {"type": one_of(TYPE), "credential_ids": many(LABEL, 1), "transaction_data_hashes_alg": many(one_of("sha-256"), 1)}
    | STATEMENT
)
QUERY = table(
    {
        "id": LABEL,
        "format": one_of("dc+sd-jwt"),
        "meta": table({"vct_values": many(one_of(*TYPES), 1)}),
    },
    {
        "multiple": boolean,
        "require_cryptographic_holder_binding": boolean,
        "claims": many(
            table({"path": many(either(CLAIM, nothing, lambda value: uint(value) and value <= 999), 1)}, {"id": LABEL}), 1
        ),
        "claim_sets": many(many(LABEL, 1), 1),
    },
)
METADATA = table(
    {
        "client_name": text,
        "vp_formats_supported": table({"dc+sd-jwt": table({}, {"sd-jwt_alg_values": ALGS, "kb-jwt_alg_values": ALGS})}),
    },
    {
        "jwks": table(
            {
                "keys": many(
                    table(
                        {"kty": one_of("EC"), "crv": one_of("P-256"), "x": RANDOM, "y": RANDOM},
                        {"use": one_of("enc"), "alg": one_of("ECDH-ES"), "kid": RANDOM},
                    ),
                    1,
                )
            }
        ),
        "encrypted_response_enc_values_supported": many(one_of("A128GCM", "A256GCM"), 1),
    },
)
PAYLOAD = {
    "response_type": one_of("vp_token"),
    "response_mode": one_of("direct_post", "direct_post.jwt"),
    "client_id": text,
    "aud": one_of("https://self-issued.me/v2"),
    "nonce": RANDOM,
    "iat": uint,
    "exp": uint,
    "response_uri": text,
    "dcql_query": table(
        {"credentials": many(QUERY, 1)},
        {"credential_sets": many(table({"options": many(many(LABEL, 1), 1)}, {"required": boolean}), 1)},
    ),
    "client_metadata": METADATA,
}
OPTIONAL = {"state": RANDOM, "wallet_nonce": RANDOM}
INFO = table({"format": one_of(TYPE), "data": table(STATEMENT)})
PAYLOAD = either(
    table({**PAYLOAD, "transaction_data": many(text, 1)}, OPTIONAL),
    table({**PAYLOAD, "verifier_info": many(INFO, 1)}, OPTIONAL),
)


def statements_of(payload):
    if "verifier_info" in payload:
        return [one["data"] for one in payload["verifier_info"]]
    statements = []
    for encoded in payload["transaction_data"]:
        read = unb64(encoded)
        require(read is not None, "evidence-encoding")
        statements.append(parse(read))
        require(SIGNED_STATEMENT(statements[-1]), "evidence-member")
    return statements


# ---- keys ------------------------------------------------------------------------------------------------------------


class CredentialKey:
    """A key of the registry: use 3 is Ed25519, use 4 P-256 in SEC1."""

    def __init__(self, use, public):
        if use == 3:
            self.alg, self.key, self.raw = "EdDSA", ed25519.Ed25519PublicKey.from_public_bytes(public), public
            self.jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64(public)}
        else:
            self.alg, self.key = "ES256", ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
            x, y = [b64(number.to_bytes(32, "big")) for number in (self.key.public_numbers().x, self.key.public_numbers().y)]
            self.jwk = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
        self.info = self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.text = json.dumps(self.jwk, sort_keys=True, separators=(",", ":")).encode()
        self.thumbprint = b64(hashlib.sha256(self.text).digest())

    def signed(self, signature, message):
        if self.alg == "EdDSA":
            return signed_by(self.raw, signature, message)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            self.key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def stands_for(self, header, client_id, did):
        if "x5c" in header:
            read = der(header["x5c"][0])
            named = client_id == "x509_hash:" + b64(hashlib.sha256(read).digest())
            return named and [Certificate(read).key] == parts(self.info)
        jwk = "did:jwk:" + b64(self.text)
        names = {did: f"{did}#{self.thumbprint}", jwk: f"{jwk}#0"}
        return any(client_id == f"decentralized_identifier:{one}" and header["kid"] == kid for one, kid in names.items())


def credential_keys(organisation, at_ms):
    """Those that count at that time. Of a registered key nobody has said that it is a point of its curve."""
    for use, public, since, until in [(key[1], key[2], key[3], key.get(4, 2**64)) for key in organisation[5]]:
        if use in (3, 4) and since <= at_ms < until:
            try:
                yield CredentialKey(use, public)
            except ValueError:
                pass


# ---- the checks of section 5 -----------------------------------------------------------------------------------------

def digest(request):
    return tagged("tegata/v1/request-digest", ".".join(request.split(".")[:2]).encode())


def check_evidence(request, chain, state, at_ms):
    """That the organisation of this state (`state.md` section 2) asked for more than it may."""
    require(len(request) <= 15 * 1024, "evidence-too-long")
    parts = [unb64(part) for part in request.split(".")]
    require(len(parts) == 3 and None not in parts and len(parts[2]) == 64, "evidence-encoding")
    header, payload = parse(parts[0]), parse(parts[1])
    require(HEADER(header), "evidence-member")
    require(header["alg"] in ("ES256", "EdDSA"), "evidence-algorithm")
    require(PAYLOAD(payload), "evidence-member")
    statements = statements_of(payload)
    named = {(one["chain"].lower(), one["organisation"].lower()) for one in statements}
    require(len(named) == 1, "evidence-member")
    [(ledger, who)] = named
    end_ms = min(payload["exp"] * 1000, *[one["until_ms"] for one in statements])
    require(end_ms <= 253402300799999, "evidence-member")
    require(ledger == chain.hex(), "evidence-chain")
    require(who == state[1].hex(), "evidence-organisation")

    organisation = state[2]
    keys = [key for key in credential_keys(organisation, at_ms) if key.alg == header["alg"]]
    key = next((key for key in keys if key.stands_for(header, payload["client_id"], organisation[4])), None)
    require(key is not None, "evidence-key")
    require(key.signed(parts[2], request.rpartition(".")[0].encode()), "evidence-signature")

    check_names(organisation, header, payload)
    require(at_ms < end_ms, "evidence-expired")

    types = [vct for query in payload["dcql_query"]["credentials"] for vct in query["meta"]["vct_values"]]
    queried = {TYPES[vct] for vct in types}
    refuse_if(all(accredited(organisation, one, queried) for one in statements), "not-over-asking")


def check_names(organisation, header, payload):
    """That names and addresses are the organisation's own."""
    names = set(organisation[1].values())
    require(payload["client_metadata"]["client_name"] in names, "evidence-member")
    verifiers = [service[2] for service in organisation[3] if service[1] == 2]
    answers = [word(re.escape(one) + "/v1/presentations/[0-9a-f]{32}/response") for one in verifiers]
    require(either(*answers)(payload["response_uri"]), "evidence-member")

    addresses = {service[2] for service in organisation[3]}
    hosts = {host for one in [*addresses, organisation[4]] for host in HOST.findall(one)}
    for one in header.get("x5c", []):
        read = Certificate(der(one))
        require(names | hosts >= set(read.names) and hosts >= set(read.hosts), "evidence-member")
        require(addresses >= set(read.addresses), "evidence-member")


def accredited(organisation, statement, queried):
    wanted = queried | set(statement["categories"])
    return any(
        one[1] == statement["purpose"] and wanted <= set(one[2]) and statement["retention_days"] <= one[3]
        for one in organisation[7]
    )
