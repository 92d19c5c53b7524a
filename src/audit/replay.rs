//! Executing the whole ledger again, and a second opinion on every access.

use super::texts::Texts;
use super::tree::StateTree;
use super::{AuditError, Logged, kind, outcome_text};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use tegata_consent::cose::Signed;
use tegata_consent::entry::{Access, Body, Entry, OverAsking, VerifiedEntry};
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{CertifiedHeader, FinalHeader, ValidatorSet};
use tegata_consent::ids::{ChainId, EntryId, GrantId, Hash, OrganisationId};
use tegata_consent::log::{Frontier, LogLeaf};
use tegata_consent::organisation::{KeyUse, Organisation};
use tegata_consent::over_asking::is_request_object;
use tegata_consent::request::ConsentRequest;
use tegata_consent::state::{self, Changes, Outcome, StateKey, StateReader};
use tegata_credential::jws::Jws;
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::openid4vp::{self, TransactionData};
use tegata_records::catalogue;

/// What stands after the blocks so far, by our own computation.
#[derive(Default)]
struct Memory {
    values: Changes,
    seen: HashSet<EntryId>,
}

impl StateReader for Memory {
    type Error = Infallible;
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.values.get(key).cloned())
    }
    fn seen(&self, id: &EntryId) -> Result<bool, Infallible> {
        Ok(self.seen.contains(id))
    }
}

/// How much there was.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) entries: u64,
    pub(super) organisations: u64,
    pub(super) grants: u64,
    pub(super) revocations: u64,
    pub(super) allowed: u64,
    pub(super) refused: u64,
    pub(super) status_lists: u64,
    pub(super) erasures: u64,
}

/// An organisation asked for more than it was accredited for, with its own signature as evidence.
pub(super) struct OverAsked {
    pub(super) height: u64,
    pub(super) organisation: OrganisationId,
    pub(super) categories: Vec<String>,
    pub(super) purpose: String,
    pub(super) retention_days: u32,
}

/// Categories, purpose, and how many days copies are kept.
type Asked = (Vec<String>, String, u32);

/// What the second opinion knows of a grant. It is kept from entries alone and shares no code with the state machine.
struct Permission {
    recipient: OrganisationId,
    from_ms: u64,
    until_ms: u64,
    uses_left: Option<u32>,
    revoked: bool,
}

pub(super) struct Replay {
    chain: ChainId,
    validators: ValidatorSet,
    genesis_ms: u64,
    first_previous: Hash,
    newest: Option<FinalHeader>,
    memory: Memory,
    tree: StateTree,
    log: Frontier,
    permissions: BTreeMap<GrantId, Permission>,
    registry: BTreeMap<OrganisationId, Organisation>,
    lists: BTreeMap<(OrganisationId, Hash), u64>,
    pub(super) over_askings: Vec<OverAsked>,
    pub(super) entries: Vec<Logged>,
    pub(super) counts: Counts,
    pub(super) texts: Texts,
}

impl Replay {
    pub(super) fn new(genesis: &Genesis) -> Self {
        let mut tree = StateTree::default();
        let values = genesis.state();
        for (key, value) in &values {
            tree.set(key.as_bytes(), value);
        }
        Self {
            chain: genesis.chain_id(),
            validators: genesis.validator_set(),
            genesis_ms: genesis.time_ms,
            first_previous: genesis.first_previous(),
            newest: None,
            memory: Memory {
                values,
                seen: HashSet::new(),
            },
            tree,
            log: Frontier::default(),
            permissions: BTreeMap::new(),
            registry: BTreeMap::new(),
            lists: BTreeMap::new(),
            over_askings: Vec::new(),
            entries: Vec::new(),
            counts: Counts::default(),
            texts: Texts::default(),
        }
    }

    pub(super) fn height(&self) -> u64 {
        self.newest
            .as_ref()
            .map_or(0, |newest| newest.header().height)
    }

    pub(super) const fn newest(&self) -> Option<&FinalHeader> {
        self.newest.as_ref()
    }

    /// The value of a key after the newest block, encoded.
    pub(super) fn value(&self, key: &StateKey) -> Option<&Vec<u8>> {
        self.memory.values.get(key)
    }

    /// An organisation as the entries so far have it.
    pub(super) fn organisation(&self, id: &OrganisationId) -> Option<&Organisation> {
        self.registry.get(id)
    }

    pub(super) fn grants(&self) -> impl Iterator<Item = GrantId> {
        self.permissions.keys().copied()
    }

    /// Checks the next header: its certificate, and that it follows on the one before.
    pub(super) fn header(&self, certified: CertifiedHeader) -> Result<FinalHeader, AuditError> {
        let height = self.height() + 1;
        if certified.header.height != height {
            return Err(AuditError::at(
                height,
                "header",
                &format!("the node gives height {} instead", certified.header.height),
            ));
        }
        let part = if certified.certificate.header == certified.header.hash() {
            "certificate"
        } else {
            "header"
        };
        let header = certified
            .verify(&self.chain, &self.validators)
            .map_err(|error| AuditError::at(height, part, &error))?;
        let fields = header.header();
        if fields.next_validators != self.validators.hash() {
            return Err(AuditError::at(
                height,
                "header",
                &"it changes the validators, which this version does not",
            ));
        }
        match &self.newest {
            Some(newest) => newest
                .check_next(&header)
                .map_err(|error| AuditError::at(height, "header", &error))?,
            None if fields.previous != self.first_previous => {
                return Err(AuditError::at(
                    height,
                    "header",
                    &"block 1 does not follow on the genesis",
                ));
            }
            None if fields.time_ms <= self.genesis_ms => {
                return Err(AuditError::at(
                    height,
                    "header",
                    &"block 1 is not after the genesis",
                ));
            }
            None => {}
        }
        Ok(header)
    }

    /// Executes a block's entries, and compares everything the header commits to.
    pub(super) fn block(
        &mut self,
        header: &FinalHeader,
        leaves: Vec<LogLeaf>,
    ) -> Result<(), AuditError> {
        let fields = header.header();
        let (height, time_ms) = (fields.height, fields.time_ms);
        let mut entries = Vec::with_capacity(leaves.len());
        for (position, leaf) in leaves.iter().enumerate() {
            let part = format!("entry {}", self.log.size() + position as u64);
            if (leaf.height, leaf.time_ms) != (height, time_ms) {
                return Err(AuditError::at(
                    height,
                    part,
                    &"the log says another height or time",
                ));
            }
            let entry = Entry::parse(&leaf.entry).and_then(|entry| entry.verify(&self.chain));
            entries.push(entry.map_err(|error| AuditError::at(height, part, &error))?);
        }
        let applied = state::apply(&self.memory, height, time_ms, &entries).map_err(
            |(position, error)| {
                let part = format!(
                    "entry {}, {}",
                    self.log.size() + position as u64,
                    kind(entries[position].entry())
                );
                AuditError::at(height, part, &error)
            },
        )?;
        for (position, (said, ours)) in leaves.iter().zip(&applied.leaves).enumerate() {
            if said.outcome != ours.outcome {
                let part = format!("outcome of entry {}", self.log.size() + position as u64);
                let detail = format!(
                    "the log says {}, the state machine {}",
                    outcome_text(said.outcome),
                    outcome_text(ours.outcome)
                );
                return Err(AuditError::at(height, part, &detail));
            }
        }
        for (leaf, entry) in leaves.iter().zip(&entries) {
            self.judge(leaf, entry)?;
            let hash = leaf.hash();
            self.entries.push((self.log.size(), entry.id(), hash));
            self.log.append(hash);
            self.memory.seen.insert(entry.id());
            self.texts.of_entry(entry.entry().body());
        }
        if self.log.size() != fields.log_size || self.log.root() != fields.log_root {
            return Err(AuditError::at(
                height,
                "log root",
                &"the entries give another one than the header says",
            ));
        }
        for (key, value) in applied.changes {
            self.tree.set(key.as_bytes(), &value);
            self.memory.values.insert(key, value);
        }
        if self.tree.root() != fields.state_root {
            return Err(AuditError::at(
                height,
                "state root",
                &"the entries give another one than the header says",
            ));
        }
        self.newest = Some(header.clone());
        Ok(())
    }

    /// The second opinion: counts, and whether an allowed access had a grant in force.
    fn judge(&mut self, leaf: &LogLeaf, entry: &VerifiedEntry) -> Result<(), AuditError> {
        self.counts.entries += 1;
        match entry.entry().body() {
            Body::OrganisationRegistered(organisation) => {
                self.counts.organisations += 1;
                if let Some(id) = organisation.id() {
                    self.registry.insert(id, organisation.clone());
                }
            }
            Body::OrganisationChanged(change) => {
                self.registry.insert(change.id, change.organisation.clone());
            }
            Body::OrganisationSuspended(_) => {}
            Body::Grant(grant) => {
                self.counts.grants += 1;
                let permission = Permission {
                    recipient: grant.recipient,
                    from_ms: grant.from_ms,
                    until_ms: grant.until_ms,
                    uses_left: grant.uses_max,
                    revoked: false,
                };
                self.permissions
                    .insert(GrantId(entry.entry().signer().0), permission);
            }
            Body::Revocation(revocation) => {
                self.counts.revocations += 1;
                if let Some(permission) = self.permissions.get_mut(&revocation.grant) {
                    permission.revoked = true;
                }
            }
            Body::Access(access) if leaf.outcome == Outcome::Applied => {
                self.counts.allowed += 1;
                self.in_force(access, leaf).map_err(|why| {
                    AuditError::at(
                        leaf.height,
                        format!("access {}", entry.id()),
                        &format!("allowed, but {why}"),
                    )
                })?;
            }
            Body::Access(_) => self.counts.refused += 1,
            Body::StatusListPublished(published) => {
                self.counts.status_lists += 1;
                let newest = self
                    .lists
                    .insert((published.issuer, published.list), published.issued_ms);
                if newest.is_some_and(|newest| newest > published.issued_ms) {
                    let part = format!("status list {}", entry.id());
                    return Err(AuditError::at(
                        leaf.height,
                        part,
                        &"it was signed before the one that it replaces",
                    ));
                }
            }
            Body::OverAsking(report) => {
                let asked = self.over_asked(leaf, report).map_err(|why| {
                    AuditError::at(leaf.height, format!("over-asking {}", entry.id()), &why)
                })?;
                self.over_askings.push(asked);
            }
            Body::ErasureConfirmed(confirmed) => {
                self.counts.erasures += 1;
                let permission = self.permissions.get(&confirmed.grant);
                if permission.is_none_or(|permission| permission.recipient != confirmed.recipient) {
                    let part = format!("confirmed erasure {}", entry.id());
                    return Err(AuditError::at(
                        leaf.height,
                        part,
                        &"its organisation was never granted this",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The evidence of an over-asking: the organisation's own signature, under what its registration then did not allow.
    fn over_asked(&self, leaf: &LogLeaf, report: &OverAsking) -> Result<OverAsked, &'static str> {
        let organisation = self
            .organisation(&report.recipient)
            .ok_or("the organisation is not registered")?;
        let asked = if is_request_object(&report.request) {
            self.asked_by_object(report, organisation)?
        } else {
            vec![self.asked_by_request(report, organisation)?]
        };
        let allowed = |(categories, purpose, retention_days): &Asked| {
            organisation.asks.iter().any(|asks| {
                asks.purpose == *purpose
                    && *retention_days <= asks.retention_max_days
                    && categories
                        .iter()
                        .all(|category| asks.categories.contains(category))
            })
        };
        let too_much = asked.into_iter().find(|asked| !allowed(asked));
        let (categories, purpose, retention_days) =
            too_much.ok_or("the organisation was accredited for what it asked")?;
        Ok(OverAsked {
            height: leaf.height,
            organisation: report.recipient,
            categories,
            purpose,
            retention_days,
        })
    }

    fn asked_by_request(
        &self,
        report: &OverAsking,
        organisation: &Organisation,
    ) -> Result<Asked, &'static str> {
        let (request, signer) = ConsentRequest::open(&report.request, &self.chain)
            .map_err(|_| "its evidence does not hold")?;
        let keys = &organisation.keys;
        if request.recipient != report.recipient || !keys.iter().any(|key| key.public == signer.0) {
            return Err("its evidence is signed by somebody else");
        }
        Ok((request.categories, request.purpose, request.retention_days))
    }

    /// The same of a request object of OpenID4VP: what each of its statements asks for, and its query besides.
    fn asked_by_object(
        &self,
        report: &OverAsking,
        organisation: &Organisation,
    ) -> Result<Vec<Asked>, &'static str> {
        let text = std::str::from_utf8(&report.request).ok();
        let jws = text.and_then(|text| Jws::parse(text).ok());
        let jws = jws.ok_or("its evidence does not hold")?;
        let signed = organisation.keys.iter().any(|key| {
            let algorithm = match key.key_use {
                KeyUse::CredentialEdDsa => Algorithm::EdDsa,
                KeyUse::CredentialEs256 => Algorithm::Es256,
                KeyUse::Sign | KeyUse::Seal => return false,
            };
            PublicKey::from_bytes(algorithm, &key.public).is_ok_and(|key| jws.verify(&key).is_ok())
        });
        if !signed {
            return Err("its evidence is signed by somebody else");
        }
        let payload = Value::Object(jws.payload().clone());
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let queries = list(&payload["dcql_query"]["credentials"]);
        let types = queries
            .iter()
            .flat_map(|one| list(&one["meta"]["vct_values"]));
        let types: Vec<String> = types
            .filter_map(|vct| Some(catalogue().by_vct(vct.as_str()?)?.category().code().into()))
            .collect();
        let data = list(&payload["transaction_data"]);
        let data = data.iter().filter_map(Value::as_str).map(|entry| {
            let data = TransactionData::parse(entry).ok();
            data.and_then(|data| data.asked())
        });
        let infos = list(&payload["verifier_info"]);
        let infos = infos
            .iter()
            .map(|info| serde_json::from_value(info["data"].clone()).ok());
        let (us, chain) = (report.recipient.to_string(), self.chain.to_string());
        let asked: Option<Vec<Asked>> = data
            .chain(infos)
            .map(|stated: Option<openid4vp::Asked>| {
                let stated =
                    stated.filter(|stated| stated.organisation == us && stated.chain == chain)?;
                let mut categories = [stated.categories, types.clone()].concat();
                categories.sort_unstable();
                categories.dedup();
                Some((categories, stated.purpose, stated.retention_days))
            })
            .collect();
        asked.ok_or("its evidence names another organisation or ledger")
    }

    fn in_force(&mut self, access: &Access, leaf: &LogLeaf) -> Result<(), &'static str> {
        let permission = self
            .permissions
            .get_mut(&access.grant)
            .ok_or("there is no such grant")?;
        if permission.recipient != access.recipient {
            return Err("the grant is for another organisation");
        }
        if permission.revoked {
            return Err("the grant was revoked");
        }
        if !(permission.from_ms..permission.until_ms).contains(&leaf.time_ms) {
            return Err("the grant's time had not come or was over");
        }
        if let Some(left) = &mut permission.uses_left {
            *left = left.checked_sub(1).ok_or("the grant was used up")?;
        }
        Ok(())
    }
}
