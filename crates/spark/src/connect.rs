//! Spark's own client for Rust. Every call here blocks, and may do so for minutes.

use std::collections::HashMap;

use spark_connect::session::SparkSession;
use spark_connect::streaming::{StreamingQuery, Trigger};

use crate::job::{Job, Place};
use crate::query::Found;

/// A connection, and the query that is watched.
#[derive(Default)]
pub(crate) struct Held {
    session: Option<SparkSession>,
    query: Option<StreamingQuery>,
}

impl Held {
    pub(crate) fn connect(&mut self, place: &Place) -> Result<(), String> {
        let session = SparkSession::builder().remote(&place.url()).get_or_create();
        self.session = Some(session.map_err(|error| error.to_string())?);
        Ok(())
    }

    fn session(&self) -> Result<&SparkSession, String> {
        self.session
            .as_ref()
            .ok_or_else(|| "not connected".to_owned())
    }

    fn query(&self) -> Result<&StreamingQuery, String> {
        self.query.as_ref().ok_or_else(|| "no query".to_owned())
    }

    /// The query of this name, if it runs in the session.
    pub(crate) fn find(&mut self, place: &Place) -> Result<Option<Found>, String> {
        let active = self.session()?.streams().active();
        let active = active.map_err(|error| error.to_string())?;
        let found = active
            .into_iter()
            .find(|query| query.name() == Some(place.name.as_str()));
        Ok(found.map(|query| self.watch(query)))
    }

    pub(crate) fn start(&mut self, job: &Job) -> Result<Found, String> {
        let session = self.session()?;
        for (name, value) in &job.settings {
            let set = session.conf().set(name, value);
            set.map_err(|error| format!("{name}: {error}"))?;
        }
        let text = |error: spark_connect::SparkError| error.to_string();
        let options = |options: &std::collections::BTreeMap<String, String>| {
            options.clone().into_iter().collect::<HashMap<_, _>>()
        };
        session
            .read_stream()
            .format("kafka")
            .options(options(&job.source))
            .load(None)
            .create_or_replace_temp_view(&job.view)
            .map_err(text)?;
        let trigger = format!("{} milliseconds", job.trigger.as_millis());
        let query = session
            .sql(&job.sql)
            .map_err(text)?
            .write_stream()
            .format("kafka")
            .output_mode("update")
            .query_name(&job.place.name)
            .options(options(&job.sink))
            .option("checkpointLocation", &job.checkpoint)
            .trigger(Trigger::ProcessingTime(trigger))
            .start("")
            .map_err(text)?;
        Ok(self.watch(query))
    }

    fn watch(&mut self, query: StreamingQuery) -> Found {
        let found = Found {
            query: query.id().to_owned(),
            run: query.run_id().to_owned(),
        };
        self.query = Some(query);
        found
    }

    pub(crate) fn is_active(&mut self) -> Result<bool, String> {
        self.query()?.is_active().map_err(|error| error.to_string())
    }

    pub(crate) fn last_progress(&mut self) -> Result<Option<String>, String> {
        let progress = self.query()?.last_progress();
        progress.map_err(|error| error.to_string())
    }

    pub(crate) fn exception(&mut self) -> Result<Option<String>, String> {
        let exception = self.query()?.exception();
        let exception = exception.map_err(|error| error.to_string())?;
        Ok(exception.map(|exception| exception.message))
    }

    pub(crate) fn stop(&mut self) -> Result<(), String> {
        match self.query.take() {
            Some(query) => query.stop().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}
