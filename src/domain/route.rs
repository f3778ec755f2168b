//! Which paths another server answers, while this one takes its place path by path.
//!
//! A path stands for itself and for all below it. Of several that a call lies below, the longest counts.

/// Most characters of a path.
const LONGEST: usize = 200;

/// Paths that only this server answers: its own workings, and links that it signed.
const OWN: [&str; 6] = ["/health", "/livez", "/readyz", "/metrics", "/objects", "/console"];

/// Whether calls for a path may be passed on, or taken back.
///
/// # Errors
/// What is wrong with the path, and what to write instead.
pub fn check(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("a path begins with a slash, such as /api/v2/teams");
    }
    if path.len() > LONGEST {
        return Err("a path has at most 200 characters");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    if !path.chars().all(is_plain) {
        return Err("a path has letters, digits, slashes, dashes, underscores, dots and tildes alone; \
             one stands for all below it, so /api/v2/users is also /api/v2/users/7");
    }
    if path != "/" && path[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a path has names between its slashes, and no slash at its end");
    }
    if is_own(path) {
        return Err("only this server answers that");
    }
    Ok(())
}

/// Whether only this server answers a path.
pub fn is_own(path: &str) -> bool {
    OWN.iter().any(|own| lies_below(path, own))
}

/// Whether a path is another, or lies below it.
fn lies_below(path: &str, above: &str) -> bool {
    match path.strip_prefix(above) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || above == "/",
        None => false,
    }
}

/// Paths, and whether the other server answers them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes(Vec<(String, bool)>);

impl Routes {
    /// All of these paths answered by the other server.
    pub fn returned(paths: &[String]) -> Self {
        let mut routes = Self::default();
        paths.iter().for_each(|path| routes.set(path, true));
        routes
    }

    /// Notes who answers a path: the other server, or this one.
    pub fn set(&mut self, path: &str, is_returned: bool) {
        match self.0.binary_search_by(|(known, _)| known.as_str().cmp(path)) {
            Ok(at) => self.0[at].1 = is_returned,
            Err(at) => self.0.insert(at, (path.to_owned(), is_returned)),
        }
    }

    /// The path that decides on a call, and whether the other server answers it; `None`: nothing is said.
    pub fn decide(&self, path: &str) -> Option<(&str, bool)> {
        let above = self.0.iter().filter(|(known, _)| lies_below(path, known));
        above.max_by_key(|(known, _)| known.len()).map(|(known, is_returned)| (known.as_str(), *is_returned))
    }

    /// All of them, in order.
    pub fn all(&self) -> &[(String, bool)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain_and_not_the_servers_own() {
        for (path, is_fine) in [
            ("/", true),
            ("/api/v2/teams", true),
            ("/register", true),
            ("/.well-known/serviceinfo", true),
            ("/healthy", true),
            ("api/v2/teams", false),
            ("", false),
            ("/api/v2/teams/", false),
            ("//teams", false),
            ("/api/../metrics", false),
            ("/api/./x", false),
            ("/teams?x=1", false),
            ("/teams/{id}", false),
            ("/te%61ms", false),
            ("/tëams", false),
            ("/a b", false),
            ("/metrics", false),
            ("/objects/x", false),
            ("/health", false),
        ] {
            assert_eq!(check(path).is_ok(), is_fine, "{path}");
        }
        assert!(check(&format!("/{}", "x".repeat(199))).is_ok());
        assert!(check(&format!("/{}", "x".repeat(200))).is_err());
    }

    #[test]
    fn of_several_paths_the_longest_decides() {
        let mut routes = Routes::returned(&["/".into(), "/api/v2/users".into()]);
        routes.set("/api/v2", false);
        routes.set("/api/v2/users/7", false);
        for (path, decided) in [
            ("/register", Some(("/", true))),
            ("/api", Some(("/", true))),
            ("/api/v2", Some(("/api/v2", false))),
            ("/api/v2/teams", Some(("/api/v2", false))),
            ("/api/v2/users", Some(("/api/v2/users", true))),
            ("/api/v2/users/8", Some(("/api/v2/users", true))),
            ("/api/v2/users/7", Some(("/api/v2/users/7", false))),
            ("/api/v2/users/7/x", Some(("/api/v2/users/7", false))),
            ("/api/v2/users/77", Some(("/api/v2/users", true))),
            ("/api/v2/usersome", Some(("/api/v2", false))),
        ] {
            assert_eq!(routes.decide(path), decided, "{path}");
        }
        assert_eq!(Routes::default().decide("/x"), None);
        routes.set("/api/v2", true);
        assert_eq!(routes.decide("/api/v2/teams"), Some(("/api/v2", true)), "the last word counts");
    }
}
