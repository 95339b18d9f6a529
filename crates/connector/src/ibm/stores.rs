//! What is asked of TLS, as far as a name tells it: cipher suites, and stores that are no PEM files.

/// Suites of TLS 1.3 that are spoken.
const TLS_13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];
/// Ends of names of suites of TLS 1.2 that are spoken, behind the kind of certificate.
const TLS_12: [&str; 3] = [
    "AES_128_GCM_SHA256",
    "AES_256_GCM_SHA384",
    "CHACHA20_POLY1305_SHA256",
];
const ALIASES: [&str; 9] = [
    "ANY",
    "ANY_TLS12",
    "ANY_TLS12_OR_HIGHER",
    "ANY_TLS13",
    "ANY_TLS13_OR_HIGHER",
    "*TLS12",
    "*TLS12ORHIGHER",
    "*TLS13",
    "*TLS13ORHIGHER",
];

/// Whether a suite can be spoken; the error says why not. Names of Java (`TLS_ECDHE_RSA_WITH_…`), of
/// IBM's Java (`SSL_ECDHE_RSA_WITH_…`), of MQ's channels (`ECDHE_RSA_…`), and aliases.
pub(super) fn cipher_suite(name: &str) -> Result<(), String> {
    let name = name.trim();
    let bare = name
        .strip_prefix("TLS_")
        .or_else(|| name.strip_prefix("SSL_"))
        .unwrap_or(name);
    let ecdhe = bare
        .strip_prefix("ECDHE_RSA_")
        .or_else(|| bare.strip_prefix("ECDHE_ECDSA_"))
        .map(|rest| rest.strip_prefix("WITH_").unwrap_or(rest));
    let known = TLS_13.contains(&name)
        || ALIASES.contains(&name)
        || ecdhe.is_some_and(|rest| TLS_12.contains(&rest));
    match known {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is not spoken: only TLS 1.3 and ECDHE with AES-GCM or ChaCha20 are, for instance \
             TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 (SSLCIPH(ECDHE_RSA_AES_256_GCM_SHA384) of the channel); give the channel one \
             of these, or ANY_TLS12_OR_HIGHER"
        )),
    }
}

/// Kinds of stores that are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Jks,
    Pkcs12,
    Kdb,
}

/// The reason and the commands, if the name alone tells that a store is no PEM file.
pub(super) fn refused_by_name(key: &str, path: &str) -> Option<String> {
    let (_, extension) = path.rsplit_once('.')?;
    let kind = match extension.to_ascii_lowercase().as_str() {
        "jks" | "jceks" | "ks" | "keystore" | "truststore" => Kind::Jks,
        "p12" | "pfx" | "pkcs12" => Kind::Pkcs12,
        "kdb" => Kind::Kdb,
        _ => return None,
    };
    Some(advice(kind, key, path))
}

/// The reason and the commands, if the beginning of a store tells that it is no PEM file. `key` is
/// `mq.ssl.keystore.location` or `mq.ssl.truststore.location`.
pub fn store_error(key: &str, path: &str, begin: &[u8]) -> Option<String> {
    let kind = match begin {
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Kind::Jks,
        // A sequence of ASN.1, as PKCS12 begins.
        [0x30, 0x80..=0x84, ..] => Kind::Pkcs12,
        _ => return None,
    };
    Some(advice(kind, key, path))
}

fn advice(kind: Kind, key: &str, path: &str) -> String {
    let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
    // With the private key where it is ours.
    let what = match key.contains("keystore") {
        true => "-nodes",
        false => "-nokeys",
    };
    let to_pem = |p12: &str| format!("openssl pkcs12 -in {p12} {what} -out {stem}.pem");
    match kind {
        Kind::Pkcs12 => format!(
            "{path} is a PKCS12 store, and PEM is read; convert it: {}",
            to_pem(path)
        ),
        Kind::Jks => format!(
            "{path} is a Java keystore, and PEM is read; convert it: keytool -importkeystore -srckeystore {path} \
             -destkeystore {stem}.p12 -deststoretype PKCS12 && {}",
            to_pem(&format!("{stem}.p12"))
        ),
        Kind::Kdb => format!(
            "{path} is a key database of IBM's, and PEM is read; export it as PKCS12 with runmqakm, then: {}",
            to_pem(&format!("{stem}.p12"))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_taken_by_all_their_names() {
        for name in [
            "TLS_AES_256_GCM_SHA384",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "SSL_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            "ECDHE_RSA_AES_256_GCM_SHA384",
            "ANY_TLS12_OR_HIGHER",
            "*TLS12ORHIGHER",
        ] {
            assert_eq!(cipher_suite(name), Ok(()), "{name}");
        }
        for name in [
            "TLS_RSA_WITH_AES_128_CBC_SHA256",
            "SSL_RSA_WITH_3DES_EDE_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256x",
        ] {
            assert!(cipher_suite(name).is_err(), "{name}");
        }
    }

    #[test]
    fn stores_are_refused_with_the_commands_that_convert_them() {
        let key = "mq.ssl.keystore.location";
        assert_eq!(
            refused_by_name(key, "/etc/app.JKS").as_deref(),
            Some(
                "/etc/app.JKS is a Java keystore, and PEM is read; convert it: keytool -importkeystore -srckeystore \
                 /etc/app.JKS -destkeystore /etc/app.p12 -deststoretype PKCS12 && openssl pkcs12 -in /etc/app.p12 -nodes \
                 -out /etc/app.pem"
            )
        );
        assert_eq!(refused_by_name(key, "/etc/app.pem"), None);
        let trust = "mq.ssl.truststore.location";
        let found = store_error(trust, "ca", &[0x30, 0x82, 4, 5]).expect("PKCS12");
        assert!(
            found.ends_with("openssl pkcs12 -in ca -nokeys -out ca.pem"),
            "{found}"
        );
        assert!(store_error(trust, "ca", &[0xfe, 0xed, 0xfe, 0xed]).is_some());
        assert_eq!(store_error(trust, "ca", b"-----BEGIN CERTIFICATE"), None);
    }
}
