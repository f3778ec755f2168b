//! The console: a page, its script and its style, as `src/console/build` made them.
//!
//! They are part of the binary, and need nothing from elsewhere: the policy that they are sent with lets a
//! browser load from here alone, and images from where signed links lead.

use std::{future::ready, net::SocketAddr};

use axum::{
    Router,
    http::{HeaderMap, HeaderValue},
    routing::get,
};
use reqwest::Url;

use super::file::File;
use crate::config::Config;

/// What is served: path, content type, content.
const FILES: [(&str, &str, &[u8]); 3] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../console/dist/index.html")),
    ("/console/app.js", "text/javascript; charset=utf-8", include_bytes!("../../console/dist/app.js")),
    ("/console/app.css", "text/css; charset=utf-8", include_bytes!("../../console/dist/app.css")),
];

/// The routes of the console of a broker that listens at an address.
pub fn router(config: &Config, address: SocketAddr) -> Router {
    let policy = policy(&origins(config, address));
    FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let file = File::new(kind, content, policy.clone());
        router.route(path, get(move |headers: HeaderMap| ready(file.answer(&headers))))
    })
}

/// Where signed links lead: below the public URL, or into the bucket.
fn origins(config: &Config, address: SocketAddr) -> Vec<String> {
    let public = Url::parse(&config.public_url(address)).ok();
    let bucket = config.objects.bucket().filter(|bucket| bucket.has_direct_links).map(|bucket| {
        let mut url = bucket.endpoint;
        if !bucket.is_in_path
            && let Some(host) = url.host_str()
        {
            let host = format!("{}.{host}", bucket.name);
            // A name that is no host's has made the store refuse to open.
            let _ = url.set_host(Some(&host));
        }
        url
    });
    public.into_iter().chain(bucket).map(|url| url.origin().ascii_serialization()).collect()
}

fn policy(image_origins: &[String]) -> HeaderValue {
    let images = image_origins.join(" ");
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: {images}; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("origins are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn with_bucket(is_in_path: bool, has_direct_links: bool) -> Config {
        let mut config = Config::default();
        config.server.public_url = Some("https://grid.example.org/below".into());
        config.objects.s3_endpoint = Some("https://store.example.net:9000".into());
        config.objects.s3_bucket = Some("pictures".into());
        config.objects.s3_access_key_id = Some("id".into());
        config.objects.s3_secret_access_key = Some(Secret::new("secret"));
        config.objects.s3_path_style = is_in_path;
        config.objects.s3_direct_links = has_direct_links;
        config
    }

    #[test]
    fn images_are_loaded_from_where_links_lead_and_nowhere_else() {
        let address: SocketAddr = "127.0.0.1:7001".parse().unwrap();
        for (config, expected, rule) in [
            (Config::default(), vec!["http://127.0.0.1:7001"], "links lead to the broker itself"),
            (with_bucket(true, false), vec!["https://grid.example.org"], "or to its public URL"),
            (
                with_bucket(true, true),
                vec!["https://grid.example.org", "https://store.example.net:9000"],
                "or to the store",
            ),
            (
                with_bucket(false, true),
                vec!["https://grid.example.org", "https://pictures.store.example.net:9000"],
                "which may have a host for each bucket",
            ),
        ] {
            assert_eq!(origins(&config, address), expected, "{rule}");
        }
        let policy = policy(&["https://a.example".into()]);
        let policy = policy.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
        assert!(policy.contains("; img-src 'self' data: blob: https://a.example; "), "{policy}");
    }
}
