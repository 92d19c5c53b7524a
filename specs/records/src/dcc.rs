//! Records as EU health certificates (DCC schema 1.3): the payload that `tegata-credential`'s
//! `hcert` signs for a QR code.
//!
//! A certificate names its person, which no record does: the name comes from who issues it. Codes
//! are the record's own where it has them, else those that follow from `vaccine_code` or CVX alone.
//! Nothing is guessed: what a certificate must say and the record does not is an error.

use crate::fhir::{is_date, is_later};
use crate::is_country;
use crate::text::is_line;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const SNOMED: &str = "http://snomed.info/sct";
const ATC: &str = "http://www.whocc.no/atc";
const CVX: &str = "http://hl7.org/fhir/sid/cvx";
const LOINC: &str = "http://loinc.org";
/// The Union register of medicinal products, of which `mp` is a number.
const UNION_REGISTER: &str = "https://ec.europa.eu/health/documents/community-register/html/";
/// The EMA's register of organisations, of which `ma` is a number.
const EMA_ORGANISATIONS: &str = "https://spor.ema.europa.eu/v1/organisations";
/// COVID-19 in SNOMED CT (value set "disease or agent targeted").
const COVID_19: &str = "840539006";

/// `vaccine_code`: the disease in SNOMED CT, where it is one; the vaccine's ATC group.
const VACCINES: [(&str, Option<&str>, &str); 27] = [
    ("hib", None, "J07AG"),
    ("pneumococcus", Some("16814004"), "J07AL"),
    ("bcg", Some("56717001"), "J07AN"),
    ("dpt_ipv_hib", None, "J07CA06"),
    ("dpt_ipv", None, "J07CA02"),
    ("dpt", None, "J07AJ"),
    ("dt", None, "J07AM51"),
    ("ipv", Some("398102009"), "J07BF03"),
    ("mr", None, "J07BD53"),
    ("measles", Some("14189004"), "J07BD01"),
    ("rubella", Some("36653000"), "J07BJ01"),
    ("mmr", None, "J07BD52"),
    ("varicella", Some("38907003"), "J07BK01"),
    ("japanese_encephalitis", Some("52947006"), "J07BA"),
    ("mumps", Some("36989005"), "J07BE01"),
    ("hepatitis_b", Some("66071002"), "J07BC01"),
    ("hepatitis_a", Some("40468003"), "J07BC02"),
    ("hepatitis_a_b", None, "J07BC20"),
    ("rotavirus", Some("18624000"), "J07BH"),
    ("hpv", Some("240532009"), "J07BM"),
    ("influenza", Some("6142004"), "J07BB"),
    ("covid_19", Some(COVID_19), "J07BX03"),
    ("herpes_zoster", Some("4740000"), "J07BK"),
    ("meningococcus", Some("23511006"), "J07AH"),
    ("rabies", Some("14168008"), "J07BG01"),
    ("tetanus", Some("76902006"), "J07AM01"),
    ("yellow_fever", Some("16541001"), "J07BL01"),
];

/// CVX: `vp`, `mp`, `ma` of the value sets 1.14.
const PRODUCTS: [(&str, [&str; 3]); 5] = [
    ("207", ["1119349007", "EU/1/20/1507", "ORG-100031184"]),
    ("208", ["1119349007", "EU/1/20/1528", "ORG-100030215"]),
    ("210", ["J07BX03", "EU/1/21/1529", "ORG-100001699"]),
    ("211", ["1119305005", "EU/1/21/1618", "ORG-100032020"]),
    ("212", ["J07BX03", "EU/1/20/1525", "ORG-100001417"]),
];

/// The value set "vaccine or prophylaxis" for COVID-19: mRNA, antigen, any.
const COVID_19_PROPHYLAXIS: [&str; 3] = ["1119349007", "1119305005", "J07BX03"];

/// LOINC codes of tests for SARS-CoV-2 with their value set "type of test".
const NUCLEIC_ACID: &str = "LP6464-4";
const RAPID_ANTIGEN: &str = "LP217198-3";
const TESTS: [(&str, &str); 12] = [
    ("94500-6", NUCLEIC_ACID),
    ("94309-2", NUCLEIC_ACID),
    ("94845-5", NUCLEIC_ACID),
    ("94759-8", NUCLEIC_ACID),
    ("94306-8", NUCLEIC_ACID),
    ("94534-5", NUCLEIC_ACID),
    ("94565-9", NUCLEIC_ACID),
    ("95406-5", NUCLEIC_ACID),
    ("95608-6", NUCLEIC_ACID),
    ("94558-4", RAPID_ANTIGEN),
    ("97097-0", RAPID_ANTIGEN),
    ("95209-3", RAPID_ANTIGEN),
];

/// Whom a certificate is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Person {
    /// Family name as the person writes it.
    pub family_name: String,
    /// Given names as the person writes them.
    pub given_name: String,
    /// Family name in Latin letters, as in a passport; needed where `family_name` is in others.
    pub family_name_latin: Option<String>,
    /// Given names in Latin letters.
    pub given_name_latin: Option<String>,
    /// Date of birth, as far as it is known: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    pub birth_date: String,
}

/// Who certifies.
#[derive(Debug, Clone, Copy)]
pub struct Certifier<'a> {
    /// ISO 3166-1 alpha-2: where the shot was given or the sample taken.
    pub country: &'a str,
    /// The issuer's name.
    pub name: &'a str,
    /// The certificate's unique identifier (UVCI).
    pub id: &'a str,
    /// The last day on which what is certified can have happened, `YYYY-MM-DD`.
    pub last_day: &'a str,
}

/// Why a record does not become a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DccError {
    /// Neither a vaccination nor a laboratory result.
    #[error("there are no health certificates for records of type `{0}`")]
    Type(String),
    /// A claim that the certificate needs is not there, or does not say it exactly enough.
    #[error("the certificate needs claim `{0}`, which is missing or not exact enough")]
    Claim(&'static str),
    /// A name is missing, or cannot be written in A to Z.
    #[error("`{0}` must be given in Latin letters")]
    Name(&'static str),
    /// Something that cannot be.
    #[error("`{member}` {why}")]
    Implausible {
        /// What says so: a claim, or a member of person or certifier.
        member: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl DccError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Type(_) => "dcc_type_unsupported",
            Self::Claim(_) => "dcc_claim_missing",
            Self::Name(_) => "dcc_name_invalid",
            Self::Implausible { .. } => "dcc_implausible",
        }
    }
}

/// The payload for a record of type `record_type` (its id in the catalogue).
///
/// # Errors
/// [`DccError`].
pub fn to_dcc(
    record_type: &str,
    claims: &Map<String, Value>,
    person: &Person,
    certifier: &Certifier<'_>,
) -> Result<Value, DccError> {
    let (group, mut entry, [claim, member]) = match record_type {
        "vaccination" => ("v", vaccination(claims)?, ["date", "dt"]),
        "laboratory_result" => ("t", test(claims)?, ["effective_at", "sc"]),
        other => return Err(DccError::Type(other.to_owned())),
    };
    let day = entry[member].as_str().unwrap_or_default();
    check_plausible(claim, day, person, certifier)?;
    entry["co"] = certifier.country.into();
    entry["is"] = certifier.name.into();
    entry["ci"] = certifier.id.into();
    Ok(json!({ "ver": "1.3.0", "nam": name(person)?, "dob": person.birth_date, group: [entry] }))
}

/// Checks what the formats allow and cannot be. `day` is when the shot was given or the sample taken, in claim `claim`.
fn check_plausible(
    claim: &'static str,
    day: &str,
    person: &Person,
    certifier: &Certifier<'_>,
) -> Result<(), DccError> {
    let birth = person.birth_date.as_str();
    let (member, why) = if !is_country(certifier.country) {
        ("country", "is no country of ISO 3166-1")
    } else if certifier.name.trim().is_empty() || !is_line(certifier.name) {
        ("issuer", "is empty, or has hidden characters")
    } else if is_later(day, certifier.last_day) {
        (claim, "is in the future")
    } else if !birth.is_empty() && !is_date(birth) {
        ("birth_date", "is no date: YYYY, YYYY-MM or YYYY-MM-DD")
    } else if is_later(birth, day) {
        ("birth_date", "is after the event")
    } else {
        return Ok(());
    };
    Err(DccError::Implausible { member, why })
}

fn vaccination(claims: &Map<String, Value>) -> Result<Value, DccError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let row = text("vaccine_code").and_then(|code| VACCINES.iter().find(|row| row.0 == code));
    let codings = claims.get("vaccine_codings");
    let product = code_of(codings, CVX);
    let product = product.and_then(|cvx| PRODUCTS.iter().find(|row| row.0 == cvx));
    let disease = match claims.get("target_diseases").and_then(Value::as_array) {
        Some(diseases) if diseases.len() == 1 => code_of(diseases[0].get("codings"), SNOMED),
        Some(_) => None,
        None => row.and_then(|row| row.1),
    };
    // A code that the value set does not have, such as a country's own for a product, says nothing there.
    let may = |code: &&str| disease != Some(COVID_19) || COVID_19_PROPHYLAXIS.contains(code);
    let vaccine = code_of(codings, SNOMED)
        .filter(may)
        .or_else(|| product.map(|row| row.1[0]))
        .or_else(|| code_of(codings, ATC).filter(may))
        .or_else(|| row.map(|row| row.2).filter(may));
    let manufacturer = claims.get("manufacturer");
    let manufacturer_text = |name: &str| manufacturer?.get(name)?.as_str();
    let registered = manufacturer_text("identifier_value")
        .filter(|_| manufacturer_text("identifier_system") == Some(EMA_ORGANISATIONS));
    let number = |name: &'static str| {
        let number = claims.get(name).and_then(Value::as_u64);
        number.ok_or(DccError::Claim(name))
    };
    Ok(json!({
        "tg": disease.ok_or(DccError::Claim("target_diseases"))?,
        "vp": vaccine.ok_or(DccError::Claim("vaccine_codings"))?,
        "mp": code_of(codings, UNION_REGISTER)
            .or_else(|| product.map(|row| row.1[1]))
            .or_else(|| text("vaccine_name"))
            .ok_or(DccError::Claim("vaccine_name"))?,
        "ma": registered
            .or_else(|| product.map(|row| row.1[2]))
            .or_else(|| manufacturer_text("name"))
            .ok_or(DccError::Claim("manufacturer"))?,
        "dn": number("dose_number")?,
        "sd": number("series_doses")?,
        "dt": text("date").filter(|date| date.len() == 10).ok_or(DccError::Claim("date"))?,
    }))
}

fn test(claims: &Map<String, Value>) -> Result<Value, DccError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let loinc = code_of(claims.get("test_codings"), LOINC);
    let kind = loinc.and_then(|code| TESTS.iter().find(|row| row.0 == code));
    let (_, kind) = kind.ok_or(DccError::Claim("test_codings"))?;
    let result = match text("result") {
        Some("negative") => "260415000",
        Some("positive") => "260373001",
        _ => return Err(DccError::Claim("result")),
    };
    let sampled = text("effective_at").filter(|at| at.contains('T'));
    let mut entry = json!({
        "tg": COVID_19,
        "tt": kind,
        "sc": sampled.ok_or(DccError::Claim("effective_at"))?,
        "tr": result,
    });
    if *kind == NUCLEIC_ACID {
        entry["nm"] = text("test_name")
            .ok_or(DccError::Claim("test_name"))?
            .into();
    }
    let centre = claims
        .get("performers")
        .and_then(|all| all.get(0)?.get("name"));
    if let Some(centre) = centre {
        entry["tc"] = centre.clone();
    }
    Ok(entry)
}

/// The code of a system among codings, if there is just one.
fn code_of<'a>(codings: Option<&'a Value>, system: &str) -> Option<&'a str> {
    let mut codes = codings?
        .as_array()?
        .iter()
        .filter(|coding| coding["system"] == system)
        .filter_map(|coding| coding["code"].as_str());
    let code = codes.next()?;
    codes.next().is_none().then_some(code)
}

fn name(person: &Person) -> Result<Value, DccError> {
    let mut name = Map::new();
    for (own, latin, field, member, standard) in [
        (
            &person.family_name,
            &person.family_name_latin,
            "family_name_latin",
            "fn",
            "fnt",
        ),
        (
            &person.given_name,
            &person.given_name_latin,
            "given_name_latin",
            "gn",
            "gnt",
        ),
    ] {
        if own.is_empty() && latin.is_none() {
            continue;
        }
        if own.trim() != own || !is_line(own) {
            return Err(DccError::Name(field.trim_end_matches("_latin")));
        }
        let latin = icao(latin.as_ref().unwrap_or(own)).ok_or(DccError::Name(field))?;
        if !own.is_empty() {
            name.insert(member.into(), own.as_str().into());
        }
        name.insert(standard.into(), latin.into());
    }
    if name.is_empty() {
        return Err(DccError::Name("family_name_latin"));
    }
    Ok(Value::Object(name))
}

/// A name as in the machine-readable zone of a passport (ICAO Doc 9303 part 3, section 6): A to Z,
/// `<` between parts. `None` for letters that it has no transliteration for here.
fn icao(name: &str) -> Option<String> {
    let mut out = String::new();
    for letter in name.trim().chars() {
        match letter {
            'A'..='Z' => out.push(letter),
            'a'..='z' => out.push(letter.to_ascii_uppercase()),
            ' ' | '-' | ',' | '<' => out.push('<'),
            '\'' | '’' | '.' => {}
            _ => out.push_str(transliterated(letter)?),
        }
    }
    out.truncate(80);
    (!out.is_empty()).then_some(out)
}

/// ICAO Doc 9303 part 3, section 6.A, the Latin letters with marks of European languages.
fn transliterated(letter: char) -> Option<&'static str> {
    Some(match letter {
        'À'..='Ã' | 'à'..='ã' | 'Ā' | 'ā' | 'Ă' | 'ă' | 'Ą' | 'ą' => "A",
        'Ä' | 'ä' | 'Æ' | 'æ' => "AE",
        'Å' | 'å' => "AA",
        'Ç' | 'ç' | 'Ć' | 'ć' | 'Č' | 'č' => "C",
        'Ď' | 'ď' | 'Đ' | 'đ' | 'Ð' | 'ð' => "D",
        'È'..='Ë' | 'è'..='ë' | 'Ē' | 'ē' | 'Ę' | 'ę' | 'Ě' | 'ě' => "E",
        'Ğ' | 'ğ' => "G",
        'Ì'..='Ï' | 'ì'..='ï' | 'Ī' | 'ī' | 'İ' | 'ı' => "I",
        'Ł' | 'ł' => "L",
        'Ñ' | 'ñ' | 'Ń' | 'ń' | 'Ň' | 'ň' => "N",
        'Ò'..='Õ' | 'ò'..='õ' | 'Ō' | 'ō' | 'Ő' | 'ő' => "O",
        'Ö' | 'ö' | 'Ø' | 'ø' | 'Œ' | 'œ' => "OE",
        'Ř' | 'ř' => "R",
        'Ś' | 'ś' | 'Ş' | 'ş' | 'Š' | 'š' => "S",
        'ß' => "SS",
        'Ť' | 'ť' => "T",
        'Þ' | 'þ' => "TH",
        'Ù'..='Û' | 'ù'..='û' | 'Ū' | 'ū' | 'Ů' | 'ů' | 'Ű' | 'ű' => "U",
        'Ü' | 'ü' => "UE",
        'Ý' | 'ý' | 'ÿ' => "Y",
        'Ź' | 'ź' | 'Ż' | 'ż' | 'Ž' | 'ž' => "Z",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFIER: Certifier<'static> = Certifier {
        country: "JP",
        name: "Wakaba City",
        id: "URN:UVCI:01:JP:1",
        last_day: "2025-12-01",
    };

    fn person() -> Person {
        Person {
            family_name: "若葉".into(),
            given_name: "Hana Marie".into(),
            family_name_latin: Some("Wakaba".into()),
            given_name_latin: None,
            birth_date: "2024-10-12".into(),
        }
    }

    fn dcc(kind: &str, claims: &Value) -> Result<Value, DccError> {
        to_dcc(kind, claims.as_object().unwrap(), &person(), &CERTIFIER)
    }

    #[test]
    fn a_vaccination_by_its_product_or_by_its_own_words() {
        let covid = json!({ "vaccine_code": "covid_19", "date": "2025-10-01", "dose_number": 2, "series_doses": 2,
            "vaccine_codings": [{ "system": CVX, "code": "208" }] });
        let made = dcc("vaccination", &covid).unwrap();
        assert_eq!(
            made["nam"],
            json!({ "fn": "若葉", "fnt": "WAKABA", "gn": "Hana Marie", "gnt": "HANA<MARIE" })
        );
        assert_eq!(
            made["v"][0],
            json!({ "tg": COVID_19, "vp": "1119349007", "mp": "EU/1/20/1528",
            "ma": "ORG-100030215", "dn": 2, "sd": 2, "dt": "2025-10-01", "co": "JP", "is": "Wakaba City",
            "ci": "URN:UVCI:01:JP:1" })
        );
        let measles = json!({ "vaccine_code": "mr", "date": "2025-10-01", "dose_number": 1, "series_doses": 2,
            "target_diseases": [{ "codings": [{ "system": SNOMED, "code": "14189004" }] }],
            "vaccine_name": "MR", "manufacturer": { "name": "Sakura Biologics" } });
        let entry = dcc("vaccination", &measles).unwrap()["v"][0].clone();
        assert_eq!(
            [&entry["tg"], &entry["vp"], &entry["mp"], &entry["ma"]],
            ["14189004", "J07BD53", "MR", "Sakura Biologics"]
        );
    }

    #[test]
    fn what_cannot_be_is_not_certified() {
        let claims = json!({ "vaccine_code": "measles", "date": "2025-10-01", "dose_number": 1, "series_doses": 2,
            "vaccine_name": "M", "manufacturer": { "name": "S" } });
        let sample = json!({ "result": "negative", "effective_at": "2025-10-01T08:00:00Z", "test_name": "PCR",
            "test_codings": [{ "system": LOINC, "code": "94500-6" }] });
        let make = |birth: &str, country, name, last_day| {
            let person = Person {
                birth_date: birth.into(),
                ..person()
            };
            let certifier = Certifier {
                country,
                name,
                last_day,
                ..CERTIFIER
            };
            let make = |kind, claims: &Value| {
                let claims = claims.as_object().unwrap();
                match to_dcc(kind, claims, &person, &certifier) {
                    Ok(_) => "",
                    Err(DccError::Implausible { member, .. }) => member,
                    Err(other) => panic!("{other}"),
                }
            };
            [
                make("vaccination", &claims),
                make("laboratory_result", &sample),
            ]
        };
        let ok = ["", ""];
        for birth in ["2025-10-01", "2025-10", "2025", "1931-02", ""] {
            assert_eq!(make(birth, "JP", "A", "2025-10-01"), ok, "{birth}");
        }
        for birth in [
            "2025-10-02",
            "2025-11",
            "2026",
            "1990-02-30",
            "1.4.1990",
            "x",
        ] {
            let found = make(birth, "JP", "A", "2025-10-01");
            assert_eq!(found, ["birth_date"; 2], "{birth}");
        }
        for country in ["", "XX", "jp", "JPN"] {
            assert_eq!(make("", country, "A", "2025-10-01"), ["country"; 2]);
        }
        for name in ["", "  ", "A\u{202e}B"] {
            assert_eq!(make("", "JP", name, "2025-10-01"), ["issuer"; 2]);
        }
        assert_eq!(make("", "JP", "A", "2025-09-30"), ["date", "effective_at"]);
    }

    #[test]
    fn a_prophylaxis_is_one_of_the_value_set() {
        let vaccine = |system: &str, code: &str| {
            let claims = json!({ "vaccine_code": "covid_19", "date": "2025-10-01", "dose_number": 2, "series_doses": 2,
                "vaccine_codings": [{ "system": system, "code": code }, { "system": CVX, "code": "208" }] });
            dcc("vaccination", &claims).unwrap()["v"][0]["vp"].clone()
        };
        assert_eq!(vaccine(SNOMED, "1119305005"), "1119305005");
        assert_eq!(vaccine(SNOMED, "28531000087107"), "1119349007", "Canada's");
        for (code, [vp, mp, ma]) in PRODUCTS {
            assert!(COVID_19_PROPHYLAXIS.contains(&vp), "{code}");
            assert!(mp.starts_with("EU/1/2") && ma.starts_with("ORG-1000"));
        }
        let general = VACCINES.iter().find(|row| row.0 == "covid_19").unwrap();
        assert_eq!((general.1, general.2), (Some(COVID_19), "J07BX03"));
    }

    #[test]
    fn what_a_record_does_not_say_is_an_error() {
        let full = json!({ "vaccine_code": "measles", "date": "2025-10-01", "dose_number": 1, "series_doses": 2,
            "vaccine_name": "M", "manufacturer": { "name": "S" } });
        assert!(dcc("vaccination", &full).is_ok());
        for (name, value) in [
            ("dose_number", Value::Null),
            ("series_doses", Value::Null),
            ("date", json!("2025-10")),
            ("manufacturer", Value::Null),
            ("vaccine_name", Value::Null),
        ] {
            let mut claims = full.clone();
            claims[name] = value;
            assert_eq!(dcc("vaccination", &claims), Err(DccError::Claim(name)));
        }
        // Two diseases in one shot: which of them it certifies nobody said.
        let mut both = full.clone();
        both["vaccine_code"] = "mr".into();
        assert_eq!(
            dcc("vaccination", &both),
            Err(DccError::Claim("target_diseases"))
        );
        assert_eq!(
            dcc("infant_checkup_3_years", &full).unwrap_err().code(),
            "dcc_type_unsupported"
        );
        let nobody = Person {
            family_name_latin: None,
            ..person()
        };
        let made = to_dcc(
            "vaccination",
            full.as_object().unwrap(),
            &nobody,
            &CERTIFIER,
        );
        assert_eq!(made.unwrap_err().code(), "dcc_name_invalid");
    }

    #[test]
    fn a_test() {
        let negative = json!({ "result_status": "final", "test_name": "SARS-CoV-2 PCR", "date": "2025-10-08", "result": "negative",
            "effective_at": "2025-10-08T09:00:00+09:00", "test_codings": [{ "system": LOINC, "code": "94500-6" }],
            "performers": [{ "name": "Test Centre" }] });
        let entry = dcc("laboratory_result", &negative).unwrap()["t"][0].clone();
        assert_eq!(entry["tr"], "260415000");
        assert_eq!(entry["tt"], NUCLEIC_ACID);
        assert_eq!(entry["nm"], "SARS-CoV-2 PCR");
        assert_eq!(entry["tc"], "Test Centre");
        for (name, value) in [
            ("result", json!("inconclusive")),
            ("effective_at", json!("2025-10-08")),
            ("test_codings", json!([])),
        ] {
            let mut claims = negative.clone();
            claims[name] = value;
            assert_eq!(
                dcc("laboratory_result", &claims),
                Err(DccError::Claim(name))
            );
        }
    }

    #[test]
    fn names_as_in_a_passport() {
        for (name, latin) in [
            ("d'Červenková Panklová", "DCERVENKOVA<PANKLOVA"),
            ("Musterfrau-Gößinger", "MUSTERFRAU<GOESSINGER"),
            ("Jiřina-Maria Alena", "JIRINA<MARIA<ALENA"),
        ] {
            assert_eq!(icao(name).as_deref(), Some(latin));
        }
        assert_eq!(icao("若葉"), None);
    }

    #[test]
    fn a_person_has_a_name() {
        let named = |family: &str, given: &str| {
            let person = Person {
                family_name: family.into(),
                given_name: given.into(),
                ..Person::default()
            };
            name(&person)
        };
        assert!(named("Wakaba", "").is_ok());
        for (family, given, member) in [
            ("", "", "family_name_latin"),
            ("  ", "Hana", "family_name"),
            ("Wakaba", " ", "given_name"),
            ("Waka\u{202e}ba", "Hana", "family_name"),
            ("若葉", "Hana", "family_name_latin"),
            ("-", "...", "given_name_latin"),
        ] {
            let refused = named(family, given);
            assert_eq!(refused, Err(DccError::Name(member)), "{family:?} {given:?}");
        }
    }

    #[test]
    fn every_code_is_of_the_catalogue() {
        let vaccination = crate::catalogue().by_id("vaccination").unwrap();
        for (code, ..) in VACCINES {
            assert!(
                vaccination
                    .value_label(&["vaccine_code"], code, crate::Lang::En)
                    .is_some(),
                "{code}"
            );
        }
    }
}
