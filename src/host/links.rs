//! Signed links to objects.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::ObjectKey;
use crate::domain::Timestamp;

/// How long a link holds. Source: the v2 contract.
pub const LINK_TTL: Duration = Duration::from_secs(30 * 60);

/// Makes and checks signed links.
#[derive(Clone)]
pub struct Links {
    /// Scheme and authority of every link, without a slash at the end.
    public_url: String,
    secret: [u8; 32],
}

impl Links {
    /// Path prefix of all links.
    pub const PREFIX: &'static str = "/objects/";

    /// Links under a public URL.
    pub fn new(public_url: &str, secret: [u8; 32]) -> Self {
        Self { public_url: public_url.trim_end_matches('/').to_owned(), secret }
    }

    /// A link to PUT or GET an object until it expires.
    pub fn sign(&self, verb: &str, key: ObjectKey, now: Timestamp) -> String {
        self.sign_for(verb, key, now, LINK_TTL)
    }

    /// A link that holds for so long.
    pub fn sign_for(&self, verb: &str, key: ObjectKey, now: Timestamp, valid: Duration) -> String {
        let name = key.to_string();
        let expires = now.plus(valid).0 / 1000;
        let signature = hex(&self.mac(verb, &name, expires).finalize().into_bytes());
        format!("{}{}{name}?expires={expires}&signature={signature}", self.public_url, Self::PREFIX)
    }

    /// Whether a link was made here and still holds.
    pub fn verify(&self, verb: &str, name: &str, expires: i64, signature: &str, now: Timestamp) -> bool {
        let Some(signature) = unhex(signature) else { return false };
        // The comparison takes the same time for every wrong signature.
        self.mac(verb, name, expires).verify_slice(&signature).is_ok() && expires > now.0 / 1000
    }

    /// A key that follows from a name: the same name gets the same one, and nobody else can make it.
    pub fn derive_key(&self, name: &str) -> String {
        let bytes = self.mac("KEY", name, 0).finalize().into_bytes();
        BASE64_URL_SAFE_NO_PAD.encode(&bytes[..16])
    }

    /// A secret for another purpose, which all brokers over the same records share, too.
    pub fn derive_secret(&self, purpose: &str) -> [u8; 32] {
        self.mac("SECRET", purpose, 0).finalize().into_bytes().into()
    }

    fn mac(&self, verb: &str, name: &str, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(format!("{verb}\n{name}\n{expires}").as_bytes());
        mac
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::AttemptId;

    #[test]
    fn a_link_holds_for_its_verb_its_name_and_its_time() {
        let links = Links::new("http://127.0.0.1:7001/", [7; 32]);
        let key = ObjectKey::Result(AttemptId(Uuid::from_u128(1)));
        let (now, name) = (Timestamp(1_000_000), key.to_string());
        let link = links.sign("PUT", key, now);
        let query = link.strip_prefix(&format!("http://127.0.0.1:7001/objects/{name}?expires=")).unwrap();
        let (expires, signature) = query.split_once("&signature=").unwrap();
        let expires = expires.parse().unwrap();
        let holds = |verb: &str, name: &str, expires, signature: &str, at| {
            links.verify(verb, name, expires, signature, at)
        };
        assert!(holds("PUT", &name, expires, signature, now));
        assert!(!holds("GET", &name, expires, signature, now), "for another verb it is worth nothing");
        assert!(!holds("PUT", "other.webp", expires, signature, now), "nor for another object");
        assert!(!holds("PUT", &name, expires + 60, signature, now), "nor with a later expiry");
        assert!(!holds("PUT", &name, expires, signature, now.plus(LINK_TTL)), "nor after its time");
        assert!(!holds("PUT", &name, expires, "é0", now), "nor with a signature that is none");
    }
}
