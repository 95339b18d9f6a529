//! What is answered: both ways of asking, and what is no query.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::{Sink, SinkExt as _, stream};
use pgwire::api::portal::{Format, Portal};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler};
use pgwire::api::results::{FieldFormat, FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, Type};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::DataRow;
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Parse, ParseComplete,
};
use sql::{
    Answer, AnswerColumn, AnswerKind, Engine, LimitError, Parameter, QueryError, Statement,
    StatementKind, TextRow,
};
use telemetry::Telemetry;

use super::encode;
use super::settings::SettingError;
use super::state::{Metrics, PORTALS_MAX, PREPARED_MAX, Session};

/// Answers what clients ask.
#[derive(Debug, Clone)]
pub(super) struct Service {
    engine: Engine,
    metrics: Arc<Metrics>,
}

/// A statement that was prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    statement: Statement,
    parameters: Vec<Type>,
    columns: Vec<AnswerColumn>,
}

impl Service {
    pub(super) fn new(engine: Engine, telemetry: &Telemetry) -> Self {
        Self {
            engine,
            metrics: Arc::new(Metrics::new(telemetry)),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn parse(&self, text: &str) -> PgWireResult<Vec<Statement>> {
        let began = Instant::now();
        let parsed = sql::parse(text, self.engine.limits().statement_bytes_max);
        if parsed.is_err() {
            self.metrics.ended(began, &parsed);
        }
        parsed.map_err(|error| refusal(&error))
    }

    async fn answer(
        &self,
        session: &Session,
        statement: &Statement,
        parameters: Vec<Parameter>,
        format: &Format,
    ) -> PgWireResult<Response> {
        match statement.kind() {
            StatementKind::Query => {
                let time_max = session.settings().time_max();
                let began = Instant::now();
                let answer = self.engine.run(statement, parameters, time_max).await;
                self.metrics.ended(began, &answer);
                let answer = answer.map_err(|error| refusal(&error))?;
                Ok(Response::Query(rows(answer, format)))
            }
            StatementKind::Show(name) => show(session, name, format),
            StatementKind::Set { name, value } => {
                let set = session.settings().set(name, value);
                set.map_err(|error| setting_refused(name, value, error))?;
                Ok(Response::Execution(Tag::new("SET")))
            }
            StatementKind::Reset(name) => {
                session.settings().reset(name);
                Ok(Response::Execution(Tag::new("RESET")))
            }
            StatementKind::Begin => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
            StatementKind::Commit => Ok(Response::TransactionEnd(Tag::new("COMMIT"))),
            StatementKind::Rollback => Ok(Response::TransactionEnd(Tag::new("ROLLBACK"))),
            StatementKind::Deallocate(_) => Ok(Response::Execution(Tag::new("DEALLOCATE"))),
            StatementKind::Discard => {
                session.settings().reset("all");
                Ok(Response::Execution(Tag::new("DISCARD ALL")))
            }
            StatementKind::Nothing(tag) => Ok(Response::Execution(Tag::new(tag))),
        }
    }
}

fn session_of<C: ClientInfo>(client: &C) -> Arc<Session> {
    client
        .session_extensions()
        .get_or_insert_with(Session::default)
}

/// Gives up what was prepared, where a statement says so.
fn deallocate<C>(client: &C, session: &Session, statement: &Statement)
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore,
{
    let names = match statement.kind() {
        StatementKind::Deallocate(Some(name)) => vec![name.clone()],
        StatementKind::Deallocate(None) | StatementKind::Discard => session.prepared().all(),
        _ => return,
    };
    for name in names {
        session.prepared().remove(&name);
        client.portal_store().rm_statement(&name);
    }
}

fn user_error(code: &str, message: String) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        code.to_owned(),
        message,
    )))
}

/// PostgreSQL's code of an error.
fn code(error: &QueryError) -> &'static str {
    match error {
        QueryError::Syntax(_) => "42601",
        QueryError::NoTable(_) => "42P01",
        QueryError::NoColumn(_) => "42703",
        QueryError::ReadOnly { .. } => "25006",
        QueryError::Limit(limit) => match limit {
            LimitError::Time { .. } => "57014",
            LimitError::Memory { .. } => "53200",
            LimitError::Queries { .. } => "53400",
            LimitError::StatementBytes { .. } => "54001",
            _ => "54000",
        },
        QueryError::Source(_) => "58030",
        _ => "42000",
    }
}

fn refusal(error: &QueryError) -> PgWireError {
    let words = match error {
        // It has DataFusion's words already.
        QueryError::Syntax(error)
        | QueryError::NoColumn(error)
        | QueryError::NoTable(error)
        | QueryError::Sql(error) => error.to_string(),
        other => types::report(other),
    };
    user_error(code(error), words)
}

fn setting_refused(name: &str, value: &str, error: SettingError) -> PgWireError {
    match error {
        SettingError::Unknown => user_error(
            "42704",
            format!("there is no setting {name:?} that may be changed"),
        ),
        SettingError::Refused(why) => {
            user_error("22023", format!("{name} cannot be set to {value:?}: {why}"))
        }
    }
}

/// Out of bounds it is text.
fn is_binary(format: &Format, index: usize) -> bool {
    match format {
        Format::UnifiedText => false,
        Format::UnifiedBinary => true,
        Format::Individual(codes) => codes.get(index) == Some(&1),
    }
}

fn fields(columns: &[AnswerColumn], format: &Format) -> Vec<FieldInfo> {
    let field = |(index, column): (usize, &AnswerColumn)| {
        let format = match is_binary(format, index) {
            true => FieldFormat::Binary,
            false => FieldFormat::Text,
        };
        let kind = encode::type_of(column.kind);
        FieldInfo::new(column.name.clone(), None, None, kind, format)
            .with_type_size(encode::size_of(column.kind))
    };
    columns.iter().enumerate().map(field).collect()
}

/// The answer, encoded batch by batch as it is sent.
fn rows(answer: Answer, format: &Format) -> QueryResponse {
    let schema = Arc::new(fields(answer.columns(), format));
    let kinds: Vec<(AnswerKind, bool)> = answer
        .columns()
        .iter()
        .enumerate()
        .map(|(index, column)| (column.kind, is_binary(format, index)))
        .collect();
    let rows = answer.into_batches().flat_map(move |batch| {
        let encoded: Vec<PgWireResult<DataRow>> = match batch {
            Ok(rows) => rows.iter().map(|row| encoded(row, &kinds)).collect(),
            Err(error) => vec![Err(user_error("XX000", types::report(&error)))],
        };
        encoded
    });
    QueryResponse::new(schema, stream::iter(rows))
}

fn encoded(row: &TextRow, kinds: &[(AnswerKind, bool)]) -> PgWireResult<DataRow> {
    let mut bytes = BytesMut::with_capacity(row.len() * 16);
    for (cell, (kind, is_binary)) in row.iter().zip(kinds) {
        let put = encode::put(&mut bytes, *kind, cell.as_deref(), *is_binary);
        put.map_err(|error| user_error("XX000", error.to_string()))?;
    }
    let count = i16::try_from(row.len());
    let count = count.map_err(|_| user_error("54011", "too many columns".to_owned()))?;
    Ok(DataRow::new(bytes, count))
}

/// Columns of a `SHOW`.
fn shown_columns(name: &str) -> Vec<AnswerColumn> {
    let names = match name {
        "all" => vec!["name", "setting", "description"],
        name => vec![name],
    };
    let column = |name: &str| AnswerColumn {
        name: name.to_owned(),
        kind: AnswerKind::Text,
    };
    names.into_iter().map(column).collect()
}

fn show(session: &Session, name: &str, format: &Format) -> PgWireResult<Response> {
    let settings = session.settings();
    let text = |text: &str| Some(text.to_owned());
    let rows: Vec<TextRow> = match name {
        "all" => settings
            .all()
            .map(|(name, value)| vec![text(name), text(value), None])
            .collect(),
        name => match settings.get(name) {
            Some(value) => vec![vec![text(value)]],
            None => {
                return Err(user_error(
                    "42704",
                    format!("there is no setting {name:?}; SHOW ALL lists them"),
                ));
            }
        },
    };
    let columns = shown_columns(name);
    let schema = Arc::new(fields(&columns, format));
    let kinds: Vec<(AnswerKind, bool)> = (0..columns.len())
        .map(|index| (AnswerKind::Text, is_binary(format, index)))
        .collect();
    let rows: Vec<_> = rows.iter().map(|row| encoded(row, &kinds)).collect();
    let mut response = QueryResponse::new(schema, stream::iter(rows));
    response.set_command_tag("SHOW");
    Ok(Response::Query(response))
}

#[async_trait]
impl SimpleQueryHandler for Service {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statements = self.parse(query)?;
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let session = session_of(client);
        let mut responses = Vec::with_capacity(statements.len());
        for statement in &statements {
            deallocate(client, &session, statement);
            let answer = self
                .answer(&session, statement, Vec::new(), &Format::UnifiedText)
                .await;
            match answer {
                Ok(response) => responses.push(response),
                // What came before is answered; what comes after is not done.
                Err(error) => {
                    responses.push(Response::Error(Box::new(error.into())));
                    break;
                }
            }
        }
        Ok(responses)
    }
}

#[async_trait]
impl QueryParser for Service {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        _: &C,
        text: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = self.parse(text)?;
        if statements.len() > 1 {
            return Err(user_error(
                "42601",
                "a prepared statement is one statement".to_owned(),
            ));
        }
        let Some(statement) = statements.pop() else {
            return Ok(None);
        };
        let (parameters, columns) = match statement.kind() {
            StatementKind::Query => {
                let given = types
                    .iter()
                    .map(|kind| kind.as_ref().and_then(encode::kind_of));
                let described = self.engine.describe(&statement, given.collect()).await;
                let described = described.map_err(|error| refusal(&error))?;
                let known = |(index, kind): (usize, &sql::ParameterType)| {
                    let given = types.get(index).cloned().flatten();
                    let given = given.filter(|kind| *kind != Type::UNKNOWN);
                    given.unwrap_or_else(|| encode::parameter_type(*kind))
                };
                let parameters = described.parameters.iter().enumerate().map(known);
                (parameters.collect(), described.columns)
            }
            StatementKind::Show(name) => (Vec::new(), shown_columns(name)),
            _ => (Vec::new(), Vec::new()),
        };
        Ok(Some(Arc::new(Prepared {
            statement,
            parameters,
            columns,
        })))
    }

    fn get_parameter_types(&self, prepared: &Self::Statement) -> PgWireResult<Vec<Type>> {
        Ok(prepared.parameters.clone())
    }

    fn get_result_schema(
        &self,
        prepared: &Self::Statement,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let text = Format::UnifiedText;
        Ok(fields(&prepared.columns, format.unwrap_or(&text)))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Service {
    type Statement = Arc<Prepared>;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(self.clone())
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.clone();
        let name = name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        if !session_of(client).prepared().add(&name, PREPARED_MAX) {
            return Err(user_error(
                "53400",
                format!("{PREPARED_MAX} statements are prepared: close some (DEALLOCATE)"),
            ));
        }
        match StoredStatement::parse(client, &message, self.query_parser()).await? {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(&name),
        }
        client
            .send(PgWireBackendMessage::ParseComplete(ParseComplete::new()))
            .await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let of = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        if !session_of(client).portals().add(name, PORTALS_MAX) {
            return Err(user_error(
                "53400",
                format!("{PORTALS_MAX} portals are open: close some"),
            ));
        }
        match client.portal_store().get_statement(of) {
            Some(Entry::Value(statement)) => {
                let expected = statement.statement.parameters.len();
                if message.parameters.len() != expected {
                    return Err(user_error(
                        "08P01",
                        format!(
                            "{} parameters are given, but the statement has {expected}",
                            message.parameters.len()
                        ),
                    ));
                }
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => client.portal_store().put_empty_portal(name),
            None => return Err(PgWireError::StatementNotFound(of.to_owned())),
        }
        client
            .send(PgWireBackendMessage::BindComplete(BindComplete::new()))
            .await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let session = session_of(client);
        match message.target_type {
            b'S' => {
                session.prepared().remove(name);
                client.portal_store().rm_statement(name);
            }
            _ => {
                session.portals().remove(name);
                client.portal_store().rm_portal(name);
            }
        }
        client
            .send(PgWireBackendMessage::CloseComplete(CloseComplete::new()))
            .await?;
        Ok(())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Self::Statement>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = &portal.statement.statement;
        let given = portal.parameters.iter().zip(&prepared.parameters);
        let parameters = given.enumerate().map(|(index, (bytes, kind))| {
            let is_binary = is_binary(&portal.parameter_format, index);
            let parameter = encode::parameter(kind, bytes.as_deref(), is_binary);
            parameter.map_err(|error| user_error("22P02", format!("${}: {error}", index + 1)))
        });
        let parameters = parameters.collect::<PgWireResult<Vec<_>>>()?;
        let session = session_of(client);
        let format = &portal.result_column_format;
        deallocate(client, &session, &prepared.statement);
        self.answer(&session, &prepared.statement, parameters, format)
            .await
    }
}
