//! The issuer: intake, signing, deposits, status lists
