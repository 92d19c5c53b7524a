//! RDF Dataset Canonicalization (RDFC-1.0, W3C), with SHA-256 and bounded work. The page is `eddsa-rdfc-2022.md`.
//!
//! Ours, because a poisoned graph keeps an unbounded canonicaliser busy for years, and `ssi`'s (the older URDNA2015) has no
//! bound and differs from the standard where a blank node already has its canonical name.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Most quads of a dataset.
pub const QUADS_MAX: usize = 20_000;
/// Most blank nodes of a dataset.
pub const BLANKS_MAX: usize = 2_000;
/// Most work for telling blank nodes apart, in steps of half a microsecond or so.
pub const STEPS_MAX: u64 = 400_000;
/// Deepest recursion.
const DEPTH_MAX: usize = 512;

/// Why a dataset is not canonicalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the graph has more than {0}")]
pub struct TooComplex(pub &'static str);

/// A term of a dataset: a blank node by its number, or anything else as canonical N-Quads has it (`<iri>`, `"text"`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Term {
    /// A blank node.
    Blank(u32),
    /// An IRI or a literal.
    Text(String),
}

/// Subject, predicate, object, graph.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Quad {
    /// IRI or blank node.
    pub subject: Term,
    /// IRI, `<…>`.
    pub predicate: String,
    /// Any term.
    pub object: Term,
    /// IRI or blank node; `None` is the default graph.
    pub graph: Option<Term>,
}

/// The canonical N-Quads of a dataset.
///
/// # Errors
/// [`TooComplex`], after at most `steps_max` steps.
pub fn canonical_nquads(quads: &[Quad], steps_max: u64) -> Result<String, TooComplex> {
    if quads.len() > QUADS_MAX {
        return Err(TooComplex("20,000 quads"));
    }
    // A dataset is a set: what is said twice must not count twice when blank nodes are told apart.
    let once: Vec<Quad>;
    let mut seen = HashSet::with_capacity(quads.len());
    let quads = if quads.iter().all(|quad| seen.insert(quad)) {
        quads
    } else {
        let mut seen = HashSet::new();
        once = quads
            .iter()
            .filter(|quad| seen.insert(*quad))
            .cloned()
            .collect();
        &once
    };
    let mut state = State::new(quads, steps_max)?;
    state.name_all()?;
    let mut lines: Vec<String> = quads
        .iter()
        .map(|quad| {
            line(quad, |blank, out| {
                let number = state
                    .canonical
                    .number(blank)
                    .expect("every blank node was named");
                let _ = write!(out, "_:c14n{number}");
            })
        })
        .collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.concat())
}

/// A literal as canonical N-Quads: `datatype` is an IRI, `None` for text; a language excludes a datatype.
#[must_use]
pub fn literal(text: &str, datatype: Option<&str>, language: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{08}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{0c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{00}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    match (language, datatype) {
        (Some(language), _) => {
            let _ = write!(out, "@{language}");
        }
        (None, Some(datatype)) => {
            let _ = write!(out, "^^<{datatype}>");
        }
        (None, None) => {}
    }
    out
}

type Hash = [u8; 32];

/// Names given to blank nodes in the order in which they were met.
#[derive(Debug, Clone, Default)]
struct Issuer(Vec<u32>);

impl Issuer {
    fn number(&self, blank: u32) -> Option<usize> {
        self.0.iter().position(|known| *known == blank)
    }

    fn issue(&mut self, blank: u32) -> usize {
        self.number(blank).unwrap_or_else(|| {
            self.0.push(blank);
            self.0.len() - 1
        })
    }
}

/// The names that stand, by blank node: found without a search.
#[derive(Debug, Default)]
struct Canonical {
    numbers: Vec<Option<u32>>,
    next: u32,
}

impl Canonical {
    fn number(&self, blank: u32) -> Option<u32> {
        self.numbers[blank as usize]
    }

    fn issue(&mut self, blank: u32) {
        let number = &mut self.numbers[blank as usize];
        if number.is_none() {
            *number = Some(self.next);
            self.next += 1;
        }
    }
}

struct State<'a> {
    quads: &'a [Quad],
    /// The quads that each blank node is in.
    quads_of: Vec<Vec<usize>>,
    first_degree: Vec<Hash>,
    canonical: Canonical,
    steps: u64,
}

impl<'a> State<'a> {
    fn new(quads: &'a [Quad], steps: u64) -> Result<Self, TooComplex> {
        let mut quads_of: Vec<Vec<usize>> = Vec::new();
        for (at, quad) in quads.iter().enumerate() {
            for (blank, _) in blanks(quad) {
                let blank = blank as usize;
                if blank >= BLANKS_MAX {
                    return Err(TooComplex("2,000 blank nodes"));
                }
                if blank >= quads_of.len() {
                    quads_of.resize_with(blank + 1, Vec::new);
                }
                if quads_of[blank].last() != Some(&at) {
                    quads_of[blank].push(at);
                }
            }
        }
        let canonical = Canonical {
            numbers: vec![None; quads_of.len()],
            next: 0,
        };
        let mut state = Self {
            quads,
            quads_of,
            first_degree: Vec::new(),
            canonical,
            steps,
        };
        state.first_degree = (0..state.quads_of.len())
            .map(|blank| state.hash_first_degree(blank as u32))
            .collect();
        Ok(state)
    }

    /// §4.4.3, steps 3 to 5.
    fn name_all(&mut self) -> Result<(), TooComplex> {
        let mut by_hash: BTreeMap<Hash, Vec<u32>> = BTreeMap::new();
        for (blank, hash) in self.first_degree.iter().enumerate() {
            if !self.quads_of[blank].is_empty() {
                by_hash.entry(*hash).or_default().push(blank as u32);
            }
        }
        for blanks in by_hash.values() {
            if let [only] = blanks[..] {
                self.canonical.issue(only);
            }
        }
        for blanks in by_hash.into_values().filter(|blanks| blanks.len() > 1) {
            let mut paths = Vec::new();
            for blank in blanks {
                if self.canonical.number(blank).is_some() {
                    continue;
                }
                let mut issuer = Issuer::default();
                issuer.issue(blank);
                paths.push(self.hash_n_degree(blank, issuer, 0)?);
            }
            paths.sort_by_key(|(hash, _)| *hash);
            for (_, issuer) in paths {
                for blank in issuer.0 {
                    self.canonical.issue(blank);
                }
            }
        }
        Ok(())
    }

    /// §4.6.
    fn hash_first_degree(&self, blank: u32) -> Hash {
        let name =
            |other: u32, out: &mut String| out.push_str(if other == blank { "_:a" } else { "_:z" });
        let of = &self.quads_of[blank as usize];
        let mut lines: Vec<String> = of.iter().map(|at| line(&self.quads[*at], name)).collect();
        lines.sort_unstable();
        Sha256::digest(lines.concat()).into()
    }

    /// §4.7.
    fn hash_related(&self, related: u32, quad: &Quad, issuer: &Issuer, position: char) -> String {
        let mut input = String::from(position);
        if position != 'g' {
            input.push_str(&quad.predicate);
        }
        if let Some(number) = self.canonical.number(related) {
            let _ = write!(input, "_:c14n{number}");
        } else if let Some(number) = issuer.number(related) {
            let _ = write!(input, "_:b{number}");
        } else {
            input.push_str(&hex(&self.first_degree[related as usize]));
        }
        hex(&Sha256::digest(input).into())
    }

    /// §4.8.
    fn hash_n_degree(
        &mut self,
        blank: u32,
        mut issuer: Issuer,
        depth: usize,
    ) -> Result<(Hash, Issuer), TooComplex> {
        if depth > DEPTH_MAX {
            return Err(TooComplex("512 blank nodes in a row"));
        }
        let quads = self.quads;
        let mut by_hash: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for at in self.quads_of[blank as usize].clone() {
            for (related, position) in blanks(&quads[at]).filter(|(related, _)| *related != blank) {
                self.step(&issuer)?;
                let hash = self.hash_related(related, &quads[at], &issuer, position);
                by_hash.entry(hash).or_default().push(related);
            }
        }
        let mut data = String::new();
        for (hash, mut related) in by_hash {
            data.push_str(&hash);
            related.sort_unstable();
            let mut chosen: Option<(String, Issuer)> = None;
            loop {
                self.step(&issuer)?;
                if let Some(found) = self.path(
                    &related,
                    &issuer,
                    chosen.as_ref().map(|(path, _)| path.as_str()),
                    depth,
                )? {
                    chosen = Some(found);
                }
                if !next_permutation(&mut related) {
                    break;
                }
            }
            let (path, its_issuer) =
                chosen.expect("the first permutation is chosen where nothing was");
            data.push_str(&path);
            issuer = its_issuer;
        }
        Ok((Sha256::digest(data).into(), issuer))
    }

    /// §4.8, steps 5.4.1 to 5.4.6: the path of one order of the related nodes, where it is before `chosen`.
    fn path(
        &mut self,
        order: &[u32],
        issuer: &Issuer,
        chosen: Option<&str>,
        depth: usize,
    ) -> Result<Option<(String, Issuer)>, TooComplex> {
        let is_behind =
            |path: &str| chosen.is_some_and(|chosen| path.len() >= chosen.len() && path > chosen);
        let mut issuer = issuer.clone();
        let mut path = String::new();
        let mut further = Vec::new();
        for related in order {
            if let Some(number) = self.canonical.number(*related) {
                let _ = write!(path, "_:c14n{number}");
            } else {
                if issuer.number(*related).is_none() {
                    further.push(*related);
                }
                let _ = write!(path, "_:b{}", issuer.issue(*related));
            }
            if is_behind(&path) {
                return Ok(None);
            }
        }
        for related in further {
            self.step(&issuer)?;
            let number = issuer.issue(related);
            let (hash, its_issuer) = self.hash_n_degree(related, issuer, depth + 1)?;
            let _ = write!(path, "_:b{number}<{}>", hex(&hash));
            issuer = its_issuer;
            if is_behind(&path) {
                return Ok(None);
            }
        }
        let is_before = chosen.is_none_or(|chosen| path.as_str() < chosen);
        Ok(is_before.then_some((path, issuer)))
    }

    /// Counts work; names are copied and searched, so that many of them cost more.
    fn step(&mut self, issuer: &Issuer) -> Result<(), TooComplex> {
        let cost = 1 + issuer.0.len() as u64 / 64;
        self.steps = self.steps.checked_sub(cost).ok_or(TooComplex(
            "alike blank nodes than the bound of work allows",
        ))?;
        Ok(())
    }
}

fn blanks(quad: &Quad) -> impl Iterator<Item = (u32, char)> {
    let of = |term: Option<&Term>, position| match term {
        Some(Term::Blank(blank)) => Some((*blank, position)),
        _ => None,
    };
    [
        of(Some(&quad.subject), 's'),
        of(Some(&quad.object), 'o'),
        of(quad.graph.as_ref(), 'g'),
    ]
    .into_iter()
    .flatten()
}

/// A quad as a line of N-Quads, blank nodes named by `name`.
fn line(quad: &Quad, name: impl Fn(u32, &mut String)) -> String {
    let mut out = String::with_capacity(128);
    let term = |term: &Term, out: &mut String| match term {
        Term::Blank(blank) => name(*blank, out),
        Term::Text(text) => out.push_str(text),
    };
    term(&quad.subject, &mut out);
    out.push(' ');
    out.push_str(&quad.predicate);
    out.push(' ');
    term(&quad.object, &mut out);
    if let Some(graph) = &quad.graph {
        out.push(' ');
        term(graph, &mut out);
    }
    out.push_str(" .\n");
    out
}

fn hex(hash: &Hash) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[digit as usize]))
        .collect()
}

/// The next order of `items`, from sorted to reversed; `false` after the last.
fn next_permutation(items: &mut [u32]) -> bool {
    let Some(at) = items.windows(2).rposition(|pair| pair[0] < pair[1]) else {
        return false;
    };
    let swap = items
        .iter()
        .rposition(|item| *item > items[at])
        .unwrap_or(at);
    items.swap(at, swap);
    items[at + 1..].reverse();
    true
}
