//! The genesis file: [`Genesis`] as JSON, for people to read and to hand on.
//!
//! ```json
//! {
//!   "name": "…", "time_ms": 0, "nonce": "<hex>",
//!   "validators": [{ "key": "<hex>", "power": 1 }],
//!   "operators": ["<hex>"],
//!   "parameters": { "sponsor_entries_per_hour": 1000 },
//!   "chain": "<hex>"
//! }
//! ```
//! `chain` is the chain id that the rest gives. It is there so that people can compare two files at a glance, may be left
//! out, and is checked.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tegata_consent::genesis::{Genesis, GenesisError};
use tegata_consent::header::Validator;
use tegata_consent::ids::{ChainId, Nonce, NotAnId, PublicKey};
use tegata_consent::state::Parameters;

/// Longest genesis file in bytes.
const FILE_MAX: u64 = 256 * 1024;

/// Why a genesis file is refused.
#[derive(Debug, thiserror::Error)]
pub enum GenesisFileError {
    /// The file could not be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("{0}: it is not a file")]
    NoFile(PathBuf),
    /// Longer than any genesis.
    #[error("the genesis file is longer than 256 KiB")]
    TooLong,
    /// Not the JSON it should be.
    #[error("genesis: {0}")]
    Json(#[from] serde_json::Error),
    /// A key or nonce that is none.
    #[error("genesis: {0}")]
    Id(#[from] NotAnId),
    /// The content.
    #[error(transparent)]
    Content(#[from] GenesisError),
    /// The file names another chain id than its content gives.
    #[error("the genesis file says chain {said}, but its content gives {found}: it was altered")]
    Chain {
        /// In the file.
        said: String,
        /// Computed.
        found: ChainId,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    time_ms: u64,
    nonce: String,
    validators: Vec<FileValidator>,
    operators: Vec<String>,
    parameters: FileParameters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileValidator {
    key: String,
    power: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileParameters {
    sponsor_entries_per_hour: u32,
}

/// Writes a genesis as JSON.
#[must_use]
pub fn to_json(genesis: &Genesis) -> String {
    let file = File {
        name: genesis.name.clone(),
        time_ms: genesis.time_ms,
        nonce: genesis.nonce.to_string(),
        validators: genesis
            .validators
            .iter()
            .map(|validator| FileValidator {
                key: validator.key.to_string(),
                power: validator.power,
            })
            .collect(),
        operators: genesis.operators.iter().map(ToString::to_string).collect(),
        parameters: FileParameters {
            sponsor_entries_per_hour: genesis.parameters.sponsor_entries_per_hour,
        },
        chain: Some(genesis.chain_id().to_string()),
    };
    serde_json::to_string_pretty(&file).expect("strings and numbers are always JSON")
}

/// Reads a genesis and checks it.
///
/// # Errors
/// [`GenesisFileError`].
pub fn from_json(text: &str) -> Result<Genesis, GenesisFileError> {
    if text.len() as u64 > FILE_MAX {
        return Err(GenesisFileError::TooLong);
    }
    let file: File = serde_json::from_str(text)?;
    let validator = |validator: FileValidator| {
        Ok(Validator {
            key: validator.key.parse()?,
            power: validator.power,
        })
    };
    let genesis = Genesis {
        name: file.name,
        time_ms: file.time_ms,
        nonce: file.nonce.parse::<Nonce>()?,
        validators: file
            .validators
            .into_iter()
            .map(validator)
            .collect::<Result<_, NotAnId>>()?,
        operators: file
            .operators
            .iter()
            .map(|key| key.parse())
            .collect::<Result<Vec<PublicKey>, _>>()?,
        parameters: Parameters {
            sponsor_entries_per_hour: file.parameters.sponsor_entries_per_hour,
        },
    };
    genesis.check()?;
    match file.chain {
        Some(said) if said != genesis.chain_id().to_string() => Err(GenesisFileError::Chain {
            said: said.chars().take(80).collect(),
            found: genesis.chain_id(),
        }),
        _ => Ok(genesis),
    }
}

/// Reads a genesis file.
///
/// # Errors
/// [`GenesisFileError`].
pub fn load(path: impl AsRef<Path>) -> Result<Genesis, GenesisFileError> {
    let path = path.as_ref();
    let file = |error| GenesisFileError::File {
        path: path.to_owned(),
        error,
    };
    // Asked before it is opened: a pipe waits for whoever writes into it, a device may never end.
    let about = std::fs::metadata(path).map_err(file)?;
    if !about.is_file() {
        return Err(GenesisFileError::NoFile(path.to_owned()));
    }
    if about.len() > FILE_MAX {
        return Err(GenesisFileError::TooLong);
    }
    from_json(&std::fs::read_to_string(path).map_err(file)?)
}

/// Writes a genesis file.
///
/// # Errors
/// [`GenesisFileError::File`].
pub fn save(path: impl AsRef<Path>, genesis: &Genesis) -> Result<(), GenesisFileError> {
    let path = path.as_ref();
    std::fs::write(path, to_json(genesis)).map_err(|error| GenesisFileError::File {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Genesis {
        Genesis {
            name: "Test ledger".into(),
            time_ms: 1_700_000_000_000,
            nonce: Nonce([7; 16]),
            validators: vec![
                Validator {
                    key: PublicKey([1; 32]),
                    power: 2,
                },
                Validator {
                    key: PublicKey([2; 32]),
                    power: 1,
                },
            ],
            operators: vec![PublicKey([3; 32])],
            parameters: Parameters {
                sponsor_entries_per_hour: 9,
            },
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        save(&path, &sample()).unwrap();
        let loaded = load(&path).unwrap();
        assert_eq!(loaded, sample());
        assert_eq!(loaded.chain_id(), sample().chain_id());
    }

    #[test]
    fn altered_files_are_refused() {
        let text = to_json(&sample());
        assert!(matches!(
            from_json(&text.replace("\"power\": 2", "\"power\": 3")),
            Err(GenesisFileError::Chain { .. })
        ));
        assert!(matches!(
            from_json(&text.replace("\"power\": 2", "\"power\": 0")),
            Err(GenesisFileError::Content(_))
        ));
        assert!(matches!(
            from_json(&text.replace("\"nonce\": \"07", "\"nonce\": \"")),
            Err(GenesisFileError::Id(_))
        ));
        assert!(matches!(
            from_json(&text.replace("\"time_ms\"", "\"time\"")),
            Err(GenesisFileError::Json(_))
        ));
    }
}
