//! `[web]`: who may look, and from where.

use crate::config::WebConfig;

/// Hours that a session may last.
const SESSION_HOURS_MAX: u32 = 720;
/// Requests a second, requests at once, and streams of one client, at most.
const RATE_MAX: u32 = 100_000;

/// What can be told without the aggregations.
pub(super) fn check(web: &WebConfig, refuse: &mut impl FnMut(String)) {
    let signs_in = !web.users.is_empty() || web.oidc.is_some();
    let is_protected = web.tls.is_some() && signs_in;
    if !web.address.ip().is_loopback() && web.proxy.is_none() && !is_protected {
        refuse(format!(
            "`web.address` is {}: other than loopback addresses need `[web.tls]` with `[[web.user]]` or `[web.oidc]`, \
             or `[web.proxy]`",
            web.address
        ));
    }
    let proxy = web.proxy.as_ref();
    if proxy.is_some_and(|proxy| proxy.addresses.is_empty()) {
        refuse(
            "`web.proxy.addresses` is empty: then its header is believed from nobody".to_owned(),
        );
    }
    let mut number = |key: &str, value: u32, most: u32| {
        if !(1..=most).contains(&value) {
            refuse(format!("`web.{key}` is {value}, but must be 1 to {most}"));
        }
    };
    number("session_hours", web.session_hours, SESSION_HOURS_MAX);
    let rate = &web.rate;
    number(
        "rate.requests_per_second",
        rate.requests_per_second,
        RATE_MAX,
    );
    number("rate.burst", rate.burst, RATE_MAX);
    number("rate.streams", rate.streams, RATE_MAX);
    for user in &web.users {
        if !mq_server::is_password_hash(&user.password_hash) {
            refuse(format!(
                "`web.user` {:?}: `password_hash` is no argon2 hash; `daybook queue password` makes one",
                user.name
            ));
        }
    }
    match web.access() {
        Err(error) => refuse(types::report(&error)),
        // What was said above is not said again.
        Ok(mut access) => {
            access.users.clear();
            if let Err(error) = access.check() {
                refuse(types::report(&error));
            }
        }
    }
}

/// What needs the key columns of the aggregations: a column that is misspelt would show nothing, and nobody would know why.
pub(super) fn check_limits(
    web: &WebConfig,
    aggregations: &[&[String]],
    refuse: &mut impl FnMut(String),
) {
    for limit in &web.limits {
        let unknown = |column: &&String| !aggregations.iter().any(|keys| keys.contains(*column));
        for column in limit.keys.keys().filter(unknown) {
            refuse(format!(
                "`web.limit` {:?}: no aggregation has the key column {column:?}",
                limit.name
            ));
        }
        if limit.keys.values().any(Vec::is_empty) || limit.keys.is_empty() {
            refuse(format!(
                "`web.limit` {:?}: `keys` names no pattern, so nothing would be seen; {{ account = [\"HR*\"] }} shows a part",
                limit.name
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check_text(text: &str, expected: &Expect) {
        let web: WebConfig = toml::from_str(text).expect("understood");
        let mut found = String::new();
        let mut refuse = |mistake: String| {
            found.push_str(&mistake);
            found.push('\n');
        };
        check(&web, &mut refuse);
        let keys = ["business_day", "account"].map(str::to_owned);
        check_limits(&web, &[&keys], &mut refuse);
        expected.assert_eq(&found);
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_what_would_be_right() {
        check_text("", &expect![""]);
        check_text(
            r#"
session_hours = 721
rate = { burst = 0, streams = 100001 }
limit = [{ name = "b*", keys = { acount = ["HR*"] } }, { name = "*", keys = { account = [] } }]
[oidc]
issuer = "http://login.example.com"
client_id = "daybook"
address = "https://daybook.example.com"
"#,
            &expect![[r#"
                `web.session_hours` is 721, but must be 1 to 720
                `web.rate.burst` is 0, but must be 1 to 100000
                `web.rate.streams` is 100001, but must be 1 to 100000
                web option web.oidc.issuer is http://login.example.com, but must be an https address, or http on loopback
                `web.limit` "b*": no aggregation has the key column "acount"
                `web.limit` "*": `keys` names no pattern, so nothing would be seen; { account = ["HR*"] } shows a part
            "#]],
        );
        check_text(
            r#"
session_hours = 720
rate = { requests_per_second = 100000, burst = 1, streams = 1 }
limit = [{ name = "b*", keys = { account = ["HR*"] } }]
[oidc]
issuer = "http://127.0.0.1:9000"
client_id = "daybook"
address = "http://localhost:8080/page"
client_secret_file = "/nowhere/secret"
"#,
            &expect![[r#"
                `web.oidc.client_secret_file` /nowhere/secret cannot be read: No such file or directory (os error 2)
            "#]],
        );
        check_text(
            r#"
[oidc]
issuer = "https://login.example.com"
client_id = "daybook"
address = "http://localhost:8080/page"
"#,
            &expect![[r#"
                web option web.oidc.address is http://localhost:8080/page, but must be this page's address for browsers, https (or http on loopback) and without a path
            "#]],
        );
    }
}
