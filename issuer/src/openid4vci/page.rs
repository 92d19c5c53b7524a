//! The page on which a person types the pairing code. No script, nothing from elsewhere, readable without colour.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// What the page says.
pub(super) struct Page<'a> {
    /// Who issues.
    pub(super) issuer: &'a str,
    /// Which wallet asks.
    pub(super) wallet: &'a str,
    /// What it asks for, by its names.
    pub(super) records: &'a [&'a str],
    /// `client_id`, repeated with the answer.
    pub(super) client: &'a str,
    /// `request_uri`, repeated with the answer.
    pub(super) request_uri: &'a str,
    /// Where the answer goes; browsers follow a form's answer to no other place.
    pub(super) redirect_uri: &'a str,
    /// What went wrong with the answer before.
    pub(super) fault: Option<&'a str>,
}

const STYLE: &str = "\
body{margin:0;font:1.125rem/1.7 system-ui,sans-serif;color:#1a1a1a;background:#fff;line-break:strict;word-break:auto-phrase}\
main{max-width:34rem;margin:0 auto;padding:1.5rem}h1{font-size:1.5rem;line-height:1.4}h2{font-size:1.25rem}\
label{display:block;font-weight:bold;margin-top:1.5rem}\
input{font:inherit;font-size:1.375rem;letter-spacing:.08em;box-sizing:border-box;width:100%;padding:.75rem;border:2px solid #555;border-radius:.5rem}\
button{font:inherit;min-height:3rem;padding:.5rem 1.5rem;margin:1.5rem .75rem 0 0;border:2px solid #0b5394;border-radius:.5rem;background:#fff;color:#0b5394}\
button[value=allow]{background:#0b5394;color:#fff}input:focus,button:focus{outline:3px solid #b35c00;outline-offset:2px}\
.fault{border-left:.375rem solid #b00020;padding:.25rem 1rem;color:#8a0018}.hint{color:#444;font-size:1rem;margin:.25rem 0}input+.hint{margin-top:.75rem}";

/// The page with the form.
pub(super) fn ask(page: &Page<'_>) -> Response {
    let records: String = page
        .records
        .iter()
        .map(|record| format!("<li>{}</li>", escape(record)))
        .collect();
    let fault = page.fault.map_or_else(String::new, |fault| {
        format!(
            "<p class=\"fault\" role=\"alert\" id=\"fault\">{}</p>",
            escape(fault)
        )
    });
    let described = if page.fault.is_some() {
        "hint fault"
    } else {
        "hint"
    };
    let invalid = if page.fault.is_some() {
        " aria-invalid=\"true\""
    } else {
        ""
    };
    let body = format!(
        "<h1>記録をアプリに入れる</h1>\
         <p><strong>{issuer}</strong>にあるあなたの記録を、アプリ<strong>{wallet}</strong>に入れます。</p>\
         <h2>入れる記録の種類</h2><ul>{records}</ul>{fault}\
         <form method=\"post\" action=\"/openid4vci/authorize\">\
         <input type=\"hidden\" name=\"client_id\" value=\"{client}\">\
         <input type=\"hidden\" name=\"request_uri\" value=\"{request_uri}\">\
         <label for=\"code\">窓口でお渡しした番号</label>\
         <p class=\"hint\" id=\"hint\">16文字の英数字です。例：7KQ2-XM4D-0R9V-HB3T。ハイフンはなくてもかまいません。番号は一度だけ使えます。</p>\
         <input id=\"code\" name=\"code\" autocomplete=\"one-time-code\" autocapitalize=\"characters\" spellcheck=\"false\" maxlength=\"40\" aria-describedby=\"{described}\"{invalid}>\
         <p class=\"hint\">このアプリに入れたい場合だけ、続けてください。身に覚えがないときは「やめる」を押してください。</p>\
         <button name=\"action\" value=\"allow\">続ける</button><button name=\"action\" value=\"cancel\">やめる</button></form>",
        issuer = escape(page.issuer),
        wallet = escape(page.wallet),
        client = escape(page.client),
        request_uri = escape(page.request_uri),
    );
    let status = if page.fault.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    answer(status, &body, form_target(page.redirect_uri).as_deref())
}

/// A page that says why it does not go on. People are sent nowhere: who sent them here is not known.
pub(super) fn stop(status: StatusCode, why: &str) -> Response {
    let body = format!(
        "<h1>続けられません</h1><p class=\"fault\" role=\"alert\">{}</p>\
         <p>アプリに戻って、はじめからやり直してください。うまくいかないときは、番号を受け取った窓口にお尋ねください。</p>",
        escape(why)
    );
    answer(status, &body, None)
}

/// Scheme and host of a redirect URI, or its scheme alone where it is an app's own.
fn form_target(redirect_uri: &str) -> Option<String> {
    let url = reqwest::Url::parse(redirect_uri).ok()?;
    let origin = url.origin();
    Some(if origin.is_tuple() {
        origin.ascii_serialization()
    } else {
        format!("{}:", url.scheme())
    })
}

fn answer(status: StatusCode, body: &str, form_target: Option<&str>) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"ja\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>記録をアプリに入れる</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    );
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        form_target.unwrap_or_default()
    );
    let mut headers = HeaderMap::new();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_LANGUAGE, "ja"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    (status, headers, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_that_is_shown_becomes_markup() {
        let response = ask(&Page {
            issuer: "<b>市</b>",
            wallet: "\"><script>",
            records: &["a&b"],
            client: "c'\"",
            request_uri: "<u>",
            redirect_uri: "https://wallet.example/back?x=1",
            fault: Some("<i>"),
        });
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(
            policy.contains("form-action 'self' https://wallet.example;"),
            "{policy}"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = axum::body::to_bytes(response.into_body(), 100_000)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        for raw in ["<script", "<b>市", "<u>", "<i>", "a&b", "c'\""] {
            assert!(!body.contains(raw), "{raw}");
        }
        assert!(body.contains("&quot;&gt;&lt;script&gt;") && body.contains("lang=\"ja\""));
    }

    #[test]
    fn an_apps_own_scheme_is_a_target_too() {
        assert_eq!(
            form_target("my.wallet:/back").as_deref(),
            Some("my.wallet:")
        );
        assert_eq!(
            form_target("http://localhost:1/x").as_deref(),
            Some("http://localhost:1")
        );
        assert_eq!(form_target("nonsense"), None);
    }
}
