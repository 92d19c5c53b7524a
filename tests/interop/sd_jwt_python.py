"""What PyPI `sd-jwt` makes of our credentials and presentations, and what it makes itself.

A request is one line of JSON on standard input, its answer one line on standard output."""

import json
import sys

from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier


def alg(jwk):
    return "EdDSA" if jwk["kty"] == "OKP" else "ES256"


class Issuer(SDJWTIssuer):
    SD_JWT_HEADER = "dc+sd-jwt"


class Verifier(SDJWTVerifier):
    """The library takes ES256 for every holder key; ours say themselves what they are."""

    def _verify_key_binding_jwt(self, expected_aud=None, expected_nonce=None, sign_alg=None):
        holder = self._holder_public_key_payload["jwk"]
        super()._verify_key_binding_jwt(expected_aud, expected_nonce, alg(holder))


def verify(request):
    issuer = JWK(**request["issuer"])
    verifier = Verifier(
        request["sd_jwt"], lambda *_: issuer, request.get("audience"), request.get("nonce")
    )
    return {"payload": verifier.get_verified_payload()}


def issue(request):
    claims = dict(request["claims"])
    for name in request["disclosable"]:
        claims[SDObj(name)] = claims.pop(name)
    issuer = Issuer(
        claims,
        JWK(**request["issuer"]),
        holder_key=JWK(**request["holder"]),
        sign_alg=alg(request["issuer"]),
        add_decoy_claims=True,
    )
    return {"sd_jwt": issuer.sd_jwt_issuance}


def present(request):
    holder = SDJWTHolder(request["sd_jwt"])
    key = JWK(**request["holder"])
    show = {name: True for name in request["show"]}
    holder.create_presentation(show, request["nonce"], request["audience"], key, alg(request["holder"]))
    return {"sd_jwt": holder.sd_jwt_presentation}


OPERATIONS = {operation.__name__: operation for operation in [verify, issue, present]}

if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = OPERATIONS[request["op"]](request)
        except Exception as error:  # an answer like any other: the Rust test says whether it was due
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
