//! Which verdicts there may be, by kind and part.

use crate::generator::How;
use std::collections::BTreeSet;

/// Papers in our own envelope.
const PAPERS: &[&str] = &[
    "consent request",
    "deposit",
    "deposit receipt",
    "invitation",
    "order",
];
const ENTRIES: &[&str] = &[
    "entry (access)",
    "entry (erasure confirmed)",
    "entry (grant)",
    "entry (organisation changed)",
    "entry (organisation registered)",
    "entry (organisation suspended)",
    "entry (over-asking)",
    "entry (revocation)",
    "entry (status list)",
];
const RECEIPTS: &[&str] = &[
    "receipt (access)",
    "receipt (organisation)",
    "receipt (over-asking)",
];
const STATES: &[&str] = &[
    "consent proof",
    "state proof (erasure)",
    "state proof (organisation)",
    "state proof (over-asking)",
    "state proof (status list)",
];
const CREDENTIALS: &[&str] = &[
    "credential",
    "credential (copy)",
    "presentation",
    "presentation (ledger)",
];
const PRESENTATIONS: &[&str] = &["presentation", "presentation (ledger)"];
const REQUESTS: &[&str] = &["request (did)", "request (x509)"];
const ANEW: &[&str] = &["presentation, signed anew"];
/// W3C documents by issuers, and by holders.
const SIGNED: &[&str] = &[
    "credential (jcs)",
    "credential (rdfc)",
    "status list (Bitstring)",
];
const SHOWN: &[&str] = &["presentation (jcs)", "presentation (rdfc)"];
const TICKET: &[&str] = &["ticket, sealed anew"];

/// Kinds, the beginning of a place, and what may be said there. The first that fits counts; `*` is any step, and an empty
/// beginning is any place. Steps are keys of maps and places in arrays, as the pages in `specs` have them: a receipt is
/// `[[header, certificate], index, leaf, path]`, a state proof `[[header, certificate], key, value, [other leaf, path]]`. What is
/// no longer of any kind is not recognised; a check with `?` could not be made, since whoever is named is nobody known.
type Rule = (
    &'static [&'static str],
    &'static str,
    &'static [&'static str],
);

#[rustfmt::skip]
const RULES: &[Rule] = &[
    (PAPERS, "protected/1", &["form envelope-algorithm", "form envelope-header"]),
    (PAPERS, "protected/4", &["form envelope-header", "signature envelope-signature", "signature envelope-key"]),
    (PAPERS, "protected/16", &["type", "form envelope-header"]),
    (PAPERS, "protected", &["form envelope-header"]),
    (ENTRIES, "protected/1", &["form envelope-algorithm", "form envelope-header"]),
    (ENTRIES, "protected/4", &["form envelope-header", "signature envelope-signature", "signature envelope-key"]),
    (ENTRIES, "protected/16", &["type", "form envelope-header"]),
    (ENTRIES, "protected", &["form envelope-header"]),
    (PAPERS, "unprotected", &["form envelope-encoding"]),
    (PAPERS, "payload", &["signature envelope-signature"]),
    (PAPERS, "signature", &["signature envelope-signature"]),
    (ENTRIES, "unprotected/11/*/0/1", &["form envelope-algorithm", "form envelope-header"]),
    (ENTRIES, "unprotected/11/*/0", &["form envelope-header", "signature envelope-signature", "signature envelope-key", "form envelope-encoding"]),
    (ENTRIES, "unprotected/11/*/1", &["form envelope-encoding"]),
    (ENTRIES, "unprotected/11/*/2", &["signature envelope-signature", "form envelope-encoding"]),
    (ENTRIES, "unprotected/11", &["form envelope-countersignatures", "on the ledger"]),
    (ENTRIES, "unprotected", &["form envelope-encoding"]),
    (ENTRIES, "payload", &["signature envelope-signature", "form entry-payload"]),
    (ENTRIES, "signature", &["signature envelope-signature"]),
    (&["header"], "0/0", &["not recognised", "certificate header-version"]),
    (&["header"], "0/1", &["not recognised", "certificate header-chain"]),
    (&["header"], "0", &["not recognised", "certificate header-other-block"]),
    (&["header"], "1/0", &["not recognised", "certificate header-other-block"]),
    (&["header"], "1/1", &["not recognised", "certificate header-signature"]),
    (&["header"], "1/2", &["not recognised", "certificate header-other-block"]),
    (&["header"], "1/3/*/0", &["not recognised", "certificate header-stranger"]),
    (&["header"], "1/3/*/1", &["not recognised", "certificate header-signature"]),
    (&["header"], "1/3", &["not recognised", "certificate header-signed-twice", "certificate header-no-quorum"]),
    (&["header"], "1", &["not recognised"]),
    (RECEIPTS, "0/0/0", &["not recognised", "receipt header-version"]),
    (RECEIPTS, "0/0/1", &["not recognised", "receipt header-chain"]),
    (RECEIPTS, "0/0", &["not recognised", "receipt header-other-block"]),
    (RECEIPTS, "0/1/0", &["not recognised", "receipt header-other-block"]),
    (RECEIPTS, "0/1/1", &["not recognised", "receipt header-signature"]),
    (RECEIPTS, "0/1/2", &["not recognised", "receipt header-other-block"]),
    (RECEIPTS, "0/1/3/*/0", &["not recognised", "receipt header-stranger"]),
    (RECEIPTS, "0/1/3/*/1", &["not recognised", "receipt header-signature"]),
    (RECEIPTS, "0/1/3", &["not recognised", "receipt header-signed-twice", "receipt header-no-quorum"]),
    (RECEIPTS, "0/1", &["not recognised"]),
    (RECEIPTS, "1", &["receipt log-root", "receipt log-range", "receipt log-length", "not recognised"]),
    (RECEIPTS, "2", &["receipt log-root", "not recognised"]),
    (RECEIPTS, "3", &["receipt log-root", "receipt log-length", "not recognised"]),
    (RECEIPTS, "", &["not recognised"]),
    (STATES, "0/0/0", &["not recognised", "proof header-version"]),
    (STATES, "0/0/1", &["not recognised", "proof header-chain"]),
    (STATES, "0/0", &["not recognised", "proof header-other-block"]),
    (STATES, "0/1/0", &["not recognised", "proof header-other-block"]),
    (STATES, "0/1/1", &["not recognised", "proof header-signature"]),
    (STATES, "0/1/2", &["not recognised", "proof header-other-block"]),
    (STATES, "0/1/3/*/0", &["not recognised", "proof header-stranger"]),
    (STATES, "0/1/3/*/1", &["not recognised", "proof header-signature"]),
    (STATES, "0/1/3", &["not recognised", "proof header-signed-twice", "proof header-no-quorum"]),
    (STATES, "0/1", &["not recognised"]),
    (STATES, "1", &["proof state-root", "not recognised"]),
    (STATES, "2", &["proof state-root", "not recognised"]),
    (STATES, "3", &["proof state-root", "not recognised"]),
    (STATES, "", &["not recognised"]),
    (&["reading history"], "1/0/0/0", &["proof", "proof header-version, complete"]),
    (&["reading history"], "1/0/0/1", &["proof", "proof header-chain, complete"]),
    (&["reading history"], "1/0/0", &["proof", "proof header-other-block, complete"]),
    (&["reading history"], "1/0/1/0", &["proof", "proof header-other-block, complete"]),
    (&["reading history"], "1/0/1/1", &["proof", "proof header-signature, complete"]),
    (&["reading history"], "1/0/1/2", &["proof", "proof header-other-block, complete"]),
    (&["reading history"], "1/0/1/3/*/0", &["proof", "proof header-stranger, complete"]),
    (&["reading history"], "1/0/1/3/*/1", &["proof", "proof header-signature, complete"]),
    (&["reading history"], "1/0/1/3", &["proof", "proof header-signed-twice, complete", "proof header-no-quorum, complete"]),
    (&["reading history"], "1/0/1", &["proof"]),
    (&["reading history"], "1/1", &["proof state-root, complete", "proof state-root, complete ?", "proof"]),
    (&["reading history"], "1/2", &["proof state-root, complete", "proof"]),
    (&["reading history"], "1/3", &["proof state-root, complete", "proof"]),
    (&["reading history"], "1", &["not recognised", "proof"]),
    (&["reading history"], "2/0", &["complete history-head", "complete history-count", "not recognised"]),
    (&["reading history"], "3", &["openings", "not recognised"]),
    (&["reading history"], "", &["not recognised"]),
    (&["drawer list"], "1", &["receipt chain receipt-chain-broken", "not recognised"]),
    (&["drawer list"], "2", &["deposits", "not recognised"]),
    (&["drawer list"], "3/*/protected", &["receipt chain envelope-signature", "receipt chain envelope-key", "receipt chain envelope-header", "receipt chain envelope-algorithm", "receipt chain envelope-type"]),
    (&["drawer list"], "3/*/unprotected", &["receipt chain envelope-encoding"]),
    (&["drawer list"], "3/*/payload", &["receipt chain envelope-signature"]),
    (&["drawer list"], "3/*/signature", &["receipt chain envelope-signature"]),
    (&["drawer list"], "3", &["receipt chain receipt-chain-broken", "deposits", "not recognised"]),
    (&["drawer list"], "", &["not recognised"]),
    (&["sealed record"], "1/protected", &["deposit envelope-signature", "deposit envelope-key", "deposit envelope-header", "deposit envelope-algorithm", "deposit envelope-type"]),
    (&["sealed record"], "1/unprotected", &["deposit envelope-encoding"]),
    (&["sealed record"], "1/payload", &["deposit envelope-signature"]),
    (&["sealed record"], "1/signature", &["deposit envelope-signature"]),
    (&["sealed record"], "2/protected", &["invitation envelope-signature", "invitation envelope-key", "invitation envelope-header", "invitation envelope-algorithm", "invitation envelope-type"]),
    (&["sealed record"], "2/unprotected", &["invitation envelope-encoding"]),
    (&["sealed record"], "2/payload", &["invitation envelope-signature"]),
    (&["sealed record"], "2/signature", &["invitation envelope-signature"]),
    (&["sealed record"], "5/protected", &["receipt envelope-signature", "receipt envelope-key", "receipt envelope-header", "receipt envelope-algorithm", "receipt envelope-type"]),
    (&["sealed record"], "5/unprotected", &["receipt envelope-encoding"]),
    (&["sealed record"], "5/payload", &["receipt envelope-signature"]),
    (&["sealed record"], "5/signature", &["receipt envelope-signature"]),
    (&["sealed record"], "3", &["deposit deposit-lock", "lock seal-encoding", "not recognised"]),
    (&["sealed record"], "4", &["deposit deposit-file", "not recognised"]),
    (&["sealed record"], "5", &["receipt ?"]),
    (&["sealed record"], "", &["not recognised"]),
    (&["export"], "head/1/2", &["format", "not recognised"]),
    (&["export"], "head/1/3", &["ledger, order, vault ?", "not recognised"]),
    (&["export"], "head/1/4", &["host", "not recognised"]),
    (&["export"], "head/1/5", &["vault", "not recognised"]),
    (&["export"], "head", &["not recognised", "form"]),
    (&["export"], "drawer/1/1", &["form"]),
    (&["export"], "drawer", &["drawers", "form", "complete"]),
    (&["export"], "list/1/1", &["form"]),
    (&["export"], "list/1/2", &["deposits, form", "deposits", "form"]),
    (&["export"], "list/1/3", &["deposits", "form", "receipt chain receipt-chain-broken", "receipt chain envelope-signature", "receipt chain envelope-key", "receipt chain envelope-header", "receipt chain envelope-algorithm", "receipt chain envelope-type", "receipt chain envelope-encoding"]),
    (&["export"], "list", &["form", "complete"]),
    (&["export"], "record/1/1", &["form"]),
    (&["export"], "record/1/2", &["form", "invitation envelope-signature", "invitation envelope-key", "invitation envelope-header", "invitation envelope-algorithm", "invitation envelope-type", "invitation envelope-encoding"]),
    (&["export"], "record/1/3", &["form", "deposit deposit-lock", "lock seal-encoding"]),
    (&["export"], "record/1/4", &["form", "deposit deposit-file"]),
    (&["export"], "record/1/5", &["receipt ?", "receipt envelope-signature", "receipt envelope-key", "receipt envelope-header", "receipt envelope-algorithm", "receipt envelope-type", "receipt envelope-encoding"]),
    (&["export"], "record", &["form", "complete, records"]),
    (&["export"], "order", &["order", "form", "complete"]),
    (&["export"], "end", &["form", "complete"]),
    (&["genesis"], "", &["content", "not recognised"]),
    (REQUESTS, "header/alg", &["form request_alg_unsupported"]),
    (REQUESTS, "header/typ", &["signature ?", "signature signature_invalid"]),
    (REQUESTS, "header/kid", &["signature ?"]),
    (REQUESTS, "header/x5c", &["signature client_certificate_mismatch", "form request_member_invalid", "signature request_signature_invalid"]),
    (REQUESTS, "header", &["signature request_signature_invalid"]),
    (REQUESTS, "payload/client_id", &["form client_id_unsupported", "signature client_certificate_mismatch"]),
    (REQUESTS, "payload", &["signature request_signature_invalid"]),
    (REQUESTS, "signature", &["signature request_signature_invalid", "form request_malformed"]),
    (CREDENTIALS, "issuer/header/alg", &["form alg_unsupported"]),
    (CREDENTIALS, "issuer/header/typ", &["form typ_unexpected"]),
    (CREDENTIALS, "issuer/header/kid", &["issuer signature issuer_key_unknown"]),
    (CREDENTIALS, "issuer/header", &["issuer signature signature_invalid"]),
    (CREDENTIALS, "issuer/payload/iss", &["issuer signature ?", "issuer signature signature_invalid"]),
    (CREDENTIALS, "issuer/payload/iat", &["issuer signature iat_missing", "issuer signature signature_invalid"]),
    (CREDENTIALS, "issuer/payload", &["issuer signature signature_invalid"]),
    (CREDENTIALS, "issuer/signature", &["issuer signature signature_invalid", "form malformed"]),
    (CREDENTIALS, "disclosure", &["issuer signature disclosure_unreferenced", "issuer signature disclosure_duplicate", "issuer signature disclosure_malformed", "key binding key_binding_sd_hash_mismatch"]),
    (PRESENTATIONS, "binding/header/alg", &["form key_binding_alg_unsupported"]),
    (PRESENTATIONS, "binding/header/typ", &["form key_binding_typ_unexpected"]),
    (PRESENTATIONS, "binding/header", &["key binding key_binding_signature_invalid"]),
    (PRESENTATIONS, "binding/payload/tegata_consent", &["issuer signature ?"]),
    (PRESENTATIONS, "binding/payload/iat", &["key binding key_binding_signature_invalid", "issuer signature ?"]),
    (PRESENTATIONS, "binding/payload", &["key binding key_binding_signature_invalid"]),
    (PRESENTATIONS, "binding/signature", &["key binding key_binding_signature_invalid", "form key_binding_malformed"]),
    (&["status list (JWT)"], "header/alg", &["form status_list_alg_unsupported"]),
    (&["status list (JWT)"], "header/typ", &["signature signature_invalid"]),
    (&["status list (JWT)"], "header/kid", &["signature ?"]),
    (&["status list (JWT)"], "header", &["signature status_list_signature_invalid"]),
    (&["status list (JWT)"], "payload", &["signature status_list_signature_invalid"]),
    (&["status list (JWT)"], "signature", &["signature status_list_signature_invalid", "form status_list_malformed"]),
    (&["status list (CWT)"], "protected/1", &["form envelope-header", "signature status_list_alg_mismatch"]),
    (&["status list (CWT)"], "protected/4", &["signature ?"]),
    (&["status list (CWT)"], "protected/16", &["form envelope-header"]),
    (&["status list (CWT)"], "protected", &["signature status_list_signature_invalid"]),
    (&["status list (CWT)"], "payload", &["signature status_list_signature_invalid"]),
    (&["status list (CWT)"], "signature", &["signature status_list_signature_invalid"]),
    (&["status list (CWT)"], "unprotected", &["newest status_list_superseded"]),
    (&["health certificate"], "protected/1", &["form hcert_alg_unsupported"]),
    (&["health certificate"], "protected/4", &["signature hcert_key_unknown", "signature hcert_key_id_missing"]),
    (&["health certificate"], "protected", &["signature hcert_signature_invalid"]),
    (&["health certificate"], "payload", &["signature hcert_signature_invalid", "form hcert_payload_missing", "form hcert_payload_invalid"]),
    (&["health certificate"], "signature", &["signature hcert_signature_invalid"]),
    (&["health card"], "header/alg", &["form shc_alg_unsupported"]),
    (&["health card"], "header/kid", &["signature shc_key_unknown", "form shc_key_id_missing"]),
    (&["health card"], "header/zip", &["form malformed"]),
    (&["health card"], "header", &["signature shc_signature_invalid"]),
    (&["health card"], "payload", &["signature shc_signature_invalid"]),
    (&["health card"], "signature", &["signature shc_signature_invalid"]),
    (&["key proof"], "header/alg", &["form alg_unsupported", "not recognised"]),
    (&["key proof"], "header/typ", &["signature ?"]),
    (&["key proof"], "header/jwk", &["form", "signature signature_invalid"]),
    (&["key proof"], "header", &["signature signature_invalid"]),
    (&["key proof"], "payload", &["signature signature_invalid"]),
    (&["key proof"], "signature", &["signature signature_invalid", "form malformed"]),
    (&["ticket"], "grant", &["commitment", "form"]),
    (&["ticket"], "kind", &["not recognised"]),
    (&["ticket"], "ticket", &["sealed seal-open", "not recognised"]),
    (TICKET, "protected/1", &["signature envelope-algorithm", "signature envelope-header"]),
    (TICKET, "protected/4", &["signature envelope-signature", "signature envelope-key", "signature envelope-header"]),
    (TICKET, "protected/16", &["signature envelope-type", "signature envelope-header"]),
    (TICKET, "protected", &["signature envelope-header"]),
    (TICKET, "unprotected", &["signature envelope-encoding"]),
    (TICKET, "payload", &["signature envelope-signature"]),
    (TICKET, "signature", &["signature envelope-signature"]),
    (ANEW, "consent/1", &["consent proof state-leaf", "issuer signature ?"]),
    (ANEW, "consent/2", &["consent request-mismatch", "issuer signature ?"]),
    (ANEW, "consent/3/0/0/0", &["issuer signature ?", "consent proof header-version"]),
    (ANEW, "consent/3/0/0/1", &["issuer signature ?", "consent proof header-chain"]),
    (ANEW, "consent/3/0/0", &["issuer signature ?", "consent proof header-other-block"]),
    (ANEW, "consent/3/0/1/0", &["issuer signature ?", "consent proof header-other-block"]),
    (ANEW, "consent/3/0/1/1", &["issuer signature ?", "consent proof header-signature"]),
    (ANEW, "consent/3/0/1/2", &["issuer signature ?", "consent proof header-other-block"]),
    (ANEW, "consent/3/0/1/3/*/0", &["issuer signature ?", "consent proof header-stranger"]),
    (ANEW, "consent/3/0/1/3/*/1", &["issuer signature ?", "consent proof header-signature"]),
    (ANEW, "consent/3/0/1/3", &["issuer signature ?", "consent proof header-signed-twice", "consent proof header-no-quorum"]),
    (ANEW, "consent/3/0/1", &["issuer signature ?"]),
    (ANEW, "consent/3/1", &["consent proof state-leaf", "issuer signature ?"]),
    (ANEW, "consent/3/2", &["consent proof state-root", "issuer signature ?"]),
    (ANEW, "consent/3/3", &["consent proof state-root", "issuer signature ?"]),
    (ANEW, "consent/4", &["issuer signature ?"]),
    (ANEW, "consent/5", &["status list proof proof-header", "status list proof proof-state", "issuer signature ?"]),
    (ANEW, "consent", &["issuer signature ?"]),
    (ANEW, "claims/aud", &["request key_binding_audience_mismatch", "key binding key_binding_audience_mismatch"]),
    (ANEW, "claims/nonce", &["request key_binding_nonce_mismatch", "key binding key_binding_nonce_mismatch"]),
    (ANEW, "claims/iat", &["issuer signature ?"]),
    (ANEW, "claims/sd_hash", &["key binding key_binding_sd_hash_mismatch"]),
    (ANEW, "claims/tegata_consent", &["issuer signature ?"]),
    (ANEW, "claims", &["request transaction_data_mismatch"]),
    (SIGNED, "@context", &["form context_malformed", "form proof_context_mismatch", "form context_unknown", "form type_undefined"]),
    (SIGNED, "proof/created", &["issuer signature signature_invalid", "issuer signature key_time_unknown"]),
    (SIGNED, "proof/verificationMethod", &["issuer signature verification_method_unknown", "form proof_member_invalid"]),
    (SIGNED, "proof/proofValue", &["issuer signature signature_invalid", "form proof_member_invalid"]),
    (SIGNED, "proof/cryptosuite", &["form cryptosuite_unsupported", "form proof_member_invalid"]),
    (SIGNED, "proof/proofPurpose", &["form proof_purpose_unexpected", "form proof_member_invalid"]),
    (SIGNED, "proof/type", &["form proof_member_invalid"]),
    (SIGNED, "proof/@context", &["form proof_context_mismatch", "issuer signature signature_invalid"]),
    (SIGNED, "proof", &["form proof_missing", "form proof_member_unknown"]),
    (SHOWN, "@context", &["form context_malformed", "form proof_context_mismatch"]),
    (SHOWN, "proof/created", &["holder signature signature_invalid"]),
    (SHOWN, "proof/verificationMethod", &["holder signature controller_mismatch", "form proof_member_invalid"]),
    (SHOWN, "proof/proofValue", &["holder signature signature_invalid", "form proof_member_invalid"]),
    (SHOWN, "proof/cryptosuite", &["form cryptosuite_unsupported", "form proof_member_invalid"]),
    (SHOWN, "proof/proofPurpose", &["form proof_purpose_unexpected", "form proof_member_invalid"]),
    (SHOWN, "proof/type", &["form proof_member_invalid"]),
    (SHOWN, "proof/@context", &["form proof_context_mismatch", "holder signature signature_invalid"]),
    (SHOWN, "proof/challenge", &["holder signature signature_invalid"]),
    (SHOWN, "proof/domain", &["holder signature signature_invalid"]),
    (SHOWN, "proof", &["form proof_missing", "form proof_member_unknown"]),
    (SIGNED, "credentialSubject", &["issuer signature signature_invalid", "form member_invalid", "form term_undefined", "form type_undefined", "form value_empty"]),
    (SIGNED, "credentialStatus", &["issuer signature signature_invalid", "form term_undefined", "form type_undefined"]),
    (SIGNED, "issuer", &["issuer signature controller_mismatch", "form member_invalid"]),
    (SIGNED, "type", &["issuer signature signature_invalid", "form term_undefined", "form type_undefined"]),
    (SIGNED, "", &["issuer signature signature_invalid", "form term_undefined"]),
    (SHOWN, "holder", &["holder signature controller_mismatch", "holder signature signature_invalid"]),
    (SHOWN, "type", &["holder signature signature_invalid", "form term_undefined", "form type_undefined", "form value_empty"]),
    (SHOWN, "verifiableCredential", &["holder signature signature_invalid", "form context_malformed", "form context_unknown", "form json_ld_invalid", "form member_invalid", "form term_undefined", "form type_undefined", "form value_empty"]),
    (SHOWN, "", &["form term_undefined"]),
];

/// Parts that nobody signs, or whose change leaves what is signed as it is: there verify holds, rightly. Kinds, place, what is
/// done, and why.
type Free = (&'static [&'static str], &'static str, How, &'static str);

#[rustfmt::skip]
const FREE: &[Free] = &[
    (&["reading history"], "3/*/4/*/2", How::Changed, "what was handed out is the host's word"),
    (&["reading history"], "3/*/4/*/3", How::Changed, "what was handed out is the host's word"),
    (&["reading history"], "3/*/4/*", How::Removed, "what was handed out is the host's word"),
    (&["reading history"], "3/*/4/*", How::Doubled, "what was handed out is the host's word"),
    (&["reading history"], "3/*", How::Removed, "whether an access came to the host is its word"),
    (&["export"], "head/1/6", How::Changed, "when it was made is the host's word"),
    (&["genesis"], "chain", How::Removed, "the rest of the file gives the chain id"),
    (&["credential", "credential (copy)"], "disclosure", How::Removed, "the holder chooses what to show"),
    (&["health certificate"], "unprotected", How::Added, "the unprotected header is nobody's statement, and nothing is read there"),
    (&["ticket"], "", How::Added, "the message around a ticket is the host's, and nothing else is read there"),
    (ANEW, "consent/5", How::Removed, "whoever names a list with --status believes it, where nothing says which is the newest"),
    (ANEW, "claims/iat", How::Changed, "the holder says when; the proofs are of that minute"),
    (ANEW, "claims/transaction_data_hashes_alg", How::Removed, "SHA-256 where nothing is said"),
    (ANEW, "claims", How::Added, "the holder may say more"),
    (&["credential (rdfc)"], "@context", How::Doubled, "RDF is a set: what is said twice is said once, and that is what is signed"),
    (&["credential (rdfc)"], "type", How::Doubled, "RDF is a set: what is said twice is said once, and that is what is signed"),
    (&["presentation (rdfc)"], "@context", How::Doubled, "RDF is a set: what is said twice is said once, and that is what is signed"),
    (&["presentation (rdfc)"], "verifiableCredential/0/@context", How::Doubled, "RDF is a set: what is said twice is said once, and that is what is signed"),
    (&["presentation (rdfc)"], "type", How::Doubled, "RDF is a set: what is said twice is said once, and that is what is signed"),
    (&["presentation (rdfc)"], "verifiableCredential/0/type", How::Doubled, "RDF is a set: what is said twice is said once, and that is what is signed"),
];

/// The rules, and which of their verdicts were seen.
#[derive(Default)]
pub(crate) struct Expected {
    seen: BTreeSet<(usize, usize)>,
    free: BTreeSet<usize>,
}

impl Expected {
    /// Whether a verdict is one that may be.
    pub(crate) fn is_one(&mut self, kind: &str, place: &str, how: How, verdict: &str) -> bool {
        let mut free = FREE.iter();
        let free = free.position(|(kinds, part, of, _)| {
            kinds.contains(&kind) && fits(part, place) && *of == how
        });
        if let Some(free) = free.filter(|_| verdict == "holds") {
            self.free.insert(free);
            return true;
        }
        if verdict == "holds" && how == How::Removed && is_precommit(place) {
            return true; // whether a quorum is left depends on how many had signed
        }
        let mut rules = RULES.iter();
        let rule = rules.position(|(kinds, part, _)| kinds.contains(&kind) && fits(part, place));
        let Some(rule) = rule else { return false };
        let verdict = RULES[rule].2.iter().position(|one| *one == verdict);
        verdict.is_some_and(|verdict| {
            self.seen.insert((rule, verdict));
            true
        })
    }

    /// What the table says and no alteration has shown.
    pub(crate) fn unseen(&self) -> Vec<String> {
        let mut unseen = Vec::new();
        for (number, (kinds, part, verdicts)) in RULES.iter().enumerate() {
            let missing =
                (0..verdicts.len()).filter(|index| !self.seen.contains(&(number, *index)));
            let missing = missing.filter(|index| !is_chance(part, verdicts[*index]));
            unseen.extend(missing.map(|index| format!("{kinds:?} {part}: {}", verdicts[index])));
        }
        for (number, (kinds, part, _, why)) in FREE.iter().enumerate() {
            if !self.free.contains(&number) {
                unseen.push(format!("{kinds:?} {part}: {why}"));
            }
        }
        unseen
    }
}

/// Half of all changed keys are no keys at all; how long a path is, and how many validators signed, differs from run to run.
fn is_chance(part: &str, verdict: &str) -> bool {
    let by_chance = [
        "envelope-key",
        "header-no-quorum",
        "log-length",
        "log-range",
    ];
    let of_a_key = part.contains("protected") && verdict.contains("envelope-signature");
    of_a_key || by_chance.iter().any(|code| verdict.contains(code))
}

/// Whether a place is one precommit in a certificate: `…/1/3/0`, the header beside it at `…/0`.
fn is_precommit(place: &str) -> bool {
    let steps: Vec<&str> = place.split('/').collect();
    matches!(steps[..], [.., "1", "3", number] if number.parse::<usize>().is_ok())
}

/// A pattern is the beginning of a place, step by step; `*` is any step.
fn fits(pattern: &str, place: &str) -> bool {
    let mut steps = place.split('/');
    let mut wanted = pattern.split('/');
    pattern.is_empty()
        || wanted.all(|wanted| {
            steps
                .next()
                .is_some_and(|step| wanted == "*" || wanted == step)
        })
}

/// The first steps of a place, to sum up.
pub(crate) fn part(place: &str) -> String {
    place.split('/').take(3).collect::<Vec<_>>().join("/")
}
