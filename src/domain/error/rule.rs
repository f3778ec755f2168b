//! Rules of parameters.

/// Rules of image and text parameters that have a return code of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamRule {
    /// One image per pop needs trust when several are asked for.
    RequiresTrust,
    /// The context is shorter than the output.
    TokenOverflow,
    /// Fewer than seven distinct samplers.
    MissingFullSamplerOrder,
    /// More than 128 distinct stop sequences.
    TooManyStopSequences,
    /// Stop sequences of more than 2,000 characters.
    ExcessiveStopSequence,
    /// More than one upscaler.
    TooManyUpscalers,
    /// More than two decimals.
    BadCfgDecimals,
    /// A LoRA version that is no number.
    BadLoraVersion,
    /// ControlNet without a source image.
    ControlNetSourceMissing,
    /// ControlNet with inpainting.
    ControlNetInpaintingMismatch,
    /// Map in and map out.
    ControlNetInvalidPayload,
    /// A mask without a source image.
    SourceMaskUnnecessary,
    /// More than 7,500 words.
    InvalidPromptSize,
    /// The source is no image.
    ImageValidationFailed,
    /// The source is larger than 3072² pixels.
    SourceImageResolutionExceeded,
    /// The image at a URL is larger than 5 MB.
    SourceImageSizeExceeded,
    /// What a URL leads to is no image.
    SourceImageUrlInvalid,
    /// What a URL leads to says that it is an image, and cannot be read.
    SourceImageUnreadable,
    /// Inpainting without a mask, and the source has no alpha channel that could be one.
    InpaintingMissingMask,
    /// Extra source images where none are read.
    InvalidExtraSourceImages,
    /// Extra texts where none are read.
    InvalidExtraTexts,
    /// `proxied_account` is for services.
    OnlyServiceAccountProxy,
    /// More than five extra source images.
    TooManyExtraSourceImages,
    /// More than one needs trust.
    MoreThanMinExtraSourceImage,
    /// The model cannot use hires_fix.
    HiResMismatch,
    /// More than five LoRAs.
    TooManyLoras,
    /// More than twenty textual inversions.
    TooManyTis,
    /// The model draws nothing transparent.
    InvalidTransparencyModel,
    /// Transparent with extra source images.
    InvalidTransparencyImg2Img,
    /// Transparent with ControlNet.
    InvalidTransparencyCn,
    /// The model has no ControlNet, or not for this workflow.
    ControlNetMismatch,
    /// The model does not have this ControlNet type.
    ControlNetUnsupported,
    /// A name that is no model's, or one that only controls.
    UnexpectedModelName,
    /// No number.
    BadCfgNumber,
    /// A special model says whose it is.
    SpecialMissingUsername,
    /// A special model reads a payload.
    SpecialMissingPayload,
    /// Only Stable Cascade remixes.
    InvalidRemix,
    /// A workflow without its texts.
    MissingExtraTexts,
    /// The model starts from a source image.
    SourceImageRequiredForModel,
    /// A video of a model that makes images.
    VideoModeWithImageModel,
}
