//! The calls of a vault's owner.

use super::{URL, World, key, organisation, signer};
use crate::config::Limits;
use crate::export::ExportItem;
use axum::http::Method;
use tegata_consent::cbor;
use tegata_consent::deposit::{DrawerList, SealedRecord};
use tegata_consent::ids::{DrawerId, SealKey};
use tegata_consent::invitation::Drawer;
use tegata_consent::scope::Scope;
use tegata_service::signature::Signer;

#[tokio::test]
async fn a_vault_is_opened_once_and_by_its_owner() {
    let world = World::new();
    assert_eq!(
        world.owner(Method::GET, "/drawers", vec![]).await.what(),
        (404, "vault-unknown".into())
    );
    assert_eq!(world.owner(Method::PUT, "", vec![]).await.status, 201);
    assert_eq!(world.owner(Method::PUT, "", vec![]).await.status, 200);
    let path = format!("/v1/vaults/{}", world.vault.vault_id());
    let stranger = Signer::vault(key("a stranger"));
    assert_eq!(
        world
            .signed(&stranger, Method::PUT, &path, vec![])
            .await
            .what(),
        (403, "not-owner".into())
    );
    assert_eq!(
        world
            .signed(&signer("clinic"), Method::PUT, &path, vec![])
            .await
            .what(),
        (403, "signer".into())
    );
    assert_eq!(world.unsigned(Method::PUT, &path, vec![]).await.status, 401);
    let (capitals, other) = (
        path.to_uppercase(),
        format!("/v1/vaults/{}", "00".repeat(31)),
    );
    for wrong in [capitals.replace("/V1/VAULTS", "/v1/vaults"), other] {
        assert_eq!(
            world
                .signed(
                    &Signer::vault(world.vault.vault_key()),
                    Method::PUT,
                    &wrong,
                    vec![]
                )
                .await
                .status,
            404,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn nobody_else_sees_anything_of_a_vault() {
    let world = World::new().opened().await;
    world.put(1, 1, b"sealed").await;
    let base = format!("/v1/vaults/{}", world.vault.vault_id());
    let drawer = DrawerId([1; 16]);
    let record = hex::encode([1; 16]);
    for path in [
        "/index",
        "/drawers",
        &format!("/drawers/{drawer}"),
        &format!("/drawers/{drawer}/records/{record}"),
        "/grants",
        "/export",
    ] {
        let path = format!("{base}{path}");
        for stranger in [
            Signer::vault(key("a stranger")),
            signer("clinic"),
            signer("host"),
        ] {
            let answer = world.signed(&stranger, Method::GET, &path, vec![]).await;
            assert_eq!(answer.status, 403, "{path}");
        }
        assert_eq!(
            world.unsigned(Method::GET, &path, vec![]).await.status,
            401,
            "{path}"
        );
    }
    // A stranger with a vault of its own does not get at this drawer through it.
    let stranger = Signer::vault(key("a stranger"));
    let own = format!(
        "/v1/vaults/{}",
        tegata_consent::cose::public_key(&key("a stranger"))
    );
    assert_eq!(
        world
            .signed(&stranger, Method::PUT, &own, vec![])
            .await
            .status,
        201
    );
    let foreign = format!("{own}/drawers/{drawer}");
    assert_eq!(
        world
            .signed(&stranger, Method::GET, &foreign, vec![])
            .await
            .what(),
        (404, "drawer-unknown".into())
    );
    let body = cbor::encode(&world.drawer(1, "vaccination"));
    assert_eq!(
        world
            .signed(&stranger, Method::PUT, &foreign, body)
            .await
            .what(),
        (409, "drawer-exists".into())
    );
}

#[tokio::test]
async fn a_signed_request_is_taken_once_and_for_one_url() {
    let world = World::new().opened().await;
    let owner = Signer::vault(world.vault.vault_key());
    let path = format!("/v1/vaults/{}/drawers", world.vault.vault_id());
    let nonce = tegata_consent::ids::Nonce([5; 16]);
    let headers = tegata_service::signature::sign(
        &owner,
        &Method::GET,
        &format!("{URL}{path}"),
        b"",
        tegata_service::clock::now_s(),
        nonce,
    );
    let build = |path: &str| {
        let mut request = axum::http::Request::builder().uri(path);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        request.body(axum::body::Body::empty()).unwrap()
    };
    assert_eq!(
        world
            .send(build(&path.replace("/drawers", "/grants")))
            .await
            .what(),
        (401, "signature".into())
    );
    assert_eq!(world.send(build(&path)).await.status, 200);
    assert_eq!(
        world.send(build(&path)).await.what(),
        (401, "signature-replayed".into())
    );
}

#[tokio::test]
async fn the_index_is_never_overwritten_unseen() {
    let world = World::with(Limits {
        index_bytes_max: 100,
        ..Limits::default()
    })
    .opened()
    .await;
    let path = format!("/v1/vaults/{}/index", world.vault.vault_id());
    let owner = Signer::vault(world.vault.vault_key());
    let put = async |condition: Option<(&'static str, &str)>, body: &[u8]| {
        let mut request = world.request(&owner, Method::PUT, &path, body.to_vec());
        if let Some((name, value)) = condition {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        world.send(request).await
    };
    assert_eq!(
        world.owner(Method::GET, "/index", vec![]).await.what(),
        (404, "index-none".into())
    );
    assert_eq!(
        put(None, b"a").await.what(),
        (428, "index-condition".into())
    );
    assert_eq!(
        put(Some(("if-match", "*")), b"a").await.what(),
        (428, "index-condition".into())
    );
    assert_eq!(
        put(Some(("if-match", "\"1\"")), b"a").await.what(),
        (412, "index-changed".into())
    );
    let first = put(Some(("if-none-match", "*")), b"a").await;
    assert_eq!(
        (first.status, &first.headers["etag"]),
        (204, &"\"1\"".parse().unwrap())
    );
    assert_eq!(
        put(Some(("if-none-match", "*")), b"b").await.what(),
        (412, "index-changed".into())
    );
    for wrong in ["\"2\"", "1", "\"0\"", "W/\"1\"", "\"1"] {
        assert_eq!(
            put(Some(("if-match", wrong)), b"b").await.status,
            412,
            "{wrong}"
        );
    }
    assert_eq!(
        put(Some(("if-match", "\"1\"")), b"b").await.headers["etag"],
        "\"2\""
    );
    assert_eq!(put(Some(("if-match", "\"1\"")), b"c").await.status, 412);
    assert_eq!(
        put(Some(("if-match", "\"2\"")), &[0; 101]).await.status,
        413
    );
    let read = world.owner(Method::GET, "/index", vec![]).await;
    assert_eq!(
        (read.status, read.body.as_slice(), &read.headers["etag"]),
        (200, b"b".as_slice(), &"\"2\"".parse().unwrap())
    );
}

#[tokio::test]
async fn drawers_are_opened_once_and_listed() {
    let world = World::with(Limits {
        drawers_max: 3,
        ..Limits::default()
    })
    .opened()
    .await;
    let put = async |path: u8, drawer: &Drawer| {
        world
            .owner(
                Method::PUT,
                &format!("/drawers/{}", DrawerId([path; 16])),
                cbor::encode(drawer),
            )
            .await
            .what()
    };
    let drawer = world.drawer(1, "vaccination");
    assert_eq!(put(1, &drawer).await.0, 200);
    assert_eq!(put(2, &drawer).await.0, 400);
    assert_eq!(
        put(
            1,
            &Drawer {
                reader_key: SealKey([1; 32]),
                ..drawer.clone()
            }
        )
        .await,
        (409, "drawer-exists".into())
    );
    assert_eq!(
        put(
            3,
            &Drawer {
                epoch: 0,
                ..world.drawer(3, "x")
            }
        )
        .await
        .0,
        400
    );
    assert_eq!(put(3, &world.drawer(3, "")).await.0, 400);
    assert_eq!(put(3, &world.drawer(3, "imaging")).await.0, 201);
    assert_eq!(
        put(4, &world.drawer(4, "imaging")).await,
        (409, "drawers-full".into())
    );
    let answer = world.owner(Method::GET, "/drawers", vec![]).await;
    let drawers: Vec<Drawer> = cbor::decode(&answer.body, 100_000).unwrap();
    assert_eq!(
        drawers,
        [
            drawer,
            world.drawer(2, "laboratory"),
            world.drawer(3, "imaging")
        ]
    );
}

#[tokio::test]
async fn an_export_holds_everything_and_shows_if_it_is_cut() {
    let world = World::new().opened().await;
    let path = format!("/v1/vaults/{}/index", world.vault.vault_id());
    let mut request = world.request(
        &Signer::vault(world.vault.vault_key()),
        Method::PUT,
        &path,
        b"sealed index".to_vec(),
    );
    request
        .headers_mut()
        .insert("if-none-match", "*".parse().unwrap());
    assert_eq!(world.send(request).await.status, 204);
    for (drawer, record, file) in [
        (1, 1, vec![1; 10]),
        (1, 2, vec![2; 100_000]),
        (2, 1, vec![3; 10]),
    ] {
        world.put(drawer, record, &file).await;
    }
    world
        .grant(1, &Scope::of_drawers(vec![DrawerId([1; 16])]))
        .await;
    let answer = world.owner(Method::GET, "/export", vec![]).await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (200, &"application/cbor-seq".parse().unwrap())
    );
    let mut decoder = minicbor::Decoder::new(&answer.body);
    let mut items = Vec::new();
    while decoder.position() < answer.body.len() {
        items.push(decoder.decode::<ExportItem>().unwrap());
    }
    let count = |fits: fn(&ExportItem) -> bool| items.iter().filter(|item| fits(item)).count();
    assert!(
        matches!(&items[0], ExportItem::Head(head) if head.vault == world.vault.vault_id() && head.host == organisation("host"))
    );
    assert!(matches!(&items[1], ExportItem::Index(index) if **index == *b"sealed index"));
    assert_eq!(count(|item| matches!(item, ExportItem::Drawer(_))), 2);
    assert_eq!(count(|item| matches!(item, ExportItem::Order(_))), 1);
    assert_eq!(items.last(), Some(&ExportItem::End(items.len() as u64 - 1)));
    let records: Vec<&SealedRecord> = items
        .iter()
        .filter_map(|item| {
            if let ExportItem::Record(record) = item {
                Some(record)
            } else {
                None
            }
        })
        .collect();
    let lists: Vec<&DrawerList> = items
        .iter()
        .filter_map(|item| {
            if let ExportItem::List(list) = item {
                Some(list)
            } else {
                None
            }
        })
        .collect();
    let listed: Vec<_> = lists.iter().flat_map(|list| &list.deposits).collect();
    assert_eq!(
        records
            .iter()
            .map(|record| &record.deposit)
            .collect::<Vec<_>>(),
        listed
    );
    assert_eq!(
        records
            .iter()
            .map(|record| record.file.len())
            .collect::<Vec<_>>(),
        [10, 100_000, 10]
    );
}

#[tokio::test]
async fn the_host_says_who_it_is_and_documents_every_route() {
    let world = World::new();
    let about: serde_json::Value =
        serde_json::from_slice(&world.unsigned(Method::GET, "/v1/host", vec![]).await.body)
            .unwrap();
    let expected = serde_json::json!({
        "organisation": organisation("host").to_string(), "chain": world.chain.to_string(), "ledgers": ["http://node.example"],
    });
    assert_eq!(about, expected);
    let openapi: serde_json::Value = serde_json::from_slice(
        &world
            .unsigned(Method::GET, "/openapi.json", vec![])
            .await
            .body,
    )
    .unwrap();
    let paths = openapi["paths"].as_object().unwrap();
    let calls: usize = paths
        .values()
        .map(|path| {
            path.as_object()
                .unwrap()
                .keys()
                .filter(|key| ["get", "put", "post"].contains(&key.as_str()))
                .count()
        })
        .sum();
    assert_eq!(calls, 16, "{:?}", paths.keys().collect::<Vec<_>>());
    assert_eq!(
        world.unsigned(Method::GET, "/readyz", vec![]).await.status,
        200
    );
    world.pass_silently(15_100);
    assert_eq!(
        world.unsigned(Method::GET, "/readyz", vec![]).await.what(),
        (503, "stale".into())
    );
    assert_eq!(
        world.unsigned(Method::GET, "/healthz", vec![]).await.status,
        200
    );
}

/// Opens a vault of a key by name, from an address.
async fn open_from(world: &World, name: &str, address: [u8; 4]) -> (u16, String) {
    let path = format!(
        "/v1/vaults/{}",
        tegata_consent::cose::public_key(&key(name))
    );
    let mut request = world.request(&Signer::vault(key(name)), Method::PUT, &path, vec![]);
    let from = std::net::SocketAddr::from((address, 1234));
    request
        .extensions_mut()
        .insert(axum::extract::ConnectInfo(from));
    let answer = world.send(request).await;
    if answer.status == 429 {
        assert!(answer.headers.contains_key("retry-after"));
    }
    answer.what()
}

#[tokio::test]
async fn openings_are_limited_by_address_and_by_hour_and_in_all() {
    let world = World::with(Limits {
        vaults_max: 5,
        openings_per_hour_max: 4,
        openings_per_address_per_hour_max: 2,
        ..Limits::default()
    });
    let (here, there) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let opened = (201, String::new());
    let too_many = (429, "too-many-vaults".to_owned());
    assert_eq!(open_from(&world, "a", here).await, opened);
    assert_eq!(open_from(&world, "b", here).await, opened);
    assert_eq!(open_from(&world, "c", here).await, too_many);
    assert_eq!(
        open_from(&world, "a", here).await,
        (200, String::new()),
        "one that is open is not opened again"
    );
    assert_eq!(open_from(&world, "c", there).await, opened);
    assert_eq!(open_from(&world, "d", [127, 0, 0, 1]).await, opened);
    assert_eq!(open_from(&world, "e", there).await, too_many);
    world.pass(3_600_000);
    assert_eq!(open_from(&world, "e", there).await, opened);
    let full = (503, "host-full".to_owned());
    assert_eq!(open_from(&world, "f", [192, 0, 2, 3]).await, full);
    let mut world = world;
    world.restart();
    assert_eq!(
        open_from(&world, "f", [192, 0, 2, 3]).await,
        full,
        "vaults are counted anew at the start"
    );
}

#[tokio::test]
async fn grants_of_a_vault_are_limited_and_revocations_are_not() {
    let limits = Limits {
        grants_max: 3,
        grants_per_hour_max: 2,
        ..Limits::default()
    };
    let world = World::with(limits).opened().await;
    let scope = Scope::of_drawers(vec![DrawerId([1; 16])]);
    let submission = |number| world.submission(number, world.grant_body(&scope), &scope);
    world.grant(1, &scope).await;
    let second = submission(2);
    assert_eq!(world.submit(&second).await.status, 201);
    assert_eq!(
        world.submit(&submission(3)).await.what(),
        (429, "too-many-grants".into())
    );
    assert_eq!(
        world.submit(&second).await.status,
        200,
        "one that was carried is not carried again"
    );
    assert_eq!(world.revoke(1).await.status, 201);
    assert_eq!(world.revoke(2).await.status, 201);
    world.pass(3_600_000);
    world.grant(3, &scope).await;
    assert_eq!(
        world.submit(&submission(4)).await.what(),
        (409, "grants-full".into())
    );
    assert_eq!(world.revoke(3).await.status, 201);
}

#[tokio::test]
async fn only_owners_of_open_vaults_take_up_room_for_nonces() {
    let world = World::new();
    let owner = Signer::vault(world.vault.vault_key());
    let path = format!("/v1/vaults/{}/drawers", world.vault.vault_id());
    let again = |parts: &axum::http::request::Parts| {
        axum::http::Request::from_parts(parts.clone(), axum::body::Body::empty())
    };
    let (parts, _) = world
        .request(&owner, Method::GET, &path, vec![])
        .into_parts();
    for _ in 0..2 {
        assert_eq!(
            world.send(again(&parts)).await.what(),
            (404, "vault-unknown".into()),
            "refused each time, remembered never"
        );
    }
    assert_eq!(world.owner(Method::PUT, "", vec![]).await.status, 201);
    assert_eq!(world.send(again(&parts)).await.status, 200);
    assert_eq!(
        world.send(again(&parts)).await.what(),
        (401, "signature-replayed".into())
    );
    let (parts, _) = world
        .request(&signer("nobody"), Method::POST, "/v1/fetch", vec![])
        .into_parts();
    for _ in 0..2 {
        assert_eq!(
            world.send(again(&parts)).await.what(),
            (401, "not-registered".into()),
            "whoever is not registered neither"
        );
    }
}
