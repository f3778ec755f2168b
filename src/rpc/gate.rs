//! How a call comes in: counted against its limits, checked, and with the key that it carries.
//!
//! The order of refusals is the contract's: limits, then what the message says, then a missing key,
//! then whatever the verb refuses. Who the key belongs to is found out here and judged by the verb.

use std::net::IpAddr;

use http::{Extensions, HeaderMap};
use tonic::{Request, Status};

use super::{
    check::{Check, Violations, checked, violation},
    rules::{Caller, MethodRule, Rule},
};
use crate::domain::user::KeyHash;

/// Where a call comes from; put into the extensions of every request by the front door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientAddress(pub IpAddr);

/// A service says for whom it calls: where the service itself is, while [`ClientAddress`] is where they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServiceAddress(pub IpAddr);

/// Where a call comes from, as far as its RPC goes by that: workers come from where they are, whatever they
/// say.
pub fn address_of(rule: &MethodRule, extensions: &Extensions) -> Option<IpAddr> {
    let own = extensions.get::<ServiceAddress>().filter(|_| rule.path.starts_with("/grid.v2.Worker/"));
    own.map(|address| address.0).or(extensions.get::<ClientAddress>().map(|address| address.0))
}

/// The hash that the call's key is known by: another one than its own, if it came with its account from
/// another server. Put there by the front door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recognised(pub KeyHash);

/// The call came as JSON, and was counted before it was read; it is not counted again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admitted;

/// Asked before a call is carried out: may it come in now?
pub trait Gate: Send + Sync {
    /// Headers for the answer (how much of a limit is left), or a refusal with them.
    ///
    /// # Errors
    /// The refusal: RESOURCE_EXHAUSTED with reason RateLimited and a wait.
    fn admit(
        &self,
        rule: &'static MethodRule,
        path: &str,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<HeaderMap, Box<(Status, HeaderMap)>>;

    /// Notes that an address is known good: somebody beyond doubt asks from there.
    fn welcome(&self, _: IpAddr) {}
}

/// What clients send that do not say which they are.
const NO_AGENT: &[u8] = b"unknown:0:unknown";

/// A call that came in.
#[derive(Clone, Copy)]
pub struct Call<T> {
    /// What is asked, checked and with its defaults set.
    pub message: T,
    /// Hash of the key it carries, if it carries one.
    pub key: Option<KeyHash>,
    /// Seconds that the caller is ready to wait (`Prefer: wait=<seconds>`).
    pub wait_seconds: Option<u64>,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// A service calls for somebody else.
    pub is_proxied: bool,
    /// It says which software makes it (`Client-Agent`).
    pub has_agent: bool,
}

impl<T> Call<T> {
    /// What is asked, and the rest of the call.
    pub fn split(self) -> (T, Call<()>) {
        let Call { message, key, wait_seconds, address, is_proxied, has_agent } = self;
        (message, Call { message: (), key, wait_seconds, address, is_proxied, has_agent })
    }

    /// The same call with its message in other words.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Call<U> {
        Call {
            message: convert(self.message),
            key: self.key,
            wait_seconds: self.wait_seconds,
            address: self.address,
            is_proxied: self.is_proxied,
            has_agent: self.has_agent,
        }
    }
}

/// Lets a call in.
///
/// # Errors
/// RESOURCE_EXHAUSTED over a limit, INVALID_ARGUMENT with every offending path, or with `apikey`
/// when a key is needed and missing.
pub fn enter<T: Check + Rule>(gate: &dyn Gate, request: Request<T>) -> Result<Call<T>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    let headers = metadata.into_headers();
    let violations = match extensions.get::<Admitted>() {
        Some(Admitted) => Violations::default(),
        None => {
            let path = format!("{}/{}", T::METHOD.path, message.subject());
            gate.admit(T::METHOD, &path, &headers, &extensions).map_err(|refusal| refusal.0)?;
            Violations::for_headers()
        }
    };
    let message = checked(message, violations)?;
    let key = key_of(T::METHOD, &headers, &extensions)?;
    let wait_seconds = wait_of(&headers);
    Ok(Call { key, wait_seconds, ..bare(T::METHOD, &headers, &extensions) }.map(|()| message))
}

/// The same for a stream of messages, which are checked one by one.
///
/// # Errors
/// As [`enter`].
pub fn enter_stream<T: Rule, S>(gate: &dyn Gate, request: Request<S>) -> Result<Call<S>, Status> {
    let (metadata, extensions, message) = request.into_parts();
    let headers = metadata.into_headers();
    gate.admit(T::METHOD, T::METHOD.path, &headers, &extensions).map_err(|refusal| refusal.0)?;
    let key = key_of(T::METHOD, &headers, &extensions)?;
    Ok(Call { key, ..bare(T::METHOD, &headers, &extensions) }.map(|()| message))
}

/// A call without its message and key, that waits for nothing.
fn bare(rule: &MethodRule, headers: &HeaderMap, extensions: &Extensions) -> Call<()> {
    let address = address_of(rule, extensions);
    let is_proxied = extensions.get::<ServiceAddress>().is_some();
    let has_agent = headers.get("client-agent").is_some_and(|agent| agent.as_bytes() != NO_AGENT);
    Call { message: (), key: None, wait_seconds: None, address, is_proxied, has_agent }
}

fn key_of(
    rule: &MethodRule,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Option<KeyHash>, Status> {
    let recognised = extensions.get::<Recognised>().map(|key| key.0);
    let sent = headers.get("apikey");
    let sent = sent.map(|value| recognised.unwrap_or_else(|| KeyHash::of_bytes(value.as_bytes())));
    match rule.caller {
        Caller::Anyone => Ok(None),
        Caller::KeyOptional => Ok(sent),
        _ if sent.is_none() && !rule.late_key => {
            Err(violation("apikey", "Missing required parameter in the HTTP headers"))
        }
        _ => Ok(sent),
    }
}

/// `wait=<seconds>` of the header `Prefer` (RFC 7240).
fn wait_of(headers: &HeaderMap) -> Option<u64> {
    let preferences = headers.get("prefer")?.to_str().ok()?;
    preferences.split([',', ';']).find_map(|one| one.trim().strip_prefix("wait=")?.trim().parse().ok())
}
