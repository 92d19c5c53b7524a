//! A client that believes nothing: it checks every receipt, proof and header.

use std::time::{Duration, Instant};
use tegata_consent::cbor;
use tegata_consent::entry::Entry;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{CertifiedHeader, FinalHeader, ValidatorSet};
use tegata_consent::ids::{ChainId, GrantId, OrganisationId};
use tegata_consent::log::LogLeaf;
use tegata_consent::organisation::OrganisationState;
use tegata_consent::proof::{Proven, Receipt, StateProof, VerifiedReceipt};
use tegata_consent::state::GrantState;

/// One node's client.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    chain: ChainId,
    validators: ValidatorSet,
}

/// What a node answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(port: u16, genesis: &Genesis) -> Self {
        let http = reqwest::Client::builder()
            .tcp_nodelay(true)
            .timeout(Duration::from_secs(40))
            .build()
            .unwrap();
        Self {
            http,
            url: format!("http://127.0.0.1:{port}"),
            chain: genesis.chain_id(),
            validators: genesis.validator_set(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::of(
            self.http
                .get(format!("{}{path}", self.url))
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn post(&self, body: Vec<u8>, wait_ms: u64) -> Result<Answer, reqwest::Error> {
        let url = format!("{}/v1/entries?wait_ms={wait_ms}", self.url);
        let request = self
            .http
            .post(url)
            .header("content-type", "application/cbor")
            .body(body);
        Ok(Answer::of(request.send().await?).await)
    }

    /// Submits an entry until it is final, as clients should.
    pub(crate) async fn submit(&self, entry: &Entry) -> VerifiedReceipt {
        let answer = self.post(entry.to_bytes(), 30_000).await.unwrap();
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        let receipt = self.receipt_of(&answer);
        assert_eq!(receipt.entry.id(), entry.id(&self.chain));
        receipt
    }

    /// Submits an entry that is refused, and gives status and code.
    pub(crate) async fn refused(&self, body: Vec<u8>) -> (u16, String) {
        let answer = self.post(body, 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, problem["code"].as_str().unwrap().to_owned())
    }

    pub(crate) fn receipt_of(&self, answer: &Answer) -> VerifiedReceipt {
        Receipt::parse(&answer.body)
            .unwrap()
            .verify(&self.chain, &self.validators)
            .unwrap()
    }

    pub(crate) async fn grant(&self, id: &GrantId) -> Proven<GrantState> {
        let answer = self.get(&format!("/v1/state/grants/{id}")).await;
        StateProof::parse(&answer.body)
            .unwrap()
            .verify_grant(&self.chain, &self.validators, id)
            .unwrap()
    }

    pub(crate) async fn organisation(&self, id: &OrganisationId) -> Proven<OrganisationState> {
        let answer = self.get(&format!("/v1/state/organisations/{id}")).await;
        StateProof::parse(&answer.body)
            .unwrap()
            .verify_organisation(&self.chain, &self.validators, id)
            .unwrap()
    }

    pub(crate) async fn leaves(&self, path: &str) -> Vec<LogLeaf> {
        cbor::decode(&self.get(path).await.body, 8 << 20).unwrap()
    }

    pub(crate) async fn header(&self, height: u64) -> FinalHeader {
        let answer = self.get(&format!("/v1/headers/{height}")).await;
        self.header_of(&answer)
    }

    pub(crate) fn header_of(&self, answer: &Answer) -> FinalHeader {
        assert_eq!(answer.status, 200);
        let certified: CertifiedHeader =
            cbor::decode(&answer.body, CertifiedHeader::LIMIT).unwrap();
        certified.verify(&self.chain, &self.validators).unwrap()
    }

    /// The newest header; `None` if the node does not answer or has none.
    pub(crate) async fn newest(&self) -> Option<FinalHeader> {
        let answer = self
            .http
            .get(format!("{}/v1/headers/newest?wait_ms=0", self.url))
            .send()
            .await
            .ok()?;
        let answer = Answer::of(answer).await;
        (answer.status == 200).then(|| self.header_of(&answer))
    }

    /// Waits until a height is final here.
    pub(crate) async fn until_height(&self, height: u64, at_most: Duration) -> FinalHeader {
        let deadline = Instant::now() + at_most;
        loop {
            let url = format!(
                "{}/v1/headers/newest?after={}&wait_ms=1000",
                self.url,
                height - 1
            );
            match self.http.get(url).send().await {
                Ok(answer) if answer.status() == 200 => {
                    return self.header_of(&Answer::of(answer).await);
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            assert!(
                Instant::now() < deadline,
                "{} does not reach height {height}: {:?}",
                self.url,
                self.newest().await
            );
        }
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        Self {
            status: response.status().as_u16(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
