//! A browser without scripts: it keeps cookies, and goes where it is sent.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder, StatusCode, header, redirect::Policy};

/// Somebody who looks at pages.
pub struct Visitor {
    client: Client,
    /// Where the broker is.
    url: String,
    /// Where it says that it is.
    public: String,
    cookies: Mutex<BTreeMap<String, String>>,
    /// Cookies and keys that they ever got.
    secrets: Mutex<Vec<String>>,
}

/// What they are shown.
pub struct Shown {
    /// The status.
    pub status: StatusCode,
    /// Headers.
    pub headers: header::HeaderMap,
    /// The page.
    pub page: String,
}

impl Shown {
    /// What stands in the element that programs look for.
    pub fn key(&self) -> Option<&str> {
        let (_, rest) = self.page.split_once("<code class=\"ah-api-key\">")?;
        Some(rest.split_once("</code>")?.0)
    }

    /// The token of the page's forms; empty: they have none.
    pub fn token(&self) -> String {
        let found =
            self.page.split_once("name=\"token\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        found.map(|(token, _)| token.to_owned()).unwrap_or_default()
    }

    /// Where they are sent.
    pub fn location(&self) -> Option<&str> {
        self.headers.get(header::LOCATION)?.to_str().ok()
    }

    /// Cookies that they are to keep, as they are set.
    pub fn cookies(&self) -> Vec<&str> {
        let set = self.headers.get_all(header::SET_COOKIE).iter();
        set.filter_map(|value| value.to_str().ok()).collect()
    }
}

impl Visitor {
    /// Somebody at a broker.
    pub fn of(url: &str) -> Self {
        Self::behind(url, url)
    }

    /// Somebody at a broker that calls itself otherwise.
    pub fn behind(url: &str, public: &str) -> Self {
        let client = Client::builder().redirect(Policy::none()).build().expect("it can be made");
        let (url, public) = (url.to_owned(), public.to_owned());
        Self { client, url, public, cookies: Mutex::default(), secrets: Mutex::default() }
    }

    /// The same browser, at another broker.
    pub fn at(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// Looks at a page, and goes no further.
    pub async fn looks(&self, path: &str) -> Shown {
        self.shown(self.client.get(self.place(path))).await
    }

    /// Goes to a page, and on to wherever it is sent.
    pub async fn opens(&self, path: &str) -> Shown {
        let mut shown = self.looks(path).await;
        for _ in 0..8 {
            let Some(place) = shown.location().map(str::to_owned) else { return shown };
            shown = self.looks(&place).await;
        }
        panic!("it is sent on and on, to {:?}", shown.location())
    }

    /// Sends a form.
    pub async fn sends(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Shown {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, value);
        }
        let mut request = self.posts(path).header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.shown(request.body(form.finish())).await
    }

    /// A request with whatever body.
    pub fn posts(&self, path: &str) -> RequestBuilder {
        self.client.post(self.place(path))
    }

    /// What is answered.
    pub async fn shown(&self, request: RequestBuilder) -> Shown {
        let mut request = request.build().expect("it is one");
        let kept: Vec<_> =
            self.cookies.lock().iter().map(|(name, value)| format!("{name}={value}")).collect();
        // Nobody else gets them.
        if !kept.is_empty() && request.url().as_str().starts_with(&self.url) {
            let kept = kept.join("; ").parse().expect("they stand in a header");
            request.headers_mut().insert(header::COOKIE, kept);
        }
        let answer = self.client.execute(request).await.expect("it answers");
        let (status, headers) = (answer.status(), answer.headers().clone());
        let shown = Shown { status, headers, page: answer.text().await.expect("a page is text") };
        let mut cookies = self.cookies.lock();
        for cookie in shown.cookies() {
            let (name, rest) = cookie.split_once('=').expect("it has a name");
            let value = rest.split(';').next().unwrap_or_default();
            match cookie.contains("Max-Age=0;") {
                true => drop(cookies.remove(name)),
                false => {
                    self.secrets.lock().push(value.to_owned());
                    cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        drop(cookies);
        self.secrets.lock().extend(shown.key().map(str::to_owned));
        shown
    }

    /// All cookies and keys that they ever got.
    pub fn secrets(&self) -> Vec<String> {
        self.secrets.lock().clone()
    }

    /// What is kept under a name.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().get(name).cloned()
    }

    /// Keeps something else under a name.
    pub fn keeps(&self, name: &str, value: &str) {
        self.cookies.lock().insert(name.to_owned(), value.to_owned());
    }

    /// Forgets all cookies.
    pub fn forgets(&self) {
        self.cookies.lock().clear();
    }

    fn place(&self, path: &str) -> String {
        match path.strip_prefix(&self.public) {
            Some(path) => format!("{}{path}", self.url),
            None if path.starts_with('/') => format!("{}{path}", self.url),
            None => path.to_owned(),
        }
    }
}
