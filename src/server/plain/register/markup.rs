//! What the page shows, by who looks at it.

use std::fmt::Write;

use axum::{http::StatusCode, response::Response};

use crate::{
    domain::{sign_in::Provider, user::User},
    host::Session,
    server::plain::pages::{CAPTCHA_SCRIPT, escaped, page},
};

/// What the page is called.
pub const TITLE: &str = "Register";

const OTHER_KEY: &str = r#"<section>
<h2>Another key for your account</h2>
<form method="post" action="/register/key">
<label for="apikey">Your present API key</label>
<input id="apikey" name="apikey" type="password" required maxlength="256" autocomplete="current-password" aria-describedby="key-hint">
<p class="hint" id="key-hint">It stops at once, wherever it is used.</p>
<button type="submit">Get another key</button>
</form>
</section>"#;

/// What there is to be shown.
pub struct Forms<'a> {
    /// Who is signed in, and the token of their forms.
    pub visitor: Option<(&'a Session, String)>,
    /// Their account, if they have one.
    pub account: Option<&'a User>,
    /// Where one can sign in.
    pub providers: Vec<Provider>,
    /// What reCAPTCHA calls this site, if whoever registers is asked.
    pub site_key: Option<&'a str>,
}

impl Forms<'_> {
    /// All forms.
    pub fn markup(&self) -> String {
        let lost = match self.providers.is_empty() {
            true => "nobody can give a lost key back to you",
            false => "a lost key can be replaced by another one only if you signed in",
        };
        let mut shown = format!(
            "<p>An account has an API key. With it you ask for images and texts, and run workers; what your\n\
             workers earn, your requests can spend. No e-mail address is needed, and {lost}.</p>\n"
        );
        match &self.visitor {
            Some((session, token)) => self.signed_in(&mut shown, session, token),
            None => self.ways_in(&mut shown),
        }
        self.account_form(&mut shown);
        shown + OTHER_KEY
    }

    fn signed_in(&self, shown: &mut String, session: &Session, token: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(
            shown,
            "<section>\n<h2>You are signed in</h2>\n<p>{} knows you as <strong>{}</strong>. Nothing else was asked \
             for.</p>\n<form method=\"post\" action=\"/sign-out\">\n{}\n<button type=\"submit\">Sign out</button>\n\
             </form>\n</section>",
            session.somebody.provider().title(),
            escaped(session.somebody.id()),
            hidden(token)
        );
    }

    fn ways_in(&self, shown: &mut String) {
        if self.providers.is_empty() {
            return;
        }
        shown.push_str("<section>\n<h2>Sign in first, if you like</h2>\n");
        for provider in &self.providers {
            let (word, title) = (provider.word(), provider.title());
            let _ = writeln!(
                shown,
                "<p><a class=\"button\" href=\"/{word}/register\">Sign in with {title}</a></p>"
            );
        }
        shown.push_str(
            "<p class=\"hint\">Then the account is yours by that, and you can get another key for it at any time. \
             Nothing but the number of your account there is asked for and kept.</p>\n</section>\n",
        );
    }

    fn account_form(&self, shown: &mut String) {
        let (title, button) = match self.account {
            Some(_) => ("Your account", "Get another key"),
            None => ("A new account", "Make an account"),
        };
        let _ = writeln!(shown, "<section>\n<h2>{title}</h2>");
        if let Some(account) = self.account {
            // It is safe as it is kept; who wants markup in a name does not get it here.
            let name = escaped(&account.username());
            let _ = writeln!(
                shown,
                "<p>You are <strong>{name}</strong>. You get another key; the present one stops at once, wherever it \
                 is used.</p>"
            );
        }
        shown.push_str("<form method=\"post\" action=\"/register\">\n");
        if let Some((_, token)) = &self.visitor {
            let _ = writeln!(shown, "{}", hidden(token));
        }
        let (label, required, hint) = match self.account {
            Some(_) => ("Another name", "", "Leave it empty to keep the one you have."),
            None => ("Name", " required", "1 to 30 characters, none of them #. Everybody can see it."),
        };
        let _ = writeln!(
            shown,
            "<label for=\"username\">{label}</label>\n<input id=\"username\" name=\"username\"{required} \
             maxlength=\"30\" autocomplete=\"username\" aria-describedby=\"name-hint\">\n\
             <p class=\"hint\" id=\"name-hint\">{hint}</p>"
        );
        if let Some(site_key) = self.site_key {
            let _ = writeln!(
                shown,
                "<div class=\"g-recaptcha\" data-sitekey=\"{}\"></div>\n\
                 <noscript><p class=\"bad\">Whether you are a person is checked by a script of reCAPTCHA. Please allow \
                 scripts.</p></noscript>\n<script src=\"{CAPTCHA_SCRIPT}\" async defer></script>",
                escaped(site_key)
            );
        }
        let _ = writeln!(shown, "<button type=\"submit\">{button}</button>\n</form>\n</section>");
    }
}

fn hidden(token: &str) -> String {
    format!("<input type=\"hidden\" name=\"token\" value=\"{}\">", escaped(token))
}

/// The page with a key.
pub fn done(title: &str, username: &str, key: &str) -> Response {
    let body = format!(
        "<section>\n<p>You are <strong>{}</strong>. Your API key is</p>\n\
         <code class=\"ah-api-key\">{}</code>\n\
         <p><strong>Keep it: it is shown this once</strong>, and is not stored here. Whoever has it can use your \
         account.</p>\n</section>\n<p><a href=\"/\">To the start page</a></p>",
        // It is safe as it is kept; who wants markup in a name does not get it here.
        escaped(username),
        escaped(key)
    );
    page(StatusCode::OK, title, &body)
}

/// The page that says what is wrong.
pub fn sorry(status: StatusCode, text: &str) -> Response {
    let body = format!(
        "<p class=\"bad\" role=\"alert\">{}</p>\n<p><a href=\"/register\">Back</a></p>",
        escaped(text)
    );
    page(status, TITLE, &body)
}
