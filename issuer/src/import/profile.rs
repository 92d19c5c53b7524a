//! Which column is which claim: defaults for the headers that city halls use, and what the configuration puts in their place.

use super::text::plain;
use super::values::{self, ValueKind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tegata_records::{Lang, RecordType, catalogue};

/// How CSV files are read. Every list of headers replaces its default.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct CsvConfig {
    /// Encoding of all files.
    pub encoding: super::text::Encoding,
    /// What parts the columns; a comma by default.
    pub delimiter: Option<char>,
    /// Headers of the organisation's own number for the person.
    pub subject: Option<Vec<String>>,
    /// Headers of the source system's own number for the record.
    pub source_id: Option<Vec<String>>,
    /// Headers of the column that names the kind of each row, in files that hold several.
    pub kind: Option<Vec<String>>,
    /// Headers of columns that are not read. A column that is neither read nor named here refuses the file.
    pub ignore: Option<Vec<String>>,
    /// By record type.
    pub profiles: BTreeMap<String, ProfileConfig>,
}

/// How one record type stands in CSV files.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Words that name this type: in file names, and in the column that names the kind. They come before the defaults.
    pub names: Vec<String>,
    /// Claim (`date`, `place.name`) to headers.
    pub columns: BTreeMap<String, Vec<Header>>,
}

/// The header of a column.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Header {
    /// As it stands in the file. A unit in brackets at its end counts: 体重(kg).
    Name(String),
    /// With the unit of its numbers.
    WithUnit {
        /// As it stands in the file.
        header: String,
        /// `g`, `kg`, `mm`, `cm` or `m`.
        unit: String,
    },
}

/// Why a configuration of columns is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No such record type.
    #[error("csv.profiles.{0}: the catalogue has no such record type")]
    RecordType(String),
    /// The record type has no such claim that a cell could hold.
    #[error(
        "csv.profiles.{record_type}.columns.{claim:?}: the record type has no such claim that one cell could hold"
    )]
    Claim {
        /// The record type.
        record_type: String,
        /// The claim.
        claim: String,
    },
    /// The claim is not measured in this unit.
    #[error("csv.profiles.{record_type}.columns.{claim:?}: {unit:?} is no unit of it")]
    Unit {
        /// The record type.
        record_type: String,
        /// The claim.
        claim: String,
        /// The unit.
        unit: String,
    },
    /// The delimiter is not one byte.
    #[error("csv.delimiter: one ASCII character is wanted")]
    Delimiter,
}

/// What a column is for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    Subject,
    SourceId,
    Kind,
    /// Compared with the record's date, and not kept.
    Birth,
    Ignored,
    /// A claim of one or several record types: index of the profile, path, and what cells hold.
    Claims(Vec<(usize, Vec<String>, ValueKind)>),
}

#[derive(Debug)]
struct Rule {
    path: Vec<String>,
    /// As [`plain`] gives them; with a fixed unit where the configuration says so.
    headers: Vec<(String, Option<String>)>,
}

/// How rows of one record type are read.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) record_type: &'static RecordType,
    /// Claims that every record has.
    pub(crate) required: Vec<String>,
    schema: Value,
    names: Vec<String>,
    rules: Vec<Rule>,
}

/// All profiles.
#[derive(Debug)]
pub(crate) struct Profiles {
    pub(crate) all: Vec<Profile>,
    pub(crate) encoding: super::text::Encoding,
    pub(crate) delimiter: u8,
    subject: Vec<String>,
    source_id: Vec<String>,
    kind: Vec<String>,
    ignore: Vec<String>,
}

const SUBJECT: [&str; 9] = [
    "宛名番号",
    "住民番号",
    "住民コード",
    "個人コード",
    "対象者番号",
    "患者番号",
    "患者ID",
    "カルテ番号",
    "subject",
];
const SOURCE_ID: [&str; 4] = ["レコード番号", "管理番号", "整理番号", "source_id"];
const KIND: [&str; 5] = ["健診種別", "健診区分", "健診名", "種別", "kind"];
const BIRTH: [&str; 3] = ["生年月日", "児生年月日", "出生年月日"];
/// Columns that such files often hold and that do not belong into a record. The last four are those that a file of failed
/// rows adds, so that it can be sent again once its rows are right.
const IGNORE: [&str; 20] = [
    "氏名",
    "児氏名",
    "お子さまの氏名",
    "氏名カナ",
    "カナ氏名",
    "フリガナ",
    "性別",
    "住所",
    "郵便番号",
    "電話番号",
    "保護者氏名",
    "続柄",
    "世帯番号",
    "年齢",
    "月齢",
    "備考",
    "行",
    "列",
    "理由",
    "reason",
];

/// Claim to headers, besides the catalogue's labels and the claim's own name.
const HEADERS: [(&str, &[&str]); 17] = [
    (
        "date",
        &[
            "受診日",
            "受診年月日",
            "健診日",
            "健診年月日",
            "実施日",
            "実施年月日",
            "接種日",
            "接種年月日",
        ],
    ),
    (
        "place",
        &[
            "受診場所",
            "健診場所",
            "実施場所",
            "会場",
            "場所",
            "医療機関",
            "医療機関名",
            "実施機関",
        ],
    ),
    (
        "place.name",
        &[
            "接種場所",
            "医療機関",
            "医療機関名",
            "接種医療機関",
            "接種医療機関名",
            "実施機関",
            "場所",
            "会場",
        ],
    ),
    (
        "vaccine_code",
        &[
            "ワクチン",
            "ワクチン種別",
            "ワクチン名",
            "予防接種",
            "予防接種名",
            "予防接種の種類",
            "接種種別",
            "種類",
        ],
    ),
    (
        "dose_number",
        &["回数", "接種回数", "接種回", "回", "回目", "何回目"],
    ),
    ("series", &["期", "接種期", "区分"]),
    (
        "lot_number",
        &[
            "ロット番号",
            "ロット",
            "ロットNo",
            "ロットNo.",
            "LOT",
            "LotNo",
            "Lot番号",
            "製造番号",
        ],
    ),
    (
        "manufacturer.name",
        &["製造会社", "メーカー", "メーカー名", "製造販売業者"],
    ),
    ("height_cm", &["身長"]),
    ("weight_g", &["体重"]),
    ("chest_circumference_cm", &["胸囲"]),
    ("head_circumference_cm", &["頭囲"]),
    ("kaup_index", &["カウプ指数", "カウプ"]),
    ("teeth_count", &["歯の数", "歯数", "現在歯数", "生歯数"]),
    (
        "decayed_teeth_count",
        &[
            "むし歯の数",
            "むし歯数",
            "う歯数",
            "う歯の数",
            "虫歯の数",
            "虫歯数",
            "未処置歯数",
        ],
    ),
    ("urine_occult_blood", &["尿潜血", "潜血", "尿中潜血"]),
    ("urine_leucocytes", &["尿白血球", "白血球"]),
];

/// Words for record types, besides the catalogue's names and ids; longer words win.
const NAMES: [(&str, &[&str]); 7] = [
    (
        "vaccination",
        &["予防接種", "接種歴", "接種記録", "vaccination"],
    ),
    (
        "hip_dislocation_screening",
        &["股関節脱臼", "先天性股関節脱臼", "股関節"],
    ),
    (
        "infant_checkup_3_4_months",
        &[
            "3-4か月児健診",
            "3~4か月児健診",
            "3・4か月児健診",
            "3か月児健診",
            "4か月児健診",
            "3-4か月",
            "3~4か月",
        ],
    ),
    (
        "infant_checkup_9_10_months",
        &[
            "9-10か月児健診",
            "9~10か月児健診",
            "9・10か月児健診",
            "9か月児健診",
            "10か月児健診",
            "9-10か月",
            "9~10か月",
        ],
    ),
    (
        "infant_checkup_18_months",
        &["1歳6か月児健診", "1歳半健診", "1歳6か月", "1.6歳児健診"],
    ),
    (
        "dental_checkup_2_years",
        &["2歳児歯科健診", "2歳児歯科", "2歳歯科"],
    ),
    ("infant_checkup_3_years", &["3歳児健診", "3歳健診"]),
];

impl Profiles {
    /// Defaults with the configuration's changes.
    pub(crate) fn new(config: &CsvConfig) -> Result<Self, ProfileError> {
        if let Some(unknown) = config
            .profiles
            .keys()
            .find(|id| catalogue().by_id(id).is_none())
        {
            return Err(ProfileError::RecordType(unknown.clone()));
        }
        let own = |list: &Option<Vec<String>>, defaults: &[&str]| match list {
            Some(list) => list.iter().map(|header| plain(header)).collect(),
            None => defaults.iter().map(|header| plain(header)).collect(),
        };
        let delimiter = u8::try_from(config.delimiter.unwrap_or(','))
            .ok()
            .filter(u8::is_ascii);
        let types = catalogue()
            .types()
            .iter()
            .filter(|record_type| NAMES.iter().any(|(id, _)| *id == record_type.id()));
        Ok(Self {
            all: types
                .map(|record_type| Profile::new(record_type, config))
                .collect::<Result<_, _>>()?,
            encoding: config.encoding,
            delimiter: delimiter.ok_or(ProfileError::Delimiter)?,
            subject: own(&config.subject, &SUBJECT),
            source_id: own(&config.source_id, &SOURCE_ID),
            kind: own(&config.kind, &KIND),
            ignore: own(&config.ignore, &IGNORE),
        })
    }

    /// The profile of a record type.
    pub(crate) fn by_id(&self, id: &str) -> Option<usize> {
        self.all
            .iter()
            .position(|profile| profile.record_type.id() == id)
    }

    /// The profile that words name: in a cell whole, in a file name as a part. The longest word wins.
    pub(crate) fn by_words(&self, words: &str, whole: bool) -> Option<usize> {
        let words = name_word(words);
        let fits = |name: &str| {
            if whole {
                words == name
            } else {
                words.contains(name)
            }
        };
        let named = self
            .all
            .iter()
            .enumerate()
            .flat_map(|(index, profile)| profile.names.iter().map(move |name| (index, name)));
        named
            .filter(|(_, name)| fits(name))
            .max_by_key(|(_, name)| name.len())
            .map(|(index, _)| index)
    }

    /// What a column is for, in a file of one kind, or of several where `kind` is `None`. `None`: nobody knows this header.
    pub(crate) fn column(&self, header: &str, kind: Option<usize>) -> Option<Column> {
        let header = plain(header);
        if self.subject.contains(&header) {
            return Some(Column::Subject);
        }
        if self.source_id.contains(&header) {
            return Some(Column::SourceId);
        }
        if self.kind.contains(&header) {
            return Some(if kind.is_none() {
                Column::Kind
            } else {
                Column::Ignored
            });
        }
        let wanted = |(index, _): &(usize, &Profile)| kind.is_none_or(|kind| kind == *index);
        let profiles = self.all.iter().enumerate().filter(wanted);
        let claims: Vec<_> = profiles
            .filter_map(|(index, profile)| {
                profile
                    .claim(&header)
                    .map(|(path, value)| (index, path, value))
            })
            .collect();
        if !claims.is_empty() {
            return Some(Column::Claims(claims));
        }
        if self.ignore.contains(&header) {
            return Some(Column::Ignored);
        }
        BIRTH.contains(&header.as_str()).then_some(Column::Birth)
    }

    /// The first default header for the person's number, for people who miss it.
    pub(crate) fn subject_header(&self) -> &str {
        self.subject.first().map_or("subject", String::as_str)
    }
}

impl Profile {
    fn new(record_type: &'static RecordType, config: &CsvConfig) -> Result<Self, ProfileError> {
        let schema: Value = serde_json::from_str(record_type.schema_json())
            .expect("the catalogue's schemas are JSON");
        let own = config.profiles.get(record_type.id());
        let mut names: Vec<String> = own
            .iter()
            .flat_map(|own| &own.names)
            .map(|name| name_word(name))
            .collect();
        let defaults = NAMES
            .iter()
            .filter(|(id, _)| *id == record_type.id())
            .flat_map(|(_, names)| names.iter().copied());
        let labels = [Lang::Ja, Lang::En].map(|lang| record_type.name(lang));
        names.extend(
            defaults
                .chain(labels)
                .chain([record_type.id()])
                .map(name_word),
        );
        names.retain(|name| !name.is_empty());
        let required = schema["required"].as_array().into_iter().flatten();
        let required = required
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let mut profile = Self {
            record_type,
            required,
            schema,
            names,
            rules: Vec::new(),
        };
        profile.add_defaults(own);
        for (claim, headers) in own.iter().flat_map(|own| &own.columns) {
            profile.add(claim, headers)?;
        }
        Ok(profile)
    }

    fn add_defaults(&mut self, own: Option<&ProfileConfig>) {
        let simple = self.record_type.claim_names().map(str::to_owned);
        let nested = ["place.name", "manufacturer.name"].map(str::to_owned);
        for claim in simple.chain(nested) {
            let path: Vec<String> = claim.split('.').map(str::to_owned).collect();
            if own.is_some_and(|own| own.columns.contains_key(&claim))
                || self.kind_of(&path, 1.0).is_none()
            {
                continue;
            }
            let known = HEADERS
                .iter()
                .filter(|(of, _)| *of == claim)
                .flat_map(|(_, headers)| headers.iter().copied());
            let labels: Vec<&str> = path.iter().map(String::as_str).collect();
            let labels = [Lang::Ja, Lang::En]
                .into_iter()
                .filter_map(|lang| self.record_type.claim_label(&labels, lang));
            let headers = known
                .chain(labels)
                .chain([claim.as_str()])
                .map(|header| (plain(header), None))
                .collect();
            self.rules.push(Rule { path, headers });
        }
    }

    fn add(&mut self, claim: &str, headers: &[Header]) -> Result<(), ProfileError> {
        let record_type = self.record_type.id().to_owned();
        let path: Vec<String> = claim.split('.').map(str::to_owned).collect();
        if self.kind_of(&path, 1.0).is_none() {
            return Err(ProfileError::Claim {
                record_type,
                claim: claim.to_owned(),
            });
        }
        let mut all = Vec::new();
        for header in headers {
            match header {
                Header::Name(name) => all.push((plain(name), None)),
                Header::WithUnit { header, unit } => {
                    if scale(claim, &plain(unit)).is_none() {
                        return Err(ProfileError::Unit {
                            record_type,
                            claim: claim.to_owned(),
                            unit: unit.clone(),
                        });
                    }
                    all.push((plain(header), Some(plain(unit))));
                }
            }
        }
        // What the configuration says comes before the defaults.
        self.rules.insert(0, Rule { path, headers: all });
        Ok(())
    }

    /// The claim under a header (as [`plain`] gives it).
    fn claim(&self, header: &str) -> Option<(Vec<String>, ValueKind)> {
        let (base, in_brackets) = match header
            .strip_suffix(')')
            .and_then(|rest| rest.rsplit_once('('))
        {
            Some((base, unit)) => (base, Some(unit)),
            None => (header, None),
        };
        self.rules.iter().find_map(|rule| {
            let (_, unit) = rule
                .headers
                .iter()
                .find(|(name, _)| name == header || name == base)?;
            let claim = rule.path.join(".");
            let scale = match unit.as_deref().or(in_brackets) {
                Some(unit) => scale(&claim, unit)?,
                None => 1.0,
            };
            Some((rule.path.clone(), self.kind_of(&rule.path, scale)?))
        })
    }

    fn kind_of(&self, path: &[String], scale: f64) -> Option<ValueKind> {
        values::kind_of(self.record_type, &self.schema, path, scale)
    }
}

/// Kinds are written in many ways: ～ and 〜 and ~ and ・ between months, ヶ月 and ケ月 and カ月, 健康診査 and 健診.
fn name_word(text: &str) -> String {
    plain(text)
        .replace(['〜', '～', '~', '・', '–', '、'], "-")
        .replace(['ヶ', 'ケ', 'カ', 'ヵ', 'ヵ'], "か")
        .replace("箇月", "か月")
        .replace("健康診査", "健診")
        .replace("ヵ月", "か月")
}

/// What brings a column's unit to the claim's; `None` where the claim is not measured in it.
fn scale(claim: &str, unit: &str) -> Option<f64> {
    let scale = match (claim.rsplit_once('_').map(|(_, unit)| unit), unit) {
        (Some("cm"), "cm" | "センチ") | (Some("g"), "g" | "グラム") => 1.0,
        (Some("cm"), "mm") => 0.1,
        (Some("cm"), "m") => 100.0,
        (Some("g"), "kg" | "キロ") => 1000.0,
        (Some("cm" | "g"), _) => return None,
        _ => 1.0,
    };
    Some(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(profiles: &Profiles, kind: &str, header: &str) -> Option<(String, ValueKind)> {
        match profiles.column(header, profiles.by_id(kind))? {
            Column::Claims(claims) => claims
                .into_iter()
                .next()
                .map(|(_, path, value)| (path.join("."), value)),
            _ => None,
        }
    }

    #[test]
    fn default_headers_of_every_kind() {
        let profiles = Profiles::new(&CsvConfig::default()).unwrap();
        for (kind, header, path) in [
            ("vaccination", "接種日", "date"),
            ("vaccination", "予防接種名", "vaccine_code"),
            ("vaccination", "接種回数", "dose_number"),
            ("vaccination", "接種場所", "place.name"),
            ("vaccination", "ロット番号", "lot_number"),
            ("vaccination", "ＬＯＴ番号", "lot_number"),
            ("hip_dislocation_screening", "受診日", "date"),
            ("hip_dislocation_screening", "受診場所", "place"),
            ("infant_checkup_3_4_months", "身長（ｃｍ）", "height_cm"),
            (
                "infant_checkup_9_10_months",
                "胸囲",
                "chest_circumference_cm",
            ),
            (
                "infant_checkup_9_10_months",
                "頭囲(cm)",
                "head_circumference_cm",
            ),
            ("infant_checkup_18_months", "歯の数（本）", "teeth_count"),
            ("dental_checkup_2_years", "う歯数", "decayed_teeth_count"),
            ("infant_checkup_3_years", "カウプ指数", "kaup_index"),
            ("infant_checkup_3_years", "尿蛋白", "urine_protein"),
            ("infant_checkup_3_years", "尿糖", "urine_glucose"),
            ("infant_checkup_3_years", "尿潜血", "urine_occult_blood"),
            ("infant_checkup_3_years", "尿白血球", "urine_leucocytes"),
        ] {
            assert_eq!(
                claim(&profiles, kind, header)
                    .map(|found| found.0)
                    .as_deref(),
                Some(path),
                "{kind} {header}"
            );
        }
        assert_eq!(claim(&profiles, "infant_checkup_3_years", "頭囲"), None);
        assert_eq!(
            profiles.column("身長m", profiles.by_id("infant_checkup_3_years")),
            None
        );
        assert_eq!(
            profiles.column("体重(斤)", profiles.by_id("infant_checkup_3_years")),
            None
        );
        assert_eq!(profiles.column("宛名番号", None), Some(Column::Subject));
        assert_eq!(profiles.column("氏名", None), Some(Column::Ignored));
        let scale_of = |header| match claim(&profiles, "infant_checkup_3_years", header)
            .unwrap()
            .1
        {
            ValueKind::Number { scale, .. } => scale,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [
                scale_of("体重"),
                scale_of("体重(g)"),
                scale_of("体重（ｋｇ）")
            ],
            [1.0, 1.0, 1000.0]
        );
    }

    #[test]
    fn every_kind_by_file_name_and_cell() {
        let profiles = Profiles::new(&CsvConfig::default()).unwrap();
        for (words, kind) in [
            ("予防接種_2025年度.csv", "vaccination"),
            ("R7_3歳児健診.csv", "infant_checkup_3_years"),
            ("３歳児健康診査結果.csv", "infant_checkup_3_years"),
            ("1歳6ヶ月児健診.csv", "infant_checkup_18_months"),
            ("３～４か月児健診.csv", "infant_checkup_3_4_months"),
            ("9・10カ月児健診.csv", "infant_checkup_9_10_months"),
            ("2歳児歯科健診.csv", "dental_checkup_2_years"),
            ("先天性股関節脱臼健診.csv", "hip_dislocation_screening"),
            ("infant_checkup_3_years.csv", "infant_checkup_3_years"),
        ] {
            let found = profiles
                .by_words(words, false)
                .map(|index| profiles.all[index].record_type.id());
            assert_eq!(found, Some(kind), "{words}");
        }
        for profile in &profiles.all {
            let found = profiles.by_words(profile.record_type.name(Lang::Ja), true);
            assert_eq!(
                found.map(|index| profiles.all[index].record_type.id()),
                Some(profile.record_type.id())
            );
        }
        assert_eq!(profiles.by_words("新しいファイル.csv", false), None);
        assert_eq!(profiles.by_words("予防接種?", true), None);
    }

    #[test]
    fn configuration_replaces_headers() {
        let config: CsvConfig = toml::from_str(
            r#"
            subject = ["ID"]
            [profiles.infant_checkup_3_years]
            names = ["三歳児"]
            [profiles.infant_checkup_3_years.columns]
            date = ["検査した日"]
            weight_g = [{ header = "重さ", unit = "kg" }]
            "#,
        )
        .unwrap();
        let profiles = Profiles::new(&config).unwrap();
        let kind = "infant_checkup_3_years";
        assert_eq!(profiles.column("ＩＤ", None), Some(Column::Subject));
        assert_eq!(profiles.column("宛名番号", None), None);
        assert_eq!(claim(&profiles, kind, "検査した日").unwrap().0, "date");
        assert_eq!(claim(&profiles, kind, "受診日"), None);
        assert!(matches!(
            claim(&profiles, kind, "重さ").unwrap().1,
            ValueKind::Number { scale: 1000.0, .. }
        ));
        assert_eq!(profiles.by_words("三歳児.csv", false), profiles.by_id(kind));
        for (text, error) in [
            (
                "[profiles.unknown]",
                "csv.profiles.unknown: the catalogue has no such record type",
            ),
            (
                "[profiles.vaccination.columns]\nheight_cm = [\"x\"]",
                "no such claim",
            ),
            (
                "[profiles.infant_checkup_3_years.columns]\nweight_g = [{ header = \"x\", unit = \"cm\" }]",
                "no unit",
            ),
            ("delimiter = \"、\"", "one ASCII character"),
        ] {
            let config: CsvConfig = toml::from_str(text).unwrap();
            let found = Profiles::new(&config).unwrap_err().to_string();
            assert!(found.contains(error), "{found}");
        }
    }
}
