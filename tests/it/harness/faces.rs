//! One call, over JSON and over gRPC: both take the same message, and must mean the same by their answers.

use std::time::Duration;

use gridbroker::rpc::pb::{
    collections_client::CollectionsClient, documents_client::DocumentsClient, filters_client::FiltersClient,
    generate_client::GenerateClient, kudos_client::KudosClient, operations_client::OperationsClient,
    shared_keys_client::SharedKeysClient, stats_client::StatsClient, status_client::StatusClient,
    styles_client::StylesClient, teams_client::TeamsClient, users_client::UsersClient,
    worker_client::WorkerClient,
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use super::{Broker, wire::Answer};

/// An RPC that both faces have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    SubmitImage,
    SubmitText,
    CheckImage,
    GetImage,
    CancelImage,
    RateImages,
    GetText,
    CancelText,
    Watch,
    Explain,
    ExplainWorker,
    PopImage,
    PopText,
    SubmitImageResult,
    SubmitTextResult,
    ReportProgress,
    GetWorker,
    GetWorkerByName,
    FindUser,
    ListUsers,
    GetUser,
    UpdateUser,
    DeleteUser,
    Register,
    RotateKey,
    SubmitVideo,
    SubmitAlchemy,
    CheckVideo,
    GetVideo,
    CancelVideo,
    GetAlchemy,
    CancelAlchemy,
    PopVideo,
    PopAlchemy,
    SubmitVideoResult,
    SubmitAlchemyResult,
    AutoWorkerType,
    ListWorkers,
    UpdateWorker,
    DeleteWorker,
    Heartbeat,
    Performance,
    ListModels,
    GetModel,
    GetModes,
    UpdateModes,
    GetNews,
    ListImageStyles,
    CreateImageStyle,
    GetImageStyle,
    GetImageStyleByName,
    UpdateImageStyle,
    DeleteImageStyle,
    AddStyleExample,
    UpdateStyleExample,
    DeleteStyleExample,
    ListTextStyles,
    CreateTextStyle,
    GetTextStyle,
    GetTextStyleByName,
    UpdateTextStyle,
    DeleteTextStyle,
    ListCollections,
    CreateCollection,
    GetCollection,
    GetCollectionByName,
    UpdateCollection,
    DeleteCollection,
    ListFilters,
    AddFilter,
    TestFilters,
    ListFilterRegexes,
    GetFilter,
    UpdateFilter,
    DeleteFilter,
    ImageTotals,
    ImageModels,
    TextTotals,
    TextModels,
    GetTerms,
    GetPrivacy,
    GetSponsors,
    CreateSharedKey,
    GetSharedKey,
    UpdateSharedKey,
    DeleteSharedKey,
    ListTeams,
    CreateTeam,
    GetTeam,
    UpdateTeam,
    DeleteTeam,
    ListTimeouts,
    AddTimeout,
    DeleteTimeout,
    GetTimeouts,
    BlockWorker,
    UnblockWorker,
    ListMessages,
    PostMessage,
    GetMessage,
    DeleteMessage,
    TransferKudos,
    AwardKudos,
    VerifyLedger,
}

impl Verb {
    fn route(self) -> (Method, &'static str) {
        match self {
            Self::SubmitImage => (Method::POST, "/generate/async"),
            Self::SubmitText => (Method::POST, "/generate/text/async"),
            Self::CheckImage => (Method::GET, "/generate/check/{id}"),
            Self::GetImage => (Method::GET, "/generate/status/{id}"),
            Self::CancelImage => (Method::DELETE, "/generate/status/{id}"),
            Self::RateImages => (Method::POST, "/generate/rate/{id}"),
            Self::GetText => (Method::GET, "/generate/text/status/{id}"),
            Self::CancelText => (Method::DELETE, "/generate/text/status/{id}"),
            Self::Watch => (Method::GET, "/generate/{id}/stream"),
            Self::Explain => (Method::GET, "/generate/{id}/explain"),
            Self::ExplainWorker => (Method::GET, "/workers/{id}/explain"),
            Self::PopImage => (Method::POST, "/generate/pop"),
            Self::PopText => (Method::POST, "/generate/text/pop"),
            Self::SubmitImageResult => (Method::POST, "/generate/submit"),
            Self::SubmitTextResult => (Method::POST, "/generate/text/submit"),
            Self::ReportProgress => (Method::POST, "/generate/progress"),
            Self::GetWorker => (Method::GET, "/workers/{id}"),
            Self::GetWorkerByName => (Method::GET, "/workers/name/{name}"),
            Self::FindUser => (Method::GET, "/find_user"),
            Self::ListUsers => (Method::GET, "/users"),
            Self::GetUser => (Method::GET, "/users/{id}"),
            Self::UpdateUser => (Method::PUT, "/users/{id}"),
            Self::DeleteUser => (Method::DELETE, "/users/{id}"),
            Self::Register => (Method::POST, "/register"),
            Self::RotateKey => (Method::POST, "/rotate_key"),
            Self::SubmitVideo => (Method::POST, "/generate/video/async"),
            Self::SubmitAlchemy => (Method::POST, "/interrogate/async"),
            Self::CheckVideo => (Method::GET, "/generate/video/check/{id}"),
            Self::GetVideo => (Method::GET, "/generate/video/status/{id}"),
            Self::CancelVideo => (Method::DELETE, "/generate/video/status/{id}"),
            Self::GetAlchemy => (Method::GET, "/interrogate/status/{id}"),
            Self::CancelAlchemy => (Method::DELETE, "/interrogate/status/{id}"),
            Self::PopVideo => (Method::POST, "/generate/video/pop"),
            Self::PopAlchemy => (Method::POST, "/interrogate/pop"),
            Self::SubmitVideoResult => (Method::POST, "/generate/video/submit"),
            Self::SubmitAlchemyResult => (Method::POST, "/interrogate/submit"),
            Self::AutoWorkerType => (Method::GET, "/auto_worker_type"),
            Self::ListWorkers => (Method::GET, "/workers"),
            Self::UpdateWorker => (Method::PUT, "/workers/{id}"),
            Self::DeleteWorker => (Method::DELETE, "/workers/{id}"),
            Self::Heartbeat => (Method::GET, "/status/heartbeat"),
            Self::Performance => (Method::GET, "/status/performance"),
            Self::ListModels => (Method::GET, "/status/models"),
            Self::GetModel => (Method::GET, "/status/models/{name}"),
            Self::GetModes => (Method::GET, "/status/modes"),
            Self::UpdateModes => (Method::PUT, "/status/modes"),
            Self::GetNews => (Method::GET, "/status/news"),
            Self::ListImageStyles => (Method::GET, "/styles/image"),
            Self::CreateImageStyle => (Method::POST, "/styles/image"),
            Self::GetImageStyle => (Method::GET, "/styles/image/{id}"),
            Self::GetImageStyleByName => (Method::GET, "/styles/image_by_name/{name}"),
            Self::UpdateImageStyle => (Method::PATCH, "/styles/image/{id}"),
            Self::DeleteImageStyle => (Method::DELETE, "/styles/image/{id}"),
            Self::AddStyleExample => (Method::POST, "/styles/image/{id}/example"),
            Self::UpdateStyleExample => (Method::PATCH, "/styles/image/{id}/example/{example_id}"),
            Self::DeleteStyleExample => (Method::DELETE, "/styles/image/{id}/example/{example_id}"),
            Self::ListTextStyles => (Method::GET, "/styles/text"),
            Self::CreateTextStyle => (Method::POST, "/styles/text"),
            Self::GetTextStyle => (Method::GET, "/styles/text/{id}"),
            Self::GetTextStyleByName => (Method::GET, "/styles/text_by_name/{name}"),
            Self::UpdateTextStyle => (Method::PATCH, "/styles/text/{id}"),
            Self::DeleteTextStyle => (Method::DELETE, "/styles/text/{id}"),
            Self::ListCollections => (Method::GET, "/collections"),
            Self::CreateCollection => (Method::POST, "/collections"),
            Self::GetCollection => (Method::GET, "/collections/{id}"),
            Self::GetCollectionByName => (Method::GET, "/collection_by_name/{name}"),
            Self::UpdateCollection => (Method::PATCH, "/collections/{id}"),
            Self::DeleteCollection => (Method::DELETE, "/collections/{id}"),
            Self::ListFilters => (Method::GET, "/filters"),
            Self::AddFilter => (Method::PUT, "/filters"),
            Self::TestFilters => (Method::POST, "/filters"),
            Self::ListFilterRegexes => (Method::GET, "/filters/regex"),
            Self::GetFilter => (Method::GET, "/filters/{id}"),
            Self::UpdateFilter => (Method::PATCH, "/filters/{id}"),
            Self::DeleteFilter => (Method::DELETE, "/filters/{id}"),
            Self::ImageTotals => (Method::GET, "/stats/img/totals"),
            Self::ImageModels => (Method::GET, "/stats/img/models"),
            Self::TextTotals => (Method::GET, "/stats/text/totals"),
            Self::TextModels => (Method::GET, "/stats/text/models"),
            Self::GetTerms => (Method::GET, "/documents/terms"),
            Self::GetPrivacy => (Method::GET, "/documents/privacy"),
            Self::GetSponsors => (Method::GET, "/documents/sponsors"),
            Self::CreateSharedKey => (Method::PUT, "/sharedkeys"),
            Self::GetSharedKey => (Method::GET, "/sharedkeys/{id}"),
            Self::UpdateSharedKey => (Method::PATCH, "/sharedkeys/{id}"),
            Self::DeleteSharedKey => (Method::DELETE, "/sharedkeys/{id}"),
            Self::ListTeams => (Method::GET, "/teams"),
            Self::CreateTeam => (Method::POST, "/teams"),
            Self::GetTeam => (Method::GET, "/teams/{id}"),
            Self::UpdateTeam => (Method::PATCH, "/teams/{id}"),
            Self::DeleteTeam => (Method::DELETE, "/teams/{id}"),
            Self::ListTimeouts => (Method::GET, "/operations/ipaddr"),
            Self::AddTimeout => (Method::POST, "/operations/ipaddr"),
            Self::DeleteTimeout => (Method::DELETE, "/operations/ipaddr"),
            Self::GetTimeouts => (Method::GET, "/operations/ipaddr/{ipaddr}"),
            Self::BlockWorker => (Method::PUT, "/operations/block_worker_ipaddr/{worker_id}"),
            Self::UnblockWorker => (Method::DELETE, "/operations/block_worker_ipaddr/{worker_id}"),
            Self::ListMessages => (Method::GET, "/workers/messages"),
            Self::PostMessage => (Method::POST, "/workers/messages"),
            Self::GetMessage => (Method::GET, "/workers/messages/{id}"),
            Self::DeleteMessage => (Method::DELETE, "/workers/messages/{id}"),
            Self::TransferKudos => (Method::POST, "/kudos/transfer"),
            Self::AwardKudos => (Method::POST, "/kudos/award"),
            Self::VerifyLedger => (Method::GET, "/kudos/ledger"),
        }
    }

    /// Its verb and path under `/api/v2`.
    pub fn shown(self) -> String {
        let (method, path) = self.route();
        format!("{method} {path}")
    }

    /// Its path under `/api/v2`.
    pub fn path(self) -> &'static str {
        self.route().1
    }

    /// Calls it over JSON. What stands in the path is taken from the message, the rest of a GET is its query.
    pub async fn over_json(self, broker: &Broker, key: Option<&str>, message: &Value) -> Answer {
        let json = key.map_or_else(|| broker.json_without_key(), |key| broker.json(key));
        let (method, template) = self.route();
        let has_body =
            [Method::POST, Method::PUT, Method::PATCH].contains(&method) || self == Self::DeleteTimeout;
        let (mut path, mut query) = (template.to_owned(), form_urlencoded::Serializer::new(String::new()));
        let mut body = serde_json::Map::new();
        for (name, value) in message.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let capture = format!("{{{name}}}");
            if path.contains(&capture) {
                let encoded =
                    percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
                path = path.replace(&capture, &encoded.to_string());
            } else if has_body {
                body.insert(name.clone(), value.clone());
            } else {
                query.append_pair(name, &text);
            }
        }
        if has_body {
            return json.send(json.request(method, &path).json(&body)).await;
        }
        json.send(json.request(method, &format!("{path}?{}", query.finish()))).await
    }

    /// Calls it over gRPC.
    pub async fn over_grpc(self, broker: &Broker, key: Option<&str>, message: &Value) -> Result<(), Status> {
        let channel = broker.channel().await;
        macro_rules! call {
            ($client:ident, $method:ident) => {
                $client::<Channel>::new(channel).$method(request(key, message)).await.map(|_| ())
            };
        }
        match self {
            Self::SubmitImage => call!(GenerateClient, submit_image),
            Self::SubmitText => call!(GenerateClient, submit_text),
            Self::CheckImage => call!(GenerateClient, check_image),
            Self::GetImage => call!(GenerateClient, get_image),
            Self::CancelImage => call!(GenerateClient, cancel_image),
            Self::RateImages => call!(GenerateClient, rate_images),
            Self::GetText => call!(GenerateClient, get_text),
            Self::CancelText => call!(GenerateClient, cancel_text),
            Self::Watch => call!(GenerateClient, watch),
            Self::Explain => call!(GenerateClient, explain),
            Self::ExplainWorker => call!(WorkerClient, explain_worker),
            Self::PopImage => call!(WorkerClient, pop_image),
            Self::PopText => call!(WorkerClient, pop_text),
            Self::SubmitImageResult => call!(WorkerClient, submit_image_result),
            Self::SubmitTextResult => call!(WorkerClient, submit_text_result),
            Self::ReportProgress => call!(WorkerClient, report_progress),
            Self::GetWorker => call!(WorkerClient, get_worker),
            Self::GetWorkerByName => call!(WorkerClient, get_worker_by_name),
            Self::FindUser => call!(UsersClient, find_user),
            Self::ListUsers => call!(UsersClient, list_users),
            Self::GetUser => call!(UsersClient, get_user),
            Self::UpdateUser => call!(UsersClient, update_user),
            Self::DeleteUser => call!(UsersClient, delete_user),
            Self::Register => call!(UsersClient, register),
            Self::RotateKey => call!(UsersClient, rotate_key),
            Self::SubmitVideo => call!(GenerateClient, submit_video),
            Self::SubmitAlchemy => call!(GenerateClient, submit_alchemy),
            Self::CheckVideo => call!(GenerateClient, check_video),
            Self::GetVideo => call!(GenerateClient, get_video),
            Self::CancelVideo => call!(GenerateClient, cancel_video),
            Self::GetAlchemy => call!(GenerateClient, get_alchemy),
            Self::CancelAlchemy => call!(GenerateClient, cancel_alchemy),
            Self::PopVideo => call!(WorkerClient, pop_video),
            Self::PopAlchemy => call!(WorkerClient, pop_alchemy),
            Self::SubmitVideoResult => call!(WorkerClient, submit_video_result),
            Self::SubmitAlchemyResult => call!(WorkerClient, submit_alchemy_result),
            Self::AutoWorkerType => call!(WorkerClient, auto_worker_type),
            Self::ListWorkers => call!(WorkerClient, list_workers),
            Self::UpdateWorker => call!(WorkerClient, update_worker),
            Self::DeleteWorker => call!(WorkerClient, delete_worker),
            Self::Heartbeat => call!(StatusClient, heartbeat),
            Self::Performance => call!(StatusClient, performance),
            Self::ListModels => call!(StatusClient, list_models),
            Self::GetModel => call!(StatusClient, get_model),
            Self::GetModes => call!(StatusClient, get_modes),
            Self::UpdateModes => call!(StatusClient, update_modes),
            Self::GetNews => call!(StatusClient, get_news),
            Self::ListImageStyles => call!(StylesClient, list_image_styles),
            Self::CreateImageStyle => call!(StylesClient, create_image_style),
            Self::GetImageStyle => call!(StylesClient, get_image_style),
            Self::GetImageStyleByName => call!(StylesClient, get_image_style_by_name),
            Self::UpdateImageStyle => call!(StylesClient, update_image_style),
            Self::DeleteImageStyle => call!(StylesClient, delete_image_style),
            Self::AddStyleExample => call!(StylesClient, add_style_example),
            Self::UpdateStyleExample => call!(StylesClient, update_style_example),
            Self::DeleteStyleExample => call!(StylesClient, delete_style_example),
            Self::ListTextStyles => call!(StylesClient, list_text_styles),
            Self::CreateTextStyle => call!(StylesClient, create_text_style),
            Self::GetTextStyle => call!(StylesClient, get_text_style),
            Self::GetTextStyleByName => call!(StylesClient, get_text_style_by_name),
            Self::UpdateTextStyle => call!(StylesClient, update_text_style),
            Self::DeleteTextStyle => call!(StylesClient, delete_text_style),
            Self::ListCollections => call!(CollectionsClient, list_collections),
            Self::CreateCollection => call!(CollectionsClient, create_collection),
            Self::GetCollection => call!(CollectionsClient, get_collection),
            Self::GetCollectionByName => call!(CollectionsClient, get_collection_by_name),
            Self::UpdateCollection => call!(CollectionsClient, update_collection),
            Self::DeleteCollection => call!(CollectionsClient, delete_collection),
            Self::ListFilters => call!(FiltersClient, list_filters),
            Self::AddFilter => call!(FiltersClient, add_filter),
            Self::TestFilters => call!(FiltersClient, test_filters),
            Self::ListFilterRegexes => call!(FiltersClient, list_filter_regexes),
            Self::GetFilter => call!(FiltersClient, get_filter),
            Self::UpdateFilter => call!(FiltersClient, update_filter),
            Self::DeleteFilter => call!(FiltersClient, delete_filter),
            Self::ImageTotals => call!(StatsClient, image_totals),
            Self::ImageModels => call!(StatsClient, image_models),
            Self::TextTotals => call!(StatsClient, text_totals),
            Self::TextModels => call!(StatsClient, text_models),
            Self::GetTerms => call!(DocumentsClient, get_terms),
            Self::GetPrivacy => call!(DocumentsClient, get_privacy),
            Self::GetSponsors => call!(DocumentsClient, get_sponsors),
            Self::CreateSharedKey => call!(SharedKeysClient, create_shared_key),
            Self::GetSharedKey => call!(SharedKeysClient, get_shared_key),
            Self::UpdateSharedKey => call!(SharedKeysClient, update_shared_key),
            Self::DeleteSharedKey => call!(SharedKeysClient, delete_shared_key),
            Self::ListTeams => call!(TeamsClient, list_teams),
            Self::CreateTeam => call!(TeamsClient, create_team),
            Self::GetTeam => call!(TeamsClient, get_team),
            Self::UpdateTeam => call!(TeamsClient, update_team),
            Self::DeleteTeam => call!(TeamsClient, delete_team),
            Self::ListTimeouts => call!(OperationsClient, list_timeouts),
            Self::AddTimeout => call!(OperationsClient, add_timeout),
            Self::DeleteTimeout => call!(OperationsClient, delete_timeout),
            Self::GetTimeouts => call!(OperationsClient, get_timeouts),
            Self::BlockWorker => call!(OperationsClient, block_worker),
            Self::UnblockWorker => call!(OperationsClient, unblock_worker),
            Self::ListMessages => call!(WorkerClient, list_messages),
            Self::PostMessage => call!(WorkerClient, post_message),
            Self::GetMessage => call!(WorkerClient, get_message),
            Self::DeleteMessage => call!(WorkerClient, delete_message),
            Self::TransferKudos => call!(KudosClient, transfer_kudos),
            Self::AwardKudos => call!(KudosClient, award_kudos),
            Self::VerifyLedger => call!(KudosClient, verify_ledger),
        }
    }
}

fn request<T: DeserializeOwned>(key: Option<&str>, message: &Value) -> Request<T> {
    let message = serde_json::from_value(message.clone()).expect("the row is a message of the method");
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("apikey", key.parse().expect("keys of tests fit into a header"));
    }
    request
}

/// What a gRPC refusal says to a program.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    pub code: Code,
    /// `ErrorInfo.reason`; empty if there is none.
    pub reason: String,
    /// Paths of its field violations, sorted.
    pub paths: Vec<String>,
    /// `RetryInfo`.
    pub retry: Option<Duration>,
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|request| request.field_violations.clone());
        let mut paths: Vec<_> = fields.into_iter().flatten().map(|violation| violation.field).collect();
        paths.sort();
        Self {
            code: status.code(),
            reason: details.error_info().map(|info| info.reason.clone()).unwrap_or_default(),
            paths,
            retry: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

/// What comes of a call, on every face.
#[derive(Clone, Copy, Debug)]
pub enum Verdict {
    /// A reason: HTTP status, return code, gRPC code.
    Reason(u16, &'static str, Code),
    /// Fields, by their paths.
    Fields(&'static [&'static str]),
    /// It is done: HTTP status of the first of two calls.
    Done(u16),
    /// It is done over JSON, with this status, and can be done once only.
    Once(u16),
}

/// A call, and what comes of it.
pub struct Row {
    /// The rule that it shows.
    pub rule: &'static str,
    pub verb: Verb,
    pub key: Option<&'static str>,
    pub message: Value,
    pub verdict: Verdict,
}

impl Row {
    /// Makes the call over both faces and compares.
    pub async fn holds(&self, broker: &Broker) {
        let Self { rule, verb, key, message, verdict } = self;
        let answer = verb.over_json(broker, *key, message).await;
        let (body, status) = (&answer.body, answer.status);
        if let Verdict::Done(http) | Verdict::Once(http) = verdict {
            assert_eq!(status, *http, "{rule}: {body}");
            if matches!(verdict, Verdict::Done(_)) {
                verb.over_grpc(broker, *key, message).await.expect(rule);
            }
            return;
        }
        assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{rule}: {status} {body}");
        let refused = verb.over_grpc(broker, *key, message).await.expect_err(rule);
        let refusal = Refusal::from(&refused);
        match verdict {
            Verdict::Reason(http, rc, code) => {
                assert_eq!(answer.verdict(), (*http, *rc), "{rule}: {body}");
                assert_eq!(body.as_object().map(|body| body.len()), Some(2), "{rule}: {body}");
                assert_eq!((refusal.code, refusal.reason.as_str()), (*code, *rc), "{rule}: {refused}");
                assert_eq!(refused.message(), body["message"], "{rule}: in the same words");
            }
            Verdict::Done(_) | Verdict::Once(_) => unreachable!("looked at before"),
            Verdict::Fields(paths) => {
                assert_eq!((status, answer.paths().as_slice()), (400, *paths), "{rule}: {body}");
                assert!(body.get("rc").is_none(), "{rule}: {body}");
                assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, ""), "{rule}");
                assert_eq!(refusal.paths, *paths, "{rule}: {refused}");
            }
        }
    }
}
