//! W3C's test suite of RDFC-1.0, poison graphs included, each within a bound of time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tegata_w3c::rdfc::{Quad, STEPS_MAX, Term, canonical_nquads, literal};

/// Reads N-Quads as the test suite writes them.
struct Reader<'a> {
    text: &'a str,
    blanks: HashMap<String, u32>,
}

fn read(text: &str) -> Vec<Quad> {
    let mut reader = Reader {
        text,
        blanks: HashMap::new(),
    };
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            reader.text = line;
            let subject = reader.term();
            let Term::Text(predicate) = reader.term() else {
                panic!("a predicate: {line}")
            };
            let object = reader.term();
            reader.skip();
            let graph = (!reader.text.starts_with('.')).then(|| reader.term());
            Quad {
                subject,
                predicate,
                object,
                graph,
            }
        })
        .collect()
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.text = self.text.trim_start();
    }

    fn term(&mut self) -> Term {
        self.skip();
        if let Some(rest) = self.text.strip_prefix('<') {
            let (iri, rest) = rest.split_once('>').unwrap();
            self.text = rest;
            return Term::Text(format!("<{}>", unescape(iri)));
        }
        if let Some(rest) = self.text.strip_prefix("_:") {
            let end = rest.find([' ', '\t']).unwrap();
            let (label, rest) = rest.split_at(end);
            self.text = rest;
            let next = self.blanks.len() as u32;
            return Term::Blank(*self.blanks.entry(label.to_owned()).or_insert(next));
        }
        let rest = self.text.strip_prefix('"').unwrap();
        let mut escaped = false;
        let end = rest.char_indices().find(|(_, char)| {
            let ends = *char == '"' && !escaped;
            escaped = *char == '\\' && !escaped;
            ends
        });
        let (value, rest) = rest.split_at(end.unwrap().0);
        let (value, rest) = (unescape(value), &rest[1..]);
        self.text = rest;
        if let Some(rest) = rest.strip_prefix("^^<") {
            let (datatype, rest) = rest.split_once('>').unwrap();
            self.text = rest;
            let datatype = unescape(datatype);
            let is_text = datatype == "http://www.w3.org/2001/XMLSchema#string";
            return Term::Text(literal(&value, (!is_text).then_some(&datatype), None));
        }
        if let Some(rest) = rest.strip_prefix('@') {
            let (language, rest) = rest.split_at(rest.find([' ', '\t']).unwrap());
            self.text = rest;
            return Term::Text(literal(&value, None, Some(language)));
        }
        Term::Text(literal(&value, None, None))
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        let kind = chars.next().unwrap();
        out.push(match kind {
            't' => '\t',
            'b' => '\u{8}',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            'u' | 'U' => {
                let digits: String = chars
                    .by_ref()
                    .take(if kind == 'u' { 4 } else { 8 })
                    .collect();
                char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
            }
            other => other,
        });
    }
    out
}

fn suite() -> Option<PathBuf> {
    let path = std::env::var("TEGATA_VECTORS").unwrap_or_else(|_| "../shared/vectors".into());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
        .join("rdf-canon");
    if path.is_dir() {
        return Some(path);
    }
    println!("SKIPPED: {} is missing", path.display());
    None
}

#[test]
fn w3c_test_suite() {
    let Some(path) = suite() else { return };
    let text = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    let manifest: Value = serde_json::from_str(&text("manifest.jsonld")).unwrap();
    let (mut equal, mut refused, mut other_hash, mut slowest) = (0, 0, 0, Duration::ZERO);
    for entry in manifest["entries"].as_array().unwrap() {
        let name = &entry["name"];
        if entry
            .get("hashAlgorithm")
            .is_some_and(|hash| hash != "SHA256")
        {
            other_hash += 1; // Data Integrity uses SHA-256 with Ed25519
            continue;
        }
        let quads = read(&text(entry["action"].as_str().unwrap()));
        let began = Instant::now();
        let found = canonical_nquads(&quads, STEPS_MAX);
        slowest = slowest.max(began.elapsed());
        match entry["type"].as_str().unwrap() {
            "rdfc:RDFC10EvalTest" => {
                assert_eq!(
                    found.unwrap(),
                    text(entry["result"].as_str().unwrap()),
                    "{name}"
                );
                equal += 1;
            }
            "rdfc:RDFC10NegativeEvalTest" => {
                assert!(found.is_err(), "{name}");
                refused += 1;
            }
            // The map tests are about the same datasets; the canonical form is what counts here.
            _ => {}
        }
    }
    println!(
        "{equal} equal, {refused} refused, {other_hash} with another hash; the slowest took {slowest:?}"
    );
    assert_eq!((equal, refused), (63, 1));
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// Graphs whose canonical form takes time that grows beyond all bounds, and graphs that only look so: the former are refused,
/// all of them are done with soon.
#[test]
fn poison_is_refused_in_bounded_time() {
    let blank = |number: usize| Term::Blank(number as u32);
    let quad = |from, to| Quad {
        subject: blank(from),
        predicate: "<urn:x:p>".into(),
        object: blank(to),
        graph: None,
    };
    let clique = |n: usize| -> Vec<Quad> {
        (0..n)
            .flat_map(|from| {
                (0..n)
                    .filter(move |to| *to != from)
                    .map(move |to| (from, to))
            })
            .map(|(a, b)| quad(a, b))
            .collect()
    };
    let bipartite = |n: usize| -> Vec<Quad> {
        (0..n)
            .flat_map(|a| (n..2 * n).map(move |b| (a, b)))
            .map(|(a, b)| quad(a, b))
            .collect()
    };
    let ring = |n: usize| -> Vec<Quad> { (0..n).map(|at| quad(at, (at + 1) % n)).collect() };
    let rings = |count: usize| -> Vec<Quad> {
        (0..count)
            .flat_map(|k| (0..7).map(move |at| (7 * k + at, 7 * k + (at + 1) % 7)))
            .map(|(a, b)| quad(a, b))
            .collect()
    };
    let star = |n: usize| -> Vec<Quad> { (1..n).map(|leaf| quad(0, leaf)).collect() };
    for (name, quads, is_poison) in [
        ("clique of 10", clique(10), true),
        ("clique of 40", clique(40), true),
        ("complete bipartite graph of 12 and 12", bipartite(12), true),
        ("ring of 1,900", ring(1_900), true),
        ("250 equal rings", rings(250), false),
        ("star of 1,900", star(1_900), false),
        ("3,000 blank nodes", ring(3_000), true),
        (
            "30,000 quads",
            (0..30_000).map(|_| quad(0, 1)).collect(),
            true,
        ),
    ] {
        let began = Instant::now();
        let found = canonical_nquads(&quads, STEPS_MAX);
        let took = began.elapsed();
        println!(
            "{name}: {}, after {took:?}",
            found
                .as_ref()
                .map_or_else(ToString::to_string, |_| "canonical".into())
        );
        assert_eq!(found.is_err(), is_poison, "{name}");
        assert!(took < Duration::from_secs(2), "{name}: {took:?}");
    }
}

/// A dataset is a set: a second time changes neither what is said nor how blank nodes are told apart.
#[test]
fn what_is_said_twice_is_said_once() {
    let lines: Vec<String> = (0..8)
        .map(|number| format!("_:b{number} <http://a.example/p> \"{number}\" ."))
        .collect();
    let once = read(&lines.join("\n"));
    let canonical = canonical_nquads(&once, STEPS_MAX).unwrap();
    for quad in &once {
        let mut twice = once.clone();
        twice.push(quad.clone());
        assert_eq!(canonical_nquads(&twice, STEPS_MAX).unwrap(), canonical);
    }
}
