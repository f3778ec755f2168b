//! What a store of objects fails at, without keys or links; and what of it passes.

use http::StatusCode;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It cannot be reached, or is overworked.
    #[error("the S3 store does not answer: {0}")]
    Away(String),
    /// It does not want to.
    #[error("the S3 store refused: {status}{blank}{code}{meaning}", blank = if code.is_empty() { "" } else { " " })]
    Refused {
        /// Its status.
        status: u16,
        /// Its own word for it, if it has one.
        code: String,
        /// What the word says, for those that operators meet.
        meaning: &'static str,
    },
    /// It is no S3 store, or an odd one.
    #[error("the S3 store behaves oddly: {0}")]
    Odd(String),
    /// Any of these, of a bucket that was just opened.
    #[error("{place} cannot be used: {trouble}")]
    At {
        /// Which bucket, where.
        place: String,
        /// What is wrong.
        trouble: Box<Trouble>,
    },
}

/// Longest word for an error that is shown.
const MAX_CODE: usize = 64;

impl Trouble {
    /// Whether the same may well succeed a little later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Refused { .. } | Self::Odd(_) => false,
            Self::At { trouble, .. } => trouble.is_passing(),
        }
    }

    /// The same, of a place.
    pub(super) fn at(self, place: &str) -> Self {
        Self::At { place: place.to_owned(), trouble: Box::new(self) }
    }

    /// Reads a refusal.
    pub(super) fn of(status: StatusCode, body: &[u8]) -> Self {
        let code = code(&String::from_utf8_lossy(body)).unwrap_or_default();
        let is_passing = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || matches!(code.as_str(), "SlowDown" | "RequestTimeout" | "OperationAborted");
        match is_passing {
            true => Self::Away(format!("{} {code}", status.as_u16()).trim_end().to_owned()),
            false => Self::Refused { status: status.as_u16(), meaning: meaning(status, &code), code },
        }
    }
}

/// The word of `<Error><Code>…</Code>…`.
pub(super) fn code(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<Error")?;
    let (_, rest) = rest.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = (1..=MAX_CODE).contains(&code.len()) && code.chars().all(|c| c.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}

fn meaning(status: StatusCode, code: &str) -> &'static str {
    match code {
        "NoSuchBucket" => " (there is no such bucket: make it, or correct s3_bucket)",
        "InvalidAccessKeyId" => " (it does not know this s3_access_key_id)",
        "SignatureDoesNotMatch" => " (s3_secret_access_key or s3_region is not the right one)",
        "AccessDenied" => {
            " (this key may not do that: it must list the bucket, and get, put and delete objects)"
        }
        "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError" | "PermanentRedirect" => {
            " (the bucket is in another region: correct s3_region, or s3_endpoint)"
        }
        "RequestTimeTooSkewed" => " (the clock of this machine is wrong)",
        "InvalidBucketName" => " (correct s3_bucket)",
        _ if status.is_redirection() => " (it is elsewhere: correct s3_endpoint or s3_region)",
        _ if status == StatusCode::FORBIDDEN => " (correct s3_access_key_id and s3_secret_access_key)",
        _ if status == StatusCode::NOT_FOUND => " (correct s3_endpoint and s3_bucket)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_correct_and_overwork_passes() {
        let error = |code: &str| {
            format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>m</Message></Error>")
        };
        for (status, code, passes, words) in [
            (404, "NoSuchBucket", false, "correct s3_bucket"),
            (403, "InvalidAccessKeyId", false, "s3_access_key_id"),
            (403, "SignatureDoesNotMatch", false, "s3_secret_access_key"),
            (403, "AccessDenied", false, "may not do that"),
            (301, "PermanentRedirect", false, "s3_region"),
            (403, "Whatever", false, "403 Whatever"),
            (501, "NotImplemented", false, "501"),
            (503, "SlowDown", true, "does not answer: 503 SlowDown"),
            (429, "", true, "429"),
            (500, "InternalError", true, "500"),
        ] {
            let trouble = Trouble::of(StatusCode::from_u16(status).unwrap(), error(code).as_bytes());
            assert_eq!(trouble.is_passing(), passes, "{trouble}");
            assert!(trouble.to_string().contains(words), "{trouble}");
            let placed = trouble.at("the bucket x");
            assert_eq!(placed.is_passing(), passes, "{placed}");
        }
    }

    #[test]
    fn what_is_no_error_of_s3_has_no_word() {
        for body in ["", "<html>", "<Code>x</Code>", "<Error><Code></Code>", "<Error><Code>a b</Code>"] {
            assert_eq!(code(body), None, "{body}");
        }
        assert_eq!(code("<Error xmlns=\"x\"><Code>NoSuchKey</Code></Error>").as_deref(), Some("NoSuchKey"));
    }
}
