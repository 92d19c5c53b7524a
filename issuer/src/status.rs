//! Status lists: what is revoked, signed fresh whenever it changed or a copy grows old (Token Status List).

use crate::issuer::Issuer;
use crate::store::{STATUS_LIST_SIZE, StoreError};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tegata_credential::status_list::{
    Status, StatusList, StatusListError, StatusListIssuance, sign,
};

/// Why a list is not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("there is no status list {0}")]
    NoSuchList(u32),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    List(#[from] StatusListError),
}

struct Signed {
    token: Bytes,
    /// The store's count of revocations when it was made.
    version: u64,
    /// To be signed again from this time on, in seconds since 1970.
    renew_s: i64,
}

/// Lists that are signed already.
#[derive(Default)]
pub(crate) struct StatusLists(Mutex<HashMap<u32, Signed>>);

impl StatusLists {
    /// The signed list with a number.
    pub(crate) fn token(
        &self,
        issuer: &Issuer,
        number: u32,
        now_s: i64,
    ) -> Result<Bytes, PublishError> {
        if number == 0 || number > issuer.store.open_list() {
            return Err(PublishError::NoSuchList(number));
        }
        let mut signed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = signed.get(&number)
            && known.version == issuer.store.revocations()
            && now_s < known.renew_s
        {
            return Ok(known.token.clone());
        }
        let (revoked, version) = issuer.store.revoked(number)?;
        let entries = revoked
            .into_iter()
            .map(|index| (u64::from(index), Status::Invalid));
        let list = StatusList::from_entries(1, u64::from(STATUS_LIST_SIZE), entries)?;
        let lifetime_s = i64::try_from(issuer.config.status_list.lifetime_s)
            .unwrap_or(i64::MAX / 2)
            .max(2);
        let uri = issuer.status_list_uri(number);
        let issuance = StatusListIssuance {
            uri: &uri,
            issuer: None,
            issued_at: now_s,
            expires_at: Some(now_s + lifetime_s),
            ttl_s: Some(issuer.config.status_list.ttl_s.max(1)),
        };
        let token = Bytes::from(sign(&list, &issuance, &issuer.credential_key));
        metrics::counter!("tegata_issuer_status_lists_signed_total").increment(1);
        signed.insert(
            number,
            Signed {
                token: token.clone(),
                version,
                renew_s: now_s + lifetime_s / 2,
            },
        );
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::{World, config, credential_key};
    use std::sync::Arc;
    use tegata_credential::status_list::StatusListToken;

    #[tokio::test]
    async fn a_list_is_signed_again_when_it_changed_or_grows_old() {
        let world = World::new().await;
        let registry = Arc::clone(&world.registry) as Arc<dyn crate::registry::Registry>;
        let config = config(world.folder.path(), "127.0.0.1:1".parse().unwrap());
        let issuer = Issuer::open(config, registry).unwrap();
        let token = |now_s| issuer.statuses.token(&issuer, 1, now_s).unwrap();
        let revoked_at = |token: &Bytes, index, now_s| {
            let token = StatusListToken::parse(std::str::from_utf8(token).unwrap()).unwrap();
            let list = token
                .verify(&credential_key(&world), &issuer.status_list_uri(1), now_s)
                .unwrap();
            list.status_at(index).unwrap() == Status::Invalid
        };
        let first = token(1_000_000);
        assert_eq!(first, token(1_001_799));
        let renewed = token(1_001_800);
        assert_ne!(first, renewed, "half of its life is over");
        assert!(!revoked_at(&renewed, 7, 1_005_000));
        let mut change = issuer.store.change();
        change.revoke_place(crate::model::StatusPlace { list: 1, index: 7 });
        change.commit().unwrap();
        let changed = token(1_001_801);
        assert!(revoked_at(&changed, 7, 1_001_801) && !revoked_at(&changed, 8, 1_001_801));
        for number in [0, 2, u32::MAX] {
            assert!(matches!(
                issuer.statuses.token(&issuer, number, 1),
                Err(PublishError::NoSuchList(_))
            ));
        }
    }
}
