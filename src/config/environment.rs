//! The environment: variables whose names are the flags', in capitals and with `MAILFLY_` before.

use std::ffi::OsString;
use std::path::PathBuf;

use super::keys::nearest;
use super::{Error, Keys};

/// What is set in the environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// `MAILFLY_CONFIG`.
    pub config: Option<PathBuf>,
    /// All others.
    pub keys: Keys,
}

const PREFIX: &str = "MAILFLY_";
const CONFIG: &str = "config";

/// Reads the variables that begin with `MAILFLY_`.
///
/// # Errors
/// One of them is none of ours, or is not understood.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Environment, Error> {
    let mut environment = Environment::default();
    for (name, value) in variables {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) {
            continue;
        }
        if name == variable_of(CONFIG) {
            environment.config = Some(value.into());
        } else if let Some(key) = Keys::NAMES.into_iter().find(|key| name == variable_of(key)) {
            let text = value.to_str().ok_or_else(|| "the value is not UTF-8".to_owned());
            text.and_then(|text| environment.keys.set(key, text))
                .map_err(|reason| Error::Variable { name: name.to_string(), reason })?;
        } else if !is_service_link(&name, &value) {
            return Err(unknown(&name));
        }
    }
    Ok(environment)
}

fn unknown(name: &str) -> Error {
    let key = name.trim_start_matches(PREFIX).to_ascii_lowercase().replace('_', "-");
    let nearest = nearest(&key, Keys::NAMES.into_iter().chain([CONFIG]));
    Error::UnknownVariable { name: name.to_owned(), nearest: variable_of(nearest) }
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('-', "_"))
}

/// Whether a variable tells where a service is: Kubernetes and Docker give a program that stands
/// beside a service named `mailfly` such variables unasked (`MAILFLY_SERVICE_HOST`,
/// `MAILFLY_SMTP_PORT=tcp://…`, `MAILFLY_PORT_1025_TCP_ADDR`).
fn is_service_link(name: &str, value: &std::ffi::OsStr) -> bool {
    let names_a_url = value.to_str().is_some_and(|text| text.contains("://"));
    let name = format!("_{}", name.strip_prefix(PREFIX).unwrap_or_default());
    let of_a_port = name.split_once("_PORT_").is_some_and(|(_, port)| {
        let digits = port.trim_start_matches(|character: char| character.is_ascii_digit());
        digits.len() < port.len() && (digits.starts_with("_TCP") || digits.starts_with("_UDP"))
    });
    of_a_port
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && names_a_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(name: &str, value: &str) -> Result<Environment, Error> {
        read([(name.into(), value.into())])
    }

    #[test]
    fn only_variables_with_the_prefix_are_read() {
        for name in ["MEMORY", "PATH", "MAILFLYMEMORY", "XMAILFLY_MEMORY", "mailfly_memory"] {
            assert_eq!(read_one(name, "1").unwrap(), Environment::default(), "{name}");
        }
    }

    #[test]
    fn every_key_is_known_by_its_variable() {
        assert_eq!(variable_of("messages-per-mailbox"), "MAILFLY_MESSAGES_PER_MAILBOX");
        for key in Keys::NAMES {
            let error = read_one(&variable_of(key), "\0").unwrap_err();
            assert!(
                matches!(&error, Error::Variable { name, .. } if *name == variable_of(key)),
                "{error:?}"
            );
        }
        let environment = read_one("MAILFLY_CONFIG", "/etc/x").unwrap();
        assert_eq!(environment.config, Some("/etc/x".into()));
    }

    #[test]
    fn other_spellings_are_unknown() {
        for name in ["MAILFLY_memory", "MAILFLY_MAILBOX-SIZE", "MAILFLY_", "MAILFLY_CHECK"] {
            let error = read_one(name, "1").unwrap_err();
            assert!(matches!(error, Error::UnknownVariable { .. }), "{name}: {error:?}");
        }
    }

    #[test]
    fn what_an_orchestrator_says_of_services_is_not_meant_for_us() {
        for (name, value) in [
            ("MAILFLY_SERVICE_HOST", "10.0.0.7"),
            ("MAILFLY_SERVICE_PORT", "25"),
            ("MAILFLY_SERVICE_PORT_SMTP", "25"),
            ("MAILFLY_PORT", "tcp://10.0.0.7:25"),
            ("MAILFLY_PORT_25_TCP", "tcp://10.0.0.7:25"),
            ("MAILFLY_PORT_25_TCP_ADDR", "10.0.0.7"),
            ("MAILFLY_SMTP_SERVICE_HOST", "10.0.0.7"),
            ("MAILFLY_SMTP_PORT_25_TCP_PROTO", "tcp"),
        ] {
            assert_eq!(read_one(name, value).unwrap(), Environment::default(), "{name}");
        }
        for (name, value) in [("MAILFLY_PORT", "25"), ("MAILFLY_PORT_X_TCP", "25")] {
            assert!(read_one(name, value).is_err(), "{name}");
        }
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let value = OsString::from_vec(vec![0xff]);
        let error = read([("MAILFLY_HOSTNAME".into(), value)]).unwrap_err();
        assert!(matches!(error, Error::Variable { .. }), "{error:?}");
    }
}
