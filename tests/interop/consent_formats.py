"""A second implementation of what the ledger proves, written from the pages in `specs/consent` alone: entries, certified
headers, receipts, state proofs, histories, and the consent that travels with a presentation. Pure: no clock, network or file."""

import hashlib
from typing import NamedTuple

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Refused(Exception):
    """What is checked does not hold; the reason code is the argument."""


def require(holds, code):
    if not holds:
        raise Refused(code)


def refuse_if(fault, code):
    require(not fault, code)


# ---- encoding.md: CBOR, hashes, signatures, envelopes ----------------------------------------------------------------


def decode(data, code):
    """RFC 8949 section 4.2.1, by writing again what was read."""
    try:
        value = cbor2.loads(data)
        require(cbor2.dumps(value, canonical=True) == data, code)
    except Refused:
        raise
    except Exception:  # whatever the library finds: it is not CBOR that we could write
        raise Refused(code) from None
    return value


def encode(value):
    return cbor2.dumps(value, canonical=True)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def tagged(tag, *parts):
    return sha256(tag.encode(), b"\0", *parts)


def uint(value):
    return type(value) is int and 0 <= value < 2**64


def uint32(value):
    return uint(value) and value < 2**32


def boolean(value):
    return type(value) is bool


def text(value):
    return type(value) is str


def data(value):
    return type(value) is bytes


def nothing(value):
    return value is None


def is_(*values):
    return lambda value: any(type(value) is type(one) and value == one for one in values)


def size(length):
    return lambda value: type(value) is bytes and len(value) == length


def either(*types):
    return lambda value: any(fits(value) for fits in types)


def many(item, least=0, most=2**32):
    return lambda value: type(value) is list and least <= len(value) <= most and all(map(item, value))


def row(*items):
    return lambda value: type(value) is list and len(value) == len(items) and all(f(v) for f, v in zip(items, value))


def table(fields, optional=None):
    known = {**fields, **(optional or {})}
    return lambda value: (
        type(value) is dict
        and all(type(key) in (int, str) and key in known and known[key](inner) for key, inner in value.items())
        and all(key in value for key in fields)
    )


ID, RANDOM = size(32), size(16)
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
# The y of the eight points of small order; the last two are those of order eight.
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL_ORDER = {0, 1, P - 1, Y8, P - Y8}


def y_of(point):
    return (int.from_bytes(point, "little") & (2**255 - 1)) % P


def is_point(key):
    """Whether x² = (y² - 1) / (d·y² + 1) has a root (RFC 8032 section 5.1.3)."""
    y = y_of(key)
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return pow(x_squared, (P - 1) // 2, P) in (0, 1)


def signed_by(key, signature, message):
    """Strictly: the library checks that `s` is canonical and uses the equation without cofactor."""
    if len(signature) != 64 or y_of(key) in SMALL_ORDER or y_of(signature[:32]) in SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class Envelope:
    """A verified COSE_Sign1: `signer`, `countersigners`, `payload`, `id` (the hash of an entry)."""

    LIMITS = {
        "entry": 16_384,
        "invitation": 16_384,
        "deposit": 2_048,
        "deposit-receipt": 2_048,
        "consent-request": 8_192,
        "order": 16_384,
        "ticket": 65_536,
    }

    def __init__(self, envelope, chain, typ):
        require(len(envelope) <= self.LIMITS[typ], "envelope-encoding")
        tag = decode(envelope, "envelope-encoding")
        require(type(tag) is cbor2.CBORTag and tag.tag == 18, "envelope-encoding")
        countersignature = row(data, is_({}), data)
        unprotected = either(is_({}), table({11: many(countersignature)}))
        require(row(data, unprotected, data, data)(tag.value), "envelope-encoding")
        protected, unprotected, payload, signature = tag.value

        self.payload, self.signer = payload, self._key(protected, f"application/tegata-{typ}+cbor")
        others = [(self._key(inner), inner, proof) for inner, _, proof in unprotected.get(11, [])]
        self.countersigners = [key for key, _, _ in others]
        require(unprotected == {} or 1 <= len(others) <= 64, "envelope-countersignatures")
        require(len(set(self.countersigners)) == len(others), "envelope-countersignatures")

        structure = encode(["Signature1", protected, chain, payload])
        require(all(map(is_point, [self.signer, *self.countersigners])), "envelope-key")
        require(signed_by(self.signer, signature, structure), "envelope-signature")
        for key, inner, proof in others:
            covered = encode(["CounterSignatureV2", protected, inner, chain, payload, [signature]])
            require(signed_by(key, proof, covered), "envelope-signature")
        self.id = tagged("tegata/v1/entry", structure)

    @staticmethod
    def _key(protected, typ=None):
        header = decode(protected, "envelope-header")
        number = lambda value: type(value) is int
        require(table({1: number, 4: ID, 16: text} if typ else {1: number, 4: ID})(header), "envelope-header")
        require(header[1] == -8, "envelope-algorithm")
        require(header.get(16) == typ, "envelope-type")
        return header[4]

    def body(self, fits, code="envelope-payload"):
        body = decode(self.payload, code)
        require(fits(body), code)
        return body


# ---- state.md: lists --------------------------------------------------------------------------------------------------

CATEGORIES = set("imaging infant_checkup laboratory medication school_health vaccination".split())
PURPOSES = set("care emergency payout public_health research school statistics transfer venue".split())
LEGAL_BASES = set("consent contract explicit_consent legal_obligation legitimate_interest".split())
LEGAL_BASES |= {"official_authority", "public_interest", "vital_interest"}


# ---- entries.cddl ----------------------------------------------------------------------------------------------------

ROLE, KEY_USE = is_(1, 2, 3, 4, 5), is_(1, 2, 3, 4)
ORGANISATION = table(
    {
        1: table({1: text, 2: text}),
        2: many(ROLE),
        3: many(table({1: ROLE, 2: text})),
        4: text,
        5: many(table({1: KEY_USE, 2: data, 3: uint}, {4: uint})),
        6: many(table({1: text, 2: uint}, {3: uint})),
        7: many(table({1: text, 2: many(text), 3: uint32})),
    }
)
GRANT = table({1: ID, 2: ID, 3: many(text), 4: text, 5: text, 6: uint32, 7: uint, 8: uint, 10: ID}, {9: uint32, 11: ID})
BODIES = {
    1: ORGANISATION,
    2: table({1: ID, 2: uint32, 3: ORGANISATION}),
    3: table({1: ID, 2: uint32, 3: boolean}),
    16: GRANT,
    17: table({1: ID, 2: ID}),
    18: table({1: ID, 2: ID, 3: ID, 4: ID}),
    24: table({1: ID, 2: ID, 3: ID, 4: uint, 5: uint32}),
    25: table({1: ID, 2: ID, 3: data}),
    27: table({1: ID, 2: ID, 3: ID}),
}
ACCESS = 18


class Entry(Envelope):
    def __init__(self, envelope, chain):
        super().__init__(envelope, chain, "entry")
        self.kind, self.not_after, self.entry = self.body(row(uint, uint, lambda _: True), "entry-payload")
        require(self.kind in BODIES and BODIES[self.kind](self.entry), "entry-payload")


# ---- ledger.md: headers, certificates, log, tree ---------------------------------------------------------------------

VALIDATORS = many(row(ID, uint), 1)
GENESIS = table({1: text, 2: uint, 3: RANDOM, 4: VALIDATORS, 5: many(ID, 1), 6: table({1: uint})})
HEADER = row(uint, ID, uint, uint, size(20), ID, uint, ID, ID, ID, ID)
CERTIFICATE = row(uint, lambda value: uint(value) and value < 2**32, ID, many(row(size(20), size(64))))
CERTIFIED = row(HEADER, CERTIFICATE)
OUTCOME = either(row(), row(is_(*range(1, 9))))
LEAF = row(uint, uint, data, OUTCOME)


class Trust:
    """The chain id and the validators that certify."""

    def __init__(self, chain, validators):
        self.chain = chain
        address = lambda key: sha256(key)[:20]
        self.validators = sorted(validators, key=lambda one: (-one[1], address(one[0])))
        self.by_address = {address(key): (key, power) for key, power in validators}
        self.hash = tagged("tegata/v1/validators", encode(self.validators))

    @classmethod
    def genesis(cls, genesis):
        read = decode(genesis, "genesis")
        require(GENESIS(read), "genesis")
        return cls(tagged("tegata/v1/genesis", genesis), read[4])

    @classmethod
    def file(cls, said):
        """The genesis as JSON."""
        key = bytes.fromhex
        validators = [[key(one["key"]), one["power"]] for one in said["validators"]]
        parameters = {1: said["parameters"]["sponsor_entries_per_hour"]}
        operators = [key(one) for one in said["operators"]]
        genesis = {1: said["name"], 2: said["time_ms"], 3: key(said["nonce"]), 4: validators, 5: operators, 6: parameters}
        trust = cls.genesis(encode(genesis))
        require(trust.chain.hex() == said["chain"], "genesis")
        return trust


class Header:
    """A certified header, found final."""

    def __init__(self, certified, trust):
        require(CERTIFIED(certified), "proof-encoding")
        header, certificate = certified
        require(header[0] == 1, "header-version")
        _, chain, self.height, self.time, _, _, self.log_size, self.log_root, self.state_root, validators, _ = header
        self.hash = tagged("tegata/v1/header", encode(header))
        height, round_, voted, precommits = certificate
        require(chain == trust.chain, "header-chain")
        require((height, voted) == (self.height, self.hash), "header-other-block")
        require(validators == trust.hash, "header-validators")

        vote = b"tegata/v1/vote\0" + chain + b"\2" + height.to_bytes(8, "big") + round_.to_bytes(8, "big") + b"\1" + voted
        signed = {}
        for address, signature in precommits:
            require(address in trust.by_address, "header-stranger")
            require(address not in signed, "header-signed-twice")
            key, signed[address] = trust.by_address[address]
            require(signed_by(key, signature, vote + address), "header-signature")
        all_power = sum(power for _, power in trust.validators)
        require(3 * sum(signed.values()) > 2 * all_power, "header-no-quorum")


def leaf_hash(leaf):
    return sha256(b"\0", encode(leaf))


def check_inclusion(index, leaf, path, log_size, root):
    """RFC 9162 section 2.1.3.2."""
    require(index < log_size, "log-range")
    node, last, found = index, log_size - 1, leaf_hash(leaf)
    for other in path:
        require(last > 0, "log-length")
        if node & 1 or node == last:
            found = sha256(b"\1", other, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = sha256(b"\1", found, other)
        node, last = node >> 1, last >> 1
    require(last == 0, "log-length")
    require(found == root, "log-root")


TREE_PROOF = row(either(nothing, row(ID, ID)), lambda value: data(value) and len(value) % 32 == 0)


def check_tree(proof, key, value, root):
    """That `key` has `value` in the state, or, where it is None, that nothing stands there."""
    require(TREE_PROOF(proof), "proof-encoding")
    other, siblings = proof
    depth, place = len(siblings) // 32, sha256(key)
    require(depth <= 256, "state-length")
    bit = lambda level: place[level // 8] >> (7 - level % 8) & 1
    if value is not None:
        require(other is None, "state-leaf")
        found = sha256(b"JMT::LeafNode", place, sha256(value))
    elif other is None:
        found = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
    else:
        shared = (int.from_bytes(place, "big") ^ int.from_bytes(other[0], "big")) >> (256 - depth) == 0
        require(other[0] != place and shared, "state-not-absent")
        found = sha256(b"JMT::LeafNode", *other)
    for i in range(depth):
        sibling, right = siblings[32 * i : 32 * i + 32], bit(depth - 1 - i)
        found = sha256(b"JMT::IntrnalNode", *((sibling, found) if right else (found, sibling)))
    require(found == root, "state-root")


# ---- proofs.md: receipts, state proofs, histories --------------------------------------------------------------------

GRANT_STATE = table({1: GRANT, 2: uint, 4: uint32, 5: uint, 6: ID}, {3: uint})
ORGANISATION_STATE = table({1: ID, 2: ORGANISATION, 3: uint32, 4: uint, 5: many(table({1: uint}, {2: uint}))})
STATUS_LIST_STATE = table({1: ID, 2: uint, 3: uint, 4: uint, 5: uint})
STATES = {
    (b"organisation/", 32): ORGANISATION_STATE,
    (b"grant/", 32): GRANT_STATE,
    (b"own/", 32): table({1: uint, 2: uint, 3: uint, 4: uint}),
    (b"status-list/", 64): STATUS_LIST_STATE,
    (b"over-asking/", 32): table({1: ID, 2: uint}),
    (b"erasure/", 64): table({1: ID, 2: uint}),
    (b"sponsor/", 32): table({1: uint, 2: uint}),
    (b"operators", 0): many(ID, 1),
    (b"parameters", 0): table({1: uint}),
    (b"validators", 0): VALIDATORS,
}


RECEIPT = row(CERTIFIED, uint, LEAF, many(ID))
STATE_PROOF = row(CERTIFIED, data, either(nothing, data), TREE_PROOF)


class Receipt:
    def __init__(self, receipt, trust):
        read = decode(receipt, "proof-encoding")
        require(RECEIPT(read), "proof-encoding")
        certified, self.index, self.leaf, path = read
        self.header = Header(certified, trust)
        check_inclusion(self.index, self.leaf, path, self.header.log_size, self.header.log_root)
        self.height, self.time, entry, self.outcome = self.leaf
        self.entry = Entry(entry, trust.chain)


class StateProof:
    """`value` is what stands under `key` at the header's time: None where the proof is one of absence."""

    def __init__(self, proof, trust, key=None):
        read = decode(proof, "proof-encoding") if type(proof) is bytes else proof
        require(STATE_PROOF(read), "proof-encoding")
        certified, self.key, value, path = read
        self.header = Header(certified, trust)
        check_tree(path, self.key, value, self.header.state_root)
        require(key in (None, self.key), "state-leaf")
        self.value = None if value is None else self._value(value)

    def _value(self, value):
        for (prefix, rest), fits in STATES.items():
            if self.key.startswith(prefix) and len(self.key) == len(prefix) + rest:
                value = decode(value, "proof-value")
                require(fits(value), "proof-value")
                return value
        raise Refused("proof-value")


SCOPE = table({1: many(RANDOM, 1)}, {2: many(RANDOM, 1), 3: uint, 4: uint})
READING = table({1: RANDOM, 2: RANDOM, 3: uint})
HISTORY_PAGE = table(
    {1: data, 2: many(LEAF, 0, 500), 3: many(table({1: ID, 2: ID, 3: SCOPE, 4: many(READING)}))}, {4: uint}
)


class History:
    """All accesses under a grant, refused ones included, from pages in order."""

    def __init__(self, pages, grant, trust):
        head, self.leaves, counted, commitments = bytes(32), [], None, {}
        for page in pages:
            read = decode(page, "proof-encoding")
            require(HISTORY_PAGE(read), "proof-encoding")
            require(read.get(4, 0) == len(self.leaves), "history-order")
            proof = StateProof(read[1], trust)
            require(proof.key == b"grant/" + grant and proof.value, "proof-value")
            counted, newest = proof.value[5], proof.value[6]
            more = len(self.leaves) + len(read[2])
            require(more <= counted and (read[2] or more == counted), "history-count")
            for leaf in read[2]:
                try:
                    entry = Entry(leaf[2], trust.chain)
                except Refused as refused:
                    raise Refused("history-entry") from refused
                require(entry.kind == ACCESS and entry.entry[1] == grant, "history-not-an-access")
                head = tagged("tegata/v1/access-chain", head, leaf_hash(leaf))
                self.leaves.append(leaf)
                commitments[entry.id] = entry.entry[3]
            for access, salt, scope in [(one[1], one[2], one[3]) for one in read[3]]:
                require(commitments.get(access) == tagged("tegata/v1/scope", salt, encode(scope)), "history-opening")
            require(more < counted or head == newest, "history-head")
        require(len(self.leaves) == counted, "history-count")


# ---- presentation.md -------------------------------------------------------------------------------------------------


class Request(NamedTuple):
    """What the verifier asked for."""

    jws: bytes
    recipient: bytes
    categories: list  # of what is shown
    purpose: str
    legal_basis: str
    retention_days: int
    until_ms: int


PRESENTED_CONSENT = table({1: ID, 2: ID, 3: STATE_PROOF}, {4: STATE_PROOF, 5: STATE_PROOF})


class Consent:
    """The claim `tegata_consent`, checked by the table of section 4 from top to bottom."""

    def __init__(self, claim, trust, request, at_ms, age_max_ms, status_list_uri=None):
        require(len(claim) <= 196_864, "consent-encoding")
        read = decode(claim, "consent-encoding")
        require(PRESENTED_CONSENT(read), "consent-encoding")
        self.grant_id, salt = read[1], read[2]
        self.trust, self.at_ms, self.age_max_ms = trust, at_ms, age_max_ms

        self.proof = self._proof(read[3], b"grant/" + self.grant_id)
        require(self.proof.value is not None, "no-such-grant")
        self._check_grant(self.proof.value, tagged("tegata/v1/presentation", salt, request.jws), request)

        self.issuer = self.status_list = None
        if 4 in read:
            named = read[4][1]
            require(named.startswith(b"organisation/"), "no-such-organisation")
            self.issuer = self._proof(read[4], named).value
            require(self.issuer is not None, "no-such-organisation")
        if 5 in read:
            require(self.issuer is not None and status_list_uri is not None, "no-such-organisation")
            uri = tagged("tegata/v1/status-list", status_list_uri.encode())
            self.status_list = self._proof(read[5], b"status-list/" + self.issuer[1] + uri).value

    def _proof(self, proof, key):
        try:
            found = StateProof(proof, self.trust, key)
        except Refused as refused:
            table = {"header": "proof-header", "state": "proof-state"}
            code = str(refused)
            raise Refused(table.get(code.partition("-")[0], code)) from refused
        require(found.header.time <= self.at_ms + 60_000, "proof-in-future")
        require(found.header.time >= self.at_ms - self.age_max_ms, "proof-too-old")
        return found

    def _check_grant(self, state, commitment, request):
        grant, header_ms = state[1], self.proof.header.time
        require(grant[1] == request.recipient, "not-recipient")
        require(grant[10] == commitment, "request-mismatch")
        require(set(request.categories) <= set(grant[3]), "category-not-granted")
        require(grant[4] == request.purpose, "purpose-mismatch")
        require(grant[5] == request.legal_basis, "legal-basis-mismatch")
        require(grant[6] <= request.retention_days and grant[8] <= request.until_ms, "beyond-request")
        require(grant.get(9) == 1, "not-one-time")
        require(state[4] == 0, "used-up")
        require(3 not in state, "revoked")
        require(grant[7] <= header_ms, "not-started")
        require(header_ms < grant[8] and self.at_ms < grant[8], "expired")
