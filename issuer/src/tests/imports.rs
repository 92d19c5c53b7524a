//! CSV over HTTP and through the watched folder.

use super::world::*;
use crate::import::client::{ImportFile, ImportFileError, import_file};
use serde_json::{Value, json};
use std::path::Path;

const HEAD: &str = "宛名番号,氏名,予防接種名,接種回数,接種日,接種場所\n";

async fn import(
    issuer: &Running,
    path: &Path,
    kind: Option<&str>,
    dry_run: bool,
) -> Result<crate::ImportAnswer, ImportFileError> {
    import_file(&ImportFile {
        url: &issuer.url,
        token: TOKEN,
        path,
        kind,
        dry_run,
        progress: false,
    })
    .await
}

fn numbers(answer: &crate::ImportAnswer) -> [u64; 4] {
    [answer.rows, answer.accepted, answer.same, answer.failed]
}

#[tokio::test]
async fn a_file_goes_in_once_and_its_failed_rows_come_back() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "12").await;
    let path = world.folder.path().join("予防接種 2025.csv");
    let text = format!(
        "{HEAD}１２,山田 花子,ﾋﾌﾞ,１,令和５年４月１日,さくら医院\n12,山田 花子,BCG,,平成31年5月1日,さくら医院\n13,,カレー,x,,\n"
    );
    let (cp932, _, _) = encoding_rs::SHIFT_JIS.encode(&text);
    std::fs::write(&path, &cp932).unwrap();

    let dry = import(&issuer, &path, None, true).await.unwrap();
    assert_eq!(
        (dry.state.as_str(), dry.encoding.as_deref(), numbers(&dry)),
        ("done", Some("cp932"), [3, 1, 0, 2])
    );
    assert_eq!(
        issuer.get("/v1/records").await["records"],
        json!([]),
        "a dry run stores nothing"
    );

    let done = import(&issuer, &path, None, false).await.unwrap();
    assert_eq!(numbers(&done), [3, 1, 0, 2]);
    let failures: Vec<_> = done
        .failures
        .iter()
        .map(|f| (f.row, f.column.as_deref().unwrap(), f.code.as_str()))
        .collect();
    assert_eq!(
        failures,
        [
            (3, "接種日", "outside-era"),
            (4, "予防接種名", "unknown-value"),
            (4, "接種日", "missing-value")
        ]
    );
    let records = issuer
        .wait("/v1/records?subject=12", |page| {
            page["records"][0]["status"] == "deposited"
        })
        .await;
    assert_eq!(records["records"].as_array().unwrap().len(), 1);
    let (_, credential) = wallet.open(&world.host.drawer(&wallet.drawer("vaccination"))[0]);
    let verified = verify(&world, &wallet, &credential, "vaccination");
    assert_eq!(
        verified.claims(),
        &json!({"vaccine_code": "hib", "dose_number": 1, "date": "2023-04-01", "place": {"name": "さくら医院"}})
    );

    // The failed rows come back as a file that can be put right and sent again.
    let response = issuer
        .http
        .get(format!("{}/v1/imports/{}/failed.csv", issuer.url, done.id))
        .bearer_auth(TOKEN);
    let failed = response.send().await.unwrap().bytes().await.unwrap();
    let failed = String::from_utf8(failed.to_vec()).unwrap();
    assert_eq!(
        failed,
        "\u{feff}行,列,理由,宛名番号,氏名,予防接種名,接種回数,接種日,接種場所\r\n\
         3,接種日,元号「平成」の期間外の日付です,12,山田 花子,BCG,,平成31年5月1日,さくら医院\r\n\
         4,予防接種名 / 接種日,知らない値です / 値がありません,13,,カレー,x,,\r\n"
    );
    let fixed = failed
        .replace("平成31年5月1日", "令和元年5月1日")
        .replace("カレー,x,", "水痘,2,R2.4.1");
    std::fs::write(&path, fixed).unwrap();
    let second = import(&issuer, &path, Some("vaccination"), false)
        .await
        .unwrap();
    assert_eq!(numbers(&second), [2, 2, 0, 0], "{second:?}");
    assert_eq!(
        numbers(&import(&issuer, &path, None, false).await.unwrap()),
        [2, 0, 2, 0],
        "again is the same"
    );

    let changed = format!("{HEAD}12,,ヒブ,1,R5.4.1,もみじ医院\n");
    std::fs::write(&path, changed).unwrap();
    let conflict = import(&issuer, &path, None, false).await.unwrap();
    assert_eq!(
        (numbers(&conflict), conflict.failures[0].code.as_str()),
        ([1, 0, 0, 1], "changed")
    );
    let left: Vec<_> = std::fs::read_dir(world.folder.path().join("data/imports"))
        .unwrap()
        .collect();
    assert!(
        left.iter().all(|entry| entry
            .as_ref()
            .unwrap()
            .path()
            .to_str()
            .unwrap()
            .ends_with(".failed.csv")),
        "{left:?}"
    );
    issuer.stop().await;
}

#[tokio::test]
async fn a_file_with_a_wrong_column_is_refused_whole() {
    let world = World::new().await;
    let issuer = world.start().await;
    let path = world.folder.path().join("x.csv");
    std::fs::write(
        &path,
        format!("{HEAD}1,,BCG,,R5.4.1,\n").replace("接種日", "接種曰"),
    )
    .unwrap();
    let refused = import(&issuer, &path, Some("vaccination"), false)
        .await
        .unwrap();
    assert_eq!((refused.state.as_str(), refused.rows), ("refused", 0));
    assert_eq!(
        (
            refused.failures[0].column.as_deref(),
            refused.failures[0].code.as_str()
        ),
        (Some("接種曰"), "unknown-column")
    );
    for (kind, code) in [(Some("curry"), "unknown-kind"), (None, "unknown-kind")] {
        std::fs::write(&path, "宛名番号,接種日\n").unwrap();
        assert_eq!(
            import(&issuer, &path, kind, false).await.unwrap().failures[0].code,
            code
        );
    }
    let wrong = ImportFile {
        url: &issuer.url,
        token: "x",
        path: &path,
        kind: None,
        dry_run: false,
        progress: false,
    };
    assert!(
        matches!(import_file(&wrong).await, Err(ImportFileError::Refused(text)) if text.contains("bearer token"))
    );
    assert!(matches!(
        import(&issuer, Path::new("/none.csv"), None, false).await,
        Err(ImportFileError::File { .. })
    ));
    issuer.stop().await;
}

#[tokio::test]
async fn rows_of_types_that_are_not_accredited_fail() {
    let world = World::new().await;
    world.registry.change(&world.id(), |own| {
        own.organisation
            .issues
            .retain(|issues| issues.record_type == "vaccination")
    });
    let issuer = world.start().await;
    let path = world.folder.path().join("股関節脱臼.csv");
    std::fs::write(&path, "宛名番号,受診日,受診場所\n1,R5.4.1,保健センター\n").unwrap();
    let answer = import(&issuer, &path, None, false).await.unwrap();
    assert_eq!(
        (numbers(&answer), answer.failures[0].code.as_str()),
        ([1, 0, 0, 1], "not-accredited")
    );
    issuer.stop().await;
}

#[tokio::test]
async fn a_watched_folder_needs_no_hands() {
    let mut world = World::new().await;
    let folder = world.folder.path().join("watched");
    world.watched = Some(folder.clone());
    std::fs::create_dir_all(folder.join("work")).unwrap();
    // Taken out of the folder before a crash, but not begun.
    let orphan = format!("work/{}-予防接種0.csv", "ab".repeat(16));
    std::fs::write(folder.join(&orphan), format!("{HEAD}9,,BCG,,R5.4.1,\n")).unwrap();
    let issuer = world.start().await;
    std::fs::write(
        folder.join("予防接種1.csv"),
        format!("{HEAD}1,,BCG,,R5.4.1,\n2,,BCG,,R5.4.99,\n"),
    )
    .unwrap();
    std::fs::write(folder.join("予防接種2.csv"), "氏名\n").unwrap();
    let long = "長".repeat(80);
    std::fs::write(folder.join(format!("{long}予防.csv")), "宛名番号\n").unwrap();
    std::fs::write(folder.join("readme.txt"), "x").unwrap();
    issuer
        .wait("/v1/records?status=waiting", |page| {
            page["counts"]["waiting"] == 2
        })
        .await;
    let names = |below: &str| -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder.join(below))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_by_key(|name| name.split_once('-').map(|(_, name)| name.to_owned()));
        names
    };
    let tails = |below: &str| -> Vec<String> {
        names(below)
            .iter()
            .map(|name| {
                name.split_once('-')
                    .map_or(name.clone(), |(_, name)| name.to_owned())
            })
            .collect()
    };
    issuer
        .wait("/v1/records?limit=1", |_: &Value| {
            names("work").is_empty() && names("failed").len() == 5
        })
        .await;
    assert_eq!(tails("done"), ["予防接種0.csv", "予防接種1.csv"]);
    let failed = tails("failed");
    for name in [
        "予防接種1.failed.csv",
        "予防接種2.csv",
        "予防接種2.csv.reason.txt",
    ] {
        assert!(failed.contains(&name.to_owned()), "{failed:?}");
    }
    assert!(
        failed.iter().any(|name| name.ends_with("長予防.csv")),
        "a long name is cut: {failed:?}"
    );
    let reason = names("failed")
        .into_iter()
        .find(|name| name.ends_with("予防接種2.csv.reason.txt"))
        .unwrap();
    let reason = std::fs::read_to_string(folder.join("failed").join(reason)).unwrap();
    assert!(
        reason.contains("missing-column") && reason.contains("宛名番号"),
        "{reason}"
    );
    assert!(folder.join("readme.txt").exists());
    issuer.stop().await;
}

/// Files in the folder of uploads.
fn uploads(world: &World) -> Vec<std::path::PathBuf> {
    let folder = std::fs::read_dir(world.folder.path().join("data/imports"));
    let entries = folder.into_iter().flatten(); // none before it starts
    entries.map(|entry| entry.unwrap().path()).collect()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed().as_secs() < 20, "not within 20 s: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_no_rows_behind() {
    use tokio::io::AsyncWriteExt;
    let world = World::new().await;
    let issuer = world.start().await;
    let address = issuer.url.strip_prefix("http://").unwrap();
    let mut sender = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/imports?file=a.csv HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 100000\r\n\r\n{HEAD}12,"
    );
    sender.write_all(head.as_bytes()).await.unwrap();
    until("the upload began", || {
        let files = uploads(&world);
        files
            .first()
            .is_some_and(|file| std::fs::metadata(file).is_ok_and(|file| file.len() > 0))
    })
    .await;
    assert_eq!(uploads(&world).len(), 1);
    drop(sender);
    until("its file is erased", || uploads(&world).is_empty()).await;
    assert_eq!(
        issuer.get("/v1/records").await["records"],
        json!([]),
        "nothing of it was taken"
    );
    issuer.stop().await;
}

#[tokio::test]
async fn uploads_that_a_crash_cut_off_are_reported_and_erased_at_the_start() {
    let world = World::new().await;
    let issuer = world.start().await;
    let path = world.folder.path().join("予防接種.csv");
    std::fs::write(&path, format!("{HEAD}13,,カレー,x,,\n")).unwrap();
    let done = import(&issuer, &path, None, false).await.unwrap();
    assert_eq!(numbers(&done), [1, 0, 0, 1]);
    until("the uploaded file is erased", || uploads(&world).len() == 1).await;
    issuer.stop().await;
    let kept = uploads(&world);
    let folder = world.folder.path().join("data/imports");
    let left = [
        folder.join(format!("{}.csv", "01".repeat(16))),
        folder.join(format!("{}.failed.csv", "02".repeat(16))),
    ];
    for path in &left {
        std::fs::write(path, HEAD).unwrap();
    }
    let report = crate::fsck(&world.folder.path().join("data"), |_| ()).unwrap();
    let names = left.each_ref().map(|path| path.display().to_string());
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.leftovers, names);
    let issuer = world.start().await;
    until("they are erased", || uploads(&world) == kept).await;
    issuer.stop().await;
}

#[tokio::test]
async fn an_upload_that_takes_long_is_taken_as_long_as_it_comes() {
    let mut world = World::new().await;
    world.http_limits = tegata_service::config::HttpLimits {
        answer_timeout_ms: 500,
        body_bytes_per_s_min: 100,
        ..world.http_limits
    };
    let issuer = world.start().await;
    let rows =
        (0..20).map(|row| format!("{},山田 花子,BCG,,平成31年4月1日,さくら医院\n", 100 + row));
    let pieces = std::iter::once(HEAD.to_owned()).chain(rows);
    let body = futures::stream::iter(pieces.collect::<Vec<_>>());
    let body = futures::StreamExt::then(body, |piece| async move {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(piece)
    });
    let began = std::time::Instant::now();
    let answer = issuer
        .http
        .post(format!(
            "{}/v1/imports?file=%E4%BA%88%E9%98%B2%E6%8E%A5%E7%A8%AE.csv",
            issuer.url
        ))
        .bearer_auth(TOKEN)
        .body(reqwest::Body::wrap_stream(body))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    assert!(
        began.elapsed().as_millis() > 2_000,
        "four times as long as an answer may take"
    );
    let id = answer.json::<Value>().await.unwrap()["id"].to_string();
    let path = format!("/v1/imports/{}", id.trim_matches('"'));
    let done = issuer.wait(&path, |import| import["state"] == "done").await;
    assert_eq!(
        (&done["rows"], &done["failed"]),
        (&json!(20), &json!(0)),
        "{done}"
    );
    issuer.stop().await;
}
