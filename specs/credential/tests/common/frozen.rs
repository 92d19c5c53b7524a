//! A file of vectors that says what the code does, and changes only on purpose.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "tests")]

use serde_json::Value;

/// That `vectors/<file>` holds exactly these cases; with `TEGATA_WRITE_VECTORS=1` it is written first.
pub fn frozen(file: &str, now: &Value) {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{now:#}\n")).unwrap();
    }
    let then: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for half in ["accept", "reject"] {
        let (now, then) = (
            now[half].as_array().unwrap(),
            then[half].as_array().unwrap(),
        );
        for (now, then) in now.iter().zip(then) {
            assert_eq!(now, then, "{file}: {half}: {}", then["name"]);
        }
        assert_eq!(now.len(), then.len(), "{file}: {half}");
    }
}
