//! The ledger: consensus driver, store, mempool, HTTP
