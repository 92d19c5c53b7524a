//! The host as it is started: configuration file, key file, genesis file, a port.

use super::key;
use crate::config::VaultConfig;
use crate::run::{VaultError, run};
use std::path::Path;
use std::time::Duration;
use tegata_consent::cose::public_key;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::Validator;
use tegata_consent::ids::{Nonce, VaultId};
use tegata_consent::state::Parameters;
use tegata_service::signature::{Signer, send_signed};

/// Writes everything that a host needs; its ledger node is not there.
fn prepare(folder: &Path, port: u16) -> VaultConfig {
    let genesis = Genesis {
        name: "test".into(),
        time_ms: 1_800_000_000_000,
        nonce: Nonce([1; 16]),
        validators: vec![Validator {
            key: public_key(&key("validator")),
            power: 1,
        }],
        operators: vec![public_key(&key("operator"))],
        parameters: Parameters {
            sponsor_entries_per_hour: 50,
        },
    };
    tegata_service::genesis::save(folder.join("genesis.json"), &genesis).unwrap();
    let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
    tegata_service::keys::write_new(folder.join("keys.json"), &mut rng).unwrap();
    let toml = format!(
        "data = \"data\"\nkeys = \"keys.json\"\n[http]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\
         [ledger]\nurls = [\"http://127.0.0.1:9\"]\ngenesis = \"genesis.json\"\n[limits]\nfile_bytes_max = 1000000000\n"
    );
    std::fs::write(folder.join("vault.toml"), toml).unwrap();
    VaultConfig::load(&folder.join("vault.toml")).unwrap()
}

#[tokio::test]
async fn a_host_starts_from_its_files_and_waits_for_its_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = prepare(folder.path(), port);
    assert_eq!(config.data, folder.path().join("data"));
    assert!(config.limits.within_formats().file_bytes_max < 64 << 20);
    let running = tokio::spawn(run(config.clone()));
    let (client, url) = (reqwest::Client::new(), format!("http://127.0.0.1:{port}"));
    let mut about = client.get(format!("{url}/v1/host")).send().await;
    for _ in 0..100 {
        if about.is_ok() || running.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        about = client.get(format!("{url}/v1/host")).send().await;
    }
    let about: serde_json::Value =
        serde_json::from_slice(&about.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(about["ledgers"][0], "http://127.0.0.1:9");
    assert_eq!(
        client
            .get(format!("{url}/readyz"))
            .send()
            .await
            .unwrap()
            .status(),
        503
    );
    let owner = Signer::vault(key("vault"));
    let path = format!("{url}/v1/vaults/{}", VaultId(public_key(&key("vault")).0));
    let opened = send_signed(&client, &owner, reqwest::Method::PUT, &path, "", Vec::new())
        .await
        .unwrap();
    assert_eq!(opened.status(), 201);
    let metrics = client
        .get(format!("{url}/metrics"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        metrics.contains("tegata_vault_vaults_opened_total "),
        "{metrics}"
    );
    assert!(!metrics.contains(&public_key(&key("vault")).to_string()));
    // A second host on the same folder is refused: the store has one owner.
    assert!(matches!(run(config).await, Err(VaultError::Store(_))));
    running.abort();
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path(), 1);
    let path = folder.path().join("vault.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("file_bytes_max", "file_bytes_most");
    std::fs::write(&path, text).unwrap();
    assert!(
        VaultConfig::load(&path)
            .unwrap_err()
            .to_string()
            .contains("file_bytes_most")
    );
}
