//! Cells become claims, by what the record type's schema says of the claim.

use super::dates::{self, DateError};
use super::text::{half_width, plain};
use serde_json::{Number, Value};
use std::collections::HashMap;
use tegata_records::text::{LINES, is_line, is_lines};
use tegata_records::{Lang, RecordType};

/// What a claim's cells hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ValueKind {
    /// A day.
    Date,
    /// A number; `integer` where the schema wants a whole one. `scale` brings the column's unit to the claim's.
    Number {
        integer: bool,
        scale: f64,
        units: &'static [&'static str],
    },
    /// One of a list of codes: spelling (as [`plain`] gives it) to code.
    Code(HashMap<String, String>),
    /// Free text with its longest length in characters.
    Text {
        longest: usize,
        /// Whether it may have several lines.
        lines: bool,
    },
    /// Which dose of a vaccination: a number, or words (追加).
    Dose,
}

/// Why a cell is no value. Japanese is for the people at the counter, the code for programs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("日付として読めません")]
    NotADate,
    #[error("存在しない日付です")]
    NoSuchDay,
    #[error("元号「{0}」の期間外の日付です")]
    OutsideEra(&'static str),
    #[error("年が範囲外です")]
    YearOutOfRange,
    #[error("数値として読めません")]
    NotANumber,
    #[error("整数ではありません")]
    NotWhole,
    #[error("知らない値です")]
    UnknownCode,
    #[error("文字が長すぎます（{0}文字まで）")]
    TooLong(usize),
    #[error("文字化けしています")]
    Undecodable,
    #[error("改行などの制御文字か、文字の向きを変える記号が含まれています")]
    HiddenCharacter,
}

impl ValueError {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NotADate => "not-a-date",
            Self::NoSuchDay => "no-such-day",
            Self::OutsideEra(_) => "outside-era",
            Self::YearOutOfRange => "year-out-of-range",
            Self::NotANumber => "not-a-number",
            Self::NotWhole => "not-a-whole-number",
            Self::UnknownCode => "unknown-value",
            Self::TooLong(_) => "too-long",
            Self::Undecodable => "undecodable",
            Self::HiddenCharacter => "hidden-character",
        }
    }
}

impl From<DateError> for ValueError {
    fn from(error: DateError) -> Self {
        match error {
            DateError::Form => Self::NotADate,
            DateError::NoSuchDay => Self::NoSuchDay,
            DateError::OutsideEra(era) => Self::OutsideEra(era),
            DateError::Year => Self::YearOutOfRange,
        }
    }
}

/// Claims that one cell gives: the column's own, and what else its words say.
pub(crate) type Claims = Vec<(Vec<String>, Value)>;

/// Reads a cell that is not empty.
pub(crate) fn read(kind: &ValueKind, path: &[String], cell: &str) -> Result<Claims, ValueError> {
    if cell.contains('\u{fffd}') {
        return Err(ValueError::Undecodable);
    }
    let is_shown = match kind {
        ValueKind::Text { lines: true, .. } => is_lines(cell),
        _ => is_line(cell),
    };
    if !is_shown {
        return Err(ValueError::HiddenCharacter);
    }
    let own = |value: Value| vec![(path.to_vec(), value)];
    match kind {
        ValueKind::Date => Ok(own(dates::iso(dates::parse(cell)?).into())),
        ValueKind::Number {
            integer,
            scale,
            units,
        } => number(cell, *integer, *scale, units).map(own),
        ValueKind::Code(codes) => code(codes, path, cell),
        ValueKind::Text { longest, .. } => {
            let text = cell.trim().trim_matches('\u{3000}');
            if text.chars().count() > *longest {
                Err(ValueError::TooLong(*longest))
            } else {
                Ok(own(text.into()))
            }
        }
        ValueKind::Dose => Ok(dose(cell)),
    }
}

fn number(cell: &str, integer: bool, scale: f64, units: &[&str]) -> Result<Value, ValueError> {
    let text = plain(cell);
    let text = units
        .iter()
        .find_map(|unit| text.strip_suffix(unit))
        .unwrap_or(&text);
    let text = without_thousands(text).ok_or(ValueError::NotANumber)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    let digits = |part: &str| {
        !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole) || !digits(fraction) {
        return Err(ValueError::NotANumber);
    }
    let number: f64 = text.parse().map_err(|_| ValueError::NotANumber)?;
    // Three decimals are more than any scale in a checkup room has.
    let number = (number * scale * 1000.0).round() / 1000.0;
    if number.fract() == 0.0 {
        return Ok(Value::Number(Number::from(number as u64)));
    }
    if integer {
        return Err(ValueError::NotWhole);
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or(ValueError::NotANumber)
}

/// `7,250` is 7250; a comma elsewhere is no number.
fn without_thousands(text: &str) -> Option<String> {
    let Some((first, rest)) = text.split_once(',') else {
        return Some(text.to_owned());
    };
    let whole = rest.split_once('.').map_or(rest, |(whole, _)| whole);
    let grouped = (1..=3).contains(&first.len()) && whole.split(',').all(|group| group.len() == 3);
    grouped.then(|| text.replace(',', ""))
}

fn code(
    codes: &HashMap<String, String>,
    path: &[String],
    cell: &str,
) -> Result<Claims, ValueError> {
    let text = word(cell);
    if let Some(code) = codes.get(&text) {
        let mut claims = vec![(path.to_vec(), code.as_str().into())];
        if code == "other" && path == ["vaccine_code"] {
            claims.push((vec!["vaccine_name".into()], half_width(cell).into()));
        }
        return Ok(claims);
    }
    // 日本脳炎1期追加, MR第2期: the vaccine, then which part of the series.
    let series = |spelling: &&String| {
        text.strip_prefix(spelling.as_str())
            .filter(|rest| is_series(rest))
    };
    let longest = codes
        .keys()
        .filter(|spelling| series(spelling).is_some())
        .max_by_key(|spelling| spelling.len());
    match longest {
        Some(spelling) if path == ["vaccine_code"] => {
            let rest = text[spelling.len()..].to_owned();
            Ok(vec![
                (path.to_vec(), codes[spelling].as_str().into()),
                (vec!["series".into()], rest.into()),
            ])
        }
        _ => Err(ValueError::UnknownCode),
    }
}

/// A word without what does not distinguish it: middle dots, "ワクチン" and "予防接種" at the end.
pub(crate) fn word(text: &str) -> String {
    let mut text = plain(text).replace('・', "");
    for ending in ["ワクチン", "予防接種"] {
        if let Some(shorter) = text
            .strip_suffix(ending)
            .filter(|shorter| !shorter.is_empty())
        {
            text = shorter.to_owned();
        }
    }
    text
}

/// `1期`, `第2期`, `1期初回`, `1期追加`.
fn is_series(text: &str) -> bool {
    let text = text.strip_prefix('第').unwrap_or(text);
    let text = text.trim_start_matches('-');
    ["1期", "2期", "3期", "4期"]
        .into_iter()
        .find_map(|period| text.strip_prefix(period))
        .is_some_and(|rest| ["", "初回", "追加"].contains(&rest))
}

fn dose(cell: &str) -> Claims {
    let text = plain(cell);
    let bare = text.strip_prefix('第').unwrap_or(&text);
    let bare = ["回目", "回"]
        .into_iter()
        .find_map(|ending| bare.strip_suffix(ending))
        .unwrap_or(bare);
    match bare.parse::<u64>() {
        Ok(number) if bare.len() <= 4 => vec![(vec!["dose_number".into()], number.into())],
        _ => vec![(vec!["dose_text".into()], half_width(cell).into())],
    }
}

/// What the cells of a claim hold, by the record type's schema. `None`: the schema has no such claim, or none that one cell
/// could hold.
pub(crate) fn kind_of(
    record_type: &RecordType,
    schema: &Value,
    path: &[String],
    scale: f64,
) -> Option<ValueKind> {
    if path == ["dose_number"] {
        return Some(ValueKind::Dose);
    }
    let property = path.iter().try_fold(schema, |at, name| {
        let inner = &at["properties"][name];
        let inner = match inner["$ref"].as_str() {
            Some(reference) => &schema["$defs"][reference.strip_prefix("#/$defs/")?],
            None => inner,
        };
        (!inner.is_null()).then_some(inner)
    })?;
    let name = path.last()?.as_str();
    if let Some(codes) = property["enum"].as_array() {
        return Some(ValueKind::Code(spellings(
            record_type,
            path,
            codes.iter().filter_map(Value::as_str),
        )));
    }
    match property["type"].as_str()? {
        "integer" => Some(ValueKind::Number {
            integer: true,
            scale,
            units: &["本", "回", "個"],
        }),
        "number" if name.ends_with("_cm") => Some(ValueKind::Number {
            integer: false,
            scale,
            units: &["cm"],
        }),
        "number" if name.ends_with("_g") && scale == 1.0 => Some(ValueKind::Number {
            integer: false,
            scale,
            units: &["g"],
        }),
        "number" if name.ends_with("_g") => Some(ValueKind::Number {
            integer: false,
            scale,
            units: &["kg"],
        }),
        "number" => Some(ValueKind::Number {
            integer: false,
            scale,
            units: &[],
        }),
        "string" if name == "date" || name.ends_with("_date") => Some(ValueKind::Date),
        "string" => {
            let longest = property["maxLength"]
                .as_u64()
                .and_then(|longest| usize::try_from(longest).ok());
            Some(ValueKind::Text {
                longest: longest.unwrap_or(200),
                lines: property["pattern"] == LINES,
            })
        }
        _ => None,
    }
}

fn spellings<'a>(
    record_type: &RecordType,
    path: &[String],
    codes: impl Iterator<Item = &'a str>,
) -> HashMap<String, String> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut all = HashMap::new();
    for code in codes {
        let labels = [Lang::Ja, Lang::En]
            .into_iter()
            .filter_map(|lang| record_type.value_label(&path, code, lang));
        let own = SPELLINGS
            .iter()
            .filter(|(of, _)| *of == code)
            .flat_map(|(_, words)| words.iter().copied());
        for spelling in labels.chain(own).chain([code]) {
            all.insert(word(spelling), code.to_owned());
        }
    }
    all
}

/// How codes are written besides the catalogue's labels.
const SPELLINGS: [(&str, &[&str]); 24] = [
    (
        "hib",
        &[
            "ヒブ",
            "Hib",
            "インフルエンザ菌b型",
            "ヒブ感染症",
            "Hib感染症",
        ],
    ),
    (
        "pneumococcus",
        &[
            "肺炎球菌",
            "小児肺炎球菌",
            "小児用肺炎球菌",
            "小児の肺炎球菌",
            "PCV",
            "PCV13",
            "PCV15",
            "PCV20",
        ],
    ),
    ("bcg", &["BCG", "結核"]),
    ("dpt_ipv_hib", &["5種混合", "五種混合", "DPT-IPV-Hib"]),
    ("dpt_ipv", &["4種混合", "四種混合", "DPT-IPV"]),
    ("dpt", &["3種混合", "三種混合", "DPT"]),
    ("dt", &["2種混合", "二種混合", "DT"]),
    ("ipv", &["不活化ポリオ", "ポリオ", "IPV"]),
    (
        "mr",
        &[
            "MR",
            "麻しん風しん",
            "麻しん風しん混合",
            "麻疹風疹",
            "麻疹風疹混合",
        ],
    ),
    ("measles", &["麻しん", "麻疹", "はしか"]),
    ("rubella", &["風しん", "風疹"]),
    ("varicella", &["水痘", "水ぼうそう", "みずぼうそう"]),
    ("japanese_encephalitis", &["日本脳炎", "日脳"]),
    (
        "mumps",
        &["おたふくかぜ", "おたふく", "流行性耳下腺炎", "ムンプス"],
    ),
    ("hepatitis_b", &["B型肝炎", "HBV"]),
    (
        "rotavirus",
        &["ロタ", "ロタウイルス", "ロタリックス", "ロタテック"],
    ),
    (
        "hpv",
        &[
            "HPV",
            "子宮頸がん",
            "子宮頸がん予防",
            "ヒトパピローマウイルス",
            "ヒトパピローマウイルス感染症",
        ],
    ),
    ("influenza", &["インフルエンザ", "インフル"]),
    ("negative", &["-", "(-)", "ー", "陰性", "0"]),
    ("trace", &["±", "(±)", "+-", "+/-", "疑陽性"]),
    ("positive_1", &["+", "(+)", "1+", "(1+)", "+1", "(+1)"]),
    ("positive_2", &["++", "(++)", "2+", "(2+)", "+2", "(+2)"]),
    ("positive_3", &["+++", "(+++)", "3+", "(3+)", "+3", "(+3)"]),
    (
        "positive_4",
        &["++++", "(++++)", "4+", "(4+)", "+4", "(+4)"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tegata_records::catalogue;

    fn cell(id: &str, path: &str, scale: f64, text: &str) -> Result<Value, ValueError> {
        let record_type = catalogue().by_id(id).unwrap();
        let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        let kind = kind_of(record_type, &schema, &path, scale).unwrap();
        read(&kind, &path, text).map(|claims| {
            claims
                .into_iter()
                .map(|(path, value)| (path.join("."), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
    }

    #[test]
    fn numbers() {
        for (path, scale, text, value) in [
            ("height_cm", 1.0, "６２．５", json!(62.5)),
            ("height_cm", 1.0, "62.5cm", json!(62.5)),
            ("height_cm", 1.0, "62.0", json!(62)),
            ("weight_g", 1.0, "7,250", json!(7250)),
            ("weight_g", 1.0, "7250ｇ", json!(7250)),
            ("weight_g", 1000.0, "7.25", json!(7250)),
            ("weight_g", 1000.0, "7.254", json!(7254)),
            ("weight_g", 1000.0, "7.25kg", json!(7250)),
            ("kaup_index", 1.0, "16.8", json!(16.8)),
        ] {
            assert_eq!(
                cell("infant_checkup_3_4_months", path, scale, text).unwrap()[path],
                value,
                "{text}"
            );
        }
        for text in [
            "",
            "六十",
            "62,5",
            "1,2,3",
            "6 2x",
            "-3",
            "1e3",
            "NaN",
            "inf",
            ".5",
            "5.",
            "62.5kg",
            "1234567890",
        ] {
            let found = cell("infant_checkup_3_4_months", "height_cm", 1.0, text);
            assert_eq!(found, Err(ValueError::NotANumber), "{text}");
        }
        assert_eq!(
            cell("infant_checkup_18_months", "teeth_count", 1.0, "１６本").unwrap(),
            json!({ "teeth_count": 16 })
        );
        assert_eq!(
            cell("infant_checkup_18_months", "teeth_count", 1.0, "1.5"),
            Err(ValueError::NotWhole)
        );
        assert_eq!(
            cell("infant_checkup_18_months", "teeth_count", 1.0, "16\u{fffd}"),
            Err(ValueError::Undecodable)
        );
    }

    #[test]
    fn vaccines_by_every_name() {
        for (text, code) in [
            ("ヒブ", "hib"),
            ("ﾋﾌﾞ", "hib"),
            ("ＢＣＧ", "bcg"),
            ("小児用肺炎球菌ワクチン", "pneumococcus"),
            ("５種混合", "dpt_ipv_hib"),
            ("四種混合", "dpt_ipv"),
            ("ＤＰＴ－ＩＰＶ", "dpt_ipv"),
            ("麻しん・風しん混合", "mr"),
            ("水痘", "varicella"),
            ("日本脳炎", "japanese_encephalitis"),
            ("おたふくかぜ", "mumps"),
            ("Ｂ型肝炎", "hepatitis_b"),
            ("ロタ", "rotavirus"),
            ("Measles and rubella (MR)", "mr"),
        ] {
            assert_eq!(
                cell("vaccination", "vaccine_code", 1.0, text).unwrap(),
                json!({ "vaccine_code": code }),
                "{text}"
            );
        }
        assert_eq!(
            cell("vaccination", "vaccine_code", 1.0, "日本脳炎１期追加").unwrap(),
            json!({ "vaccine_code": "japanese_encephalitis", "series": "1期追加" })
        );
        assert_eq!(
            cell("vaccination", "vaccine_code", 1.0, "その他").unwrap(),
            json!({ "vaccine_code": "other", "vaccine_name": "その他" })
        );
        for text in ["水", "水痘x", "BCGカレー", "1期"] {
            assert_eq!(
                cell("vaccination", "vaccine_code", 1.0, text),
                Err(ValueError::UnknownCode),
                "{text}"
            );
        }
    }

    #[test]
    fn urine_doses_and_text() {
        let urine = |text| cell("infant_checkup_3_years", "urine_protein", 1.0, text);
        for (text, code) in [
            ("－", "negative"),
            ("(-)", "negative"),
            ("±", "trace"),
            ("１＋", "positive_1"),
            ("＋＋", "positive_2"),
        ] {
            assert_eq!(
                urine(text).unwrap(),
                json!({ "urine_protein": code }),
                "{text}"
            );
        }
        assert_eq!(urine("多い"), Err(ValueError::UnknownCode));
        let dose = |text| cell("vaccination", "dose_number", 1.0, text).unwrap();
        assert_eq!(dose("第２回目"), json!({ "dose_number": 2 }));
        assert_eq!(dose("３"), json!({ "dose_number": 3 }));
        assert_eq!(dose("追加"), json!({ "dose_text": "追加" }));
        assert_eq!(
            cell("vaccination", "place.name", 1.0, "　さくら医院 ").unwrap(),
            json!({ "place.name": "さくら医院" })
        );
        assert_eq!(
            cell("vaccination", "lot_number", 1.0, &"x".repeat(101)),
            Err(ValueError::TooLong(100))
        );
        assert_eq!(
            cell("vaccination", "date", 1.0, "R5.2.29"),
            Err(ValueError::NoSuchDay)
        );
    }
}
