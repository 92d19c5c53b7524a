//! Signs and verifies with `ssi` alone. Reads a JSON document `{credential, contexts}` in one line, then lines `issue SECONDS`
//! or `verify SECONDS`, and answers each with a rate per second of processor time.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::BufRead;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use serde_json::Value;
use ssi::claims::data_integrity::{AnySuite, CryptographicSuite, ProofOptions};
use ssi::claims::vc::v2::JsonCredential;
use ssi::claims::{SignatureEnvironment, SignatureError, VerificationParameters};
use ssi::dids::{AnyDidMethod, DIDKey, DIDResolver};
use ssi::json_ld::ContextLoader;
use ssi::jwk::JWK;
use ssi::verification_methods::{AnyMethod, ReferenceOrOwned, SingleSecretSigner};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = std::io::stdin().lock().lines();
    let first: Value = serde_json::from_str(&lines.next().ok_or("no credential")??)?;
    let contexts: HashMap<String, String> = serde_json::from_value(first["contexts"].clone())?;
    let key = JWK::generate_ed25519()?;
    let did = DIDKey::generate(&key)?;
    let mut credential = first["credential"].clone();
    credential["issuer"] = did.to_string().into();
    // It looks at the clock.
    credential["validFrom"] = "2025-01-01T00:00:00Z".into();
    let credential: JsonCredential = serde_json::from_value(credential)?;
    let loader = ContextLoader::default().with_context_map_from(contexts)?;
    let resolver = AnyDidMethod::default().into_vm_resolver();
    let parameters =
        || VerificationParameters::from_resolver(&resolver).with_json_ld_loader(loader.clone());
    let signer = SingleSecretSigner::new(key.clone()).into_local();
    let method: ReferenceOrOwned<AnyMethod> =
        ReferenceOrOwned::Reference(DIDKey::generate_url(&key)?.into_iri());
    let issue = || -> Result<_, SignatureError> {
        let options = ProofOptions::from_method(method.clone());
        let environment = SignatureEnvironment {
            json_ld_loader: loader.clone(),
            ..SignatureEnvironment::default()
        };
        let suite = AnySuite::EdDsaRdfc2022;
        block_on(suite.sign_with(
            environment,
            credential.clone(),
            &resolver,
            &signer,
            options,
            Default::default(),
        ))
    };
    let signed = issue()?;
    let verify = || block_on(signed.verify(parameters())).is_ok_and(|verified| verified.is_ok());
    if !verify() {
        return Err("it does not verify what it signed".into());
    }
    for line in lines {
        let line = line?;
        let (what, seconds) = line.split_once(' ').ok_or("a word and seconds")?;
        let slice = Duration::from_secs_f64(seconds.parse()?);
        let (began, before_s, mut runs) = (Instant::now(), cpu_s()?, 0_u32);
        while began.elapsed() < slice {
            match what {
                "issue" => drop(black_box(issue()?)),
                _ => assert!(black_box(verify())),
            }
            runs += 1;
        }
        println!("{}", f64::from(runs) / (cpu_s()? - before_s));
    }
    Ok(())
}

/// Processor time that this thread has had so far, in seconds.
fn cpu_s() -> Result<f64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().ok_or("nothing")?.parse()?;
    Ok(nanoseconds / 1e9)
}
