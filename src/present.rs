//! `tegata present FILE|-`: shows chosen claims of an SD-JWT VC, or a whole W3C credential, signed by its holder for one
//! verifier, as a wallet does.

use crate::input;
use crate::issue::{read_key, w3c};
use crate::terminal::plain;
use crate::time::parse_time;
use std::path::PathBuf;
use std::process::ExitCode;
use tegata_credential::sd_jwt::{KeyBinding, MAX_BYTES, Path, PathStep, SdJwt};
use tegata_service::clock;

/// What to show, and to whom.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The credential (SD-JWT VC, or W3C); `-` for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A claim to show; nested names are joined by dots, as in `place.name`. May be given again; none: only what always shows.
    #[arg(long, value_name = "CLAIM")]
    pub show: Vec<String>,
    /// The holder's secret key: PKCS#8 in PEM, or a private JWK. Without it there is no key binding.
    #[arg(long, value_name = "FILE", requires_all = ["audience", "nonce"])]
    pub key: Option<PathBuf>,
    /// The verifier it is for.
    #[arg(long, value_name = "NAME", requires = "key")]
    pub audience: Option<String>,
    /// The nonce of the verifier's request.
    #[arg(long, value_name = "TEXT", requires = "key")]
    pub nonce: Option<String>,
    /// Signed at this time instead of now: RFC 3339, a date, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<u64>,
}

/// Presents and prints. Exit code 0: presented; 2: nothing was.
pub fn run(options: &Options) -> ExitCode {
    match present(options) {
        Ok(presentation) => {
            println!("{presentation}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tegata: {}", plain(&error));
            ExitCode::from(2)
        }
    }
}

/// Presents.
///
/// # Errors
/// What is wrong, naming the file or the reason code.
pub fn present(options: &Options) -> Result<String, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", options.file.display());
    let bytes = input::read(&options.file, MAX_BYTES as u64 + 16).map_err(|error| named(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| named(&"not text"))?;
    if text.trim_start().starts_with('{') {
        return present_w3c(options, &text);
    }
    let credential = SdJwt::parse(text.trim());
    let credential = credential.map_err(|error| named(&format!("{} ({error})", error.code())))?;
    let show: Vec<Path> = options.show.iter().map(|claim| path(claim)).collect();
    let result = match (&options.key, &options.audience, &options.nonce) {
        (Some(key), Some(audience), Some(nonce)) => {
            let holder = read_key(key, None).map_err(|error| error.to_string())?;
            let at_ms = options.at.unwrap_or_else(clock::now_ms);
            let at_s = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
            credential.present(&show, &KeyBinding::new(audience, nonce, at_s), &holder)
        }
        _ => credential.disclose(&show),
    };
    result.map_err(|error| format!("{} ({error})", error.code()))
}

/// A W3C credential is shown whole.
fn present_w3c(options: &Options, text: &str) -> Result<String, String> {
    let (Some(key), Some(domain), Some(challenge)) =
        (&options.key, &options.audience, &options.nonce)
    else {
        return Err("--key, --audience and --nonce are needed for a W3C presentation".into());
    };
    if !options.show.is_empty() {
        return Err("a W3C credential is shown whole: --show is for SD-JWT VC".into());
    }
    let holder = read_key(key, None).map_err(|error| error.to_string())?;
    let at_ms = options.at.unwrap_or_else(clock::now_ms);
    let at_s = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    w3c::present(text.as_bytes(), domain, challenge, at_s, &holder)
        .map_err(|w3c::Refused(code, detail)| format!("{code} ({detail})"))
}

/// `place.name`, or `doses.0.date`.
fn path(claim: &str) -> Path {
    Path::new(claim.split('.').map(|step| match step.parse::<usize>() {
        Ok(index) => PathStep::from(index),
        Err(_) => PathStep::from(step),
    }))
}
