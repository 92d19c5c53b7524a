//! Thin binding of the pure crates for the wallet
