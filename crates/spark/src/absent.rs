//! In place of Spark's client where the program was built without it.

use crate::job::{Job, Place};
use crate::query::Found;

/// Nothing.
#[derive(Debug, Default)]
pub(crate) struct Held(());

impl Held {
    pub(crate) fn connect(&mut self, _: &Place) -> Result<(), String> {
        Err("there is no client".to_owned())
    }

    pub(crate) fn find(&mut self, _: &Place) -> Result<Option<Found>, String> {
        Ok(None)
    }

    pub(crate) fn start(&mut self, _: &Job) -> Result<Found, String> {
        Err("there is no client".to_owned())
    }

    pub(crate) fn is_active(&mut self) -> Result<bool, String> {
        Ok(false)
    }

    pub(crate) fn last_progress(&mut self) -> Result<Option<String>, String> {
        Ok(None)
    }

    pub(crate) fn exception(&mut self) -> Result<Option<String>, String> {
        Ok(None)
    }

    pub(crate) fn stop(&mut self) -> Result<(), String> {
        Ok(())
    }
}
