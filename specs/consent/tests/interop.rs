//! The pages of this crate's formats as another implementation reads them: `tests/interop/consent.py`, which was written from the
//! pages alone, has the verdict of every vector. Needs the packages of `tests/interop/requirements.txt` for the Python that
//! `TEGATA_PYTHON` names (default: the virtual environment that `make setup` makes).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::process::Command;

use serde_json::Value;

#[test]
fn another_implementation_judges_every_vector_alike() {
    let python = std::env::var("TEGATA_PYTHON").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        format!("{home}/.cache/tegata/venv/bin/python")
    });
    let output = Command::new(&python)
        .arg("consent.py")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/interop"))
        .output()
        .unwrap_or_else(|error| panic!("{python} consent.py: {error}; run `make setup`"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let summary: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no summary ({error}); run `make setup`: {errors}"));

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let vectors: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        let refused = vectors
            .iter()
            .filter(|vector| vector.get("refused").is_some())
            .count();
        let judged = &summary[name];
        assert_eq!(judged["wrong"], Value::Array(vec![]), "{name}");
        assert!(refused > 0 && refused < vectors.len(), "{name}");
        assert_eq!(judged["rejected"], refused, "{name}");
        assert_eq!(judged["accepted"], vectors.len() - refused, "{name}");
    }
    assert!(output.status.success(), "{errors}");
}
