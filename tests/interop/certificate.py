"""The certificate of a request that is evidence: `specs/consent/over-asking.md` section 3, from the page alone."""

import re

from consent_formats import Refused, require

CODE = "evidence-member"
INTEGER, BITS, OCTETS, OID, UTF8, PRINTABLE, SEQUENCE, SET = 2, 3, 4, 6, 0x0C, 0x13, 0x30, 0x31
TIMES = {0x17: rb"[0-9]{12}Z", 0x18: rb"[0-9]{14}Z"}

COUNTRY, ORGANISATION, COMMON_NAME = b"\x55\4\6", b"\x55\4\x0a", b"\x55\4\3"
SUBJECT_KEY, KEY_USAGE, ALTERNATIVE_NAME = b"\x55\x1d\x0e", b"\x55\x1d\x0f", b"\x55\x1d\x11"
CONSTRAINTS, AUTHORITY_KEY = b"\x55\x1d\x13", b"\x55\x1d\x23"
ECDSA = [(SEQUENCE, b"\6\x08" + bytes.fromhex("2a8648ce3d0403") + one) for one in (b"\2", b"\3")]
ED25519 = (SEQUENCE, b"\6\3\x2b\x65\x70")


# ---- DER -------------------------------------------------------------------------------------------------------------


def parts(read):
    """What stands there, one after the other, as (tag, content). Lengths are definite and the shortest."""
    found = []
    while read:
        tag, length, start = read[0], read[1], 2
        if length > 127:
            start = length - 126
            length = int.from_bytes(read[2:start], "big")
            require(start in (3, 4) and length > 127 and read[2], CODE)
        found.append((tag, read[start : start + length]))
        require(len(found[-1][1]) == length, CODE)
        read = read[start + length :]
    return found


def content(part, tag):
    require(part[0] == tag, CODE)
    return part[1]


def sequence(part):
    return parts(content(part, SEQUENCE))


def check_positive(part, most):
    number = content(part, INTEGER)
    shortest = number[0] or len(number) > 1 and number[1] > 127
    require(len(number) <= most and number[0] < 128 and shortest, CODE)


def bits(part):
    """How many of the last byte are unused, and the bytes."""
    read = content(part, BITS)
    require(read[0] == 0 or read[0] < 8 and len(read) > 1 and read[-1] & (1 << read[0]) - 1 == 0, CODE)
    return read[0], read[1:]


# ---- the parts of a certificate --------------------------------------------------------------------------------------


def check_signature(algorithm, part):
    unused, signature = bits(part)
    require(unused == 0, CODE)
    if algorithm in ECDSA:
        [pair] = parts(signature)
        r, s = sequence(pair)
        check_positive(r, 49)
        check_positive(s, 49)
    else:
        require(algorithm == ED25519 and len(signature) == 64, CODE)


def check_validity(part):
    since, until = sequence(part)
    require(all(re.fullmatch(TIMES[tag], said) for tag, said in (since, until)), CODE)


def names(part):
    """What stands under each of the three attributes, of which none is there twice."""
    found = {}
    for one in sequence(part):
        [attribute] = parts(content(one, SET))
        kind, (tag, said) = sequence(attribute)
        kind = content(kind, OID)
        require(kind in (COUNTRY, ORGANISATION, COMMON_NAME) and kind not in found and tag in (UTF8, PRINTABLE), CODE)
        found[kind] = said.decode()
    require(re.fullmatch("[A-Z]{2}", found.pop(COUNTRY, "JP")), CODE)
    return list(found.values())


def check_extension(kind, value):
    """Those of which only the form is asked."""
    [part] = parts(value)
    if kind == SUBJECT_KEY:
        require(len(content(part, OCTETS)) <= 32, CODE)
    elif kind == AUTHORITY_KEY:
        [identifier] = sequence(part)
        require(len(content(identifier, 0x80)) <= 32, CODE)
    elif kind == KEY_USAGE:
        unused, used = bits(part)
        require(1 <= len(used) <= 2 and used[-1] >> unused & 1 and 8 * len(used) - unused <= 9, CODE)
    else:
        require(kind == CONSTRAINTS and sequence(part) == [], CODE)


class Certificate:
    """`names` of the subject, `hosts`, `addresses` and `key`, of which nobody has said yet whose they are."""

    def __init__(self, read):
        require(len(read) <= 2048, CODE)
        try:
            [whole] = parts(read)
            body, algorithm, signature = sequence(whole)
            self._read(body, algorithm, signature)
        except (ValueError, LookupError):  # another number of parts, no UTF-8, no such time
            raise Refused(CODE) from None

    def _read(self, body, algorithm, signature):
        version, serial, same, issuer, validity, subject, self.key, *extensions = sequence(body)
        require(version == (0xA0, b"\2\1\2") and same == algorithm, CODE)
        check_positive(serial, 20)
        check_signature(algorithm, signature)
        check_validity(validity)
        require(all(re.fullmatch("[^\0-\x1f\x7f-\x9f@]{1,64}", one) for one in names(issuer)), CODE)
        self.names, self.hosts, self.addresses = names(subject), [], []
        if extensions:
            [part] = extensions
            [listed] = parts(content(part, 0xA3))
            self._read_extensions(sequence(listed))

    def _read_extensions(self, extensions):
        kinds = set()
        for extension in extensions:
            kind, *critical, value = sequence(extension)
            kind, value = content(kind, OID), content(value, OCTETS)
            require(critical in ([], [(1, b"\xff")]) and kind not in kinds, CODE)
            kinds.add(kind)
            if kind == ALTERNATIVE_NAME:
                [listed] = parts(value)
                require(sequence(listed), CODE)
                for tag, said in sequence(listed):
                    {0x82: self.hosts, 0x86: self.addresses}[tag].append(said.decode("ascii"))
            else:
                check_extension(kind, value)
        require(kinds, CODE)
