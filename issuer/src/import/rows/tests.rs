use super::*;
use crate::import::profile::CsvConfig;
use crate::import::text::Encoding;
use serde_json::json;

type Parsed = Vec<Result<Row, Vec<Failure>>>;

fn read_with(config: &CsvConfig, kind: Option<&str>, bytes: &[u8]) -> Result<Parsed, SheetError> {
    let profiles = Profiles::new(config).unwrap();
    let encoding = super::super::text::detect(bytes).unwrap();
    let mut sheet = Sheet::open(
        &profiles,
        kind.map(|kind| profiles.by_id(kind).unwrap()),
        Decoded::new(bytes, encoding),
    )?;
    let today = dates::parse("2025-12-01").unwrap();
    let mut rows = Vec::new();
    while let Some(raw) = sheet.next()? {
        rows.push(sheet.parse(&profiles, &raw, today));
    }
    Ok(rows)
}

fn read(kind: &str, text: &str) -> Result<Parsed, SheetError> {
    read_with(&CsvConfig::default(), Some(kind), text.as_bytes())
}

fn faults(parsed: &Result<Row, Vec<Failure>>) -> Vec<(u64, Option<&str>, &str)> {
    let faults = parsed.as_ref().unwrap_err();
    faults
        .iter()
        .map(|fault| (fault.row, fault.column.as_deref(), fault.code.as_str()))
        .collect()
}

fn refusal(found: Result<Parsed, SheetError>) -> (String, Option<String>, u64) {
    match found {
        Err(SheetError::Refused(failure)) => (failure.code, failure.column, failure.row),
        other => panic!("{other:?}"),
    }
}

const VACCINATIONS: &str = "宛名番号,氏名,予防接種名,接種回数,接種日,接種場所,ロット番号\n\
    ００１２,山田 花子,ﾋﾌﾞ,１回目,令和５年４月１日,さくら医院,AB-12\n\
    13,,ＭＲ第１期,1,R6.4.1,,\n";

#[test]
fn the_same_rows_in_every_encoding() {
    let (cp932, _, unmappable) = encoding_rs::SHIFT_JIS.encode(VACCINATIONS);
    assert!(!unmappable);
    let marked = [b"\xef\xbb\xbf", VACCINATIONS.as_bytes()].concat();
    for bytes in [VACCINATIONS.as_bytes(), &marked, &cp932] {
        let rows = read_with(&CsvConfig::default(), Some("vaccination"), bytes).unwrap();
        let [Ok(first), Ok(second)] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        assert_eq!(
            first.claims,
            json!({"vaccine_code": "hib", "dose_number": 1, "date": "2023-04-01", "place": {"name": "さくら医院"}, "lot_number": "AB-12"})
        );
        assert_eq!(
            (first.subject.as_str(), first.date_ms),
            ("0012", 1_680_307_200_000)
        );
        assert_eq!(
            second.claims,
            json!({"vaccine_code": "mr", "series": "第1期", "dose_number": 1, "date": "2024-04-01"})
        );
        assert_ne!(first.source_id, second.source_id);
    }
}

#[test]
fn checkups_of_every_kind_in_one_file() {
    let text = "宛名番号,健診種別,受診日,受診場所,身長(cm),体重(kg),胸囲,頭囲,カウプ指数,歯の数,むし歯の数,尿蛋白,尿糖,尿潜血,尿白血球\n\
        1,先天性股関節脱臼健康診査,R5.4.1,保健センター,,,,,,,,,,,\n\
        1,３～４か月児健診,R5.5.1,保健センター,62.5,6.5,41,40,16.6,,,,,,\n\
        1,9〜10か月児健診,R5.11.1,保健センター,71,8.6,45,44.5,17.1,,,,,,\n\
        1,1歳6か月児健診,R6.9.1,保健センター,80.5,10.6,48,47.2,16.4,１６,0,,,,\n\
        1,2歳児歯科健診,R7.3.1,保健センター,86,12.1,,,16.4,20,1,,,,\n\
        1,3歳児健診,R7.11.1,保健センター,95.5,14.2,,,15.6,,0,－,(-),±,１＋\n\
        1,4歳児健診,R7.11.1,保健センター,,,,,,,,,,,\n\
        1,3歳児健診,R7.11.1,保健センター,95.5,14.2,,50,15.6,,0,－,－,－,－\n";
    let rows = read_with(&CsvConfig::default(), None, text.as_bytes()).unwrap();
    let ids: Vec<_> = rows
        .iter()
        .flatten()
        .map(|row| row.record_type.id())
        .collect();
    assert_eq!(
        ids,
        [
            "hip_dislocation_screening",
            "infant_checkup_3_4_months",
            "infant_checkup_9_10_months",
            "infant_checkup_18_months",
            "dental_checkup_2_years",
            "infant_checkup_3_years"
        ]
    );
    assert_eq!(
        rows[5].as_ref().unwrap().claims,
        json!({
            "date": "2025-11-01", "place": "保健センター", "height_cm": 95.5, "weight_g": 14200, "kaup_index": 15.6,
            "decayed_teeth_count": 0, "urine_protein": "negative", "urine_glucose": "negative",
            "urine_occult_blood": "trace", "urine_leucocytes": "positive_1",
        })
    );
    assert_eq!(faults(&rows[6]), [(8, Some("健診種別"), "unknown-kind")]);
    assert_eq!(faults(&rows[7]), [(9, Some("頭囲"), "not-of-this-kind")]);
}

#[test]
fn everything_wrong_with_a_row_is_named() {
    let head = "宛名番号,受診日,受診場所,身長,体重,歯の数,むし歯の数\n";
    let wrong = [
        (
            ",R5.4.1,A,80,10000,16,0",
            vec![(2, Some("宛名番号"), "subject")],
        ),
        (
            "1,,A,80,10000,16,0",
            vec![(2, Some("受診日"), "missing-value")],
        ),
        (
            "1,R5.2.29,A,80,10000,16,0",
            vec![(2, Some("受診日"), "no-such-day")],
        ),
        (
            "1,平成31年5月1日,A,80,10000,16,0",
            vec![(2, Some("受診日"), "outside-era")],
        ),
        (
            "1,きのう,A,80,10000,16,0",
            vec![(2, Some("受診日"), "not-a-date")],
        ),
        (
            "1,R7.12.3,A,80,10000,16,0",
            vec![(2, Some("受診日"), "future-date")],
        ),
        (
            "1,R5.4.1,,80,10000,16,0",
            vec![(2, Some("受診場所"), "missing-value")],
        ),
        (
            "1,R5.4.1,A,八十,10000,1.5,0",
            vec![
                (2, Some("身長"), "not-a-number"),
                (2, Some("歯の数"), "not-a-whole-number"),
            ],
        ),
        (
            "1,R5.4.1,A,80,10.6,16,0",
            vec![(2, Some("体重"), "out-of-range")],
        ),
        (
            "1,R5.4.1,A,80,10000,16,99",
            vec![(2, Some("むし歯の数"), "out-of-range")],
        ),
        (
            "1,R5.4.1,A,80,10000,16",
            vec![(2, None, "wrong-number-of-cells")],
        ),
        (
            "1,R5.4.1,A,80,10000,16,0,",
            vec![(2, None, "wrong-number-of-cells")],
        ),
        (
            "1,R5.4.1,\u{fffd},80,10000,16,0",
            vec![(2, Some("受診場所"), "undecodable")],
        ),
    ];
    for (row, expected) in wrong {
        let rows = read("infant_checkup_18_months", &format!("{head}{row}\n")).unwrap();
        assert_eq!(faults(&rows[0]), expected, "{row}");
    }
    let rows = read(
        "infant_checkup_18_months",
        &format!("{head}1,R7.12.2,A,80,10000,16,0\n,,,,,,\n\n"),
    )
    .unwrap();
    assert!(
        rows.len() == 1 && rows[0].is_ok(),
        "tomorrow is another time zone's today; blank rows are none: {rows:?}"
    );
}

#[test]
fn a_wrong_header_refuses_the_file() {
    let vaccination = |header: &str| refusal(read("vaccination", &format!("{header}\n1,2,3\n")));
    let named = |code: &str, column: &str| (code.to_owned(), Some(column.to_owned()), 1);
    assert_eq!(
        vaccination("接種日,予防接種名,回数"),
        named("missing-column", "宛名番号")
    );
    assert_eq!(
        vaccination("宛名番号,予防接種名,回数"),
        named("missing-column", "接種日")
    );
    assert_eq!(
        vaccination("宛名番号,接種日,回数"),
        named("missing-column", "ワクチンの種類")
    );
    assert_eq!(
        vaccination("宛名番号,接種曰,予防接種名"),
        named("unknown-column", "接種曰")
    );
    assert_eq!(
        vaccination("宛名番号,接種日,接種年月日"),
        named("duplicate-column", "接種年月日")
    );
    assert_eq!(refusal(read("vaccination", "")).0, "empty-file");
    let unknown = read_with(
        &CsvConfig::default(),
        None,
        "宛名番号,受診日,受診場所\n".as_bytes(),
    );
    assert_eq!(refusal(unknown).0, "unknown-kind");
    let wide = vec!["氏名"; 501].join(",");
    assert_eq!(vaccination(&wide).0, "too-many-columns");
}

#[test]
fn a_quotation_mark_that_is_never_closed_is_found_in_constant_memory() {
    let text = format!("{VACCINATIONS}14,\"{}\n", "あ\n".repeat(1_000_000));
    let (code, _, line) = refusal(read("vaccination", &text));
    assert_eq!((code.as_str(), line), ("row-too-long", 4));
    let quoted = "宛名番号,予防接種名,接種日,備考\n1,BCG,R5.4.1,\"一、\n二\"\n2,BCG,R5.4.1,\n";
    let rows = read("vaccination", quoted).unwrap();
    assert!(rows.iter().all(Result::is_ok), "{rows:?}");
    assert_eq!(
        faults(&read("vaccination", &format!("{quoted}3,BCG,x,\n")).unwrap()[2])[0].0,
        5,
        "lines, not rows"
    );
}

#[test]
fn source_ids_stay_the_same() {
    let id = |text: &str| {
        let rows = read("vaccination", text).unwrap();
        rows[0].as_ref().unwrap().source_id.clone()
    };
    let first = id("宛名番号,予防接種名,接種日,ロット番号\n1,BCG,R5.4.1,A\n");
    assert_eq!(
        first,
        id("ロット番号,接種日,予防接種名,宛名番号\nB,2023/4/1,ＢＣＧ,１\n"),
        "the lot is content, not identity"
    );
    assert_ne!(first, id("宛名番号,予防接種名,接種日\n1,BCG,R5.4.2\n"));
    assert_ne!(first, id("宛名番号,予防接種名,接種日\n2,BCG,R5.4.1\n"));
    assert_eq!(
        id("管理番号,宛名番号,予防接種名,接種日\nＸ７,1,BCG,R5.4.1\n"),
        "vaccination:X7"
    );
}

#[test]
fn other_delimiters_and_encodings_by_configuration() {
    let config: CsvConfig = toml::from_str("delimiter = \"\\t\"\nencoding = \"cp932\"").unwrap();
    assert_eq!(config.encoding, Encoding::Cp932);
    let rows = read_with(
        &config,
        Some("vaccination"),
        "宛名番号\t予防接種名\t接種日\n1\tBCG\tR5.4.1\n".as_bytes(),
    )
    .unwrap();
    assert!(rows[0].is_ok());
}

proptest::proptest! {
    #[test]
    fn no_file_makes_it_panic(bytes: Vec<u8>) {
        let header = "宛名番号,予防接種名,接種回数,接種日\n".as_bytes();
        for bytes in [bytes.clone(), [header, &bytes].concat()] {
            drop(read_with(&CsvConfig::default(), Some("vaccination"), &bytes));
            drop(read_with(&CsvConfig::default(), None, &bytes));
        }
    }
}

/// A file without a header, or made to fill the report: its first row does not come back in every failure.
#[test]
fn names_of_columns_are_bounded() {
    let name = "列".repeat(100);
    let (code, column, row) = refusal(read("vaccination", &format!("宛名番号,{name}\n1,2\n")));
    assert_eq!(
        (code.as_str(), column, row),
        ("unknown-column", Some(name.clone()), 1)
    );
    let (code, column, row) = refusal(read("vaccination", &format!("宛名番号,{name}長\n1,2\n")));
    assert_eq!(
        (code.as_str(), column, row),
        ("column-name-too-long", Some(name), 1)
    );
}

#[test]
fn rows_have_the_line_numbers_of_an_editor() {
    let head = "宛名番号,受診日,受診場所";
    let rows = ["1,x,A", "", "2,x,\"B\nb\"", "  ", "3,x,C"];
    for end in ["\n", "\r\n", "\r"] {
        let text = [&[head], &rows[..]].concat().join(end);
        for text in [text.clone(), text + end] {
            let parsed = read("hip_dislocation_screening", &text).unwrap();
            let lines: Vec<u64> = parsed.iter().map(|row| faults(row)[0].0).collect();
            assert_eq!(lines, [2, 4, 7], "{end:?}");
        }
    }
    let unclosed = format!(
        "{head}\r\n1,R5.4.1,A\r\n2,R5.4.1,\"{}\r\n",
        "x".repeat(600_000)
    );
    let refused = refusal(read("hip_dislocation_screening", &unclosed));
    assert_eq!(refused, ("row-too-long".into(), None, 3));
}

#[test]
fn what_cannot_be_or_cannot_be_seen_is_named() {
    let head = "宛名番号,生年月日,受診日,受診場所\n";
    let read = |row: &str| {
        let mut rows = read("hip_dislocation_screening", &format!("{head}{row}\n")).unwrap();
        rows.remove(0)
    };
    for row in ["1,R5.4.1,R5.4.1,A", "1,,R5.4.1,A", "1,不明,R5.4.1,A"] {
        assert!(read(row).is_ok(), "{row}");
    }
    for (row, column, code) in [
        ("1,R5.4.2,R5.4.1,A", "生年月日", "birth-after-event"),
        ("1,,R7.12.3,A", "受診日", "future-date"),
        ("1,,R5.4.1,A\u{202e}B", "受診場所", "hidden-character"),
        ("1,,R5.4.1,A\u{0}", "受診場所", "hidden-character"),
        ("1,,R5.4.1,A\u{9b}31m", "受診場所", "hidden-character"),
        ("1,,R5.4.1,\"A\nB\"", "受診場所", "hidden-character"),
        ("1,,R5.4.\u{2066}1,A", "受診日", "hidden-character"),
        ("1\u{feff}2,,R5.4.1,A", "宛名番号", "subject"),
    ] {
        assert_eq!(faults(&read(row)), [(2, Some(column), code)], "{row:?}");
    }
}
