//! Examples of styles.

use super::{StylesService, shown};
use crate::{
    domain::{
        Error, ExampleId, Result,
        request::Kind,
        style::{Example, MAX_EXAMPLES, Style},
    },
    rpc::{gate::Call, pb},
};

/// Adds an example.
pub(super) async fn add(
    service: &StylesService,
    call: Call<pb::AddStyleExampleRequest>,
) -> Result<pb::StyleChangedResponse> {
    let Call { message, key, .. } = call;
    let style = service.owned::<pb::AddStyleExampleRequest>(key, Kind::Image, &message.id).await?;
    let url = link(message.url.unwrap_or_default())?;
    let is_primary = message.primary.unwrap_or(false);
    let id = service.0.host.act(|_, step, _| Ok(ExampleId(step.dice.uuid()))).await?;
    let added = service.0.host.change_style(style.id, |mut style| {
        if style.examples.len() >= MAX_EXAMPLES {
            return Err(Error::Forbidden(format!(
                "a style has at most {MAX_EXAMPLES} examples: delete one first"
            )));
        }
        demand_new(&style, id, &url)?;
        style.add_example(Example { id, url: url.clone(), is_primary });
        Ok((style, None))
    });
    added.await?;
    Ok(shown::changed(id, &[]))
}

/// Changes an example.
pub(super) async fn update(
    service: &StylesService,
    call: Call<pb::UpdateStyleExampleRequest>,
) -> Result<pb::StyleChangedResponse> {
    let Call { message, key, .. } = call;
    let style = service.owned::<pb::UpdateStyleExampleRequest>(key, Kind::Image, &message.id).await?;
    let id = known(&style, &message.example_id)?;
    let url = message.url.map(link).transpose()?;
    let is_primary = message.primary.unwrap_or(true);
    let changed = service.0.host.change_style(style.id, |mut style| {
        known(&style, &message.example_id)?;
        if let Some(url) = &url {
            demand_new(&style, id, url)?;
        }
        for example in style.examples.iter_mut().filter(|example| example.id == id) {
            if example.is_primary && !is_primary {
                return Err(Error::BadRequest(
                    "one example is the primary one: make another one that, and this one is no more".into(),
                ));
            }
            if let Some(url) = &url {
                example.url.clone_from(url);
            }
        }
        if is_primary {
            style.show_first(id);
        }
        Ok((style, None))
    });
    changed.await?;
    Ok(shown::changed(id, &[]))
}

/// Takes an example away.
pub(super) async fn delete(
    service: &StylesService,
    call: Call<pb::DeleteStyleExampleRequest>,
) -> Result<pb::StyleDeletedResponse> {
    let Call { message, key, .. } = call;
    let style = service.owned::<pb::DeleteStyleExampleRequest>(key, Kind::Image, &message.id).await?;
    let id = known(&style, &message.example_id)?;
    let deleted = service.0.host.change_style(style.id, |mut style| {
        known(&style, &message.example_id)?;
        style.drop_example(id);
        Ok((style, None))
    });
    deleted.await?;
    Ok(shown::deleted())
}

fn known(style: &Style, text: &str) -> Result<ExampleId> {
    let id = ExampleId::parse(text).filter(|id| style.examples.iter().any(|example| example.id == *id));
    id.ok_or_else(|| Error::StyleExampleNotFound(text.to_owned()))
}

fn demand_new(style: &Style, id: ExampleId, url: &str) -> Result<()> {
    match style.examples.iter().any(|example| example.id != id && example.url == url) {
        true => Err(Error::BadRequest("this style has an example with this URL already".into())),
        false => Ok(()),
    }
}

/// A link that pages may lead to.
///
/// # Errors
/// [`Error::BadRequest`]: it is none.
pub fn link(url: String) -> Result<String> {
    let is_plain =
        |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | '"' | '\'' | '\\');
    let rest = url.strip_prefix("https://").unwrap_or_default();
    let has_host = rest.starts_with(|c: char| c.is_alphanumeric() || c == '[');
    if has_host && rest.chars().all(is_plain) {
        return Ok(url);
    }
    Err(Error::BadRequest(
        "the URL of an example begins with https://, and has no spaces or quotes in it".into(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_links_that_pages_may_lead_to() {
        for (url, is_fit) in [
            ("https://example.org/a.webp?b=c#d", true),
            ("https://[::1]/a", true),
            ("http://example.org/a.webp", false),
            ("HTTPS://example.org", false),
            ("https://", false),
            ("https:///a", false),
            ("https://a b", false),
            ("https://a\0b", false),
            ("https://a\"onload=\"x", false),
            ("javascript:https://a", false),
            ("", false),
        ] {
            assert_eq!(link(url.into()).is_ok(), is_fit, "{url:?}");
        }
    }
}
