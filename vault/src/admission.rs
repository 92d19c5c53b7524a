//! How much strangers may ask of a host: who may open a vault now, and how many grants and reports one vault may make.
//!
//! Anybody can make a key, so a vault costs its owner nothing and the host disk. Openings are counted for each address and
//! in all, grants and reports of over-asking for each vault; counts by the hour are kept in memory and begin anew with it. Revocations are never
//! counted: ending consent waits for nobody.

use crate::config::Limits;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use tegata_consent::ids::VaultId;

const HOUR_MS: u64 = 3_600_000;

/// Why a vault is not opened, or a grant or report not carried, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotNow {
    /// As many vaults as the host keeps.
    #[error("this host keeps {0} vaults and takes no more")]
    Full(u64),
    /// As many as it opens in an hour.
    #[error("too many vaults were opened here within the hour; try again in {0} s")]
    Openings(u64),
    /// As many as it opens in an hour for one address.
    #[error("too many vaults were opened from this address within the hour; try again in {0} s")]
    Address(u64),
    /// As many as it carries in an hour for one vault.
    #[error("this vault gave too many grants within the hour; try again in {0} s")]
    Grants(u64),
    /// As many reports as it carries in an hour for one vault.
    #[error("this vault reported too many requests within the hour; try again in {0} s")]
    Reports(u64),
}

impl NotNow {
    /// A stable word for programs.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Full(_) => "host-full",
            Self::Openings(_) | Self::Address(_) => "too-many-vaults",
            Self::Grants(_) => "too-many-grants",
            Self::Reports(_) => "too-many-reports",
        }
    }

    /// After how many seconds another answer is to be expected.
    pub(crate) const fn wait_s(&self) -> Option<u64> {
        match self {
            Self::Full(_) => None,
            Self::Openings(wait_s)
            | Self::Address(wait_s)
            | Self::Grants(wait_s)
            | Self::Reports(wait_s) => Some(*wait_s),
        }
    }
}

/// What was asked of this host so far.
pub(crate) struct Admission(Mutex<Counts>);

struct Counts {
    vaults: u64,
    openings: Hour<IpAddr>,
    grants: Hour<VaultId>,
    reports: Hour<VaultId>,
}

impl Admission {
    /// For a host that keeps so many vaults already.
    pub(crate) fn new(vaults: u64) -> Self {
        Self(Mutex::new(Counts {
            vaults,
            openings: Hour::default(),
            grants: Hour::default(),
            reports: Hour::default(),
        }))
    }

    /// Counts a vault that is to be opened, asked for from an address (`None`: this machine, most often a proxy's).
    pub(crate) fn vault(
        &self,
        address: Option<IpAddr>,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<(), NotNow> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.vaults >= limits.vaults_max {
            return Err(NotNow::Full(limits.vaults_max));
        }
        let openings = &mut counts.openings;
        openings.go_on(now_ms);
        let wait_s = openings.wait_s(now_ms);
        if openings.all >= limits.openings_per_hour_max {
            return Err(NotNow::Openings(wait_s));
        }
        if address
            .is_some_and(|from| openings.of(&from) >= limits.openings_per_address_per_hour_max)
        {
            return Err(NotNow::Address(wait_s));
        }
        openings.count(address);
        counts.vaults += 1;
        Ok(())
    }

    /// Counts a grant that a vault is about to give.
    pub(crate) fn grant(&self, vault: VaultId, limits: &Limits, now_ms: u64) -> Result<(), NotNow> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = limits.grants_per_hour_max;
        let counted = counts.grants.within(vault, most, now_ms);
        counted.map_err(NotNow::Grants)
    }

    /// Counts a report of over-asking that a vault is about to make.
    pub(crate) fn report(
        &self,
        vault: VaultId,
        limits: &Limits,
        now_ms: u64,
    ) -> Result<(), NotNow> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = limits.reports_per_hour_max;
        let counted = counts.reports.within(vault, most, now_ms);
        counted.map_err(NotNow::Reports)
    }
}

/// What happened within the hour, in all and by whom.
struct Hour<K> {
    began_ms: u64,
    all: u64,
    each: HashMap<K, u64>,
}

impl<K> Default for Hour<K> {
    fn default() -> Self {
        Self {
            began_ms: 0,
            all: 0,
            each: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Hour<K> {
    fn go_on(&mut self, now_ms: u64) {
        if now_ms.abs_diff(self.began_ms) >= HOUR_MS {
            *self = Self {
                began_ms: now_ms,
                ..Self::default()
            };
        }
    }

    fn of(&self, who: &K) -> u64 {
        self.each.get(who).copied().unwrap_or_default()
    }

    fn count(&mut self, who: Option<K>) {
        self.all += 1;
        if let Some(who) = who {
            *self.each.entry(who).or_default() += 1;
        }
    }

    /// Counts one more of somebody's; the seconds to wait, where that is one too many.
    fn within(&mut self, who: K, most: u64, now_ms: u64) -> Result<(), u64> {
        self.go_on(now_ms);
        if self.of(&who) >= most {
            return Err(self.wait_s(now_ms));
        }
        self.count(Some(who));
        Ok(())
    }

    fn wait_s(&self, now_ms: u64) -> u64 {
        let over_ms = now_ms.saturating_sub(self.began_ms);
        HOUR_MS.saturating_sub(over_ms).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn limits() -> Limits {
        Limits {
            vaults_max: 8,
            openings_per_hour_max: 5,
            openings_per_address_per_hour_max: 2,
            grants_per_hour_max: 2,
            ..Limits::default()
        }
    }

    fn from(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn openings_are_bounded_by_address_by_hour_and_in_all() {
        let admission = Admission::new(1);
        let open = |address, now_ms| admission.vault(address, &limits(), now_ms);
        assert_eq!(open(from(1), NOW_MS), Ok(()));
        assert_eq!(open(from(1), NOW_MS + 1), Ok(()));
        assert_eq!(open(from(1), NOW_MS + 600_000), Err(NotNow::Address(3000)));
        assert_eq!(open(from(2), NOW_MS + 600_000), Ok(()), "another address");
        assert_eq!(open(None, NOW_MS), Ok(()), "a proxy on this machine");
        assert_eq!(open(None, NOW_MS), Ok(()));
        assert_eq!(open(from(3), NOW_MS), Err(NotNow::Openings(3600)));
        let later_ms = NOW_MS + HOUR_MS;
        assert_eq!(open(from(1), later_ms), Ok(()));
        assert_eq!(open(from(1), later_ms), Ok(()));
        assert_eq!(open(from(2), later_ms), Err(NotNow::Full(8)));
    }

    #[test]
    fn grants_are_bounded_for_each_vault() {
        let admission = Admission::new(0);
        let grant = |vault, now_ms| admission.grant(VaultId([vault; 32]), &limits(), now_ms);
        assert_eq!(grant(1, NOW_MS), Ok(()));
        assert_eq!(grant(1, NOW_MS), Ok(()));
        assert_eq!(grant(1, NOW_MS + 1), Err(NotNow::Grants(3600)));
        assert_eq!(grant(2, NOW_MS + 1), Ok(()));
        assert_eq!(grant(1, NOW_MS + HOUR_MS), Ok(()));
    }
}
