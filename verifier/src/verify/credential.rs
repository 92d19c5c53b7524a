//! The credential inside a record: issuer's signature, accreditation, status, holder key, schema.

use super::report::{Fault, Verdict, fails};
use tegata_consent::deposit::Deposit;
use tegata_consent::invitation::VerifiedInvitation;
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_consent::sealing::Manifest;
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::sd_jwt::{MEDIA_TYPE, SdJwt, VerifiedSdJwt};
use tegata_credential::status_list::{RECALLED, Status, VerifiedStatusList};
use tegata_records::{RecordType, catalogue};

/// What the record says of itself agrees with the deposit; gives the credential's text.
pub(super) fn manifest(
    deposit: &Deposit,
    manifest: &Manifest,
    parts: &[&[u8]],
) -> Result<String, Fault> {
    let agreements = [
        ("drawer", manifest.drawer == deposit.drawer),
        ("record id", manifest.record == deposit.record),
        ("date", manifest.date_ms == deposit.date_ms),
        ("depositor", manifest.depositor == deposit.depositor),
    ];
    if let Some((what, _)) = agreements.iter().find(|(_, agrees)| !agrees) {
        return fails(format!(
            "the manifest's {what} is another than the deposit's"
        ));
    }
    if manifest.parts[0].media_type != MEDIA_TYPE {
        return fails(format!("the first part is not {MEDIA_TYPE}"));
    }
    if manifest.replaces == Some(manifest.record) {
        return fails("the record says that it replaces itself");
    }
    String::from_utf8(parts[0].to_vec()).or_else(|_| fails("the credential is not text"))
}

/// The keys of an organisation that sign credentials and count at a time.
pub(crate) fn credential_keys(organisation: &OrganisationState, at_ms: u64) -> Vec<PublicKey> {
    let of = |key_use, algorithm| {
        organisation
            .keys_at(key_use, at_ms)
            .filter_map(move |key| PublicKey::from_bytes(algorithm, &key.public).ok())
    };
    of(KeyUse::CredentialEdDsa, Algorithm::EdDsa)
        .chain(of(KeyUse::CredentialEs256, Algorithm::Es256))
        .collect()
}

/// The issuer's signature, by a credential key of the depositor that counted when the credential says it was signed.
pub(super) fn issuer_signature(
    text: &str,
    depositor: &OrganisationState,
    now_ms: u64,
) -> Result<VerifiedSdJwt, Fault> {
    let credential = SdJwt::parse(text).or_else(fails)?;
    if credential.issuer() != Some(depositor.organisation.did.as_str()) {
        return fails(format!(
            "the credential's issuer is not {}, the depositor",
            depositor.organisation.did
        ));
    }
    let Some(issued_at) = credential.issued_at() else {
        return fails("the credential does not say when it was signed");
    };
    let Some(key_id) = credential.key_id() else {
        return fails("the credential names no key");
    };
    let issued_ms = milliseconds(issued_at);
    let keys = credential_keys(depositor, issued_ms);
    let Some(key) = keys.into_iter().find(|key| key.key_id() == key_id) else {
        return fails(format!(
            "{} had no credential key {key_id} at {issued_ms} ms",
            depositor.organisation.name.en
        ));
    };
    credential.verify(&key, seconds(now_ms)).or_else(fails)
}

/// The accreditation at the time of signing; and no suspension when the record came in, since that time is not the issuer's
/// to choose.
pub(super) fn issuer_accredited(
    credential: &VerifiedSdJwt,
    depositor: &OrganisationState,
    received_ms: u64,
) -> Verdict {
    let name = &depositor.organisation.name.en;
    let Some(record_type) = catalogue().by_vct(credential.vct()) else {
        return fails(format!(
            "nobody is accredited for the unknown type {:?}",
            credential.vct()
        ));
    };
    let issued_ms = milliseconds(credential.issued_at().unwrap_or_default());
    if depositor.suspended_at(received_ms) {
        return fails(format!(
            "{name} was suspended when it deposited the record, at {received_ms} ms"
        ));
    }
    if !depositor.may_issue(record_type.id(), issued_ms) {
        return fails(format!(
            "{name} was not accredited to issue {:?} at {issued_ms} ms, or was suspended",
            record_type.id()
        ));
    }
    Ok(format!(
        "{name} was accredited to issue {:?} at {issued_ms} ms",
        record_type.id()
    ))
}

/// What the issuer's status list says.
pub(super) fn not_revoked(
    credential: &VerifiedSdJwt,
    list: Option<Result<&VerifiedStatusList, Fault>>,
) -> Verdict {
    let Some(reference) = credential.status() else {
        return fails(
            "the credential names no status list, so nobody can say whether it was revoked",
        );
    };
    let list = match list {
        Some(list) => list?,
        None => {
            return Err(Fault::Unavailable(
                "the status list was not asked for".into(),
            ));
        }
    };
    if list.uri() != reference.uri {
        return fails("the status list is another than the credential's");
    }
    match list.status_at(reference.index).or_else(fails)? {
        Status::Valid => Ok(format!(
            "valid in the status list signed at {} s",
            list.issued_at()
        )),
        Status::Invalid => fails("the issuer has revoked it"),
        Status::Suspended => fails("the issuer has suspended it"),
        RECALLED => fails("the issuer has recalled it: it was bound to the wrong person"),
        Status::Other(value) => fails(format!(
            "the issuer's status list has status {value}, which is not valid"
        )),
    }
}

/// The key the credential is bound to is the one the vault gave this issuer.
pub(super) fn holder_key(credential: &VerifiedSdJwt, invitation: &VerifiedInvitation) -> Verdict {
    let invited =
        PublicKey::from_bytes(Algorithm::EdDsa, &invitation.invitation.holder.0).or_else(fails)?;
    match credential.holder() {
        None => fails("the credential is bound to no key"),
        Some(holder) if *holder != invited => {
            fails("the credential is bound to another key than the invitation's")
        }
        Some(_) => Ok("bound to the holder key of the invitation".into()),
    }
}

/// The type is known, the same inside and outside, and its closed schema allows the claims.
pub(super) fn schema(
    credential: &VerifiedSdJwt,
    manifest: &Manifest,
) -> Result<&'static RecordType, Fault> {
    let Some(record_type) = catalogue().by_vct(credential.vct()) else {
        return fails(format!(
            "type {:?} is not in the catalogue",
            credential.vct()
        ));
    };
    if record_type.id() != manifest.record_type {
        return fails(format!(
            "the manifest says {:?}, the credential {:?}",
            manifest.record_type,
            record_type.id()
        ));
    }
    if credential
        .vct_integrity()
        .is_some_and(|integrity| integrity != record_type.integrity())
    {
        return fails("the credential was made for another version of the type's metadata");
    }
    match record_type.validate(credential.claims()) {
        Ok(()) => Ok(record_type),
        Err(errors) => {
            let errors: Vec<_> = errors.iter().take(8).map(ToString::to_string).collect();
            fails(errors.join("; "))
        }
    }
}

fn milliseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}
