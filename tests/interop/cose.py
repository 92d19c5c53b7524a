"""What PyPI `cwt`, `pycose` and `base45` make of our COSE, and what they make themselves.

A request is one line of JSON on standard input, its answer one line on standard output."""

import base64
import json
import sys
import zlib

import base45
import cbor2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cwt import COSE, COSEKey
from pycose.algorithms import Es256
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key
from pycose.keys.curves import P256
from pycose.messages import CoseMessage, Sign1Message


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def ec2(jwk):
    secret = {"d": unb64(jwk["d"])} if "d" in jwk else {}
    return EC2Key(crv=P256, x=unb64(jwk["x"]), y=unb64(jwk["y"]), **secret)


def verified(cose, jwk):
    """The payload and protected headers, once both libraries have verified the signature."""
    message = CoseMessage.decode(cose)
    message.key = ec2(jwk)
    if not message.verify_signature():
        raise ValueError("pycose: the signature does not verify")
    kid = message.phdr[KID]
    key = COSEKey.from_jwk({**jwk, "kid": kid.decode("latin-1"), "alg": "ES256", "key_ops": ["verify"]})
    payload = COSE.new().decode(cose, key)
    if payload != message.payload:
        raise ValueError("cwt and pycose read different payloads")
    return payload, kid, message.phdr


def plain(value):
    """CBOR as JSON: names of claims as text, bytes as hexadecimal."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.hex() if isinstance(value, bytes) else value


def read_hcert(request):
    text = request["text"]
    assert text.startswith("HC1:")
    cose = zlib.decompress(base45.b45decode(text[4:]))
    payload, kid, _ = verified(cose, request["jwk"])
    return {"claims": plain(cbor2.loads(payload)), "kid": kid.hex()}


def hcert(cose):
    return "HC1:" + base45.b45encode(zlib.compress(cose, 9)).decode()


def claims_of(request):
    said = request["claims"]
    return {1: said["iss"], 4: said["exp"], 6: said["iat"], -260: {1: said["hcert"]}}


def issue_hcert(request):
    """ES256 by pycose."""
    headers = {Algorithm: Es256, KID: bytes.fromhex(request["kid"])}
    message = Sign1Message(phdr=headers, uhdr={}, payload=cbor2.dumps(claims_of(request)))
    message.key = ec2(request["jwk"])
    return {"text": hcert(message.encode())}


def issue_hcert_ps256(request):
    """PS256 by cwt, with a fresh RSA key, whose public half is given back."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=request["bits"])
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    kid = bytes.fromhex(request["kid"])
    key = COSEKey.from_pem(pem, alg="PS256", kid=kid)
    sign = COSE.new(alg_auto_inclusion=True, kid_auto_inclusion=False)
    cose = sign.encode_and_sign(cbor2.dumps(claims_of(request)), key, protected={1: -37, 4: kid})
    numbers = private.public_key().public_numbers()
    number = lambda n: base64.urlsafe_b64encode(n.to_bytes((n.bit_length() + 7) // 8, "big")).decode().rstrip("=")
    return {"text": hcert(cose), "jwk": {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}}


def read_status_list(request):
    payload, kid, headers = verified(bytes.fromhex(request["token"]), request["jwk"])
    claims = cbor2.loads(payload)
    status_list = claims[65533]
    bits, packed = status_list["bits"], zlib.decompress(status_list["lst"])
    mask, each = (1 << bits) - 1, 8 // bits
    statuses = [(packed[i // each] >> (i % each * bits)) & mask for i in request["indexes"]]
    typ = next(value for name, value in headers.items() if name == 16)
    return {"statuses": statuses, "uri": claims[2], "iat": claims[6], "typ": typ, "kid": kid.decode()}


def issue_status_list(request):
    packed = bytearray(len(request["statuses"]) * request["bits"] // 8)
    for i, status in enumerate(request["statuses"]):
        bit = i * request["bits"]
        packed[bit // 8] |= status << (bit % 8)
    claims = {
        2: request["uri"],
        6: request["iat"],
        65533: {"bits": request["bits"], "lst": zlib.compress(bytes(packed), 9)},
    }
    headers = {Algorithm: Es256, KID: request["kid"].encode(), 16: "application/statuslist+cwt"}
    message = Sign1Message(phdr=headers, uhdr={}, payload=cbor2.dumps(claims))
    message.key = ec2(request["jwk"])
    return {"token": message.encode().hex()}


OPERATIONS = {
    operation.__name__: operation
    for operation in [read_hcert, issue_hcert, issue_hcert_ps256, read_status_list, issue_status_list]
}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = OPERATIONS[request["op"]](request)
    except Exception as error:  # an answer like any other: the Rust test says whether it was due
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
