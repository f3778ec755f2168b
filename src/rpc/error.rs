//! Domain error → gRPC status. One table; the reason travels in the details, and with it the stable
//! return code and the HTTP status.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{check::cut, pb::Reason};
use crate::domain::{Error, account::AccountRule, error::ParamRule, request::Kind, transfer::KudosRule};

/// What `ErrorInfo.domain` says.
pub const DOMAIN: &str = "gridbroker";

/// Name of the fact that says which HTTP status an error has, where that is not its reason's.
pub const HTTP_STATUS: &str = "http_status";

/// Longest message of an error, in bytes: it travels in a header.
const LONGEST_MESSAGE: usize = 1024;

/// The status of an error, with its reason and, where the same call may succeed later, a wait.
pub fn status(error: &Error) -> Status {
    let (code, reason) = row(error);
    with_reason(code, reason, error.to_string(), facts(error), error.retry_after())
}

/// A status with a reason.
pub fn with_reason(
    code: Code,
    reason: Reason,
    message: impl Into<String>,
    facts: HashMap<String, String>,
    retry_after: Option<std::time::Duration>,
) -> Status {
    let mut details = ErrorDetails::with_error_info(reason.rc(), DOMAIN, facts);
    if let Some(wait) = retry_after {
        details.set_retry_info(Some(wait));
    }
    // Messages quote what was asked for, which may be as long as a message may be.
    Status::with_error_details(code, cut(message.into(), LONGEST_MESSAGE), details)
}

/// What a program may want to know besides the reason.
fn facts(error: &Error) -> HashMap<String, String> {
    match error {
        Error::DuplicateGen { reward, .. } => HashMap::from([("reward".into(), reward.to_string())]),
        Error::TokenGap { known, .. } => HashMap::from([("offset".into(), known.to_string())]),
        Error::SharedKeyInsufficientKudos { needed, left } => {
            HashMap::from([("needed".into(), needed.to_string()), ("left".into(), left.to_string())])
        }
        Error::KudosUpfront { needed, .. } => HashMap::from([("needed".into(), needed.to_string())]),
        // The legacy API gives these another HTTP status where kudos are transferred.
        Error::Kudos(KudosRule::Deleted | KudosRule::TargetExpired) => {
            HashMap::from([(HTTP_STATUS.into(), "400".into())])
        }
        Error::Kudos(KudosRule::NotEnough { available }) => {
            HashMap::from([("available".into(), available.to_string())])
        }
        Error::TooManyPrompts { limit, .. } => HashMap::from([("limit".into(), limit.to_string())]),
        _ => HashMap::new(),
    }
}

/// Code and reason of every error. The HTTP status stands at the reason, in the protos.
fn row(error: &Error) -> (Code, Reason) {
    match error {
        Error::InvalidApiKey => (Code::Unauthenticated, Reason::InvalidApiKey),
        Error::UserNotFound => (Code::NotFound, Reason::UserNotFound),
        Error::DeletedUser => (Code::PermissionDenied, Reason::DeletedUser),
        Error::Account(rule) => account(*rule),
        Error::BadRequest(_) => (Code::InvalidArgument, Reason::BadRequest),
        Error::LegacyUnreachable => (Code::Unavailable, Reason::LegacyUnreachable),
        Error::LegacyTooSlow => (Code::DeadlineExceeded, Reason::LegacyTooSlow),
        Error::MissingPrompt => (Code::InvalidArgument, Reason::MissingPrompt),
        Error::BadParams { rule, .. } => (Code::InvalidArgument, params(*rule)),
        Error::TooManyPrompts { .. } => (Code::ResourceExhausted, Reason::TooManyPrompts),
        Error::QueueFull { .. } => (Code::ResourceExhausted, Reason::QueueFull),
        Error::RequestNotFound(_) => (Code::NotFound, Reason::RequestNotFound),
        Error::WorkerNotFound(_) => (Code::NotFound, Reason::WorkerNotFound),
        Error::AnonForbiddenWorker => (Code::PermissionDenied, Reason::AnonForbiddenWorker),
        Error::WrongCredentials => (Code::PermissionDenied, Reason::WrongCredentials),
        Error::PolymorphicNameConflict(_) => (Code::AlreadyExists, Reason::PolymorphicNameConflict),
        Error::TooManyWorkers { trusted: false, .. } => (Code::PermissionDenied, Reason::TooManyWorkers),
        Error::TooManyWorkers { trusted: true, .. } => {
            (Code::PermissionDenied, Reason::TooManyWorkersTrusted)
        }
        Error::WorkerFlagged => (Code::PermissionDenied, Reason::WorkerFlaggedMaintenance),
        Error::WorkerMaintenance(_) => (Code::FailedPrecondition, Reason::WorkerMaintenance),
        Error::InvalidPriorityUsername(_) => (Code::InvalidArgument, Reason::InvalidPriorityUsername),
        Error::InvalidJobId(_) => (Code::NotFound, Reason::InvalidJobId),
        Error::DuplicateGen { .. } => (Code::AlreadyExists, Reason::DuplicateGen),
        Error::AbortedGen(_) => (Code::Aborted, Reason::AbortedGen),
        Error::TokenGap { .. } => (Code::OutOfRange, Reason::TokenGap),
        Error::NulByte => (Code::InvalidArgument, Reason::NulByteInPayload),
        Error::NotOwner => (Code::PermissionDenied, Reason::NotOwner),
        Error::NotModerator => (Code::PermissionDenied, Reason::NotModerator),
        Error::AnonForbidden => (Code::PermissionDenied, Reason::AnonForbidden),
        Error::NotAdmin => (Code::PermissionDenied, Reason::NotAdmin),
        Error::ProfaneWorkerName => (Code::InvalidArgument, Reason::ProfaneWorkerName),
        Error::ProfaneBridgeAgent => (Code::InvalidArgument, Reason::ProfaneBridgeAgent),
        Error::ProfaneWorkerInfo => (Code::InvalidArgument, Reason::ProfaneWorkerInfo),
        Error::TooLongWorkerName => (Code::InvalidArgument, Reason::TooLongWorkerName),
        Error::WorkerNameAlreadyExists(_) => (Code::AlreadyExists, Reason::WorkerNameAlreadyExists),
        Error::TeamNotFound(_) => (Code::NotFound, Reason::TeamNotFound),
        Error::NoSharedKeyModSelected => (Code::InvalidArgument, Reason::NoSharedKeyModSelected),
        Error::MessageNotFound(_) => (Code::NotFound, Reason::MessageNotFound),
        Error::UntrustedTeamCreation => (Code::PermissionDenied, Reason::UntrustedTeamCreation),
        Error::TeamNameAlreadyExists(_) => (Code::AlreadyExists, Reason::TeamNameAlreadyExists),
        Error::ProfaneTeamName => (Code::InvalidArgument, Reason::ProfaneTeamName),
        Error::ProfaneTeamInfo => (Code::InvalidArgument, Reason::ProfaneTeamInfo),
        Error::NoTeamModSelected => (Code::InvalidArgument, Reason::NoTeamModSelected),
        Error::NoWorkerModSelected => (Code::InvalidArgument, Reason::NoWorkerModSelected),
        Error::WorkerLocked => (Code::FailedPrecondition, Reason::Locked),
        Error::WorkerInviteOnly { .. } => (Code::PermissionDenied, Reason::WorkerInviteOnly),
        Error::TooManySameIps { .. } => (Code::PermissionDenied, Reason::TooManySameIps),
        Error::UnsafeIp => (Code::PermissionDenied, Reason::UnsafeIp),
        Error::TooManyNewIps => (Code::PermissionDenied, Reason::TooManyNewIps),
        Error::CorruptPrompt { .. } => (Code::InvalidArgument, Reason::CorruptPrompt),
        Error::UntrustedUnsafeIp => (Code::PermissionDenied, Reason::UntrustedUnsafeIp),
        Error::TimeoutIp { .. } => (Code::PermissionDenied, Reason::TimeoutIp),
        Error::MaintenanceMode => (Code::FailedPrecondition, Reason::MaintenanceMode),
        Error::NoHordeModSelected => (Code::InvalidArgument, Reason::NoHordeModSelected),
        Error::StyleOfKindNotFound(Kind::Text, _) => (Code::NotFound, Reason::TextStyleNotFound),
        Error::StyleOfKindNotFound(..) => (Code::NotFound, Reason::ImageStyleNotFound),
        Error::NameTaken(..) => (Code::InvalidArgument, Reason::BadRequest),
        Error::StyleExampleNotFound(_) => (Code::NotFound, Reason::StyleExampleNotFound),
        Error::CollectionNotFound(_) => (Code::NotFound, Reason::CollectionNotFound),
        Error::StylesRequiresCustomizer => (Code::PermissionDenied, Reason::StylesRequiresCustomizer),
        Error::StylesAnonForbidden => (Code::PermissionDenied, Reason::StylesAnonForbidden),
        Error::SharedKeyAssignedStyles => (Code::PermissionDenied, Reason::SharedKeyAssignedStyles),
        Error::FilterNotFound(_) => (Code::NotFound, Reason::FilterNotFound),
        Error::NoFilterModSelected => (Code::InvalidArgument, Reason::NoFilterModSelected),
        Error::AestheticsNotCompleted => (Code::FailedPrecondition, Reason::AestheticsNotCompleted),
        Error::AestheticsNotPublic => (Code::FailedPrecondition, Reason::AestheticsNotPublic),
        Error::StyleNotFound(_) => (Code::NotFound, Reason::StyleNotFound),
        Error::Forbidden(_) => (Code::PermissionDenied, Reason::Forbidden),
        Error::KudosUpfront { .. } => (Code::PermissionDenied, Reason::KudosUpfront),
        Error::Kudos(rule) => kudos(*rule),
        Error::SharedKeyEmpty => (Code::PermissionDenied, Reason::SharedKeyEmpty),
        Error::SharedKeyExpired => (Code::PermissionDenied, Reason::SharedKeyExpired),
        Error::SharedKeyInsufficientKudos { .. } => {
            (Code::PermissionDenied, Reason::SharedKeyInsufficientKudos)
        }
        Error::KeyExists => (Code::AlreadyExists, Reason::KeyExists),
        Error::Overtaken => (Code::Aborted, Reason::Overtaken),
        Error::Draining { .. } => (Code::Unavailable, Reason::Draining),
        Error::StoreUnavailable { .. } => (Code::Unavailable, Reason::StoreUnavailable),
    }
}

fn account(rule: AccountRule) -> (Code, Reason) {
    match rule {
        AccountRule::NothingSelected => (Code::InvalidArgument, Reason::NoUserModSelected),
        AccountRule::AnonymousSaysNothing => (Code::PermissionDenied, Reason::AnonForbiddenUserMod),
        AccountRule::AnonymousDeletesNobody => (Code::PermissionDenied, Reason::AnonForbiddenUser),
        AccountRule::ModeratorStays => (Code::PermissionDenied, Reason::CannotDeleteMod),
        AccountRule::NeitherSelfNorModerator => (Code::PermissionDenied, Reason::NotUserOrMod),
        AccountRule::StillActive => (Code::FailedPrecondition, Reason::CannotWipeActiveUser),
        AccountRule::NotDeleted => (Code::FailedPrecondition, Reason::UserNotDeleted),
        AccountRule::NoService => (Code::PermissionDenied, Reason::NonServiceForbidden),
        AccountRule::ProfaneName => (Code::InvalidArgument, Reason::ProfaneUserName),
        AccountRule::LongName => (Code::InvalidArgument, Reason::TooLongUserName),
        AccountRule::ProfaneContact => (Code::InvalidArgument, Reason::ProfaneUserContact),
        AccountRule::ProfaneComment => (Code::InvalidArgument, Reason::ProfaneAdminComment),
        AccountRule::RegistrationClosed | AccountRule::CaptchaNeeded => {
            (Code::PermissionDenied, Reason::RegistrationClosed)
        }
    }
}

fn kudos(rule: KudosRule) -> (Code, Reason) {
    match rule {
        KudosRule::FromAnonymous => (Code::PermissionDenied, Reason::KudosTransferFromAnon),
        KudosRule::UnknownTarget => (Code::InvalidArgument, Reason::InvalidTargetUsername),
        KudosRule::TargetExpired => (Code::FailedPrecondition, Reason::SharedKeyExpired),
        KudosRule::ToAnonymous => (Code::InvalidArgument, Reason::KudosTransferToAnon),
        KudosRule::ToSelf => (Code::InvalidArgument, Reason::KudosTransferToSelf),
        KudosRule::TooFast => (Code::FailedPrecondition, Reason::TooFastKudosTransfers),
        KudosRule::SenderSuspicious => (Code::PermissionDenied, Reason::FaultWhenKudosSending),
        KudosRule::SenderFlagged => (Code::PermissionDenied, Reason::SourceAccountFlagged),
        KudosRule::SenderIsSchool => (Code::PermissionDenied, Reason::EducationCannotSendKudos),
        KudosRule::ReceiverSuspicious => (Code::FailedPrecondition, Reason::FaultWhenKudosReceiving),
        KudosRule::ReceiverFlagged => (Code::FailedPrecondition, Reason::TargetAccountFlagged),
        KudosRule::Deleted => (Code::FailedPrecondition, Reason::DeletedUser),
        KudosRule::Negative => (Code::InvalidArgument, Reason::NegativeKudosTransfer),
        KudosRule::Nothing => (Code::InvalidArgument, Reason::InvalidKudosTransferAmount),
        KudosRule::Conflict => (Code::AlreadyExists, Reason::IdempotencyKeyConflict),
        KudosRule::NotEnough { .. } | KudosRule::SetAside => {
            (Code::FailedPrecondition, Reason::KudosTransferNotEnough)
        }
        KudosRule::MayNotAward => (Code::PermissionDenied, Reason::NotAllowedAwards),
        KudosRule::UnknownAwarded => (Code::InvalidArgument, Reason::InvalidAwardUsername),
        KudosRule::AwardToAnonymous => (Code::InvalidArgument, Reason::KudosAwardToAnon),
    }
}

fn params(rule: ParamRule) -> Reason {
    match rule {
        ParamRule::RequiresTrust => Reason::RequiresTrust,
        ParamRule::TokenOverflow => Reason::TokenOverflow,
        ParamRule::MissingFullSamplerOrder => Reason::MissingFullSamplerOrder,
        ParamRule::TooManyStopSequences => Reason::TooManyStopSequences,
        ParamRule::ExcessiveStopSequence => Reason::ExcessiveStopSequence,
        ParamRule::TooManyUpscalers => Reason::TooManyUpscalers,
        ParamRule::BadCfgDecimals => Reason::BadCfgDecimals,
        ParamRule::BadLoraVersion => Reason::BadLoraVersion,
        ParamRule::ControlNetSourceMissing => Reason::ControlNetSourceMissing,
        ParamRule::ControlNetInpaintingMismatch => Reason::ControlNetInpaintingMismatch,
        ParamRule::ControlNetInvalidPayload => Reason::ControlNetInvalidPayload,
        ParamRule::SourceMaskUnnecessary => Reason::SourceMaskUnnecessary,
        ParamRule::InvalidPromptSize => Reason::InvalidPromptSize,
        ParamRule::ImageValidationFailed => Reason::ImageValidationFailed,
        ParamRule::SourceImageResolutionExceeded => Reason::SourceImageResolutionExceeded,
        ParamRule::SourceImageSizeExceeded => Reason::SourceImageSizeExceeded,
        ParamRule::SourceImageUrlInvalid => Reason::SourceImageUrlInvalid,
        ParamRule::SourceImageUnreadable => Reason::SourceImageUnreadable,
        ParamRule::InpaintingMissingMask => Reason::InpaintingMissingMask,
        ParamRule::InvalidExtraSourceImages => Reason::InvalidExtraSourceImages,
        ParamRule::InvalidExtraTexts => Reason::InvalidExtraTexts,
        ParamRule::OnlyServiceAccountProxy => Reason::OnlyServiceAccountProxy,
        ParamRule::TooManyExtraSourceImages => Reason::TooManyExtraSourceImages,
        ParamRule::MoreThanMinExtraSourceImage => Reason::MoreThanMinExtraSourceImage,
        ParamRule::HiResMismatch => Reason::HiResMismatch,
        ParamRule::TooManyLoras => Reason::TooManyLoras,
        ParamRule::TooManyTis => Reason::TooManyTis,
        ParamRule::InvalidTransparencyModel => Reason::InvalidTransparencyModel,
        ParamRule::InvalidTransparencyImg2Img => Reason::InvalidTransparencyImg2img,
        ParamRule::InvalidTransparencyCn => Reason::InvalidTransparencyCn,
        ParamRule::ControlNetMismatch => Reason::ControlNetMismatch,
        ParamRule::ControlNetUnsupported => Reason::ControlNetUnsupported,
        ParamRule::UnexpectedModelName => Reason::UnexpectedModelName,
        ParamRule::BadCfgNumber => Reason::BadCfgNumber,
        ParamRule::SpecialMissingUsername => Reason::SpecialMissingUsername,
        ParamRule::SpecialMissingPayload => Reason::SpecialMissingPayload,
        ParamRule::InvalidRemix => Reason::InvalidRemix,
        ParamRule::MissingExtraTexts => Reason::MissingExtraTexts,
        ParamRule::SourceImageRequiredForModel => Reason::SourceImageRequiredForModel,
        ParamRule::VideoModeWithImageModel => Reason::VideoModeWithImageModel,
    }
}
