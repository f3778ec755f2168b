//! The operator's service, on a socket in the data directory that only its owner may open.
//!
//! Whoever holds the data directory serves it, so a command either finds a broker here or may open
//! the store itself. Conversions live here too, because both ways make accounts by the same rules.

mod keys;
mod socket;

use std::path::Path;

use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Server};

pub use self::{
    keys::{NO_SUCH_KEY, new_shared_key, shared_key, shared_keys},
    socket::connect,
};
use super::legacy::{self, Legacy};
use crate::{
    domain::{
        Kudos, UserId,
        ledger::{Audit, Finding},
        route::Routes,
        user::{KeyHash, Role, User},
    },
    engine::NewUser,
    host::{Host, new_key},
    rpc::{
        self,
        admin::{
            AddSharedKeyRequest, AddSharedKeyResponse, AddUserRequest, AddUserResponse, DropSharedKeyRequest,
            DropSharedKeyResponse, LedgerFinding, ListRoutesRequest, ListRoutesResponse,
            ListSharedKeysRequest, ListSharedKeysResponse, RotateKeyRequest, RotateKeyResponse, Route,
            SetRoleRequest, SetRoleResponse, SwitchRouteRequest, SwitchRouteResponse, VerifyLedgerRequest,
            VerifyLedgerResponse,
            admin_server::{Admin, AdminServer},
        },
    },
};

/// Most kudos that an account may begin with.
pub const MOST_KUDOS: i64 = 1_000_000_000_000;

/// Serves the operator's commands until the token fires; the task ends once open calls are answered.
/// Call it only while holding the data directory: it replaces a socket that a crash left behind.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve(
    host: Host,
    legacy: Option<Legacy>,
    data: &Path,
    shutdown: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let (listener, socket) = socket::listen(&host, data)?;
    let serving = Server::builder()
        .add_service(AdminServer::new(Operator { host, legacy }))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), shutdown.cancelled_owned());
    Ok(tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the admin socket failed");
        }
        drop(socket);
    }))
}

/// The service.
struct Operator {
    host: Host,
    legacy: Option<Legacy>,
}

#[tonic::async_trait]
impl Admin for Operator {
    async fn add_user(&self, request: Request<AddUserRequest>) -> Result<Response<AddUserResponse>, Status> {
        let (new, key) = new_user(request.into_inner())?;
        let user = self.host.add_user(new).await.map_err(|error| rpc::error::status(&error))?;
        tracing::info!(user.id = %user.id, "an operator made account {}", user.id);
        Ok(Response::new(answer(&user, key)))
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<RotateKeyResponse>, Status> {
        let rotated = self.host.rotate_key(UserId(request.into_inner().id)).await;
        let (user, api_key) = rotated.map_err(|error| rpc::error::status(&error))?;
        tracing::info!(user.id = %user.id, "an operator gave account {} another key", user.id);
        Ok(Response::new(RotateKeyResponse { id: user.id.0, username: user.username(), api_key }))
    }

    async fn set_role(&self, request: Request<SetRoleRequest>) -> Result<Response<SetRoleResponse>, Status> {
        let SetRoleRequest { id, role, has } = request.into_inner();
        let role = named_role(&role)?;
        let user = self.host.set_roles(UserId(id), [(role, has)].into()).await;
        let user = user.map_err(|error| rpc::error::status(&error))?;
        let word = role.word();
        tracing::info!(user.id = %user.id, role = word, has, "an operator set role {word} of account {}", user.id);
        Ok(Response::new(roles(&user)))
    }

    async fn add_shared_key(
        &self,
        request: Request<AddSharedKeyRequest>,
    ) -> Result<Response<AddSharedKeyResponse>, Status> {
        keys::add(&self.host, request.into_inner()).await.map(Response::new)
    }

    async fn list_shared_keys(
        &self,
        request: Request<ListSharedKeysRequest>,
    ) -> Result<Response<ListSharedKeysResponse>, Status> {
        keys::list(&self.host, *request.get_ref()).await.map(Response::new)
    }

    async fn drop_shared_key(
        &self,
        request: Request<DropSharedKeyRequest>,
    ) -> Result<Response<DropSharedKeyResponse>, Status> {
        keys::drop(&self.host, request.get_ref()).await.map(Response::new)
    }

    async fn verify_ledger(
        &self,
        _: Request<VerifyLedgerRequest>,
    ) -> Result<Response<VerifyLedgerResponse>, Status> {
        let audit = self.host.audit().await.map_err(|error| rpc::error::status(&error))?;
        Ok(Response::new(ledger(audit)))
    }

    async fn switch_route(
        &self,
        request: Request<SwitchRouteRequest>,
    ) -> Result<Response<SwitchRouteResponse>, Status> {
        let SwitchRouteRequest { path, returned } = request.into_inner();
        let switched = path.clone();
        let done = self.host.act(move |engine, step, _| engine.switch_route(step, &path, returned)).await;
        done.map_err(|error| rpc::error::status(&error))?;
        let server = if returned { "the old server" } else { "this server" };
        tracing::info!("an operator has {server} answer {switched}");
        Ok(Response::new(SwitchRouteResponse {}))
    }

    async fn list_routes(
        &self,
        _: Request<ListRoutesRequest>,
    ) -> Result<Response<ListRoutesResponse>, Status> {
        let switched = self.host.glance(|engine, _| engine.routes().clone());
        let legacy = self.legacy.as_ref();
        let base = legacy.map(|legacy| legacy.base().to_owned());
        let listed: Vec<String> =
            legacy.iter().flat_map(|legacy| legacy.listed().all()).map(|(path, _)| path.clone()).collect();
        Ok(Response::new(routes(base, &listed, &switched, legacy)))
    }
}

/// What the operator is told of the books.
pub fn ledger(audit: Audit) -> VerifyLedgerResponse {
    let finding = |finding: Finding| LedgerFinding {
        rule: finding.rule.to_owned(),
        count: finding.count,
        example: finding.example,
    };
    VerifyLedgerResponse {
        users: audit.users,
        postings: audit.postings,
        settlements: audit.settlements,
        holds: audit.holds,
        sum: audit.sum.0,
        findings: audit.findings.into_iter().map(finding).collect(),
    }
}

/// What the operator is told of paths: those that the settings list and those that were switched.
pub fn routes(
    upstream: Option<String>,
    listed: &[String],
    switched: &Routes,
    legacy: Option<&Legacy>,
) -> ListRoutesResponse {
    let mut all = Routes::returned(listed);
    switched.all().iter().for_each(|(path, returned)| all.set(path, *returned));
    let counts = legacy.map(Legacy::counts).unwrap_or_default();
    let of = |path: &str| counts.get(path).map_or((0, 0), |counts| (counts.calls, counts.failures));
    let route = |(path, returned): &(String, bool)| {
        let (calls, failures) = of(path);
        Route { path: path.clone(), returned: *returned, calls, failures }
    };
    let (unknown_calls, unknown_failures) = of(legacy::UNKNOWN);
    let routes = all.all().iter().map(route).collect();
    ListRoutesResponse { upstream, routes, unknown_calls, unknown_failures }
}

/// Reads what an operator asks for, and makes a key unless one is given.
///
/// # Errors
/// INVALID_ARGUMENT, saying what to change.
pub fn new_user(request: AddUserRequest) -> Result<(NewUser, String), Status> {
    let mut roles = Vec::new();
    for word in &request.roles {
        let role = named_role(word)?;
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    if !(0..=MOST_KUDOS).contains(&request.kudos) {
        return Err(Status::invalid_argument(format!("kudos must be from 0 to {MOST_KUDOS}")));
    }
    let count = |name: &str, count: i32| {
        usize::try_from(count).map_err(|_| Status::invalid_argument(format!("{name} must not be negative")))
    };
    let key = match request.api_key {
        Some(key) if is_key(&key) => key,
        Some(_) => return Err(Status::invalid_argument(KEY_RULE)),
        None => new_key(),
    };
    let new = NewUser {
        alias: request.alias,
        key: KeyHash::of(&key),
        kudos: Kudos::whole(request.kudos),
        roles,
        concurrency: request.concurrency.map_or(Ok(User::CONCURRENCY), |n| count("concurrency", n))?,
        worker_invites: count("worker_invites", request.worker_invites)?,
    };
    Ok((new, key))
}

/// A role by its name.
///
/// # Errors
/// INVALID_ARGUMENT, with all names.
pub fn named_role(word: &str) -> Result<Role, Status> {
    Role::from_word(word).ok_or_else(|| {
        let known: Vec<_> = Role::ALL.iter().map(|role| role.word()).collect();
        Status::invalid_argument(format!("no role {word:?}; there are {}", known.join(", ")))
    })
}

/// What the operator is told of an account's roles.
pub fn roles(user: &User) -> SetRoleResponse {
    let roles = user.roles.iter().map(|role| role.word().to_owned()).collect();
    SetRoleResponse { id: user.id.0, username: user.username(), roles }
}

/// What the operator is told of a new account.
pub fn answer(user: &User, api_key: String) -> AddUserResponse {
    AddUserResponse {
        id: user.id.0,
        username: user.username(),
        api_key,
        kudos: user.balance.floor(),
        roles: user.roles.iter().map(|role| role.word().to_owned()).collect(),
    }
}

/// What [`is_key`] asks for.
pub const KEY_RULE: &str = "an API key has 8 to 256 printable ASCII characters without spaces";

/// Whether an account may have this key: it must fit into a header.
pub fn is_key(key: &str) -> bool {
    (8..=256).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}
