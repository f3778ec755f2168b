//! Asks whether somebody is a person: reCAPTCHA, version 2.
//!
//! Of whoever registers nothing is told but their answer; not their address either.

use std::time::Duration;

use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde_json::Value;

use super::{Guarded, Schemes, Target, Trouble};
use crate::config::{Secret, SignIn};

/// How long the check may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Largest verdict, in bytes.
const MAX_VERDICT: usize = 16 * 1024;
/// Longest answer that is checked, in bytes.
const LONGEST_ANSWER: usize = 8 * 1024;

/// The field of a form that an answer comes in.
pub const FIELD: &str = "g-recaptcha-response";

/// The captcha of a site.
pub struct Captcha {
    site_key: String,
    secret: Secret,
    verify_url: Target,
    guarded: Guarded,
}

impl Captcha {
    /// The captcha that is set up, if one is.
    ///
    /// # Errors
    /// Its URL cannot be used; for the operator.
    pub fn new(settings: &SignIn, guarded: &Guarded) -> Result<Option<Self>, String> {
        let Some((site_key, secret)) = settings.recaptcha() else { return Ok(None) };
        let verify_url = guarded.target(&settings.recaptcha_verify_url, Schemes::HttpOrHttps);
        let verify_url = verify_url
            .map_err(|problem| format!("recaptcha_verify_url: the URL {problem}; is it in fetch_allow?"))?;
        let (site_key, secret) = (site_key.to_owned(), secret.clone());
        Ok(Some(Self { site_key, secret, verify_url, guarded: guarded.clone() }))
    }

    /// What stands on the page.
    pub fn site_key(&self) -> &str {
        &self.site_key
    }

    /// Whether an answer is that of a person.
    ///
    /// # Errors
    /// Any [`Trouble`]: nobody can say.
    pub async fn is_passed(&self, answer: &str) -> Result<bool, Trouble> {
        if answer.is_empty() || answer.len() > LONGEST_ANSWER {
            return Ok(false);
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("secret", self.secret.expose())
            .append_pair("response", answer)
            .finish();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let request = (Method::POST, headers, form.into_bytes());
        let verdict = self.guarded.ask(&self.verify_url, request, MAX_VERDICT, DEADLINE).await?;
        match verdict.status {
            StatusCode::OK => is_success(&verdict.body).ok_or(Trouble::Unreachable),
            status => Err(Trouble::Status(status.as_u16())),
        }
    }
}

/// What a verdict says; `None`: it is none.
fn is_success(verdict: &[u8]) -> Option<bool> {
    serde_json::from_slice::<Value>(verdict).ok()?.get("success")?.as_bool()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_yes_or_no_or_none() {
        for (verdict, said) in [
            (r#"{"success": true, "hostname": "grid.example"}"#, Some(true)),
            (r#"{"success": false, "error-codes": ["timeout-or-duplicate"]}"#, Some(false)),
            (r#"{"success": "true"}"#, None),
            ("{}", None),
            ("<html>", None),
        ] {
            assert_eq!(is_success(verdict.as_bytes()), said, "{verdict}");
        }
    }
}
