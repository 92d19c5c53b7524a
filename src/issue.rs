//! `tegata issue FILE|-`: signs a record by hand, as an issuer's service does.
//!
//! FILE is a record's claims (then `--type` says which) or a FHIR resource. What is printed is the credential: an SD-JWT VC, or
//! the text of a QR code.

pub(crate) mod w3c;

use crate::input;
use crate::terminal::plain;
use crate::time::parse_time;
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Map, Value};
use std::path::{Path as FilePath, PathBuf};
use std::process::ExitCode;
use tegata_credential::hcert::{self, HcertIssuance};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::rfc3339::write_time;
use tegata_credential::sd_jwt::{Issuance, Path, StatusReference};
use tegata_credential::smart_health_card::{self as shc, ShcIssuance};
use tegata_credential::trust_list::certificate_key_id;
use tegata_credential::x509::Certificate;
use tegata_credential::{json, key_file, sd_jwt};
use tegata_records::dcc::{Certifier, Person, to_dcc};
use tegata_records::fhir::{PatientReference, check_plausible, from_fhir, to_fhir};
use tegata_records::{RecordType, catalogue};
use tegata_service::{clock, keys, qr};

/// Longest input, in bytes.
const INPUT_MAX: u64 = 1 << 20;
const DAY_S: i64 = 86_400;
/// How long a health certificate is valid where nothing is said: the EU's half year.
const HCERT_DAYS: u32 = 180;

/// What to sign, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The record: its claims as JSON, or a FHIR R4 Immunization or Observation; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to make of it.
    #[arg(long, value_enum)]
    pub format: Format,
    /// The secret key: PKCS#8 in PEM, a private JWK, or an organisation's `keys.json`. Health certificates and cards take P-256.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The key's certificate chain (PEM or DER), leaf first. A health certificate needs it: its key id is the certificate's.
    #[arg(long, value_name = "FILE", required_if_eq("format", "hcert"))]
    pub certificate: Option<PathBuf>,
    /// Who issues: a DID or URL; for a health card the https URL of its keys; for a health certificate the name people read.
    #[arg(long, value_name = "NAME")]
    pub issuer: String,
    /// Which record type the claims are of, such as `vaccination`; a FHIR resource says it itself.
    #[arg(long = "type", value_name = "ID")]
    pub record_type: Option<String>,
    /// Whom it is about, for health certificates and cards, since no record names a person: JSON with `family_name`,
    /// `given_name`, `birth_date`, and `family_name_latin` and `given_name_latin` where the names are in other letters.
    #[arg(long, value_name = "FILE")]
    pub person: Option<PathBuf>,
    /// The holder's public JWK, which the credential is bound to (SD-JWT VC), or whose did:jwk it is about (W3C).
    #[arg(long, value_name = "FILE")]
    pub holder: Option<PathBuf>,
    /// Where revocation will be seen: a status list's URI, `#` and the index in it (SD-JWT VC, W3C).
    #[arg(long, value_name = "URI#INDEX", value_parser = parse_status)]
    pub status: Option<StatusReference>,
    /// By which the issuer may revoke a health card.
    #[arg(long, value_name = "ID")]
    pub revocation_id: Option<String>,
    /// Country of issue of a health certificate, ISO 3166-1 alpha-2; JP where nothing is said.
    #[arg(long, value_name = "CODE")]
    pub country: Option<String>,
    /// A health certificate's unique identifier; a random one where nothing is said.
    #[arg(long, value_name = "UVCI", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub id: Option<String>,
    /// For how many days it is valid: 180 for a health certificate, else without end, where nothing is said.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub valid_days: Option<u32>,
    /// Issued at this time instead of now: RFC 3339, a date, or milliseconds since 1970.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub at: Option<u64>,
    /// Writes the QR code as a picture too (SVG).
    #[arg(long, value_name = "FILE")]
    pub qr: Option<PathBuf>,
}

/// What a record can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// SD-JWT VC, whose claims its holder shows one by one.
    SdJwtVc,
    /// EU / WHO health certificate: `HC1:…`, for a QR code.
    Hcert,
    /// SMART Health Card: `shc:/…`, for a QR code.
    Shc,
    /// W3C credential over canonical JSON (`eddsa-jcs-2022`); the issuer is a DID, the key Ed25519.
    W3cJcs,
    /// W3C credential over RDF (`eddsa-rdfc-2022`).
    W3cRdfc,
}

/// Why nothing is issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A file.
    #[error("{path}: {detail}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An option that this format needs.
    #[error("--{0} is needed for this")]
    Missing(&'static str),
    /// An option that this format has no place for; without it the credential would not do what was asked.
    #[error("--{option} does nothing in {format}: leave it out, or take another format")]
    NotFor {
        /// Which option.
        option: &'static str,
        /// The format.
        format: &'static str,
    },
    /// An issuer that the format cannot name.
    #[error(
        "--issuer is neither a URL nor a DID (https://… or did:…), by which an SD-JWT VC names its issuer"
    )]
    Issuer,
    /// The claims are not those of the record type.
    #[error("not a record of type {record_type}: {detail}")]
    Record {
        /// The type.
        record_type: String,
        /// What is wrong.
        detail: String,
    },
    /// A format refuses, with its reason code.
    #[error("{code} ({detail})")]
    Refused {
        /// The format's own reason code.
        code: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl IssueError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "file_invalid",
            Self::Missing(_) => "option_missing",
            Self::NotFor { .. } => "option_not_for_format",
            Self::Issuer => "issuer_invalid",
            Self::Record { .. } => "record_invalid",
            Self::Refused { code, .. } => code,
        }
    }
}

macro_rules! refused {
    ($result:expr) => {
        $result.map_err(|error| IssueError::Refused {
            code: error.code(),
            detail: error.to_string(),
        })
    };
}

/// Issues and prints. Exit code 0: issued; 2: nothing was issued.
pub fn run(options: &Options) -> ExitCode {
    match issue(options) {
        Ok(credential) => {
            println!("{credential}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tegata: {}", plain(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

/// Issues.
///
/// # Errors
/// [`IssueError`].
pub fn issue(options: &Options) -> Result<String, IssueError> {
    check_options(options)?;
    let record = Record::read(options)?;
    let algorithm = match options.format {
        Format::SdJwtVc => None,
        Format::W3cJcs | Format::W3cRdfc => Some(Algorithm::EdDsa),
        Format::Hcert | Format::Shc => Some(Algorithm::Es256),
    };
    let key = read_key(&options.key, algorithm)?;
    let at_ms = options.at.unwrap_or_else(clock::now_ms);
    let issued_at = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    if options.format != Format::Hcert {
        check_happened(&record, issued_at)?;
    }
    let expires_at =
        |days: Option<u32>| days.map(|days| issued_at.saturating_add(i64::from(days) * DAY_S));
    let text = match options.format {
        Format::SdJwtVc => sd_jwt_vc(
            options,
            &record,
            &key,
            issued_at,
            expires_at(options.valid_days),
        )?,
        Format::W3cJcs | Format::W3cRdfc => {
            let holder = read_holder(options)?;
            let said = w3c::Said {
                issuer: &options.issuer,
                holder: holder.as_ref(),
                status: options.status.as_ref(),
                issued_at,
                expires_at: expires_at(options.valid_days),
            };
            let suite = w3c::suite(options.format == Format::W3cRdfc);
            w3c::issue(record.record_type, &record.claims, &said, &key, suite)
                .map_err(|w3c::Refused(code, detail)| IssueError::Refused { code, detail })?
        }
        Format::Hcert => {
            let days = options.valid_days.unwrap_or(HCERT_DAYS);
            hcert_of(
                options,
                &record,
                &key,
                issued_at,
                issued_at + i64::from(days) * DAY_S,
            )?
        }
        Format::Shc => shc_of(
            options,
            &record,
            &key,
            issued_at,
            expires_at(options.valid_days),
        )?,
    };
    if let Some(path) = &options.qr {
        let picture = qr::svg(&text).map_err(|error| file(path, &error))?;
        std::fs::write(path, picture).map_err(|error| file(path, &error))?;
    }
    Ok(text)
}

/// Nothing that is said may be passed over: who gives a status believes that the credential can be revoked.
fn check_options(options: &Options) -> Result<(), IssueError> {
    let (holder, status) = (options.holder.is_some(), options.status.is_some());
    let (person, revocation_id) = (options.person.is_some(), options.revocation_id.is_some());
    let (country, id) = (options.country.is_some(), options.id.is_some());
    let certificate = options.certificate.is_some();
    let (format, idle): (_, &[_]) = match options.format {
        Format::SdJwtVc => (
            "sd-jwt-vc",
            &[
                ("person", person),
                ("revocation-id", revocation_id),
                ("country", country),
                ("id", id),
            ],
        ),
        Format::W3cJcs | Format::W3cRdfc => (
            "a W3C credential",
            &[
                ("person", person),
                ("revocation-id", revocation_id),
                ("country", country),
                ("id", id),
                ("certificate", certificate),
            ],
        ),
        Format::Hcert => (
            "hcert",
            &[
                ("holder", holder),
                ("status", status),
                ("revocation-id", revocation_id),
            ],
        ),
        Format::Shc => (
            "shc",
            &[
                ("holder", holder),
                ("status", status),
                ("country", country),
                ("id", id),
                ("certificate", certificate),
            ],
        ),
    };
    match idle.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(IssueError::NotFor { option, format }),
        None => Ok(()),
    }
}

/// A record as it came: its type, its claims, and the FHIR resource if it was one.
struct Record {
    record_type: &'static RecordType,
    claims: Value,
    resource: Option<Value>,
}

impl Record {
    fn read(options: &Options) -> Result<Self, IssueError> {
        let document = read_json(&options.file)?;
        if document.get("resourceType").is_some() {
            let mapped = from_fhir(&document).map_err(|outcome| IssueError::File {
                path: options.file.clone(),
                detail: outcome.to_string(),
            })?;
            let found = mapped.record_type.id();
            if let Some(said) = options.record_type.as_deref().filter(|said| *said != found) {
                return Err(IssueError::Record {
                    record_type: said.to_owned(),
                    detail: format!("the resource is of type {found}"),
                });
            }
            return Ok(Self {
                record_type: mapped.record_type,
                claims: mapped.claims,
                resource: Some(document),
            });
        }
        let id = options
            .record_type
            .as_deref()
            .ok_or(IssueError::Missing("type"))?;
        let wrong = |detail: String| IssueError::Record {
            record_type: id.to_owned(),
            detail,
        };
        let known = || {
            let ids: Vec<&str> = catalogue().types().iter().map(RecordType::id).collect();
            wrong(format!("the types are {}", ids.join(", ")))
        };
        let record_type = catalogue().by_id(id).ok_or_else(known)?;
        record_type.validate(&document).map_err(|errors| {
            wrong(
                errors
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
            )
        })?;
        Ok(Self {
            record_type,
            claims: document,
            resource: None,
        })
    }
}

fn sd_jwt_vc(
    options: &Options,
    record: &Record,
    key: &SigningKey,
    issued_at: i64,
    expires_at: Option<i64>,
) -> Result<String, IssueError> {
    let named = ["https://", "http://", "did:"];
    if !named.iter().any(|begin| options.issuer.starts_with(begin)) {
        return Err(IssueError::Issuer);
    }
    let holder = read_holder(options)?;
    let disclosable = record.record_type.disclosable(&record.claims);
    let disclosable: Vec<Path> = disclosable.into_iter().map(Path::new).collect();
    let certificates = read_certificates(options.certificate.as_deref())?;
    check_certificate(options, &certificates, key)?;
    let issuance = Issuance {
        vct_integrity: Some(record.record_type.integrity()),
        expires_at,
        disclosable: &disclosable,
        holder: holder.as_ref(),
        status: options.status.clone(),
        certificates: &certificates,
        ..Issuance::new(
            &options.issuer,
            record.record_type.vct(),
            issued_at,
            &record.claims,
        )
    };
    let mut rng: StdRng = rand::make_rng();
    refused!(sd_jwt::issue(&issuance, key, &mut rng))
}

/// The last day on which something can have happened: a day more, for time zones.
fn last_day(issued_at: i64) -> String {
    let mut day = write_time(issued_at.saturating_add(DAY_S));
    day.truncate(10);
    day
}

/// What the formats allow and cannot be. Health certificates have their own rule, with the person's birth in it.
fn check_happened(record: &Record, issued_at: i64) -> Result<(), IssueError> {
    let made = || {
        let patient = PatientReference::default();
        to_fhir(record.record_type, &record.claims, &patient).ok()
    };
    let Some(resource) = record.resource.clone().or_else(made) else {
        return Ok(());
    };
    check_plausible(&resource, &last_day(issued_at)).map_err(|outcome| IssueError::Record {
        record_type: record.record_type.id().to_owned(),
        detail: outcome.to_string(),
    })
}

fn hcert_of(
    options: &Options,
    record: &Record,
    key: &SigningKey,
    issued_at: i64,
    expires_at: i64,
) -> Result<String, IssueError> {
    let person = read_person(options)?;
    let country = options.country.as_deref().unwrap_or("JP");
    let certificates = read_certificates(options.certificate.as_deref())?;
    check_certificate(options, &certificates, key)?;
    let certificate = certificates
        .first()
        .ok_or(IssueError::Missing("certificate"))?;
    let id = options.id.clone().unwrap_or_else(|| {
        let mut rng: StdRng = rand::make_rng();
        let random: [u8; 8] = rng.random();
        format!("URN:UVCI:01:{}:{}", country, hex::encode_upper(random))
    });
    let last_day = last_day(issued_at);
    let certifier = Certifier {
        country,
        name: &options.issuer,
        id: &id,
        last_day: &last_day,
    };
    let claims = record.claims.as_object().cloned().unwrap_or_default();
    let payload = refused!(to_dcc(
        record.record_type.id(),
        &claims,
        &person,
        &certifier
    ))?;
    refused!(certificate.check_valid_at(issued_at))?;
    let issuance = HcertIssuance {
        issuer: country,
        issued_at,
        expires_at,
        key_id: certificate_key_id(certificate),
        payload: &payload,
    };
    refused!(hcert::issue(&issuance, key))
}

fn shc_of(
    options: &Options,
    record: &Record,
    key: &SigningKey,
    issued_at: i64,
    expires_at: Option<i64>,
) -> Result<String, IssueError> {
    let person = read_person(options)?;
    let mut resource = match &record.resource {
        Some(resource) => resource.clone(),
        None => to_fhir(
            record.record_type,
            &record.claims,
            &PatientReference::default(),
        )
        .map_err(|error| IssueError::Record {
            record_type: record.record_type.id().to_owned(),
            detail: error.to_string(),
        })?,
    };
    // The card's own patient takes the place of whom the sender's system names.
    for member in ["patient", "subject"] {
        if let Some(resource) = resource.as_object_mut() {
            resource.remove(member);
        }
    }
    let bundle = refused!(shc::bundle(&patient(&person), &[resource]))?;
    let mut types = vec![match record.record_type.id() {
        "vaccination" => shc::TYPE_IMMUNIZATION,
        _ => shc::TYPE_LABORATORY,
    }];
    if record.claims["vaccine_code"] == "covid_19" {
        types.push(shc::TYPE_COVID_19);
    }
    let issuance = ShcIssuance {
        issuer: &options.issuer,
        issued_at,
        expires_at,
        types: &types,
        revocation_id: options.revocation_id.as_deref(),
        bundle: &bundle,
    };
    let card = refused!(shc::issue(&issuance, key))?;
    refused!(shc::to_qr(&card))
}

/// A FHIR Patient with what a card needs of her.
fn patient(person: &Person) -> Value {
    let mut name = Map::new();
    let latin = |own: &str, latin: &Option<String>| latin.clone().unwrap_or_else(|| own.to_owned());
    let family = latin(&person.family_name, &person.family_name_latin);
    let given = latin(&person.given_name, &person.given_name_latin);
    if !family.is_empty() {
        name.insert("family".into(), family.into());
    }
    let given: Vec<Value> = given.split_whitespace().map(Value::from).collect();
    if !given.is_empty() {
        name.insert("given".into(), given.into());
    }
    serde_json::json!({ "resourceType": "Patient", "name": [name], "birthDate": person.birth_date })
}

fn read_holder(options: &Options) -> Result<Option<PublicKey>, IssueError> {
    let Some(path) = &options.holder else {
        return Ok(None);
    };
    let key = PublicKey::from_jwk(&read_json(path)?).map_err(|error| file(path, &error))?;
    Ok(Some(key))
}

fn read_person(options: &Options) -> Result<Person, IssueError> {
    let path = options
        .person
        .as_deref()
        .ok_or(IssueError::Missing("person"))?;
    serde_json::from_value(read_json(path)?).map_err(|error| file(path, &error))
}

/// The certificates of a chain, leaf first.
fn read_certificates(path: Option<&FilePath>) -> Result<Vec<Certificate>, IssueError> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let bytes = input::read(path, INPUT_MAX).map_err(|error| file(path, &error))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Certificate::all_from_pem(text),
        _ => Certificate::from_der(&bytes).map(|certificate| vec![certificate]),
    }
    .map_err(|error| file(path, &error))
}

/// Refuses a certificate that is another key's: nobody could verify what it goes with.
fn check_certificate(
    options: &Options,
    chain: &[Certificate],
    key: &SigningKey,
) -> Result<(), IssueError> {
    match (chain.first(), &options.certificate) {
        (Some(leaf), Some(path)) if leaf.public_key().ok() != Some(key.public_key()) => {
            Err(file(path, &"the first certificate is not that of --key"))
        }
        _ => Ok(()),
    }
}

/// A secret key. Of an organisation's keys it is the one of `algorithm`, else the Ed25519 one.
///
/// # Errors
/// [`IssueError::File`].
pub(crate) fn read_key(
    path: &FilePath,
    algorithm: Option<Algorithm>,
) -> Result<SigningKey, IssueError> {
    let bytes = input::read(path, INPUT_MAX).map_err(|error| file(path, &error))?;
    let text =
        zeroize::Zeroizing::new(String::from_utf8(bytes).map_err(|_| file(path, &"not text"))?);
    if text.contains("\"credential_es256\"") {
        let keys = keys::load_organisation_keys(path).map_err(|error| file(path, &error))?;
        let (algorithm, secret) = match algorithm {
            Some(Algorithm::Es256) => (Algorithm::Es256, &keys.credential_es256),
            _ => (Algorithm::EdDsa, &keys.credential_eddsa),
        };
        return SigningKey::from_bytes(algorithm, secret.expose())
            .map_err(|error| file(path, &error));
    }
    key_file::parse(&text).map_err(|error| file(path, &error))
}

fn read_json(path: &FilePath) -> Result<Value, IssueError> {
    let bytes = input::read(path, INPUT_MAX).map_err(|error| file(path, &error))?;
    json::parse(&bytes).map_err(|fault| file(path, &fault))
}

fn file(path: &FilePath, detail: &dyn std::fmt::Display) -> IssueError {
    IssueError::File {
        path: path.to_owned(),
        detail: detail.to_string(),
    }
}

fn parse_status(text: &str) -> Result<StatusReference, String> {
    let (uri, index) = text.rsplit_once('#').ok_or("expected URI#INDEX")?;
    if uri.is_empty() {
        return Err("expected URI#INDEX: there is no URI".to_owned());
    }
    let index = index
        .parse()
        .map_err(|error| format!("the index: {error}"))?;
    Ok(StatusReference {
        uri: uri.to_owned(),
        index,
    })
}
