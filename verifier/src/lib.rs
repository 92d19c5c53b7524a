//! The verifier: consent requests, accesses, opening, verification, payout rule
