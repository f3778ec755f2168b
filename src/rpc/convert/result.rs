//! What workers say of their results: verdict and remarks.

use crate::{
    domain::{
        Error, Result,
        result::{Extras, Remark, Verdict},
    },
    rpc::pb,
};

/// Most remarks about one result. Source: the v2 contract.
const MAX_REMARKS: usize = 50;
/// Most labels of a file, and the longest ones, in characters.
const MAX_TAGS: usize = 32;
const LONGEST_TAG: usize = 64;
/// Longest URL of a file, in characters.
const LONGEST_URL: usize = 2048;

/// What a worker says of its result besides the result itself.
pub struct Verdicts {
    /// How it went; `None`: it failed.
    pub verdict: Option<Verdict>,
    /// Remarks.
    pub remarks: Vec<Remark>,
}

/// How an image went: only a remark makes it censored, whatever the state says.
///
/// # Errors
/// BadRequest for too many remarks.
pub fn image(state: &str, remarks: Vec<pb::GenerationMetadata>) -> Result<Verdicts> {
    let remarks = self::remarks(remarks)?;
    let verdict = match worst(&remarks) {
        Some(verdict) => Some(verdict),
        None if state == "faulted" => None,
        None => Some(Verdict::Ok),
    };
    Ok(Verdicts { verdict, remarks })
}

/// How a text went: the state counts, and a remark can only make it worse.
///
/// # Errors
/// BadRequest for too many remarks.
pub fn text(state: &str, remarks: Vec<pb::GenerationMetadata>) -> Result<Verdicts> {
    let mut remarks = self::remarks(remarks)?;
    let verdict = match (state, worst(&remarks)) {
        ("csam", _) | (_, Some(Verdict::Csam)) => Some(Verdict::Csam),
        ("faulted", None) => None,
        ("censored", _) | (_, Some(_)) => Some(Verdict::Censored),
        _ => Some(Verdict::Ok),
    };
    if verdict == Some(Verdict::Csam) && worst(&remarks) != Some(Verdict::Csam) {
        remarks.push(Remark { about: "censorship".into(), value: "csam".into(), detail: None });
    }
    Ok(Verdicts { verdict, remarks })
}

fn worst(remarks: &[Remark]) -> Option<Verdict> {
    let mut censorship = remarks.iter().filter(|remark| remark.about == "censorship").peekable();
    censorship.peek()?;
    Some(if censorship.any(|remark| remark.value == "csam") { Verdict::Csam } else { Verdict::Censored })
}

fn remarks(sent: Vec<pb::GenerationMetadata>) -> Result<Vec<Remark>> {
    if sent.len() > MAX_REMARKS {
        return Err(Error::BadRequest(format!("{} remarks are more than {MAX_REMARKS}", sent.len())));
    }
    let remark = |m: pb::GenerationMetadata| Remark {
        about: m.r#type.unwrap_or_default(),
        value: m.value.unwrap_or_default(),
        detail: m.r#ref,
    };
    Ok(sent.into_iter().map(remark).collect())
}

/// What else a worker says of a file. What is too much of it is left out rather than refused: the job is done.
pub fn extras(message: &mut pb::SubmitImageResultRequest) -> Extras {
    let cut = |tag: String| tag.chars().take(LONGEST_TAG).collect();
    Extras {
        tags: std::mem::take(&mut message.tags).into_iter().take(MAX_TAGS).map(cut).collect(),
        download_url: message.r2_download_url.take().filter(|url| url.chars().count() <= LONGEST_URL),
        file_size: message.file_size.filter(|size| *size >= 0),
    }
}

/// Remarks as they are shown.
pub fn metadata(remarks: &[Remark]) -> Vec<pb::GenerationMetadata> {
    let one = |remark: &Remark| pb::GenerationMetadata {
        r#type: Some(remark.about.clone()),
        value: Some(remark.value.clone()),
        r#ref: remark.detail.clone(),
    };
    remarks.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn censorship(value: &str) -> Vec<pb::GenerationMetadata> {
        vec![pb::GenerationMetadata {
            r#type: Some("censorship".into()),
            value: Some(value.into()),
            r#ref: None,
        }]
    }

    #[test]
    fn of_images_only_a_remark_decides() {
        for (state, remarks, verdict, rule) in [
            ("ok", vec![], Some(Verdict::Ok), "fine"),
            ("faulted", vec![], None, "failed"),
            ("censored", vec![], Some(Verdict::Ok), "a state without a remark counts as fine"),
            ("faulted", censorship("nsfw"), Some(Verdict::Censored), "a remark goes before the state"),
            ("ok", censorship("csam"), Some(Verdict::Csam), "the worst kind"),
        ] {
            assert_eq!(image(state, remarks).unwrap().verdict, verdict, "{rule}");
        }
    }

    #[test]
    fn of_texts_the_state_decides_and_csam_is_always_remarked_on() {
        for (state, remarks, verdict, rule) in [
            ("ok", vec![], Some(Verdict::Ok), "fine"),
            ("faulted", vec![], None, "failed"),
            ("censored", vec![], Some(Verdict::Censored), "withheld"),
            ("csam", vec![], Some(Verdict::Csam), "the worst kind by state"),
            ("ok", censorship("csam"), Some(Verdict::Csam), "the worst kind by remark"),
        ] {
            let verdicts = text(state, remarks).unwrap();
            assert_eq!(verdicts.verdict, verdict, "{rule}");
            assert_eq!(worst(&verdicts.remarks) == Some(Verdict::Csam), verdict == Some(Verdict::Csam));
        }
    }
}
