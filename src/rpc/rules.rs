//! Rules of RPCs, as the protos declare them: who may call, how often, over which paths.
//!
//! The tables are generated; what is done with them is said where they are used.

use super::{
    check::{Check, FieldPath, Violations, has_nul},
    json::{Bind, FieldShape, MessageShape, Shape, ShapeKind, bind},
    pb,
};

/// Who may call an RPC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// Anybody; no key is read.
    Anyone,
    /// Anybody; a key changes what is visible.
    KeyOptional,
    /// Whoever has an account's key, the anonymous one included.
    Key,
    /// An account, not the anonymous one.
    User,
    /// The account that owns the object.
    Owner,
    /// The account that owns the object, or a moderator.
    OwnerOrModerator,
    /// A moderator.
    Moderator,
    /// A trusted account.
    Trusted,
    /// A customizer, or a trusted account.
    Customizer,
    /// The account that awards kudos.
    Awarder,
    /// An account; each field says what it takes to set it.
    ByField,
}

/// What calls are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LimitKey {
    /// Caller's address, verb and concrete path.
    Path,
    /// The same, in its place, for addresses that are known good.
    Known,
    /// Caller's address, per RPC.
    Address,
    /// Caller's address, for all RPCs of a group.
    Group(&'static str),
    /// API key other than the anonymous one, per RPC; not where [`LimitKey::Known`] holds.
    Key,
    /// The anonymous key, or any key where [`LimitKey::Known`] holds, per RPC.
    Anonymous,
}

/// A fixed-window limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Calls allowed in a window.
    pub count: u32,
    /// Length of a window, in seconds.
    pub seconds: u32,
    /// What is counted by.
    pub key: LimitKey,
}

/// One way to reach an RPC over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// HTTP verb.
    pub verb: &'static str,
    /// Path with `{captures}`.
    pub path: &'static str,
    /// The body is the request message.
    pub has_body: bool,
}

/// The rules of one RPC.
#[derive(PartialEq, Eq, Debug)]
pub struct MethodRule {
    /// gRPC path, `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call.
    pub caller: Caller,
    /// A missing key is refused as an unknown one is, not as a violation.
    pub late_key: bool,
    /// Over HTTP, the body may be left out.
    pub optional_body: bool,
    /// HTTP status of success.
    pub success_status: u16,
    /// Limits; none: exempt.
    pub limits: &'static [Limit],
    /// Ways to reach it over HTTP.
    pub bindings: &'static [Binding],
    /// HTTP headers that fill request fields: header, field.
    pub headers: &'static [(&'static str, &'static str)],
}

/// A request message, and the rule of its RPC.
pub trait Rule {
    /// The rule.
    const METHOD: &'static MethodRule;

    /// What the call is about, as a path would name it: an ID, a name, or nothing.
    fn subject(&self) -> &str;
}

/// An HTTP status other than the method's; put into the extensions of a [`tonic::Response`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpStatus(pub u16);

include!(concat!(env!("OUT_DIR"), "/checks.rs"));
