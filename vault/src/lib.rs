//! The vault host: drawers, deposits, orders, fetches. Ciphertext only
