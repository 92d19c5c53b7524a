#!/usr/bin/env python3
"""Fills the corpora from the vectors of the formats: what is accepted and what is refused are both good places to start."""

import base64
import binascii
import hashlib
import json
import pathlib

HERE = pathlib.Path(__file__).parent
SPECS = HERE.parent.parent / "specs"
TEXT = ["jose", "sd_jwt", "status_list", "x509", "qr", "trust_list", "data_integrity", "rdfc", "openid", "fhir"]
BYTES = ["cose", "x509", "trust_list", "openid"]


def texts(value):
    if isinstance(value, dict):
        yield json.dumps(value)
        for member in value.values():
            yield from texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)
    elif isinstance(value, str) and len(value) > 8:
        yield value


def decoded(text):
    if len(text) % 2 == 0:
        try:
            return binascii.unhexlify(text)
        except ValueError:
            pass
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None


def keep(target, data):
    if len(data) <= 65536:
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


for file in sorted(SPECS.glob("*/vectors/*.json")):
    crate = file.parent.parent.name
    for text in set(texts(json.loads(file.read_text()))):
        data = decoded(text)
        if crate == "consent":
            for kind in range(16):
                if data:
                    keep("consent", bytes([kind]) + data)
            continue
        for target in TEXT:
            keep(target, text.encode())
        for target in BYTES:
            if data:
                keep(target, data)
print({folder.name: len(list(folder.iterdir())) for folder in sorted((HERE / "corpus").iterdir())})
