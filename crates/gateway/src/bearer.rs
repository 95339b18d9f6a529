//! Clients that are known by a token which somebody else has signed: `Authorization: Bearer` with a JWT (RFC 7519, RFC 6750).
//!
//! What of a token must hold, and how keys are had, is the crate `token`'s; here is whose token it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use token::{KEYS_AGE_MIN, Keys, Place, Rules, TokenError};

use crate::access::{Client, unknown};
use crate::options::InvalidOption;
use crate::problem::Problem;

/// `jwt` of `[[gateway.client]]`: tokens that this client is known by.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtOptions {
    /// Who makes them: `iss`, exactly.
    pub issuer: String,
    /// For whom they are: `aud`, or one of them.
    pub audience: String,
    /// The issuer's keys, a JWKS: an `https` address (`http` on loopback), or a file.
    pub jwks: PathBuf,
    /// `sub` of this client.
    #[serde(default)]
    pub subject: Option<String>,
    /// Claims of this client; `a.b` is `b` in `a`, and of a list one entry is enough. Without `subject` at least one.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// Certificates that the address's must come from; those of the system without.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

impl JwtOptions {
    /// Whether the keys are in a file.
    pub fn is_file(&self) -> bool {
        !self.jwks.to_string_lossy().contains("://")
    }

    fn place(&self) -> Result<Place, (&'static str, String, &'static str)> {
        if self.is_file() {
            return Ok(Place::File(self.jwks.clone()));
        }
        let address = self.jwks.to_string_lossy().into_owned();
        if !token::is_safe(&address) {
            let rule = "an https address (or http on loopback), or a file";
            return Err(("client.jwt.jwks", address, rule));
        }
        let shown =
            |path: Option<&Path>| path.map_or_else(String::new, |path| path.display().to_string());
        let roots = match &self.ca {
            Some(path) => pem::roots(path).map_err(|_| {
                let rule = "a file of certificates that can be read";
                ("client.jwt.ca", shown(Some(path)), rule)
            })?,
            None => token::system_roots(),
        };
        let tls = token::trusting(roots);
        let tls = tls.map_err(|_| {
            (
                "client.jwt",
                "TLS".to_owned(),
                "something that this build can do",
            )
        })?;
        Ok(Place::Web { address, tls })
    }

    /// Whether these are this client's claims.
    fn fits(&self, claims: &Value) -> bool {
        let subject = self.subject.as_ref();
        subject.is_none_or(|subject| claims.get("sub").is_some_and(|claim| says(claim, subject)))
            && self
                .claims
                .iter()
                .all(|(path, value)| claim(claims, path).is_some_and(|claim| says(claim, value)))
    }
}

/// A claim whose own name is this, or else one inside of others.
fn claim<'a>(claims: &'a Value, path: &str) -> Option<&'a Value> {
    let inside = || {
        let mut names = path.split('.');
        names.try_fold(claims, |value, name| value.get(name))
    };
    claims.get(path).or_else(inside)
}

fn says(claim: &Value, wanted: &str) -> bool {
    match claim {
        Value::String(text) => text == wanted,
        Value::Array(entries) => entries.iter().any(|entry| entry.as_str() == Some(wanted)),
        Value::Bool(truth) => wanted == if *truth { "true" } else { "false" },
        Value::Number(number) => wanted == number.to_string(),
        _ => false,
    }
}

/// Clients by their tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    clients: Vec<(JwtOptions, Arc<Keys>, Arc<Client>)>,
}

impl Tokens {
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Adds a client; nobody is asked for keys yet.
    pub(crate) fn add(
        &mut self,
        options: &JwtOptions,
        client: &Arc<Client>,
    ) -> Result<(), InvalidOption> {
        let refused = |(key, value, rule): (&'static str, String, &'static str)| InvalidOption {
            key,
            value: format!("{value:?} of the client {:?}", client.name),
            rule,
        };
        if options.subject.is_none() && options.claims.is_empty() {
            let rule = "with a subject, or claims: others have tokens of this issuer too";
            return Err(refused(("client.jwt", options.issuer.clone(), rule)));
        }
        let wanted = |options: &JwtOptions| {
            (
                options.issuer.clone(),
                options.audience.clone(),
                options.subject.clone(),
                options.claims.clone(),
            )
        };
        let mut known = self.clients.iter();
        if known.any(|(other, ..)| wanted(other) == wanted(options)) {
            let rule = "of one client: these are another's tokens too";
            return Err(refused(("client.jwt", options.issuer.clone(), rule)));
        }
        // Clients of one issuer share his keys.
        let mut known = self.clients.iter();
        let same = known.find(|(other, ..)| other.jwks == options.jwks && other.ca == options.ca);
        let keys = match same {
            Some((_, keys, _)) => Arc::clone(keys),
            None => Keys::new(options.place().map_err(refused)?),
        };
        self.clients
            .push((options.clone(), keys, Arc::clone(client)));
        Ok(())
    }

    /// Whose token this is. May wait for the issuer where the token names a key that is not known.
    pub(crate) async fn client(&self, token: &str) -> Result<Arc<Client>, Problem> {
        let issuer = token::issuer_of(token).unwrap_or_default();
        let mut failed = TokenError::Refused("its issuer is none that is known here".to_owned());
        for (options, keys, client) in &self.clients {
            if options.issuer != issuer {
                continue;
            }
            let rules = Rules {
                issuer: &options.issuer,
                audience: &options.audience,
                required: &[],
            };
            match token::verify(keys, token, &rules).await {
                Ok(claims) if options.fits(&claims) => return Ok(Arc::clone(client)),
                Ok(_) => failed = TokenError::Refused("no client is called as it says".to_owned()),
                Err(error) => failed = error,
            }
        }
        Err(match failed {
            TokenError::Away(reason) => {
                let detail = format!(
                    "whether the token counts is not known: {reason}; repeat the request later"
                );
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Problem::new(status, "issuer", "the token's issuer is away", detail)
                    .retry_after(KEYS_AGE_MIN.as_secs())
                    .close()
            }
            error => unknown(&format!("the token does not count: {error}")),
        })
    }
}

/// Whether this could be a JWT: three parts, which a key of hexadecimal digits has not.
pub(crate) fn is_token(text: &str) -> bool {
    text.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(text: &str) -> JwtOptions {
        let all = format!("issuer = \"i\"\naudience = \"a\"\njwks = \"/keys\"\n{text}");
        toml::from_str(&all).expect("options")
    }

    #[test]
    fn claims_say_whose_token_it_is() {
        let claims =
            json!({ "sub": "17", "azp": "till", "realm": { "roles": ["a", "b"] }, "x.y": true });
        for (text, fits) in [
            ("subject = \"17\"", true),
            ("subject = \"18\"", false),
            ("claims = { azp = \"till\" }", true),
            ("subject = \"17\"\nclaims = { azp = \"other\" }", false),
            ("claims = { \"realm.roles\" = \"b\" }", true),
            ("claims = { \"realm.roles\" = \"c\" }", false),
            ("claims = { realm = \"a\" }", false),
            ("claims = { \"x.y\" = \"true\" }", true),
            ("claims = { none = \"\" }", false),
        ] {
            assert_eq!(options(text).fits(&claims), fits, "{text}");
        }
    }

    #[test]
    fn keys_are_asked_for_over_tls_or_read() {
        let with = |jwks: &str| {
            let mut options = options("subject = \"17\"");
            options.jwks = jwks.into();
            options.place().is_ok()
        };
        assert!(with("/etc/keys.json") && with("keys.json"));
        assert!(with("https://issuer.example/keys") && with("http://127.0.0.1:1/keys"));
        assert!(!with("http://issuer.example/keys") && !with("ftp://issuer.example/keys"));
    }
}
