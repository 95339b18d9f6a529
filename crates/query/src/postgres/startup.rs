//! Who may connect: nobody is asked, or SCRAM-SHA-256.
//!
//! Invariant: a user who does not exist is asked like one who does, with a salt that stays the same: who tries names learns nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::Sink;
use pgwire::api::auth::sasl::SASLAuthStartupHandler;
use pgwire::api::auth::sasl::scram::{ScramAuth, gen_salted_password};
use pgwire::api::auth::{
    AuthSource, DefaultServerParameterProvider, LoginInfo, Password, ServerParameterProvider,
    StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{
    ClientInfo, ConnectionManager, METADATA_DATABASE, METADATA_USER, PidSecretKeyGenerator,
    RandomPidSecretKeyGenerator,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::settings::SERVER_VERSION;
use super::{PostgresOptions, PostgresUser, ServerError};

/// Rounds of hashing a password: as many as PostgreSQL has.
const ITERATIONS: usize = 4_096;
/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// Where a connection begins.
pub(super) struct Door {
    parameters: Arc<Parameters>,
    connections: Arc<ConnectionManager>,
    numbers: RandomPidSecretKeyGenerator,
    asks: Option<SASLAuthStartupHandler<Parameters>>,
    /// Who is not on this machine must speak TLS.
    has_tls: bool,
}

impl Door {
    pub(super) fn new(
        options: &PostgresOptions,
        connections: Arc<ConnectionManager>,
    ) -> Result<Self, ServerError> {
        let parameters = Arc::new(Parameters::default());
        let asks = match options.users.is_empty() {
            true => None,
            false => {
                let mut scram = ScramAuth::new(Arc::new(Users::new(&options.users)?));
                scram.set_iterations(ITERATIONS);
                let handler = SASLAuthStartupHandler::new(Arc::clone(&parameters));
                let handler = handler.with_scram(scram);
                Some(handler.with_connection_manager(Arc::clone(&connections)))
            }
        };
        Ok(Self {
            parameters,
            connections,
            numbers: RandomPidSecretKeyGenerator::default(),
            asks,
            has_tls: options.tls.is_some(),
        })
    }

    /// `Err`: why this client may not even try.
    fn refuse<C: ClientInfo>(&self, client: &C, database: Option<&String>) -> PgWireResult<()> {
        let is_elsewhere = !client.socket_addr().ip().is_loopback();
        if self.has_tls && is_elsewhere && !client.is_secure() {
            return Err(fatal(
                "28000",
                "clients of other machines must speak TLS: sslmode=require".to_owned(),
            ));
        }
        match database.map(String::as_str) {
            Some(sql::DATABASE) => Ok(()),
            given => Err(fatal(
                "3D000",
                format!(
                    "database {:?} does not exist: there is one, {:?}",
                    given.unwrap_or_default(),
                    sql::DATABASE
                ),
            )),
        }
    }
}

/// An error that ends the connection.
pub(super) fn fatal(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "FATAL".to_owned(),
        code.to_owned(),
        message,
    )))
}

#[async_trait]
impl StartupHandler for Door {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if let PgWireFrontendMessage::Startup(startup) = &message {
            // Without a database it is the one of the user's name.
            let given = &startup.parameters;
            let database = given.get(METADATA_DATABASE).or(given.get(METADATA_USER));
            self.refuse(client, database)?;
        }
        if let Some(asks) = &self.asks {
            return asks.on_startup(client, message).await;
        }
        let PgWireFrontendMessage::Startup(startup) = &message else {
            return Ok(());
        };
        protocol_negotiation(client, startup).await?;
        save_startup_parameters_to_metadata(client, startup);
        let (number, secret) = self.numbers.generate(client);
        client.set_pid_and_secret_key(number, secret.clone());
        let (handle, guard) = self.connections.register(number, secret);
        client.session_extensions().insert(handle);
        client.session_extensions().insert(guard);
        finish_authentication(client, self.parameters.as_ref()).await
    }
}

/// What clients are told about the server.
#[derive(Debug, Default)]
struct Parameters(DefaultServerParameterProvider);

impl ServerParameterProvider for Parameters {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let mut parameters = self.0.server_parameters(client)?;
        let ours = [
            ("server_version", SERVER_VERSION),
            ("TimeZone", "UTC"),
            ("is_superuser", "off"),
            ("default_transaction_read_only", "on"),
        ];
        parameters.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Some(parameters)
    }
}

/// Who may connect.
struct Users {
    /// Salt and salted password.
    known: HashMap<String, (Vec<u8>, Vec<u8>)>,
    /// Makes the salts of those there are not.
    unknown: hmac::Key,
    random: SystemRandom,
}

impl Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: HashSet<&String> = self.known.keys().collect();
        f.debug_struct("Users")
            .field("known", &names)
            .finish_non_exhaustive()
    }
}

impl Users {
    fn new(users: &[PostgresUser]) -> Result<Self, ServerError> {
        let random = SystemRandom::new();
        let unknown = hmac::Key::generate(hmac::HMAC_SHA256, &random);
        let mut known = HashMap::new();
        for user in users {
            let mut salt = vec![0; SALT_BYTES];
            random.fill(&mut salt).map_err(|_| ServerError::Random)?;
            let salted = gen_salted_password(&user.password, &salt, ITERATIONS);
            known.insert(user.name.clone(), (salt, salted));
        }
        Ok(Self {
            known,
            unknown: unknown.map_err(|_| ServerError::Random)?,
            random,
        })
    }
}

#[async_trait]
impl AuthSource for Users {
    #[allow(elided_lifetimes_in_paths)] // As the trait is written: spelt out it would be another signature.
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let name = login.user().unwrap_or_default();
        if let Some((salt, salted)) = self.known.get(name) {
            return Ok(Password::new(Some(salt.clone()), salted.clone()));
        }
        let tag = hmac::sign(&self.unknown, name.as_bytes());
        let salt = tag.as_ref().iter().take(SALT_BYTES).copied().collect();
        let mut nobody_knows = vec![0; 32];
        let filled = self.random.fill(&mut nobody_knows);
        filled.map_err(|_| PgWireError::InvalidPassword(name.to_owned()))?;
        Ok(Password::new(Some(salt), nobody_knows))
    }
}
