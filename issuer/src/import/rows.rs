//! A CSV file as checked records, row by row, in constant memory.

use super::dates;
use super::profile::{Column, Profiles};
use super::text::{Decoded, RowTooLong, half_width};
use super::values;
use crate::intake::check_subject;
use crate::model::Failure;
use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};
use std::io::Read;
use tegata_consent::ids::{Hash, hash};
use tegata_records::{Lang, RecordType};
use time::Date;

/// Longest row in bytes of UTF-8.
const ROW_MAX_BYTES: usize = 256 * 1024;
const BUFFER_BYTES: usize = 64 * 1024;
/// Most columns.
const COLUMNS_MAX: usize = 500;
/// Longest name of a column, in characters: it stands in the report of every row that fails.
const COLUMN_NAME_MAX: usize = 100;

/// A row that is right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) record_type: &'static RecordType,
    pub(crate) source_id: String,
    pub(crate) date_ms: u64,
    pub(crate) claims: Value,
}

/// A row as it stands in the file.
#[derive(Debug, Clone)]
pub(crate) struct RawRow {
    /// Line of the file, the header being line 1.
    pub(crate) line: u64,
    pub(crate) cells: StringRecord,
}

/// Why the rest of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SheetError {
    /// The file as a whole is refused.
    #[error("{}", .0.reason)]
    Refused(Failure),
    #[error("reading: {0}")]
    Read(std::io::Error),
}

/// An open file whose header is understood.
pub(crate) struct Sheet<R> {
    reader: csv::Reader<Decoded<R>>,
    pub(crate) headers: Vec<String>,
    columns: Vec<Column>,
    kind: Option<usize>,
}

impl<R: Read> Sheet<R> {
    /// Reads the header. `kind` is the index of the profile of all rows; `None` where a column says it for each row.
    pub(crate) fn open(
        profiles: &Profiles,
        kind: Option<usize>,
        file: Decoded<R>,
    ) -> Result<Self, SheetError> {
        let reader = ReaderBuilder::new()
            .delimiter(profiles.delimiter)
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(file);
        let mut sheet = Self {
            reader,
            headers: Vec::new(),
            columns: Vec::new(),
            kind,
        };
        let header = sheet
            .next()?
            .ok_or_else(|| refused("empty-file", None, "ファイルが空です"))?;
        sheet.headers = header
            .cells
            .iter()
            .map(|header| header.trim().to_owned())
            .collect();
        sheet.understand(profiles)?;
        Ok(sheet)
    }

    /// The next row that is not blank.
    pub(crate) fn next(&mut self) -> Result<Option<RawRow>, SheetError> {
        let mut cells = StringRecord::new();
        loop {
            self.reader
                .get_mut()
                .allow(ROW_MAX_BYTES + 2 * BUFFER_BYTES);
            let began = self.reader.position().byte();
            match self.reader.read_record(&mut cells) {
                Ok(false) => return Ok(None),
                Ok(true) if cells.iter().all(|cell| cell.trim().is_empty()) => {}
                Ok(true) => {
                    let line = self.reader.get_mut().line_at(began);
                    return Ok(Some(RawRow { line, cells }));
                }
                Err(error) => {
                    let line = self.reader.get_mut().line_at(began);
                    return Err(read_error(error, line));
                }
            }
        }
    }

    /// How many bytes of the file were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.reader.get_ref().raw_read_bytes()
    }

    fn understand(&mut self, profiles: &Profiles) -> Result<(), SheetError> {
        if self.headers.len() > COLUMNS_MAX {
            return Err(refused("too-many-columns", None, "列が多すぎます"));
        }
        let long = |header: &&String| header.chars().count() > COLUMN_NAME_MAX;
        if let Some(header) = self.headers.iter().find(long) {
            let begins: String = header.chars().take(COLUMN_NAME_MAX).collect();
            let reason = "列の名前が長すぎます（100文字まで）。見出しの行がない可能性があります";
            return Err(refused("column-name-too-long", Some(&begins), reason));
        }
        for header in &self.headers {
            let column = profiles.column(header, self.kind);
            let column = match column {
                None if header.is_empty() => Column::Ignored,
                None => {
                    return Err(refused(
                        "unknown-column",
                        Some(header),
                        "知らない列です。設定の csv.profiles または csv.ignore に追加してください",
                    ));
                }
                Some(column) => column,
            };
            if column != Column::Ignored && self.columns.contains(&column) {
                return Err(refused(
                    "duplicate-column",
                    Some(header),
                    "同じ意味の列が二つあります",
                ));
            }
            self.columns.push(column);
        }
        let missing = |name: &str| refused("missing-column", Some(name), "必要な列がありません");
        if !self.columns.contains(&Column::Subject) {
            return Err(missing(profiles.subject_header()));
        }
        let Some(kind) = self.kind else {
            let reason =
                "記録の種類が分かりません。種類を指定するか、健診種別の列を追加してください";
            return if self.columns.contains(&Column::Kind) {
                Ok(())
            } else {
                Err(refused("unknown-kind", None, reason))
            };
        };
        let record_type = profiles.all[kind].record_type;
        let given = |claim: &&String| self.columns.iter().any(|column| gives(column, kind, claim));
        match profiles.all[kind]
            .required
            .iter()
            .find(|claim| !given(claim))
        {
            Some(claim) => {
                let label = record_type
                    .claim_label(&[claim.as_str()], Lang::Ja)
                    .unwrap_or(claim);
                Err(missing(label))
            }
            None => Ok(()),
        }
    }

    /// Checks a row. Gives everything that is wrong with it.
    pub(crate) fn parse(
        &self,
        profiles: &Profiles,
        raw: &RawRow,
        today: Date,
    ) -> Result<Row, Vec<Failure>> {
        let mut faults = Faults {
            row: raw.line,
            all: Vec::new(),
        };
        if raw.cells.len() != self.headers.len() {
            faults.add("wrong-number-of-cells", None, "列の数が見出しと合いません");
            return Err(faults.all);
        }
        let kind = match self.kind {
            Some(kind) => kind,
            None => match self
                .cell_of(raw, &Column::Kind)
                .and_then(|(_, cell)| profiles.by_words(cell, true))
            {
                Some(kind) => kind,
                None => {
                    let header = self.header_of(&Column::Kind);
                    faults.add("unknown-kind", header, "知らない種類です");
                    return Err(faults.all);
                }
            },
        };
        let record_type = profiles.all[kind].record_type;
        let subject = self
            .cell_of(raw, &Column::Subject)
            .map(|(_, cell)| half_width(cell))
            .unwrap_or_default();
        if check_subject(&subject).is_err() || subject.contains('\u{fffd}') {
            faults.add(
                "subject",
                self.header_of(&Column::Subject),
                "対象者の番号が空か、正しくありません",
            );
        }
        let claims = self.claims(raw, kind, &mut faults);
        let date = claims
            .get("date")
            .and_then(Value::as_str)
            .and_then(|date| dates::parse(date).ok());
        if date.is_some_and(|date| today.next_day().is_some_and(|tomorrow| date > tomorrow)) {
            faults.add(
                "future-date",
                self.header_for(kind, "date"),
                "未来の日付です",
            );
        }
        let birth = self.cell_of(raw, &Column::Birth);
        let birth = birth.and_then(|(_, cell)| dates::parse(cell).ok());
        if birth.zip(date).is_some_and(|(birth, date)| birth > date) {
            faults.add(
                "birth-after-event",
                self.header_of(&Column::Birth),
                "生年月日が記録の日付より後です",
            );
        }
        for claim in profiles.all[kind]
            .required
            .iter()
            .filter(|claim| !claims.contains_key(*claim))
        {
            let header = self.header_for(kind, claim);
            if !faults
                .all
                .iter()
                .any(|fault| fault.column.as_deref() == header)
            {
                faults.add("missing-value", header, "値がありません");
            }
        }
        let claims = Value::Object(claims);
        if faults.all.is_empty() {
            for error in record_type.validate(&claims).err().unwrap_or_default() {
                let claim = error
                    .path
                    .trim_start_matches('/')
                    .split('/')
                    .next()
                    .unwrap_or_default();
                faults.add(
                    "out-of-range",
                    self.header_for(kind, claim),
                    "値が範囲外か、形式が違います",
                );
            }
        }
        match date {
            Some(date) if faults.all.is_empty() => {
                let source_id = self.source_id(raw, record_type, &subject, &claims);
                Ok(Row {
                    subject,
                    record_type,
                    source_id,
                    date_ms: dates::date_ms(date),
                    claims,
                })
            }
            _ => Err(faults.all),
        }
    }

    fn claims(&self, raw: &RawRow, kind: usize, faults: &mut Faults) -> Map<String, Value> {
        let mut claims = Map::new();
        for ((column, header), cell) in self.columns.iter().zip(&self.headers).zip(&raw.cells) {
            let Column::Claims(all) = column else {
                continue;
            };
            let cell = cell.trim_matches(|c: char| c.is_whitespace() || c == '\u{3000}');
            if cell.is_empty() {
                continue;
            }
            let Some((_, path, value)) = all.iter().find(|(of, ..)| *of == kind) else {
                faults.add(
                    "not-of-this-kind",
                    Some(header),
                    "この種類の記録にはない項目です",
                );
                continue;
            };
            match values::read(value, path, cell) {
                Ok(found) => found
                    .into_iter()
                    .for_each(|(path, value)| put(&mut claims, &path, value)),
                Err(error) => faults.add(error.code(), Some(header), &error.to_string()),
            }
        }
        claims
    }

    /// The source system's own number, or what makes a record one: whose, of which kind, when, and for vaccinations which.
    fn source_id(
        &self,
        raw: &RawRow,
        record_type: &RecordType,
        subject: &str,
        claims: &Value,
    ) -> String {
        let kind = record_type.id();
        if let Some((_, cell)) = self
            .cell_of(raw, &Column::SourceId)
            .filter(|(_, cell)| !cell.trim().is_empty())
        {
            return format!("{kind}:{}", half_width(cell));
        }
        let named = ["date", "vaccine_code", "series", "dose_number", "dose_text"];
        let identity: Vec<&Value> = named.iter().map(|name| &claims[*name]).collect();
        let identity =
            serde_json::to_vec(&(subject, identity)).expect("strings and numbers serialise");
        format!(
            "{kind}:{}",
            Hash(hash("tegata/v1/issuer/csv-row", &[&identity]))
        )
    }

    fn cell_of<'a>(&self, raw: &'a RawRow, wanted: &Column) -> Option<(usize, &'a str)> {
        let index = self.columns.iter().position(|column| column == wanted)?;
        Some((index, raw.cells.get(index)?))
    }

    fn header_of(&self, wanted: &Column) -> Option<&str> {
        let index = self.columns.iter().position(|column| column == wanted)?;
        self.headers.get(index).map(String::as_str)
    }

    fn header_for(&self, kind: usize, claim: &str) -> Option<&str> {
        let index = self
            .columns
            .iter()
            .position(|column| gives(column, kind, claim))?;
        self.headers.get(index).map(String::as_str)
    }
}

struct Faults {
    row: u64,
    all: Vec<Failure>,
}

impl Faults {
    fn add(&mut self, code: &str, column: Option<&str>, reason: &str) {
        self.all.push(Failure {
            row: self.row,
            ..failure(code, column, reason)
        });
    }
}

fn failure(code: &str, column: Option<&str>, reason: &str) -> Failure {
    Failure {
        row: 1,
        column: column.map(str::to_owned),
        code: code.to_owned(),
        reason: reason.to_owned(),
    }
}

fn refused(code: &str, column: Option<&str>, reason: &str) -> SheetError {
    SheetError::Refused(failure(code, column, reason))
}

/// An error while reading the row that begins at a line.
fn read_error(error: csv::Error, line: u64) -> SheetError {
    match error.into_kind() {
        csv::ErrorKind::Io(error)
            if error
                .get_ref()
                .is_some_and(|inner| inner.is::<RowTooLong>()) =>
        {
            let reason = "行が長すぎます。引用符（\"）が閉じられていない可能性があります";
            SheetError::Refused(Failure {
                row: line,
                ..failure("row-too-long", None, reason)
            })
        }
        csv::ErrorKind::Io(error) => SheetError::Read(error),
        _ => SheetError::Refused(Failure {
            row: line,
            ..failure("not-csv", None, "CSVとして読めません")
        }),
    }
}

/// Whether a column gives a claim at the top level.
fn gives(column: &Column, kind: usize, claim: &str) -> bool {
    match column {
        Column::Claims(all) => all
            .iter()
            .any(|(of, path, _)| *of == kind && path.first().is_some_and(|name| name == claim)),
        _ => false,
    }
}

/// Sets a claim that is not set yet.
fn put(claims: &mut Map<String, Value>, path: &[String], value: Value) {
    let [name, rest @ ..] = path else { return };
    if rest.is_empty() {
        claims.entry(name.clone()).or_insert(value);
    } else if let Value::Object(inner) = claims
        .entry(name.clone())
        .or_insert_with(|| Value::Object(Map::new()))
    {
        put(inner, rest, value);
    }
}

#[cfg(test)]
mod tests;
