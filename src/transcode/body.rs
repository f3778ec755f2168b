//! Bodies, bounded in size, in time and in the number of their parts.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::error::{message, respond};
use crate::rpc::{error::with_reason, pb::Reason};

/// How long a body may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Between two parts of it.
    pub silence: Duration,
    /// In all: the largest body over a slow line.
    pub whole: Duration,
}

/// What every caller is granted.
pub(super) const PATIENCE: Patience =
    Patience { silence: Duration::from_secs(30), whole: Duration::from_secs(300) };

/// Bodies up to so many bytes are not searched for how many parts they have.
const SMALL: usize = 64 * 1024;
/// Most values that a body may hold: each takes far more memory once read than the two bytes it is sent in.
const MAX_PARTS: usize = 100_000;

/// Reads a body to its end.
///
/// # Errors
/// The refusal: 413 for more than `most` bytes, 408 for one that comes too slowly, 400 for one that breaks off.
pub async fn collect(body: Body, most: usize) -> Result<Bytes, Response> {
    gather(body, most, PATIENCE).await.map_err(|refusal| *refusal)
}

async fn gather(body: Body, most: usize, patience: Patience) -> Result<Bytes, Box<Response>> {
    let too_slow = |_| Box::new(respond(&too_slow()));
    let mut body = Limited::new(body, most);
    let whole = async {
        let mut bytes = Vec::new();
        let mut first = Bytes::new();
        while let Some(frame) = timeout(patience.silence, body.frame()).await.map_err(too_slow)? {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => Box::new(respond(&too_large(most))),
                false => Box::new(message(axum::http::StatusCode::BAD_REQUEST, "the body ended too early")),
            })?;
            // Most bodies come in one piece, which need not be copied.
            match frame.into_data() {
                Ok(data) if first.is_empty() && bytes.is_empty() => first = data,
                Ok(data) => {
                    if bytes.is_empty() {
                        bytes.extend_from_slice(&first);
                    }
                    bytes.extend_from_slice(&data);
                }
                Err(_) => {}
            }
        }
        Ok(if bytes.is_empty() { first } else { bytes.into() })
    };
    timeout(patience.whole, whole).await.map_err(too_slow)?
}

/// The refusal of a body or message that is too large.
pub fn too_large(most: usize) -> Status {
    let text = format!("the body is larger than {most} bytes");
    with_reason(Code::OutOfRange, Reason::PayloadTooLarge, text, Default::default(), None)
}

/// The refusal of a body or message that does not come in time.
pub fn too_slow() -> Status {
    let text = "the body did not come in time";
    with_reason(Code::DeadlineExceeded, Reason::PayloadTooSlow, text, Default::default(), None)
}

/// Whether a JSON body has more values than any honest one: to be asked before it is read.
pub(super) fn has_too_many_parts(json: &[u8]) -> bool {
    if json.len() <= SMALL {
        return false;
    }
    let (mut parts, mut in_string) = (0, false);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            b',' | b'[' | b'{' if !in_string => parts += 1,
            _ => {}
        }
    }
    parts > MAX_PARTS
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt, stream};

    use super::*;

    const SHORT: Patience = Patience { silence: Duration::from_millis(200), whole: Duration::from_secs(20) };

    fn pieces(
        pieces: &'static [&'static str],
    ) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
        stream::iter(pieces).map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
    }

    #[tokio::test]
    async fn a_body_is_joined_from_its_pieces_and_may_not_be_too_large() {
        let body = || Body::from_stream(pieces(&["{", "\"a\"", ":1}"]));
        assert_eq!(gather(body(), 7, SHORT).await.expect("it is read"), "{\"a\":1}");
        assert_eq!(gather(body(), 6, SHORT).await.expect_err("it is too large").status(), 413);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_refused_in_time() {
        let silent = Body::from_stream(pieces(&["{"]).chain(stream::pending()));
        assert_eq!(gather(silent, 100, SHORT).await.expect_err("nothing more comes").status(), 408);
        let trickle = Body::from_stream(stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
        }));
        let brief = Patience { whole: Duration::from_millis(30), ..SHORT };
        assert_eq!(gather(trickle, 1 << 20, brief).await.expect_err("it takes too long").status(), 408);
    }

    #[test]
    fn parts_are_counted_outside_of_texts() {
        let list = |item: &str, n: usize| format!("[{}]", vec![item; n].join(","));
        assert!(has_too_many_parts(list("1", MAX_PARTS + 1).as_bytes()));
        assert!(has_too_many_parts(list("{}", MAX_PARTS / 2 + 1).as_bytes()));
        assert!(!has_too_many_parts(list("1", MAX_PARTS - 1).as_bytes()));
        let text = format!("[\"\\\"{}\"]", ",".repeat(2 * MAX_PARTS));
        assert!(!has_too_many_parts(text.as_bytes()), "what stands in a text is no part");
    }
}
