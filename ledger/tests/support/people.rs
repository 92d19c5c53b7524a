//! Operators, a host, a clinic and citizens, made up.

use super::fresh_key;
use ed25519_dalek::SigningKey;
use tegata_consent::cose::public_key;
use tegata_consent::entry::{Access, Body, Entry, Grant, Revocation};
use tegata_consent::ids::{ChainId, GrantId, Hash, OrganisationId, PublicKey, SealKey};
use tegata_consent::organisation::{
    Asks, KeyUse, Name, Organisation, OrganisationKey, Role, Service, organisation_id,
};
use tegata_service::clock::now_ms;

pub(crate) struct People {
    pub(crate) operators: Vec<SigningKey>,
    pub(crate) host: SigningKey,
    pub(crate) clinic: SigningKey,
}

impl People {
    pub(crate) fn new() -> Self {
        Self {
            operators: (0..3).map(|_| fresh_key()).collect(),
            host: fresh_key(),
            clinic: fresh_key(),
        }
    }

    pub(crate) fn operator_keys(&self) -> Vec<PublicKey> {
        self.operators.iter().map(public_key).collect()
    }

    pub(crate) fn host_id(&self) -> OrganisationId {
        organisation_id(&public_key(&self.host))
    }

    pub(crate) fn clinic_id(&self) -> OrganisationId {
        organisation_id(&public_key(&self.clinic))
    }

    /// A registry entry, signed by all operators.
    pub(crate) fn by_operators(&self, chain: &ChainId, body: Body) -> Entry {
        let [first, rest @ ..] = self.operators.as_slice() else {
            unreachable!()
        };
        let entry = Entry::sign(first, chain, not_after_ms(), body);
        rest.iter()
            .fold(entry, |entry, key| entry.countersign(key, chain))
    }

    pub(crate) fn host_registered(&self, chain: &ChainId) -> Entry {
        self.by_operators(
            chain,
            Body::OrganisationRegistered(organisation(&self.host, Role::Host)),
        )
    }

    pub(crate) fn clinic_registered(&self, chain: &ChainId) -> Entry {
        let mut clinic = organisation(&self.clinic, Role::Verifier);
        clinic.asks = vec![Asks {
            purpose: "care".into(),
            categories: vec!["vaccination".into()],
            retention_max_days: 365,
        }];
        self.by_operators(chain, Body::OrganisationRegistered(clinic))
    }

    /// A citizen's grant to the clinic, carried by the host.
    pub(crate) fn grant(&self, chain: &ChainId, citizen: &SigningKey) -> Entry {
        let now = now_ms();
        let grant = Grant {
            recipient: self.clinic_id(),
            sponsor: self.host_id(),
            categories: vec!["vaccination".into()],
            purpose: "care".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            from_ms: now - 60_000,
            until_ms: now + 3_600_000,
            uses_max: None,
            commitment: Hash(rand::random()),
            request: None,
        };
        Entry::sign(citizen, chain, not_after_ms(), Body::Grant(grant))
            .countersign(&self.host, chain)
    }

    pub(crate) fn revocation(&self, chain: &ChainId, citizen: &SigningKey) -> Entry {
        let body = Body::Revocation(Revocation {
            grant: grant_id(citizen),
            sponsor: self.host_id(),
        });
        Entry::sign(citizen, chain, not_after_ms(), body).countersign(&self.host, chain)
    }

    pub(crate) fn access(&self, chain: &ChainId, grant: GrantId) -> Entry {
        let (commitment, ephemeral) = (Hash(rand::random()), SealKey(rand::random()));
        let body = Body::Access(Access {
            grant,
            recipient: self.clinic_id(),
            commitment,
            ephemeral,
        });
        Entry::sign(&self.clinic, chain, not_after_ms(), body)
    }
}

pub(crate) fn grant_id(citizen: &SigningKey) -> GrantId {
    GrantId(public_key(citizen).0)
}

pub(crate) fn not_after_ms() -> u64 {
    now_ms() + 500_000
}

fn organisation(sign: &SigningKey, role: Role) -> Organisation {
    let key = |key_use, public: [u8; 32]| OrganisationKey {
        key_use,
        public: public.to_vec(),
        from_ms: 0,
        until_ms: None,
    };
    Organisation {
        name: Name {
            ja: "試験機関".into(),
            en: "Test body".into(),
        },
        roles: vec![role],
        services: vec![Service {
            role,
            url: "http://localhost:1".into(),
        }],
        did: "did:web:localhost".into(),
        keys: vec![
            key(KeyUse::Sign, public_key(sign).0),
            key(KeyUse::Seal, [9; 32]),
        ],
        issues: vec![],
        asks: vec![],
    }
}
