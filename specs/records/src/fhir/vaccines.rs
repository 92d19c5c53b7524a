//! From other code systems' vaccine codes to ours.

use serde_json::Value;

use super::VACCINE_SYSTEM;
use crate::{Lang, catalogue};

/// CVX, the code system of HL7's examples and of FHIR's own value set.
const CVX: &str = "http://hl7.org/fhir/sid/cvx";
/// The Australian Immunisation Register's codes, in HL7's examples.
const AIR: &str = "urn:oid:1.2.36.1.2001.1005.17";

const CVX_CODES: &[(&str, &[&str])] = &[
    ("hib", &["17", "46", "47", "48", "49"]),
    (
        "pneumococcus",
        &["33", "100", "109", "133", "152", "177", "215", "216"],
    ),
    ("bcg", &["19"]),
    ("dpt_ipv_hib", &["120", "170"]),
    ("dpt_ipv", &["130"]),
    ("dpt", &["01", "20", "106", "107"]),
    ("dt", &["28"]),
    ("ipv", &["10", "89"]),
    ("mr", &["04"]),
    ("measles", &["05"]),
    ("rubella", &["06"]),
    ("mmr", &["03"]),
    ("varicella", &["21"]),
    ("japanese_encephalitis", &["39", "129", "134"]),
    ("mumps", &["07"]),
    ("hepatitis_b", &["08", "42", "43", "44", "45", "189"]),
    ("hepatitis_a", &["31", "52", "83", "84", "85"]),
    ("hepatitis_a_b", &["104"]),
    ("rotavirus", &["74", "116", "119", "122"]),
    ("hpv", &["62", "118", "137", "165"]),
    (
        "influenza",
        &[
            "15", "16", "88", "111", "135", "140", "141", "144", "149", "150", "151", "153", "155",
            "158", "161", "166", "168", "171", "185", "186", "197", "205",
        ],
    ),
    (
        "covid_19",
        &[
            "207", "208", "210", "211", "212", "213", "217", "218", "219", "221",
        ],
    ),
    ("rsv", &["303", "304", "305"]),
    ("herpes_zoster", &["121", "187", "188"]),
    (
        "meningococcus",
        &[
            "32", "108", "114", "136", "147", "148", "162", "163", "164", "203",
        ],
    ),
    ("rabies", &["18", "90"]),
    ("tetanus", &["35", "112"]),
    ("yellow_fever", &["37", "183", "184"]),
];

const AIR_CODES: &[(&str, &[&str])] = &[
    ("influenza", &["FLUVAX", "GNFLU"]),
    ("hepatitis_b", &["GNHEP"]),
];

/// Our code for a `vaccineCode` in the form of claims (`text`, `codings`): our own code if it
/// has one, else by CVX or AIR, else by a text that is exactly one of our labels, else `other`.
/// Nothing is guessed: a near miss would tell a parent that a shot was given that was not.
pub(super) fn code_of(name: Option<&str>, codings: &[Value]) -> String {
    let by_table = |system: &str, table: &[(&str, &[&str])]| {
        of_system(codings, system).find_map(|code| {
            let row = table.iter().find(|(_, codes)| codes.contains(&code))?;
            Some(row.0.to_owned())
        })
    };
    of_system(codings, VACCINE_SYSTEM)
        .find(|code| label(code).is_some())
        .map(str::to_owned)
        .or_else(|| by_table(CVX, CVX_CODES))
        .or_else(|| by_table(AIR, AIR_CODES))
        .or_else(|| by_label(name?))
        .unwrap_or_else(|| "other".to_owned())
}

fn of_system<'a>(codings: &'a [Value], system: &'a str) -> impl Iterator<Item = &'a str> {
    codings
        .iter()
        .filter(move |coding| coding["system"] == system)
        .filter_map(|coding| coding["code"].as_str())
}

/// What our code is called, in Japanese; `None` if it is none of ours.
pub(super) fn label(code: &str) -> Option<&'static str> {
    catalogue()
        .by_id("vaccination")?
        .value_label(&["vaccine_code"], code, Lang::Ja)
}

fn by_label(name: &str) -> Option<String> {
    let vaccination = catalogue().by_id("vaccination")?;
    let named = |code: &&str| {
        [Lang::Ja, Lang::En].into_iter().any(|lang| {
            let label = vaccination.value_label(&["vaccine_code"], code, lang);
            label.is_some_and(|label| label.eq_ignore_ascii_case(name.trim()))
        })
    };
    CVX_CODES
        .iter()
        .map(|row| row.0)
        .find(named)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_row_is_a_code_of_ours_and_no_foreign_code_is_in_two_rows() {
        let mut seen = std::collections::BTreeSet::new();
        for (own, codes) in CVX_CODES.iter().chain(AIR_CODES) {
            assert!(label(own).is_some(), "{own}");
            for code in *codes {
                assert!(seen.insert(*code), "{code}");
            }
        }
    }

    #[test]
    fn own_code_first_then_cvx_then_label_then_other() {
        let own = json!({ "system": VACCINE_SYSTEM, "code": "mr" });
        let cvx = json!({ "system": CVX, "code": "19" });
        assert_eq!(code_of(None, &[cvx.clone(), own]), "mr");
        assert_eq!(code_of(Some("水痘（水ぼうそう）"), &[cvx]), "bcg");
        assert_eq!(code_of(Some("水痘（水ぼうそう）"), &[]), "varicella");
        assert_eq!(code_of(Some("Haemophilus influenzae type b"), &[]), "other");
        assert_eq!(
            code_of(None, &[json!({ "system": "x", "code": "19" })]),
            "other"
        );
        assert_eq!(
            code_of(
                None,
                &[json!({ "system": VACCINE_SYSTEM, "code": "made-up" })]
            ),
            "other"
        );
    }
}
