//! Objects in a bucket of any S3-compatible store.
//!
//! Every request is a link that is signed for a minute (`rusty-s3`) and used at once (`reqwest`): the
//! payload is not signed, which TLS is for. What fails in passing is tried again for a while.

mod exchange;
mod trouble;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use rusty_s3::{Credentials, S3Action, UrlStyle, actions::ListObjectsV2};

use self::exchange::{Answer, Exchange};
use super::{Beginning, Blobs, DirectLinks, Failure, check_object_name};
use crate::{
    config::Bucket,
    domain::{Clock, media::Format},
};

pub use self::trouble::Trouble;

/// Largest object, in bytes.
const MOST: usize = 64 * 1024 * 1024;
/// Largest list of names, in bytes.
const MOST_OF_A_LIST: usize = 4 * 1024 * 1024;
/// Most names that a store lists at a time.
const PAGE: usize = 1000;
/// How long a link of our own holds.
const OWN: Duration = Duration::from_secs(60);
/// What is written, read and deleted to see whether the key may do so. Brokers do so at the same time.
const PROBE: &str = "gridbroker.probe";

/// Objects in a bucket.
pub struct S3Blobs {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
    clock: Arc<dyn Clock>,
    exchange: Exchange,
    has_direct_links: bool,
}

impl S3Blobs {
    /// Opens a bucket: sees whether it is there, and whether objects in it can be listed, written, read
    /// and deleted.
    ///
    /// # Errors
    /// It is not, or they cannot, and why; or the store is away: then [`is_passing`].
    pub async fn open(bucket: &Bucket, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let style = if bucket.is_in_path { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let place =
            rusty_s3::Bucket::new(bucket.endpoint.clone(), style, bucket.name.clone(), bucket.region.clone());
        let blobs = Self {
            bucket: place.map_err(|error| format!("s3_endpoint and s3_bucket give no URL: {error}"))?,
            credentials: Credentials::new(bucket.key_id.clone(), bucket.secret.expose()),
            clock,
            exchange: Exchange::new()?,
            has_direct_links: bucket.has_direct_links,
        };
        blobs.probe().await.map_err(|trouble| {
            let place = format!("the bucket {} at {}", bucket.name, bucket.endpoint);
            Failure::from(trouble.at(&place))
        })?;
        Ok(blobs)
    }

    async fn probe(&self) -> Result<(), Trouble> {
        self.page("", 1, Tries::One).await?;
        self.write(PROBE, Bytes::from_static(b"?"), Tries::One).await?;
        let mut read = self.fetch(PROBE, None, Tries::One).await?;
        if let Some(answer) = &mut read {
            answer.body(MOST).await?;
        }
        self.remove(PROBE, Tries::One).await
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.clock.now().0).unwrap_or_default()
    }

    fn signed<'a>(&self, action: &impl S3Action<'a>, holds: Duration) -> reqwest::Url {
        action.sign_with_time(holds, &self.now())
    }

    async fn write(&self, name: &str, content: Bytes, tries: Tries) -> Result<(), Trouble> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, content.len().into());
        headers.insert(header::CONTENT_TYPE, typed(Format::of(&content).content_type()));
        let sign = || self.signed(&self.bucket.put_object(Some(&self.credentials), name), OWN);
        let put = self.exchange.send(http::Method::PUT, sign, &headers, Some(content), tries).await?;
        put.expect(&[StatusCode::OK, StatusCode::CREATED, StatusCode::NO_CONTENT]).await.map(|_| ())
    }

    /// An object, or some of its first bytes; `None` if there is none.
    async fn fetch(&self, name: &str, first: Option<usize>, tries: Tries) -> Result<Option<Answer>, Trouble> {
        let mut headers = HeaderMap::new();
        if let Some(first) = first {
            headers.insert(header::RANGE, typed(&format!("bytes=0-{}", first.saturating_sub(1))));
        }
        let sign = || self.signed(&self.bucket.get_object(Some(&self.credentials), name), OWN);
        let got = self.exchange.send(http::Method::GET, sign, &headers, None, tries).await?;
        let fit = [StatusCode::OK, StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE];
        got.unless_missing(&fit[..if first.is_some() { 3 } else { 1 }]).await
    }

    async fn remove(&self, name: &str, tries: Tries) -> Result<(), Trouble> {
        let sign = || self.signed(&self.bucket.delete_object(Some(&self.credentials), name), OWN);
        let gone = self.exchange.send(http::Method::DELETE, sign, &HeaderMap::new(), None, tries).await?;
        gone.unless_missing(&[StatusCode::OK, StatusCode::NO_CONTENT]).await.map(|_| ())
    }

    /// Some names after one, in order, and whether there may be more.
    async fn page(&self, after: &str, most: usize, tries: Tries) -> Result<(Vec<String>, bool), Trouble> {
        let sign = || {
            let mut list = self.bucket.list_objects_v2(Some(&self.credentials));
            list.with_max_keys(most);
            if !after.is_empty() {
                list.with_start_after(after);
            }
            self.signed(&list, OWN)
        };
        let got = self.exchange.send(http::Method::GET, sign, &HeaderMap::new(), None, tries).await?;
        let mut got = got.expect(&[StatusCode::OK]).await?;
        let text = got.body(MOST_OF_A_LIST).await?;
        let list = std::str::from_utf8(&text).ok().and_then(|text| ListObjectsV2::parse_response(text).ok());
        let list = list.ok_or_else(|| Trouble::Odd("its list of objects cannot be read".into()))?;
        let is_cut = list.next_continuation_token.is_some();
        Ok((list.contents.into_iter().map(|object| object.key).collect(), is_cut))
    }
}

/// Whether what failed may pass by itself.
pub fn is_passing(failure: &Failure) -> bool {
    failure.downcast_ref().is_some_and(Trouble::is_passing)
}

/// How often something is tried that fails in passing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tries {
    One,
    Some,
}

fn typed(text: &str) -> http::HeaderValue {
    http::HeaderValue::from_str(text).expect("it is plain text")
}

#[async_trait]
impl Blobs for S3Blobs {
    async fn put(&self, name: &str, content: Bytes) -> Result<(), Failure> {
        check_object_name(name)?;
        if content.len() > MOST {
            return Err(
                format!("an object of {} bytes is too large: {MOST} are allowed", content.len()).into()
            );
        }
        Ok(self.write(name, content, Tries::Some).await?)
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        check_object_name(name)?;
        match self.fetch(name, None, Tries::Some).await? {
            Some(mut answer) => Ok(Some(answer.body(MOST).await?)),
            None => Ok(None),
        }
    }

    async fn beginning(&self, name: &str, most: usize) -> Result<Option<Beginning>, Failure> {
        check_object_name(name)?;
        let Some(mut answer) = self.fetch(name, Some(most.max(1)), Tries::Some).await? else {
            return Ok(None);
        };
        let version = answer.header(header::ETAG).unwrap_or_default().to_owned();
        if answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // Of an empty object there are no first bytes.
            return Ok(Some(Beginning { content: Bytes::new(), size_bytes: 0, version }));
        }
        let whole = match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                answer.header(header::CONTENT_RANGE).and_then(|range| range.rsplit('/').next())
            }
            _ => answer.header(header::CONTENT_LENGTH),
        };
        let whole = whole.and_then(|size| size.parse().ok());
        let size_bytes =
            whole.ok_or_else(|| Trouble::Odd("it does not say how large an object is".into()))?;
        let content = answer.first(most).await?;
        Ok(Some(Beginning { content, size_bytes, version }))
    }

    async fn exists(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.beginning(name, 1).await?.is_some())
    }

    async fn delete(&self, name: &str) -> Result<(), Failure> {
        check_object_name(name)?;
        Ok(self.remove(name, Tries::Some).await?)
    }

    async fn names(&self, after: &str, before: &str, most: usize) -> Result<Vec<String>, Failure> {
        let (mut names, mut after) = (Vec::new(), after.to_owned());
        loop {
            let (page, is_cut) = self.page(&after, PAGE.min(most), Tries::Some).await?;
            let Some(last) = page.last().cloned() else { return Ok(names) };
            if last <= after {
                return Err(Trouble::Odd("it does not list objects in order".into()).into());
            }
            let is_past = *last >= *before;
            // What others put there is not ours to judge.
            let ours = page.into_iter().filter(|name| **name < *before && check_object_name(name).is_ok());
            names.extend(ours);
            if names.len() >= most || is_past || !is_cut {
                names.truncate(most);
                return Ok(names);
            }
            after = last;
        }
    }

    fn direct(&self) -> Option<&dyn DirectLinks> {
        self.has_direct_links.then_some(self)
    }
}

#[async_trait]
impl DirectLinks for S3Blobs {
    fn put_link(&self, name: &str, holds: Duration) -> String {
        self.signed(&self.bucket.put_object(Some(&self.credentials), name), holds).into()
    }

    fn get_link(&self, name: &str, holds: Duration) -> String {
        self.signed(&self.bucket.get_object(Some(&self.credentials), name), holds).into()
    }

    async fn keep(
        &self,
        from: &str,
        version: &str,
        to: &str,
        content_type: &'static str,
    ) -> Result<bool, Failure> {
        check_object_name(from)?;
        check_object_name(to)?;
        let source = format!("{}/{from}", self.bucket.name());
        let mut signed = vec![
            ("content-type", content_type),
            ("x-amz-copy-source", &source),
            // Not the type that the worker gave it.
            ("x-amz-metadata-directive", "REPLACE"),
        ];
        if !version.is_empty() {
            signed.push(("x-amz-copy-source-if-match", version));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 0.into());
        for (name, value) in &signed {
            headers.insert(http::HeaderName::from_static(name), typed(value));
        }
        let sign = || {
            let mut copy = self.bucket.put_object(Some(&self.credentials), to);
            signed.iter().for_each(|(name, value)| copy.headers_mut().insert(*name, *value));
            self.signed(&copy, OWN)
        };
        let copied = self.exchange.send(http::Method::PUT, sign, &headers, None, Tries::Some).await?;
        let fit = [StatusCode::OK, StatusCode::PRECONDITION_FAILED];
        match copied.unless_missing(&fit).await? {
            Some(mut answer) if answer.status() == StatusCode::OK => {
                // A copy may fail after the status was sent.
                answer.is_no_error().await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
