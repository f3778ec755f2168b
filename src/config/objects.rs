//! Where images are kept, if not in the store.

use reqwest::Url;

use super::{Complaints, Secret};

/// A bucket of an S3-compatible store, or nothing: then images are kept where the records are.
#[derive(Clone, PartialEq, Debug)]
pub struct Objects {
    /// Base URL of the S3-compatible store, without the bucket. `None`: the data directory or PostgreSQL.
    pub s3_endpoint: Option<String>,
    /// Bucket, which must exist; set if and only if `s3_endpoint` is.
    pub s3_bucket: Option<String>,
    /// Region that requests are signed for.
    pub s3_region: String,
    /// ID of the key; set if and only if `s3_endpoint` is.
    pub s3_access_key_id: Option<String>,
    /// Secret of the key; set if and only if `s3_endpoint` is.
    pub s3_secret_access_key: Option<Secret>,
    /// Whether the bucket's name stands in the path of URLs, or before the host's name.
    pub s3_path_style: bool,
    /// Whether links that are handed out lead to the S3 store itself.
    pub s3_direct_links: bool,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            s3_endpoint: None,
            s3_bucket: None,
            s3_region: "us-east-1".into(),
            s3_access_key_id: None,
            s3_secret_access_key: None,
            s3_path_style: true,
            s3_direct_links: false,
        }
    }
}

/// All that is to be known of a bucket.
#[derive(Clone, PartialEq, Debug)]
pub struct Bucket {
    /// Base URL of the store.
    pub endpoint: Url,
    /// Its name there.
    pub name: String,
    /// Region that requests are signed for.
    pub region: String,
    /// ID of the key.
    pub key_id: String,
    /// Secret of the key.
    pub secret: Secret,
    /// Whether its name stands in the path of URLs.
    pub is_in_path: bool,
    /// Whether links that are handed out lead there.
    pub has_direct_links: bool,
}

impl Objects {
    /// The bucket, if one is set up. The settings are valid.
    pub fn bucket(&self) -> Option<Bucket> {
        Some(Bucket {
            endpoint: self.s3_endpoint.as_deref()?.parse().ok()?,
            name: self.s3_bucket.clone()?,
            region: self.s3_region.clone(),
            key_id: self.s3_access_key_id.clone()?,
            secret: self.s3_secret_access_key.clone()?,
            is_in_path: self.s3_path_style,
            has_direct_links: self.s3_direct_links,
        })
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        let is_secret_set = self.s3_secret_access_key.as_ref().map(|secret| !secret.expose().is_empty());
        let parts = [
            ("s3_endpoint", self.s3_endpoint.is_some()),
            ("s3_bucket", self.s3_bucket.is_some()),
            ("s3_access_key_id", self.s3_access_key_id.is_some()),
            ("s3_secret_access_key", is_secret_set == Some(true)),
        ];
        let missing: Vec<_> = parts.iter().filter(|(_, is_set)| !is_set).map(|(key, _)| *key).collect();
        if let Some((key, _)) = parts.iter().find(|(_, is_set)| *is_set)
            && !missing.is_empty()
        {
            let missing = missing.join(", ");
            complaints.about(key, format!("set without {missing}; an S3 store needs them all, or none"));
        }
        if self.s3_direct_links && missing.len() == parts.len() {
            complaints.about("s3_direct_links", "is on, and there is no S3 store; set s3_endpoint, or off");
        }
        if let Some(endpoint) = &self.s3_endpoint {
            self.check_endpoint(endpoint, complaints);
        }
        if let Some(name) = &self.s3_bucket {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
            let is_name = (3..=63).contains(&name.len())
                && name.chars().all(is_plain)
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.ends_with(|c: char| c.is_ascii_alphanumeric());
            if !is_name {
                complaints.about("s3_bucket", "must be 3 to 63 small letters, digits, - and .");
            }
        }
        let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
        if !is_word(&self.s3_region) {
            complaints.about("s3_region", "must be a name without blanks, such as us-east-1 or auto");
        }
        if self.s3_access_key_id.as_deref().is_some_and(|id| !is_word(id)) {
            complaints.about("s3_access_key_id", "must be a name without blanks");
        }
    }

    fn check_endpoint(&self, endpoint: &str, complaints: &mut Complaints) {
        let Ok(url) = endpoint.parse::<Url>() else {
            return complaints
                .about("s3_endpoint", "is no URL; write it as https://host or http://host:port");
        };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            complaints.about("s3_endpoint", "must begin with http:// or https:// and name a host");
        } else if !url.username().is_empty() || url.password().is_some() {
            complaints
                .about("s3_endpoint", "must not hold a key; set s3_access_key_id and s3_secret_access_key");
        } else if url.query().is_some() || url.fragment().is_some() {
            complaints.about("s3_endpoint", "must end before ? and #");
        } else if !self.s3_path_style && url.domain().is_none() {
            complaints.about("s3_path_style", "is off, which an address of numbers cannot do; set on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Objects {
        Objects {
            s3_endpoint: Some("http://127.0.0.1:9000".into()),
            s3_bucket: Some("grid".into()),
            s3_access_key_id: Some("id".into()),
            s3_secret_access_key: Some(Secret::new("s3cret")),
            ..Objects::default()
        }
    }

    fn complaints(objects: &Objects) -> String {
        let mut complaints = Complaints::default();
        objects.check(&mut complaints);
        complaints.0.iter().map(|(key, message)| format!("{key}: {message}\n")).collect()
    }

    #[test]
    fn a_bucket_is_set_up_whole_or_not_at_all() {
        assert_eq!(complaints(&Objects::default()), "");
        assert_eq!(Objects::default().bucket(), None);
        assert_eq!(complaints(&whole()), "");
        assert_eq!(whole().bucket().unwrap().name, "grid");
        let half = Objects { s3_bucket: None, s3_secret_access_key: None, ..whole() };
        assert!(complaints(&half).contains("s3_endpoint: set without s3_bucket, s3_secret_access_key"));
        let empty = Objects { s3_secret_access_key: Some(Secret::new("")), ..whole() };
        assert!(complaints(&empty).contains("set without s3_secret_access_key"));
    }

    #[test]
    fn each_part_is_checked_and_all_complaints_come_at_once() {
        let wrong = |change: fn(&mut Objects)| {
            let mut objects = whole();
            change(&mut objects);
            complaints(&objects)
        };
        for (told, about) in [
            (wrong(|o| o.s3_endpoint = Some("s3.example.org".into())), "s3_endpoint: is no URL"),
            (wrong(|o| o.s3_endpoint = Some("ftp://s3.example.org".into())), "s3_endpoint: must begin"),
            (
                wrong(|o| o.s3_endpoint = Some("https://k:s3cret@host".into())),
                "s3_endpoint: must not hold a key",
            ),
            (wrong(|o| o.s3_endpoint = Some("https://host/?x=y".into())), "s3_endpoint: must end before"),
            (wrong(|o| o.s3_path_style = false), "s3_path_style: is off"),
            (wrong(|o| o.s3_bucket = Some("Grid".into())), "s3_bucket: must be"),
            (wrong(|o| o.s3_bucket = Some("../grid".into())), "s3_bucket: must be"),
            (wrong(|o| o.s3_region = String::new()), "s3_region: must be"),
            (wrong(|o| o.s3_access_key_id = Some("a b".into())), "s3_access_key_id: must be"),
        ] {
            assert!(told.starts_with(about), "{about} / {told}");
            assert!(!told.contains("s3cret"), "{told}");
        }
        let direct = Objects { s3_direct_links: true, ..Objects::default() };
        assert!(complaints(&direct).contains("s3_direct_links: is on"));
        let all = Objects {
            s3_endpoint: Some("x".into()),
            s3_bucket: Some("X".into()),
            s3_region: String::new(),
            ..Objects::default()
        };
        assert_eq!(complaints(&all).lines().count(), 4, "{}", complaints(&all));
    }

    #[test]
    fn the_secret_prints_as_stars() {
        assert!(!format!("{:?} {:?}", whole(), whole().bucket()).contains("s3cret"));
    }
}
