//! The signature base (RFC 9421 section 2.5), and `Signature-Input` of the profile in its one serialisation.

use super::SignatureError;

/// `Signature-Input`'s inner list with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// Whether `content-digest` is covered.
    pub(super) digest: bool,
    /// Seconds since 1970.
    pub(super) created_s: i64,
    /// base64url of 16 bytes.
    pub(super) nonce: String,
    /// Who signs.
    pub(super) keyid: String,
}

const WITHOUT_BODY: &str = r#"("@method" "@target-uri")"#;
const WITH_BODY: &str = r#"("@method" "@target-uri" "content-digest")"#;

impl Input {
    pub(super) fn serialise(&self) -> String {
        let components = if self.digest { WITH_BODY } else { WITHOUT_BODY };
        let Self {
            created_s,
            nonce,
            keyid,
            ..
        } = self;
        format!(
            r#"{components};created={created_s};nonce="{nonce}";keyid="{keyid}";alg="ed25519";tag="tegata""#
        )
    }

    /// Reads the value of the dictionary member `sig`. Parameters may come in any order; the base uses the text as it came,
    /// which is the strict serialisation (RFC 8941 section 4) because nothing else is read here.
    pub(super) fn parse(text: &str) -> Result<Self, SignatureError> {
        let malformed = SignatureError::Input;
        let (digest, rest) = if let Some(rest) = text.strip_prefix(WITH_BODY) {
            (true, rest)
        } else {
            let rest = text.strip_prefix(WITHOUT_BODY);
            (false, rest.ok_or(malformed(r#"components are not "@method" "@target-uri" and, with a body, "content-digest""#))?)
        };
        let (mut created_s, mut nonce, mut keyid, mut alg, mut tag) =
            (None, None, None, None, None);
        let mut parameters = rest.split(';');
        if parameters.next() != Some("") {
            return Err(malformed(
                "something stands between components and parameters",
            ));
        }
        for parameter in parameters {
            let (name, value) = parameter
                .split_once('=')
                .ok_or(malformed("a parameter without a value"))?;
            let slot = match name {
                "created" => {
                    let number = value
                        .parse::<i64>()
                        .ok()
                        .filter(|number| number.to_string() == value && *number >= 0);
                    let number = number.ok_or(malformed("created is not a number of seconds"))?;
                    if created_s.replace(number).is_some() {
                        return Err(malformed("a parameter twice"));
                    }
                    continue;
                }
                "nonce" => &mut nonce,
                "keyid" => &mut keyid,
                "alg" => &mut alg,
                "tag" => &mut tag,
                _ => return Err(malformed("an unknown parameter")),
            };
            let value = value
                .strip_prefix('"')
                .and_then(|value| value.strip_suffix('"'));
            let plain = |byte: u8| {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b':' | b'-' | b'_' | b'.' | b'=' | b'+' | b'/')
            };
            let value = value.filter(|value| value.len() <= 300 && value.bytes().all(plain));
            let value = value.ok_or(malformed("a parameter that is not a plain string"))?;
            if slot.replace(value.to_owned()).is_some() {
                return Err(malformed("a parameter twice"));
            }
        }
        match alg.as_deref() {
            Some("ed25519") => {}
            other => {
                return Err(SignatureError::Algorithm(
                    other.unwrap_or("none").to_owned(),
                ));
            }
        }
        match tag.as_deref() {
            Some("tegata") => {}
            other => return Err(SignatureError::Tag(other.unwrap_or("none").to_owned())),
        }
        let missing = |name| malformed(name);
        Ok(Self {
            digest,
            created_s: created_s.ok_or(missing("created is missing"))?,
            nonce: nonce.ok_or(missing("nonce is missing"))?,
            keyid: keyid.ok_or(missing("keyid is missing"))?,
        })
    }
}

/// One line per component, then `@signature-params`, without a newline at the end.
pub(super) fn signature_base(components: &[(&str, &str)], signature_params: &str) -> String {
    let mut base = String::new();
    for (name, value) in components {
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {signature_params}"));
    base
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ed25519_dalek::{Signer, SigningKey};

    /// RFC 9421 appendix B.2.6: Ed25519 is deterministic, so the whole example can be remade.
    #[test]
    fn the_example_of_rfc_9421_b_2_6() {
        let secret = URL_SAFE_NO_PAD
            .decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU")
            .unwrap();
        let key = SigningKey::from_bytes(&secret.try_into().unwrap());
        assert_eq!(
            URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
            "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"
        );
        let components = [
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("@method", "POST"),
            ("@path", "/foo"),
            ("@authority", "example.com"),
            ("content-type", "application/json"),
            ("content-length", "18"),
        ];
        let params = r#"("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
        let signature = key.sign(signature_base(&components, params).as_bytes());
        let expected = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
        assert_eq!(STANDARD.encode(signature.to_bytes()), expected);
    }

    #[test]
    fn input_is_read_as_written_and_nothing_else() {
        let input = Input {
            digest: true,
            created_s: 1_618_884_473,
            nonce: "AAAAAAAAAAAAAAAAAAAAAA".into(),
            keyid: "vault:00".into(),
        };
        let text = input.serialise();
        assert_eq!(Input::parse(&text).unwrap(), input);
        let other_order = r#"("@method" "@target-uri");tag="tegata";alg="ed25519";keyid="vault:00";nonce="AA";created=5"#;
        assert!(!Input::parse(other_order).unwrap().digest);
        for (from, to) in [
            ("\"@method\" ", ""),
            ("@target-uri", "@path"),
            ("\"content-digest\"", "\"content-digest\" \"date\""),
            (";created", " ;created"),
            ("created=1618884473", "created=01618884473"),
            ("created=1618884473", "created=\"1618884473\""),
            (";created=1618884473", ""),
            (";nonce=\"AAAAAAAAAAAAAAAAAAAAAA\"", ""),
            ("keyid=\"vault:00\"", "keyid=\"vault:00\\\"\""),
            ("ed25519", "rsa-pss-sha512"),
            ("tegata", "other"),
            (";alg", ";expires=5;alg"),
            (";alg", ";keyid=\"x\";alg"),
        ] {
            let altered = text.replacen(from, to, 1);
            assert_ne!(altered, text);
            assert!(Input::parse(&altered).is_err(), "{altered}");
        }
    }
}
